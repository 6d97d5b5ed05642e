// What ConfigStore counts and tells.
#include "config/snapshot/stat_prefix.h"
#include "config/xds/config_store.h"
#include "config/xds/type_urls.h"
#include "proxy/net/listener_set.h"

#include "envoy/service/discovery/v3/discovery.pb.h"

#include <algorithm>

namespace clew {

namespace {

std::int64_t milliseconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

}  // namespace

void ConfigStore::count(const envoy::service::discovery::v3::DeltaDiscoveryResponse& response, const Refusals& refusals,
                        Duration took) {
  const std::string& version = response.system_version_info();
  const WallTime now = clock_.wall();
  if (response.type_url() == type_url::route) {
    for (const auto& resource : response.resources()) {
      const auto rds = stats_.rds.find(resource.name());
      if (rds == stats_.rds.end()) continue;
      refusals.names.contains(resource.name()) ? rds->second.rejected() : rds->second.accepted(version, now, took);
    }
    return;
  }
  if (response.type_url() != type_url::cluster && response.type_url() != type_url::listener) return;
  SubscriptionStats& stats = response.type_url() == type_url::cluster ? stats_.cds : stats_.lds;
  if (!refusals.detail.empty()) return stats.rejected();
  stats.accepted(version, now, took);
  if (response.resources_size() + response.removed_resources_size() > 0) stats.reloaded(now);
}

/// What goes out of service drains for as long as a worker holds it for its connections, and no longer than they may.
void ConfigStore::drain(const std::shared_ptr<const Listener>& old, const Listener* next) {
  const TimePoint now = clock_.now(), until = now + drain_time_;
  const auto over = [now](const auto& one) { return one.over(now); };
  std::erase_if(draining_listeners_, over);
  std::erase_if(draining_chains_, over);
  if (!next || !same_sockets(*old, *next)) return draining_listeners_.push_back({old, until});
  stats_.listener_in_place_updated.add();
  std::set<const FilterChain*> stay{next->default_chain.get()};
  for (const auto& chain : next->chains) stay.insert(chain.get());
  for (const auto& chain : old->chains)
    if (!stay.contains(chain.get())) draining_chains_.push_back({chain, until});
  if (old->default_chain && !stay.contains(old->default_chain.get()))
    draining_chains_.push_back({old->default_chain, until});
}

void ConfigStore::update_gauges() {
  stats_.warming_clusters.set(static_cast<std::int64_t>(warming_clusters_.size()));
  stats_.active_clusters.set(static_cast<std::int64_t>(snapshot_->clusters.size()));
  stats_.listeners_warming.set(static_cast<std::int64_t>(warming_listeners_.size()));
  stats_.listeners_active.set(static_cast<std::int64_t>(snapshot_->listeners.size()));
}

void ConfigStore::collect_updates(const Record<Cluster>& record, StatSink& sink) const {
  const Cluster& cluster = *record.active->value;
  const std::string prefix = cluster_stat_prefix(cluster) + ".";
  if (!sink.wants(prefix)) return;
  record.updates.collect(prefix, sink);
  sink.gauge(prefix + "warming_state", record.warming ? 1 : 0);
  const Accepted<LoadAssignment>* endpoints = nullptr;
  if (const auto it = endpoints_.find(eds_name(cluster)); it != endpoints_.end()) endpoints = it->second.active.get();
  sink.gauge(prefix + "version", endpoints ? version_hash(endpoints->version) : 0);
  if (cluster.type != Cluster::Type::eds) return;
  sink.counter(prefix + "update_rejected", record.updates.rejected);
  sink.counter(prefix + "init_fetch_timeout", record.updates.fetch_timeout);
  sink.gauge(prefix + "update_time", endpoints ? milliseconds(endpoints->updated) : 0);
  sink.text(prefix + "version_text", endpoints ? endpoints->version : "");
}

/// As Envoy names them: a route table's by the first connection manager that asks for it.
void ConfigStore::collect(StatSink& sink) const {
  stats_.collect(sink);
  if (sink.wants("cluster."))
    for (const auto& [name, record] : clusters_)
      if (record.active) collect_updates(record, sink);
  const auto draining = [now = clock_.now()](const auto& one) { return !one.over(now); };
  sink.gauge("listener_manager.total_listeners_draining",
             std::count_if(draining_listeners_.begin(), draining_listeners_.end(), draining));
  sink.gauge("listener_manager.total_filter_chains_draining",
             std::count_if(draining_chains_.begin(), draining_chains_.end(), draining));
  std::set<std::string_view> told;
  const auto tell = [&](const FilterChain& chain) {
    const auto* const manager = std::get_if<std::shared_ptr<const HttpConnectionManager>>(&chain.terminal);
    if (!manager || (*manager)->inline_routes) return;
    const auto rds = stats_.rds.find((*manager)->rds_name);
    if (rds == stats_.rds.end() || !told.insert(rds->first).second) return;
    std::string prefix = "http." + (*manager)->stat_prefix + ".rds." + rds->first + ".";
    std::replace(prefix.begin(), prefix.end(), ':', '_');
    rds->second.collect(prefix, sink);
    rds->second.collect_reloads(prefix, sink);
  };
  snapshot_->listeners.for_each([&](const std::string&, const std::shared_ptr<const Listener>& listener) {
    for (const auto& chain : listener->chains) tell(*chain);
    if (listener->default_chain) tell(*listener->default_chain);
  });
}

}  // namespace clew
