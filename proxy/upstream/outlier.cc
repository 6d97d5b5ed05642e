// Outlier detection of a cluster: results in a row lead to an ejection, which is over by itself. The counts are the
// process's; whoever draws next, on any worker, sees the change. No timer: an ejection ends with the first draw after
// it.
#include "proxy/upstream/cluster_state.h"

namespace clew {
namespace {

/// True when it reaches the threshold; it then begins anew.
bool reached(std::atomic<std::uint32_t>& count, std::uint32_t threshold) {
  if (threshold == 0 || count.fetch_add(1, std::memory_order_relaxed) + 1 < threshold) return false;
  count.store(0, std::memory_order_relaxed);
  return true;
}

/// Results are many and mostly good: no write to shared memory when there is nothing to reset.
void reset(std::atomic<std::uint32_t>& count) {
  if (count.load(std::memory_order_relaxed) != 0) count.store(0, std::memory_order_relaxed);
}

}  // namespace

void ClusterState::report(const std::shared_ptr<EndpointState>& endpoint, std::uint32_t status, bool local_origin) {
  const auto& config = cluster_->outlier_detection;
  if (!config) return;
  EndpointShared& shared = *endpoint->shared;
  if (config->split_external_local_origin_errors) {
    if (local_origin) {
      if (reached(shared.consecutive_local_origin_failure, config->consecutive_local_origin_failure))
        detected(endpoint, Row::local_origin_failure);
      return;
    }
    reset(shared.consecutive_local_origin_failure);
  }
  if (status < 500) {
    reset(shared.consecutive_5xx);
    reset(shared.consecutive_gateway_failure);
    return;
  }
  if (status >= 502 && status <= 504) {
    if (reached(shared.consecutive_gateway_failure, config->consecutive_gateway_failure))
      detected(endpoint, Row::gateway_failure);
  } else {
    reset(shared.consecutive_gateway_failure);
  }
  if (reached(shared.consecutive_5xx, config->consecutive_5xx)) detected(endpoint, Row::consecutive_5xx);
}

void ClusterState::detected(const std::shared_ptr<EndpointState>& endpoint, Row row) {
  const OutlierDetection& config = *cluster_->outlier_detection;
  auto& stats = stats_->outlier;
  struct Kind {
    Counter& detected;
    Counter& enforced;
    std::uint32_t percent;
  };
  const Kind kind =
      row == Row::consecutive_5xx ? Kind{stats.ejections_detected_consecutive_5xx,
                                         stats.ejections_enforced_consecutive_5xx, config.enforcing_consecutive_5xx}
      : row == Row::gateway_failure
          ? Kind{stats.ejections_detected_consecutive_gateway_failure,
                 stats.ejections_enforced_consecutive_gateway_failure, config.enforcing_consecutive_gateway_failure}
          : Kind{stats.ejections_detected_consecutive_local_origin_failure,
                 stats.ejections_enforced_consecutive_local_origin_failure,
                 config.enforcing_consecutive_local_origin_failure};
  kind.detected.add();
  if (worker_.random() % 100 >= kind.percent || endpoint->shared->ejected) return;
  const TimePoint now = worker_.clock().now();
  stats.ejections_active.sub(static_cast<std::int64_t>(shared_->admit(now)));
  if (!shared_->eject(endpoint->shared, config, hosts_.size(), now)) return stats.ejections_overflow.add();
  kind.enforced.add();
  stats.ejections_enforced_total.add();
  stats.ejections_active.add();
}

void ClusterState::look_at_ejections() {
  const TimePoint now = worker_.clock().now();
  if (shared_->admission_due(now)) stats_->outlier.ejections_active.sub(static_cast<std::int64_t>(shared_->admit(now)));
  const std::uint64_t version = shared_->ejections_version();
  if (version == ejections_seen_) return;
  ejections_seen_ = version;
  balancer_.reset();
}

}  // namespace clew
