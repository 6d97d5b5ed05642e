#include "proxy/http/server_connection.h"

#include "proxy/net/sniff.h"

namespace clew {
namespace {

enum class Codec { http1, http2, unknown };

/// What the first bytes say; unknown: too few of them.
Codec codec_of(std::string_view bytes) {
  const std::size_t n = std::min(bytes.size(), h2_preface.size());
  if (bytes.substr(0, n) != h2_preface.substr(0, n)) return Codec::http1;
  return n == h2_preface.size() ? Codec::http2 : Codec::unknown;
}

Task<Codec> sniff(HttpService service, Transport& transport, const HttpConnectionManager& hcm, Buffer& initial) {
  Timer idle(service.worker.timers(), [&transport, &service] {
    service.stats.downstream_cx_idle_timeout.add();
    transport.close(Errc::idle_timeout);
  });
  const Duration timeout = hcm.idle_timeout.value_or(std::chrono::hours(1));
  if (timeout > Duration::zero()) idle.arm(timeout);
  for (;;) {
    const Codec codec = codec_of(initial.pull_up(std::min(initial.size(), h2_preface.size())));
    if (codec != Codec::unknown) co_return codec;
    const Result<std::size_t> got = transport.try_read(initial, Buffer::slab_size);
    if (got) continue;
    if (got.error().code != Errc::would_block) co_return Codec::http1;  // it deals with the end
    const Result<void> ready = co_await transport.readable();
    if (!ready) co_return Codec::http1;
  }
}

}  // namespace

Duration head_time(const HttpConnectionManager& hcm) {
  const Duration idle = hcm.stream_idle_timeout > Duration::zero() ? hcm.stream_idle_timeout
                                                                   : hcm.idle_timeout.value_or(std::chrono::hours(1));
  const Duration head = hcm.request_headers_timeout;
  return head > Duration::zero() && (head <= idle || idle <= Duration::zero()) ? head : idle;
}

Task<void> serve_http(HttpService service, Transport& transport, Buffer initial, const ConnectionInfo& connection,
                      const HttpConnectionManager& hcm, DrainSignal& drain) {
  HttpServerStats& stats = service.stats;
  const TimePoint start = service.worker.clock().now();
  stats.downstream_cx_total.add();
  stats.downstream_cx_active.add();
  using Setting = HttpConnectionManager::Codec;
  Codec codec = hcm.codec == Setting::http2 ? Codec::http2 : Codec::http1;
  if (hcm.codec == Setting::automatic) {
    if (connection.tls && connection.tls->alpn == "h2")
      codec = Codec::http2;
    else
      codec = co_await sniff(service, transport, hcm, initial);
  }
  const auto serve = codec == Codec::http2 ? serve_http2 : serve_http1;
  Task<void> serving = serve(service, transport, std::move(initial), connection, hcm, drain);
  co_await std::move(serving);
  transport.close(Errc::eof);
  stats.downstream_cx_active.sub();
  stats.downstream_cx_destroy.add();
  const auto length = std::chrono::duration<double, std::milli>(service.worker.clock().now() - start);
  stats.downstream_cx_length_ms.record(length.count());
}

void HttpServerStats::collect(std::string_view prefix, StatSink& sink) const {
  static constexpr std::pair<std::string_view, Counter HttpServerStats::*> counters[] = {
      {"downstream_cx_total", &HttpServerStats::downstream_cx_total},
      {"downstream_cx_destroy", &HttpServerStats::downstream_cx_destroy},
      {"downstream_cx_http1_total", &HttpServerStats::downstream_cx_http1_total},
      {"downstream_cx_http2_total", &HttpServerStats::downstream_cx_http2_total},
      {"downstream_cx_protocol_error", &HttpServerStats::downstream_cx_protocol_error},
      {"downstream_cx_idle_timeout", &HttpServerStats::downstream_cx_idle_timeout},
      {"downstream_cx_max_duration_reached", &HttpServerStats::downstream_cx_max_duration_reached},
      {"downstream_cx_drain_close", &HttpServerStats::downstream_cx_drain_close},
      {"downstream_rq_total", &HttpServerStats::downstream_rq_total},
      {"downstream_rq_http1_total", &HttpServerStats::downstream_rq_http1_total},
      {"downstream_rq_http2_total", &HttpServerStats::downstream_rq_http2_total},
      {"downstream_rq_1xx", &HttpServerStats::downstream_rq_1xx},
      {"downstream_rq_2xx", &HttpServerStats::downstream_rq_2xx},
      {"downstream_rq_3xx", &HttpServerStats::downstream_rq_3xx},
      {"downstream_rq_4xx", &HttpServerStats::downstream_rq_4xx},
      {"downstream_rq_5xx", &HttpServerStats::downstream_rq_5xx},
      {"downstream_rq_completed", &HttpServerStats::downstream_rq_completed},
      {"downstream_rq_rx_reset", &HttpServerStats::downstream_rq_rx_reset},
      {"downstream_rq_tx_reset", &HttpServerStats::downstream_rq_tx_reset},
      {"downstream_rq_timeout", &HttpServerStats::downstream_rq_timeout},
      {"downstream_rq_idle_timeout", &HttpServerStats::downstream_rq_idle_timeout},
      {"downstream_rq_max_duration_reached", &HttpServerStats::downstream_rq_max_duration_reached},
      {"downstream_rq_too_large", &HttpServerStats::downstream_rq_too_large},
      {"no_route", &HttpServerStats::no_route},
      {"rs_too_large", &HttpServerStats::rs_too_large},
  };
  std::string name(prefix);
  const std::size_t length = name.append(1, '.').size();
  const auto named = [&](std::string_view last) -> const std::string& {
    name.resize(length);
    return name.append(last);
  };
  for (const auto& [last, counter] : counters) sink.counter(named(last), (this->*counter).value());
  sink.gauge(named("downstream_cx_active"), downstream_cx_active.value());
  sink.gauge(named("downstream_rq_active"), downstream_rq_active.value());
  sink.histogram(named("downstream_rq_time"), downstream_rq_time);
  sink.histogram(named("downstream_cx_length_ms"), downstream_cx_length_ms);
}

}  // namespace clew
