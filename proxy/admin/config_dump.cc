#include "proxy/admin/config_dump.h"

#include "config/bootstrap/bootstrap.h"
#include "config/xds/json.h"
#include "config/xds/type_urls.h"
#include "proxy/admin/field_mask.h"
#include "proxy/admin/redact.h"

#include "envoy/admin/v3/config_dump.pb.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <map>

namespace clew {

namespace {

namespace admin = envoy::admin::v3;
using google::protobuf::Message;

void set_time(google::protobuf::Timestamp* into, WallTime time) {
  *into = google::protobuf::util::TimeUtil::NanosecondsToTimestamp(time.time_since_epoch().count());
  into->set_nanos(into->nanos() / 1'000'000 * 1'000'000);  // milliseconds, as Envoy prints them
}

void set_any(google::protobuf::Any* into, std::string_view type_url, const std::string& bytes) {
  into->set_type_url(std::string(type_url));
  into->set_value(bytes);
}

/// Names first, so that two dumps of the same state are equal.
template <class T>
std::map<std::string_view, const Record<T>*> sorted(const StringMap<Record<T>>& records, const Regex* names) {
  std::map<std::string_view, const Record<T>*> out;
  for (const auto& [name, record] : records)
    if (!names || names->full_match(name)) out.emplace(name, &record);
  return out;
}

template <class T>
bool is_static(const Accepted<T>& accepted) {
  return !accepted.value->added_via_api;
}

/// UpdateFailureState, where the last version was refused.
template <class T, class Entry>
void set_error(Entry* entry, const Record<T>& record, std::string_view type_url) {
  auto* error = entry->mutable_error_state();
  set_any(error->mutable_failed_configuration(), type_url, record.error->bytes);
  set_time(error->mutable_last_update_attempt(), record.error->when);
  error->set_details(record.error->message);
  error->set_version_info(record.error->version);
}

admin::BootstrapConfigDump bootstrap_dump(const Process& process) {
  admin::BootstrapConfigDump dump;
  dump.mutable_bootstrap()->ParseFromString(process.bootstrap().serialized);
  set_time(dump.mutable_last_updated(), process.started());
  return dump;
}

admin::ClustersConfigDump clusters_dump(const ConfigStore& store, const Regex* names) {
  admin::ClustersConfigDump dump;
  dump.set_version_info(store.version(type_url::cluster));
  const auto fill = [](auto* entry, const Accepted<Cluster>& accepted) {
    entry->set_version_info(accepted.version);
    set_any(entry->mutable_cluster(), type_url::cluster, accepted.bytes);
    set_time(entry->mutable_last_updated(), accepted.updated);
  };
  for (const auto& [name, record] : sorted(store.clusters(), names)) {
    if (record->active && is_static(*record->active)) {
      auto* entry = dump.add_static_clusters();
      set_any(entry->mutable_cluster(), type_url::cluster, record->active->bytes);
      set_time(entry->mutable_last_updated(), record->active->updated);
      continue;
    }
    if (record->active) {
      auto* entry = dump.add_dynamic_active_clusters();
      fill(entry, *record->active);
      if (record->error) set_error(entry, *record, type_url::cluster);
    }
    if (record->warming) fill(dump.add_dynamic_warming_clusters(), *record->warming);
    if (!record->active && !record->warming && record->error)  // never accepted: shown where istioctl and people look
      set_error(dump.add_dynamic_warming_clusters(), *record, type_url::cluster);
  }
  return dump;
}

admin::ListenersConfigDump listeners_dump(const ConfigStore& store, const Regex* names) {
  admin::ListenersConfigDump dump;
  dump.set_version_info(store.version(type_url::listener));
  const auto fill = [](auto* state, const Accepted<Listener>& accepted) {
    state->set_version_info(accepted.version);
    set_any(state->mutable_listener(), type_url::listener, accepted.bytes);
    set_time(state->mutable_last_updated(), accepted.updated);
  };
  for (const auto& [name, record] : sorted(store.listeners(), names)) {
    if (record->active && is_static(*record->active)) {
      auto* entry = dump.add_static_listeners();
      set_any(entry->mutable_listener(), type_url::listener, record->active->bytes);
      set_time(entry->mutable_last_updated(), record->active->updated);
      continue;
    }
    auto* entry = dump.add_dynamic_listeners();
    entry->set_name(std::string(name));
    if (record->active) fill(entry->mutable_active_state(), *record->active);
    if (record->warming) fill(entry->mutable_warming_state(), *record->warming);
    if (record->error) set_error(entry, *record, type_url::listener);
  }
  return dump;
}

/// The route tables that listeners carry inline.
void add_inline_routes(const std::string& listener_bytes, WallTime updated, const Regex* names,
                       admin::RoutesConfigDump& dump) {
  envoy::config::listener::v3::Listener listener;
  if (!listener.ParseFromString(listener_bytes)) return;
  std::vector<const envoy::config::listener::v3::FilterChain*> chains;
  for (const auto& chain : listener.filter_chains()) chains.push_back(&chain);
  if (listener.has_default_filter_chain()) chains.push_back(&listener.default_filter_chain());
  for (const auto* chain : chains) {
    for (const auto& filter : chain->filters()) {
      envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager manager;
      if (!filter.typed_config().Is<decltype(manager)>() || !filter.typed_config().UnpackTo(&manager) ||
          !manager.has_route_config())
        continue;
      if (names && !names->full_match(manager.route_config().name())) continue;
      auto* entry = dump.add_static_route_configs();
      entry->mutable_route_config()->PackFrom(manager.route_config());
      set_time(entry->mutable_last_updated(), updated);
    }
  }
}

admin::RoutesConfigDump routes_dump(const ConfigStore& store, const Regex* names) {
  admin::RoutesConfigDump dump;
  for (const auto& [name, record] : sorted(store.listeners(), nullptr))
    if (record->active) add_inline_routes(record->active->bytes, record->active->updated, names, dump);
  for (const auto& [name, record] : sorted(store.routes(), names)) {
    if (!record->active && !record->error) continue;
    auto* entry = dump.add_dynamic_route_configs();
    if (record->active) {
      entry->set_version_info(record->active->version);
      set_any(entry->mutable_route_config(), type_url::route, record->active->bytes);
      set_time(entry->mutable_last_updated(), record->active->updated);
    } else {  // never accepted; istioctl takes an entry without a route table for one it can change
      envoy::config::route::v3::RouteConfiguration table;
      table.set_name(std::string(name));
      entry->mutable_route_config()->PackFrom(table);
    }
    if (record->error) set_error(entry, *record, type_url::route);
  }
  return dump;
}

admin::EndpointsConfigDump endpoints_dump(const ConfigStore& store, const Regex* names) {
  admin::EndpointsConfigDump dump;
  for (const auto& [name, record] : sorted(store.clusters(), names)) {
    if (!record->active || record->active->value->type == Cluster::Type::eds) continue;
    envoy::config::cluster::v3::Cluster cluster;
    if (!cluster.ParseFromString(record->active->bytes) || !cluster.has_load_assignment()) continue;
    if (is_static(*record->active))
      dump.add_static_endpoint_configs()->mutable_endpoint_config()->PackFrom(cluster.load_assignment());
    else
      dump.add_dynamic_endpoint_configs()->mutable_endpoint_config()->PackFrom(cluster.load_assignment());
  }
  for (const auto& [name, record] : sorted(store.endpoints(), names)) {
    if (!record->active) continue;
    auto* entry = dump.add_dynamic_endpoint_configs();
    entry->set_version_info(record->active->version);
    set_any(entry->mutable_endpoint_config(), type_url::endpoints, record->active->bytes);
    set_time(entry->mutable_last_updated(), record->active->updated);
  }
  return dump;
}

admin::SecretsConfigDump secrets_dump(const ConfigStore& store, const Regex* names) {
  admin::SecretsConfigDump dump;
  for (const auto& [name, record] : sorted(store.secrets(), names)) {
    if (!record->active) continue;
    auto* entry = dump.add_dynamic_active_secrets();
    entry->set_name(std::string(name));
    entry->set_version_info(record->active->version);
    set_time(entry->mutable_last_updated(), record->active->updated);
    set_any(entry->mutable_secret(), type_url::secret, record->active->bytes);
  }
  for (const auto& reference : store.wanted_secrets()) {
    if (const auto it = store.secrets().find(reference.name); it != store.secrets().end() && it->second.active)
      continue;
    if (names && !names->full_match(reference.name)) continue;
    auto* entry = dump.add_dynamic_warming_secrets();
    entry->set_name(reference.name);
    entry->set_version_info("uninitialized");
    envoy::extensions::transport_sockets::tls::v3::Secret secret;
    secret.set_name(reference.name);
    entry->mutable_secret()->PackFrom(secret);
  }
  return dump;
}

using Sections = std::vector<std::unique_ptr<Message>>;

Sections sections(const Process& process, const Regex* names, bool endpoints) {
  Sections all;
  const auto add = [&](auto dump) {
    redact(dump);
    all.push_back(std::make_unique<decltype(dump)>(std::move(dump)));
  };
  add(bootstrap_dump(process));
  add(clusters_dump(process.config(), names));
  if (endpoints) add(endpoints_dump(process.config(), names));
  add(listeners_dump(process.config(), names));
  add(admin::ScopedRoutesConfigDump());
  add(routes_dump(process.config(), names));
  add(secrets_dump(process.config(), names));
  return all;
}

/// One repeated field of one section, each element an entry of its own.
AdminResponse dump_resource(const Sections& all, const std::string& resource, std::optional<std::string_view> mask) {
  for (const auto& section : all) {
    const auto* field = section->GetDescriptor()->FindFieldByName(resource);
    if (!field) continue;
    if (!field->is_repeated())
      return AdminResponse::error(
          400, fmt::format("{0} is not a repeated field. Use ?mask={0} to get only this field\n", resource));
    admin::ConfigDump dump;
    for (int i = 0; i < section->GetReflection()->FieldSize(*section, field); ++i) {
      const Message& element = section->GetReflection()->GetRepeatedMessage(*section, field, i);
      std::unique_ptr<Message> copy(element.New());
      copy->CopyFrom(element);
      if (mask && !trim(*copy, *mask))
        return AdminResponse::error(400, "FieldMask " + std::string(*mask) + " could not be successfully used.\n");
      dump.add_configs()->PackFrom(*copy);
    }
    return AdminResponse::json(to_json(dump));
  }
  return AdminResponse::error(404, resource + " not found in config dump\n");
}

}  // namespace

AdminResponse config_dump(const Process& process, const Query& query) {
  const auto resource = query.get("resource");
  const auto mask = query.get("mask");
  std::optional<Regex> names;
  if (const auto pattern = query.get("name_regex"); pattern && !pattern->empty()) {
    names = Regex::compile(*pattern);
    if (!names) return AdminResponse::error(400, "Error while parsing name_regex from " + std::string(*pattern) + "\n");
  }
  const Sections all = sections(process, names ? &*names : nullptr, query.has("include_eds"));
  if (resource && !resource->empty()) return dump_resource(all, std::string(*resource), mask);
  admin::ConfigDump dump;
  for (const auto& section : all) {
    if (mask && !mask->empty() && !trim(*section, *mask)) continue;
    dump.add_configs()->PackFrom(*section);
  }
  if (dump.configs().empty())
    return AdminResponse::error(
        400, "FieldMask " + std::string(mask.value_or("")) + " could not be successfully applied to any configs.\n");
  return AdminResponse::json(to_json(dump));
}

}  // namespace clew
