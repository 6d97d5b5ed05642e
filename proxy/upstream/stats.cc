#include "proxy/upstream/stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string>

namespace clew {

void ClusterStats::count_status(std::uint32_t status) {
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
  sink.histogram(with("upstream_rq_time"), upstream_rq_time);
  sink.histogram(with("upstream_cx_connect_ms"), upstream_cx_connect_ms);
  sink.histogram(with("upstream_cx_length_ms"), upstream_cx_length_ms);
}

}  // namespace clew
