#include "proxy/http/server_connection.h"

#include <utility>

namespace clew {

ServedConnection::ServedConnection(HttpService with, Transport& bytes, const ConnectionInfo& about,
                                   const HttpConnectionManager& manager, DrainSignal& signal)
    : service(with), transport(bytes), info(about), hcm(manager), drain(signal) {
  service.stats.downstream_cx_total.add();
  service.stats.downstream_cx_active.add();
  if (info.tls) {
    service.stats.downstream_cx_ssl_total.add();
    service.stats.downstream_cx_ssl_active.add();
  }
  transport.count_into(service.stats.bytes);
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
  if (info.tls) service.stats.downstream_cx_ssl_active.sub();
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
  service.stats.bytes.read.add(initial.size());
  using Codec = HttpConnectionManager::Codec;
  const bool negotiated = hcm.codec == Codec::automatic && connection.tls && connection.tls->alpn == "h2";
  const auto serve = hcm.codec == Codec::http2 || negotiated ? serve_http2 : serve_http1;
  return serve(ServedConnection(service, transport, connection, hcm, drain), std::move(initial));
}

void HttpServerStats::count_end(bool remote, bool active) {
  (remote ? downstream_cx_destroy_remote : downstream_cx_destroy_local).add();
  if (!active) return;
  downstream_cx_destroy_active_rq.add();
  (remote ? downstream_cx_destroy_remote_active_rq : downstream_cx_destroy_local_active_rq).add();
}

void HttpServerStats::collect_answers(std::string_view prefix, StatSink& sink) const {
  const auto tell = [&](std::string_view last, const Counter& counter) {
    sink.counter(std::string(prefix).append(last), counter.value());
  };
  tell(".downstream_rq_1xx", downstream_rq_1xx);
  tell(".downstream_rq_2xx", downstream_rq_2xx);
  tell(".downstream_rq_3xx", downstream_rq_3xx);
  tell(".downstream_rq_4xx", downstream_rq_4xx);
  tell(".downstream_rq_5xx", downstream_rq_5xx);
  tell(".downstream_rq_completed", downstream_rq_completed);
}

void HttpServerStats::collect(std::string_view prefix, StatSink& sink) const {
  std::string name(prefix);
  const std::size_t length = name.append(1, '.').size();
  const auto named = [&](std::string_view last) -> const std::string& {
    name.resize(length);
    return name.append(last);
  };
#define CLEW_COUNTER(member) sink.counter(named(#member), member.value());
#define CLEW_GAUGE(member) sink.gauge(named(#member), member.value());
  CLEW_HTTP_SERVER_COUNTERS(CLEW_COUNTER)
  CLEW_HTTP_SERVER_GAUGES(CLEW_GAUGE)
#undef CLEW_COUNTER
#undef CLEW_GAUGE
  sink.counter(named("downstream_cx_rx_bytes_total"), bytes.read.value());
  sink.counter(named("downstream_cx_tx_bytes_total"), bytes.written.value());
  sink.histogram(named("downstream_rq_time"), downstream_rq_time);
  sink.histogram(named("downstream_cx_length_ms"), downstream_cx_length_ms);
  if (downstream_cx_http1_total.value() > 0) http1.collect("http1.", sink);
  if (downstream_cx_http2_total.value() > 0) http2.collect("http2.", sink);
}

}  // namespace clew
