#include "proxy/admin/clusters_page.h"

#include "config/xds/json.h"
#include "proxy/admin/proto_address.h"

#include "envoy/admin/v3/clusters.pb.h"

#include <fmt/format.h>

#include <map>

namespace clew {

namespace {

namespace admin = envoy::admin::v3;

std::map<std::string, std::shared_ptr<const ClusterEntry>> active_clusters(const ConfigStore& store,
                                                                           const Regex* filter) {
  std::map<std::string, std::shared_ptr<const ClusterEntry>> out;
  store.snapshot()->clusters.for_each([&](const std::string& name, const std::shared_ptr<const ClusterEntry>& entry) {
    if (!filter || filter->full_match(name)) out.emplace(name, entry);
  });
  return out;
}

const EndpointTotals& stats_of(const ClusterEndpointTotals& all, std::string_view cluster, const std::string& address) {
  static const EndpointTotals none;
  const auto endpoints = all.find(cluster);
  if (endpoints == all.end()) return none;
  const auto it = endpoints->second.find(address);
  return it == endpoints->second.end() ? none : it->second;
}

const std::string& observability_name(const Cluster& cluster) {
  return cluster.alt_stat_name.empty() ? cluster.name : cluster.alt_stat_name;
}

std::string health_flags(const Endpoint& endpoint, const EndpointTotals& stats) {
  std::string flags;
  if (stats.ejected) flags += "/failed_outlier_check";
  switch (endpoint.health) {
    case HealthStatus::healthy: break;
    case HealthStatus::degraded: flags += "/eds_degraded"; break;
    case HealthStatus::draining: flags += "/eds_status_draining"; break;
    case HealthStatus::unhealthy:
    case HealthStatus::timeout: flags += "/failed_eds_health"; break;
  }
  return flags.empty() ? "healthy" : flags;
}

void endpoint_text(const Cluster& cluster, const LocalityEndpoints& locality, const Endpoint& endpoint,
                   const EndpointTotals& stats, std::string& out) {
  const std::string prefix = cluster.name + "::" + endpoint.address.to_string() + "::";
  const auto line = [&](std::string_view key, const auto& value) {
    out += fmt::format("{}{}::{}\n", prefix, key, value);
  };
  line("cx_active", stats.cx_active);
  line("cx_connect_fail", stats.cx_connect_fail);
  line("cx_total", stats.cx_total);
  line("rq_active", stats.rq_active);
  line("rq_error", stats.rq_error);
  line("rq_pending_active", 0);  // requests wait for a connection, not for an endpoint
  line("rq_success", stats.rq_success);
  line("rq_timeout", stats.rq_timeout);
  line("rq_total", stats.rq_total);
  line("hostname", endpoint.hostname);
  line("health_flags", health_flags(endpoint, stats));
  line("weight", endpoint.weight);
  line("region", locality.locality.region);
  line("zone", locality.locality.zone);
  line("sub_zone", locality.locality.sub_zone);
  line("canary", "false");
  line("priority", locality.priority);
  line("success_rate", "-1");
  line("local_origin_success_rate", "-1");
}

void cluster_text(const Cluster& cluster, std::string& out) {
  const auto line = [&](std::string_view key, const auto& value) {
    out += fmt::format("{}::{}::{}\n", cluster.name, key, value);
  };
  line("observability_name", observability_name(cluster));
  const auto thresholds = [&](std::string_view priority, const CircuitBreakerThresholds& limits) {
    out += fmt::format(
        "{0}::{1}::max_connections::{2}\n{0}::{1}::max_pending_requests::{3}\n{0}::{1}::max_requests::{4}\n{0}::{1}::"
        "max_retries::{5}\n",
        cluster.name, priority, limits.max_connections, limits.max_pending_requests, limits.max_requests,
        limits.max_retries);
  };
  for (const auto& [priority, name] : all_priorities)
    thresholds(fmt::format("{}_priority", name), cluster.circuit_breakers[priority]);
  line("added_via_api", cluster.added_via_api);
  if (!cluster.eds_service_name.empty()) line("eds_service_name", cluster.eds_service_name);
}

void endpoint_json(const LocalityEndpoints& locality, const Endpoint& endpoint, const EndpointTotals& stats,
                   admin::HostStatus* into) {
  set_address(endpoint.address, into->mutable_address());
  const auto metric = [&](std::string_view name, std::uint64_t value, admin::SimpleMetric::Type type) {
    auto* simple = into->add_stats();
    simple->set_name(std::string(name));
    simple->set_value(value);
    simple->set_type(type);
  };
  metric("cx_connect_fail", stats.cx_connect_fail, admin::SimpleMetric::COUNTER);
  metric("cx_total", stats.cx_total, admin::SimpleMetric::COUNTER);
  metric("rq_error", stats.rq_error, admin::SimpleMetric::COUNTER);
  metric("rq_success", stats.rq_success, admin::SimpleMetric::COUNTER);
  metric("rq_timeout", stats.rq_timeout, admin::SimpleMetric::COUNTER);
  metric("rq_total", stats.rq_total, admin::SimpleMetric::COUNTER);
  metric("cx_active", stats.cx_active, admin::SimpleMetric::GAUGE);
  metric("rq_active", stats.rq_active, admin::SimpleMetric::GAUGE);
  metric("rq_pending_active", 0, admin::SimpleMetric::GAUGE);
  auto* health = into->mutable_health_status();
  using envoy::config::core::v3::HealthStatus;
  constexpr HealthStatus statuses[] = {HealthStatus::HEALTHY, HealthStatus::UNHEALTHY, HealthStatus::DRAINING,
                                       HealthStatus::TIMEOUT, HealthStatus::DEGRADED};
  health->set_eds_health_status(statuses[static_cast<std::size_t>(endpoint.health)]);
  health->set_failed_outlier_check(stats.ejected);
  into->set_hostname(endpoint.hostname);
  into->set_weight(endpoint.weight);
  into->set_priority(locality.priority);
  auto* place = into->mutable_locality();
  place->set_region(locality.locality.region);
  place->set_zone(locality.locality.zone);
  place->set_sub_zone(locality.locality.sub_zone);
}

void set_thresholds(const CircuitBreakerThresholds& limits,
                    envoy::config::cluster::v3::CircuitBreakers::Thresholds& into) {
  into.mutable_max_connections()->set_value(limits.max_connections);
  into.mutable_max_pending_requests()->set_value(limits.max_pending_requests);
  into.mutable_max_requests()->set_value(limits.max_requests);
  into.mutable_max_retries()->set_value(limits.max_retries);
}

}  // namespace

AdminResponse clusters_text(const ConfigStore& store, const ClusterEndpointTotals& stats, const Regex* filter) {
  AdminResponse response;
  for (const auto& [name, entry] : active_clusters(store, filter)) {
    cluster_text(*entry->cluster, response.body);
    if (!entry->endpoints) continue;
    for (const auto& locality : entry->endpoints->localities)
      for (const auto& endpoint : locality.endpoints)
        endpoint_text(*entry->cluster, locality, *endpoint, stats_of(stats, name, endpoint->address.to_string()),
                      response.body);
  }
  return response;
}

AdminResponse clusters_json(const ConfigStore& store, const ClusterEndpointTotals& stats, const Regex* filter) {
  admin::Clusters clusters;
  for (const auto& [name, entry] : active_clusters(store, filter)) {
    auto* status = clusters.add_cluster_statuses();
    status->set_name(name);
    status->set_added_via_api(entry->cluster->added_via_api);
    status->set_observability_name(observability_name(*entry->cluster));
    status->set_eds_service_name(entry->cluster->eds_service_name);
    const auto& limits = entry->cluster->circuit_breakers;
    set_thresholds(limits[Priority::standard], *status->mutable_circuit_breakers()->add_thresholds());
    auto* high = status->mutable_circuit_breakers()->add_thresholds();
    high->set_priority(envoy::config::core::v3::HIGH);
    set_thresholds(limits[Priority::high], *high);
    if (!entry->endpoints) continue;
    for (const auto& locality : entry->endpoints->localities)
      for (const auto& endpoint : locality.endpoints)
        endpoint_json(locality, *endpoint, stats_of(stats, name, endpoint->address.to_string()),
                      status->add_host_statuses());
  }
  return AdminResponse::json(to_json(clusters));
}

}  // namespace clew
