#include "config/xds/config_stats.h"

#include <xxhash.h>

#include <chrono>
#include <cstdint>

namespace clew {

namespace {

std::int64_t milliseconds(WallTime time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

}  // namespace

std::int64_t version_hash(std::string_view version) {
  return version.empty() ? 0 : static_cast<std::int64_t>(XXH64(version.data(), version.size(), 0) & INT64_MAX);
}

void SubscriptionStats::accepted(std::string_view new_version, WallTime now, Duration took) {
  outcome(update_success);
  update_time.set(milliseconds(now));
  update_duration.record(std::chrono::duration<double, std::milli>(took).count());
  version.set(version_hash(new_version));
  version_text = new_version;
}

void SubscriptionStats::reloaded(WallTime now) {
  config_reload.add();
  config_reload_time.set(milliseconds(now));
}

void SubscriptionStats::collect(const std::string& prefix, StatSink& sink) const {
  sink.counter(prefix + "update_attempt", update_attempt.value());
  sink.counter(prefix + "update_success", update_success.value());
  sink.counter(prefix + "update_rejected", update_rejected.value());
  sink.counter(prefix + "update_failure", update_failure.value());
  sink.counter(prefix + "init_fetch_timeout", init_fetch_timeout.value());
  sink.gauge(prefix + "update_time", update_time.value());
  sink.gauge(prefix + "version", version.value());
  sink.histogram(prefix + "update_duration", update_duration);
  sink.text(prefix + "version_text", version_text);
}

void SubscriptionStats::collect_reloads(const std::string& prefix, StatSink& sink) const {
  sink.counter(prefix + "config_reload", config_reload.value());
  sink.gauge(prefix + "config_reload_time_ms", config_reload_time.value());
}

void EndpointUpdates::collect(const std::string& prefix, StatSink& sink) const {
  sink.counter(prefix + "update_attempt", attempt);
  sink.counter(prefix + "update_success", success);
  sink.counter(prefix + "update_failure", failure);
  sink.counter(prefix + "update_empty", empty);
  sink.counter(prefix + "update_no_rebuild", no_rebuild);
  sink.counter(prefix + "membership_change", membership_change);
  // Endpoints do not grow stale here, and are not kept from one cluster for another.
  for (const char* never : {"assignment_stale", "assignment_timeout_received", "assignment_use_cached"})
    sink.counter(prefix + never, 0);
}

void ConfigStats::collect(StatSink& sink) const {
  cds.collect("cluster_manager.cds.", sink);
  cds.collect_reloads("cluster_manager.cds.", sink);
  lds.collect("listener_manager.lds.", sink);
  sink.counter("cluster_manager.cluster_added", cluster_added.value());
  sink.counter("cluster_manager.cluster_modified", cluster_modified.value());
  sink.counter("cluster_manager.cluster_removed", cluster_removed.value());
  sink.gauge("cluster_manager.active_clusters", active_clusters.value());
  sink.gauge("cluster_manager.warming_clusters", warming_clusters.value());
  sink.counter("listener_manager.listener_added", listener_added.value());
  sink.counter("listener_manager.listener_modified", listener_modified.value());
  sink.counter("listener_manager.listener_removed", listener_removed.value());
  sink.counter("listener_manager.listener_in_place_updated", listener_in_place_updated.value());
  sink.gauge("listener_manager.total_listeners_active", listeners_active.value());
  sink.gauge("listener_manager.total_listeners_warming", listeners_warming.value());
  sink.gauge("control_plane.connected_state", connected_state.value());
  sink.text("control_plane.identifier", control_plane);
}

}  // namespace clew
