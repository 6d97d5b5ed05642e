#include "proxy/upstream/stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string>

namespace clew {

void ClusterStats::count_status(std::uint32_t status, bool internal) {
  if (status < 100 || status > 599) return;
  Counter* const classes[] = {&upstream_rq_1xx, &upstream_rq_2xx, &upstream_rq_3xx, &upstream_rq_4xx, &upstream_rq_5xx};
  classes[status / 100 - 1]->add();
  upstream_rq_completed.add();
  auto code = std::find_if(codes_.begin(), codes_.end(), [status](const Code& c) { return c.status == status; });
  if (code == codes_.end()) {
    codes_.emplace_back().status = status;
    code = std::prev(codes_.end());
  }
  code->count.add();
  if (internal) code->internal.add();
}

void ClusterStats::collect(std::string_view prefix, StatSink& sink, bool with_outlier_detection) const {
  std::string name(prefix);
  const auto with = [&name, length = prefix.size()](std::string_view end) -> std::string_view {
    name.resize(length);
    name.append(1, '.').append(end);
    return name;
  };
#define CLEW_COUNTER(member) sink.counter(with(#member), member.value());
#define CLEW_GAUGE(member) sink.gauge(with(#member), member.value());
#define CLEW_TLS_COUNTER(member) sink.counter(with("ssl." #member), ssl.member.value());
  CLEW_CLUSTER_COUNTERS(CLEW_COUNTER)
  CLEW_CLUSTER_GAUGES(CLEW_GAUGE)
  sink.counter(with("upstream_cx_rx_bytes_total"), http.bytes.read.value());
  sink.counter(with("upstream_cx_tx_bytes_total"), http.bytes.written.value());
  if (upstream_cx_http1_total.value() > 0) http.http1.collect(std::string(with("http1.")), sink);
  if (upstream_cx_http2_total.value() > 0) http.http2.collect(std::string(with("http2.")), sink);
  if (ssl.handshake.value() + ssl.connection_error.value() > 0) {
    CLEW_CLUSTER_TLS_COUNTERS(CLEW_TLS_COUNTER)
  }
#define CLEW_OUTLIER_COUNTER(member) sink.counter(with("outlier_detection." #member), outlier.member.value());
  if (with_outlier_detection) {
    CLEW_CLUSTER_OUTLIER_COUNTERS(CLEW_OUTLIER_COUNTER)
    sink.gauge(with("outlier_detection.ejections_active"), outlier.ejections_active.value());
  }
#undef CLEW_OUTLIER_COUNTER
#undef CLEW_COUNTER
#undef CLEW_GAUGE
#undef CLEW_TLS_COUNTER
  for (const Code& code : codes_) sink.counter(with(fmt::format("upstream_rq_{}", code.status)), code.count.value());
  for (const bool internal : {false, true}) {
    const std::string_view side = internal ? "internal" : "external";
    std::array<std::uint64_t, 6> classes{};  // by first digit; 0: all of them
    for (const Code& code : codes_) {
      const std::uint64_t count = internal ? code.internal.value() : code.count.value() - code.internal.value();
      if (count == 0) continue;
      sink.counter(with(fmt::format("{}.upstream_rq_{}", side, code.status)), count);
      classes[code.status / 100] += count;
      classes[0] += count;
    }
    if (classes[0] > 0) sink.counter(with(fmt::format("{}.upstream_rq_completed", side)), classes[0]);
    for (std::size_t digit = 1; digit < classes.size(); ++digit)
      if (classes[digit] > 0) sink.counter(with(fmt::format("{}.upstream_rq_{}xx", side, digit)), classes[digit]);
  }
  for (const bool internal : {false, true}) {
    const std::unique_ptr<Histogram>& time = upstream_rq_time_[internal ? 1 : 0];
    static const Histogram none;
    sink.histogram(with("upstream_rq_time"), time ? *time : none);
    if (time) sink.histogram(with(internal ? "internal.upstream_rq_time" : "external.upstream_rq_time"), *time);
  }
  sink.histogram(with("upstream_cx_connect_ms"), upstream_cx_connect_ms);
  sink.histogram(with("upstream_cx_length_ms"), upstream_cx_length_ms);
}

}  // namespace clew
