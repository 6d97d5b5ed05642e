#include "proxy/upstream/cluster_manager.h"

#include "config/snapshot/stat_prefix.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace clew {

ClusterManager::ClusterManager(Worker& worker, Connector& connector, SharedState& shared)
    : worker_(worker), connector_(connector), shared_(shared) {
  worker.on_update([this](const Update& update) { on_update(update); });
}

ClusterManager::~ClusterManager() { close(Errc::canceled); }

std::shared_ptr<ClusterState> ClusterManager::find(std::string_view name) {
  const auto known = clusters_.find(name);
  if (known != clusters_.end()) return known->second;
  const ClusterEntry* const entry = worker_.snapshot()->clusters.find(name);
  if (!entry) return nullptr;
  auto made = std::make_shared<ClusterState>(worker_, connector_, shared_.cluster(name), *entry);
  return clusters_.emplace(std::string(name), std::move(made)).first->second;
}

void ClusterManager::on_update(const Update& update) {
  for (const std::string& name : update.changes->clusters) {
    const auto known = clusters_.find(name);
    if (known == clusters_.end()) continue;
    if (const ClusterEntry* const entry = update.snapshot->clusters.find(name)) {
      known->second->update(*entry);
    } else {
      known->second->retire();
      clusters_.erase(known);
    }
  }
  if (!update.changes->tls) return;
  for (auto& [name, cluster] : clusters_) cluster->refresh_tls();
}

void ClusterManager::close(Errc cause) {
  for (auto& [name, cluster] : clusters_) cluster->close(cause);
}

void ClusterManager::collect(StatSink& sink) const {
  for (const auto& [name, cluster] : clusters_) {
    const Cluster& config = *cluster->cluster();
    const std::string prefix = cluster_stat_prefix(config);
    if (sink.wants(prefix)) cluster->stats()->collect(prefix, sink, config.outlier_detection.has_value());
  }
}

void ClusterManager::for_each(const std::function<void(const ClusterState&)>& visit) const {
  for (const auto& [name, cluster] : clusters_) visit(*cluster);
}

void collect_membership(const Snapshot& snapshot, StatSink& sink) {
  if (!sink.wants("cluster.")) return;
  snapshot.clusters.for_each([&](const std::string&, const auto& entry) {
    const std::string prefix = cluster_stat_prefix(*entry->cluster);
    if (!sink.wants(prefix)) return;
    std::int64_t total = 0;
    std::array<std::int64_t, 5> by_health{};
    std::uint32_t heaviest = 0;
    if (entry->endpoints) {
      for (const LocalityEndpoints& locality : entry->endpoints->localities) {
        total += static_cast<std::int64_t>(locality.endpoints.size());
        for (const EndpointPtr& endpoint : locality.endpoints) {
          ++by_health[static_cast<std::size_t>(endpoint->health)];
          heaviest = std::max(heaviest, endpoint->weight);
        }
      }
    }
    sink.gauge(prefix + ".membership_total", total);
    sink.gauge(prefix + ".membership_healthy", by_health[static_cast<std::size_t>(HealthStatus::healthy)]);
    sink.gauge(prefix + ".membership_degraded", by_health[static_cast<std::size_t>(HealthStatus::degraded)]);
    sink.gauge(prefix + ".membership_excluded", 0);  // nobody is before a first health check: none is made
    sink.gauge(prefix + ".max_host_weight", heaviest);
  });
}

void collect_circuit_breakers(const Snapshot& snapshot, SharedState& shared, StatSink& sink) {
  if (!sink.wants("cluster.")) return;
  snapshot.clusters.for_each([&](const std::string& name, const auto& entry) {
    const std::string cluster = cluster_stat_prefix(*entry->cluster) + ".circuit_breakers.";
    if (!sink.wants(cluster)) return;
    static const PerPriority<CircuitBreakers> unused;  // most clusters of a mesh: no worker has ever asked for them
    const std::shared_ptr<ClusterShared> counted = shared.find(name);
    for (const auto& [priority, word] : all_priorities) {
      const CircuitBreakerThresholds& limits = entry->cluster->circuit_breakers[priority];
      const CircuitBreakers& now = (counted ? counted->breakers : unused)[priority];
      const std::string prefix = fmt::format("{}{}.", cluster, word);
      const auto tell = [&](std::string_view open, std::string_view remaining, std::uint32_t used,
                            std::uint32_t limit) {
        sink.gauge(prefix + std::string(open), used >= limit ? 1 : 0);
        if (limits.track_remaining) sink.gauge(prefix + std::string(remaining), limit - std::min(used, limit));
      };
      tell("cx_open", "remaining_cx", now.connections(), limits.max_connections);
      tell("rq_pending_open", "remaining_pending", now.pending(), limits.max_pending_requests);
      tell("rq_open", "remaining_rq", now.requests(), limits.max_requests);
      tell("rq_retry_open", "remaining_retries", now.retries(), now.max_retries(limits));
      sink.gauge(prefix + "cx_pool_open", 0);  // its limit is refused
      if (limits.track_remaining) sink.gauge(prefix + "remaining_cx_pools", -1);
    }
  });
}

}  // namespace clew
