#include "proxy/http/server_connection.h"

#include <utility>

namespace clew {

ServedConnection::ServedConnection(HttpService with, Transport& bytes, const ConnectionInfo& about,
                                   const HttpConnectionManager& manager, DrainSignal& signal)
    : service(with), transport(bytes), info(about), hcm(manager), drain(signal) {
  service.stats.downstream_cx_total.add();
  service.stats.downstream_cx_active.add();
}

ServedConnection::ServedConnection(ServedConnection&& other) noexcept
    : service(other.service),
      transport(other.transport),
      info(other.info),
      hcm(other.hcm),
      drain(other.drain),
      counted_(std::exchange(other.counted_, false)) {}

ServedConnection::~ServedConnection() {
  if (!counted_ || service.worker.loop().ending()) return;
  service.stats.downstream_cx_active.sub();
  service.stats.downstream_cx_destroy.add();
  const auto length = std::chrono::duration<double, std::milli>(service.worker.clock().now() - info.start);
  service.stats.downstream_cx_length_ms.record(length.count());
}

Duration idle_time(const HttpConnectionManager& hcm) { return hcm.idle_timeout.value_or(std::chrono::hours(1)); }

Duration head_time(const HttpConnectionManager& hcm) {
  const Duration idle = hcm.stream_idle_timeout > Duration::zero() ? hcm.stream_idle_timeout : idle_time(hcm);
  const Duration head = hcm.request_headers_timeout;
  return head > Duration::zero() && (head <= idle || idle <= Duration::zero()) ? head : idle;
}

/// Not a coroutine, nor is what looks at the first bytes: a frame that only waits would be a fifth of what an idle
/// connection keeps.
Task<void> serve_http(HttpService service, Transport& transport, Buffer initial, const ConnectionInfo& connection,
                      const HttpConnectionManager& hcm, DrainSignal& drain) {
  using Codec = HttpConnectionManager::Codec;
  const bool negotiated = hcm.codec == Codec::automatic && connection.tls && connection.tls->alpn == "h2";
  const auto serve = hcm.codec == Codec::http2 || negotiated ? serve_http2 : serve_http1;
  return serve(ServedConnection(service, transport, connection, hcm, drain), std::move(initial));
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
