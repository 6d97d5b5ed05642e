#include "proxy/upstream/cluster_manager.h"

#include <algorithm>

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
    cluster->for_each_host([](const Host& host) {
      for (const auto& pool : host.pools) pool->count_bytes();
    });
    cluster->stats()->collect(cluster_stat_prefix(config), sink, config.outlier_detection.has_value());
  }
}

void ClusterManager::for_each(const std::function<void(const ClusterState&)>& visit) const {
  for (const auto& [name, cluster] : clusters_) visit(*cluster);
}

void collect_membership(const Snapshot& snapshot, StatSink& sink) {
  snapshot.clusters.for_each([&](const std::string&, const auto& entry) {
    std::int64_t total = 0;
    std::int64_t healthy = 0;
    if (entry->endpoints) {
      for (const LocalityEndpoints& locality : entry->endpoints->localities) {
        total += static_cast<std::int64_t>(locality.endpoints.size());
        healthy += std::count_if(locality.endpoints.begin(), locality.endpoints.end(),
                                 [](const EndpointPtr& endpoint) { return endpoint->health == HealthStatus::healthy; });
      }
    }
    const std::string prefix = cluster_stat_prefix(*entry->cluster);
    sink.gauge(prefix + ".membership_total", total);
    sink.gauge(prefix + ".membership_healthy", healthy);
  });
}

void collect_circuit_breakers(const Snapshot& snapshot, SharedState& shared, StatSink& sink) {
  snapshot.clusters.for_each([&](const std::string& name, const auto& entry) {
    const CircuitBreakerThresholds& limits = entry->cluster->circuit_breakers;
    static const CircuitBreakers unused;  // most clusters of a mesh: no worker has ever asked for them
    const std::shared_ptr<ClusterShared> counted = shared.find(name);
    const CircuitBreakers& now = counted ? counted->breakers : unused;
    const std::string prefix = cluster_stat_prefix(*entry->cluster) + ".circuit_breakers.default.";
    sink.gauge(prefix + "cx_open", now.connections() >= limits.max_connections ? 1 : 0);
    sink.gauge(prefix + "rq_pending_open", now.pending() >= limits.max_pending_requests ? 1 : 0);
    sink.gauge(prefix + "rq_open", now.requests() >= limits.max_requests ? 1 : 0);
    sink.gauge(prefix + "rq_retry_open", now.retries() >= now.max_retries(limits) ? 1 : 0);
  });
}

std::string cluster_stat_prefix(const Cluster& cluster) {
  std::string prefix = "cluster." + (cluster.alt_stat_name.empty() ? cluster.name : cluster.alt_stat_name);
  std::replace(prefix.begin(), prefix.end(), ':', '_');
  return prefix;
}

}  // namespace clew
