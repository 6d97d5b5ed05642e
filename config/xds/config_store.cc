#include "config/xds/config_store.h"

#include "config/xds/accept.h"
#include "config/xds/type_urls.h"
#include "proxy/base/log.h"

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace clew {

namespace {

bool resolves_by_dns(const Cluster& cluster) {
  return cluster.type == Cluster::Type::strict_dns || cluster.type == Cluster::Type::logical_dns;
}

/// A response that says two things of one name says nothing: Envoy refuses all of it, and so do we.
std::string said_twice(const envoy::service::discovery::v3::DeltaDiscoveryResponse& response) {
  std::set<std::string_view> names;
  for (const auto& resource : response.resources())
    if (!names.insert(resource.name()).second) return resource.name() + ": is there twice in one response";
  for (const auto& name : response.removed_resources())
    if (names.contains(name)) return name + ": is both set and removed in one response";
  return {};
}

/// As Envoy does: no reason to refuse anything, but for a person to wonder.
std::string pass_over(std::string_view type, const std::string& name) {
  CLEW_LOG(config, warning, "{} {}: the bootstrap has one of this name, which stays", type, name);
  return {};
}

/// The endpoints' addresses, whatever else is said of them.
bool same_members(const LoadAssignment* before, const LoadAssignment* after) {
  std::vector<const Address*> addresses[2];
  const LoadAssignment* const both[] = {before, after};
  bool same = true;  // the same objects, as after most updates
  for (int i = 0; i < 2; ++i)
    if (both[i])
      for (const LocalityEndpoints& locality : both[i]->localities)
        for (const EndpointPtr& endpoint : locality.endpoints) {
          const std::size_t at = addresses[i].size();
          addresses[i].push_back(&endpoint->address);
          if (i == 1) same = same && at < addresses[0].size() && addresses[0][at] == &endpoint->address;
        }
  if (addresses[0].size() != addresses[1].size()) return false;
  if (same) return true;
  std::unordered_set<Address> known;
  for (const Address* address : addresses[0]) known.insert(*address);
  return std::all_of(addresses[1].begin(), addresses[1].end(),
                     [&known](const Address* address) { return known.contains(*address); });
}

}  // namespace

ConfigStore::ConfigStore(const FilterRegistry& filters, const Clock& clock, Wants wants, Duration drain_time)
    : filters_(filters), clock_(clock), wants_(std::move(wants)), drain_time_(drain_time), secrets_(clock) {}

// ---- accepting ----

/// Parses and decodes what arrived. Returns why it cannot.
template <class Message, class T, class Decode>
std::string ConfigStore::decode(Accepted<T>& into, Decode&& decode_message) {
  const Parsed<Message> message(into.bytes);
  if (!message) return message.problem();
  DecodeContext context{filters_, secrets_.interner()};
  auto decoded = decode_message(*message, context);
  if (!decoded) return decoded.error().message;
  into.value = std::move(*decoded);
  into.needs = share(std::move(context.needs));
  return {};
}

std::string ConfigStore::accept_resource(std::string_view type_url, const std::string& name,
                                         const google::protobuf::Any& resource, const std::string& version) {
  if (resource.type_url() != type_url)
    return name + ": a " + resource.type_url() + " came in a response of another type";
  const Arrived arrived{name, resource.value(), version};
  if (type_url == type_url::cluster) return accept_cluster(arrived);
  if (type_url == type_url::listener) return accept_listener(arrived);
  if (type_url == type_url::route) return accept_routes(arrived);
  if (type_url == type_url::endpoints) return accept_endpoints(arrived);
  if (type_url == type_url::secret) return secrets_.accept(name, resource, version);
  return std::string(type_url) + " is not a type that was asked for";
}

std::string ConfigStore::accept_cluster(const Arrived& arrived) {
  if (static_clusters_.contains(arrived.name)) return pass_over("cluster", arrived.name);
  Record<Cluster>& record = clusters_[arrived.name];
  std::string problem = accept(record, arrived.bytes, arrived.version, clock_.wall(), [&](Accepted<Cluster>& into) {
    return decode<envoy::config::cluster::v3::Cluster>(into, decode_cluster);
  });
  if (record.warming) warming_clusters_.insert(arrived.name);
  references_changed_ = true;
  return problem;
}

std::string ConfigStore::accept_listener(const Arrived& arrived) {
  if (static_listeners_.contains(arrived.name)) return pass_over("listener", arrived.name);
  Record<Listener>& record = listeners_[arrived.name];
  std::string problem = accept(record, arrived.bytes, arrived.version, clock_.wall(), [&](Accepted<Listener>& into) {
    const Listener* const previous = record.active ? record.active->value.get() : nullptr;
    std::string why = decode<envoy::config::listener::v3::Listener>(
        into, [&](const auto& message, DecodeContext& context) { return decode_listener(message, context, previous); });
    return why.empty() ? open_logs(*into.value) : why;
  });
  if (record.warming) warming_listeners_.insert(arrived.name);
  references_changed_ = true;
  return problem;
}

/// Routes wait for nothing.
std::string ConfigStore::accept_routes(const Arrived& arrived) {
  Record<RouteTable>& record = routes_[arrived.name];
  std::string problem = accept(record, arrived.bytes, arrived.version, clock_.wall(), [&](Accepted<RouteTable>& into) {
    return decode<envoy::config::route::v3::RouteConfiguration>(into, decode_route_table);
  });
  if (!record.warming) return problem;  // refused, or known
  record.active = std::move(record.warming);
  changed_routes_.insert(arrived.name);
  if (const auto rds = stats_.rds.find(arrived.name); rds != stats_.rds.end()) rds->second.reloaded(clock_.wall());
  return problem;
}

std::string ConfigStore::accept_endpoints(const Arrived& arrived) {
  Record<LoadAssignment>& record = endpoints_[arrived.name];
  const Accepted<LoadAssignment> none;
  const Accepted<LoadAssignment>& old = record.active ? *record.active : none;
  std::string problem =
      accept(record, arrived.bytes, arrived.version, clock_.wall(), [&](Accepted<LoadAssignment>& into) {
        auto decoded = decode_endpoints(into.bytes, old.bytes, old.value.get());
        if (!decoded) return decoded.error().message;
        into.value = std::move(*decoded);
        return std::string();
      });
  const bool news = record.warming != nullptr;
  if (news) {
    record.active = std::move(record.warming);
    endpoints_changed(arrived.name);
  }
  count_endpoints(arrived.name, problem.empty() ? &EndpointUpdates::success : &EndpointUpdates::rejected);
  if (problem.empty() && !news) note_endpoints(arrived.name, &EndpointUpdates::no_rebuild);
  return problem;
}

std::shared_ptr<const Needs> ConfigStore::share(Needs needs) {
  if (!last_needs_ || *last_needs_ != needs) last_needs_ = std::make_shared<const Needs>(std::move(needs));
  return last_needs_;
}

/// Of an EDS name: nearly always the one cluster that it is the name of.
template <class F>
void ConfigStore::for_each_cluster_of(const std::string& name, F&& f) {
  if (const auto it = clusters_.find(name); it != clusters_.end()) f(it->first, it->second);
  const auto others = clusters_by_eds_name_.find(name);
  if (others == clusters_by_eds_name_.end()) return;
  for (const std::string& other : others->second)
    if (const auto it = clusters_.find(other); it != clusters_.end()) f(it->first, it->second);
}

void ConfigStore::endpoints_changed(const std::string& name) {
  for_each_cluster_of(name, [this](const std::string& cluster, auto&) { changed_clusters_.insert(cluster); });
}

void ConfigStore::count_endpoints(const std::string& name, std::uint32_t EndpointUpdates::* outcome) {
  for_each_cluster_of(name, [outcome](const std::string&, auto& record) { record.updates.outcome(outcome); });
}

void ConfigStore::note_endpoints(const std::string& name, std::uint32_t EndpointUpdates::* what) {
  for_each_cluster_of(name, [what](const std::string&, auto& record) { ++(record.updates.*what); });
}

/// A listener whose log cannot be written is refused rather than served without.
std::string ConfigStore::open_logs(const Listener& listener) const {
  if (!wants_.open_log) return {};
  std::string problem;
  const auto open = [&](const AccessLogs& logs) {
    for (const auto& log : logs)
      if (problem.empty()) problem = wants_.open_log(log->path);
  };
  const auto open_of_chain = [&](const std::shared_ptr<const FilterChain>& chain) {
    if (chain) std::visit([&](const auto& terminal) { open(terminal->access_logs); }, chain->terminal);
  };
  open(listener.access_logs);
  for (const auto& chain : listener.chains) open_of_chain(chain);
  open_of_chain(listener.default_chain);
  return problem.empty() ? problem : "listener " + listener.name + ": access_log: " + problem;
}

/// Routes are not removed: a listener waits for those that do not exist, and what serves is kept, as endpoints are. A
/// server that has just started and does not know them yet is no reason to lose requests.
void ConfigStore::remove_resource(std::string_view type_url, const std::string& name) {
  if (type_url == type_url::cluster && !static_clusters_.contains(name) && clusters_.erase(name)) {
    warming_clusters_.erase(name);
    changed_clusters_.insert(name);
    references_changed_ = true;
    stats_.cluster_removed.add();
  } else if (type_url == type_url::listener && !static_listeners_.contains(name) && listeners_.contains(name)) {
    if (const auto& active = listeners_[name].active) drain(active->value, nullptr);
    listeners_.erase(name);
    warming_listeners_.erase(name);
    changed_listeners_.insert(name);
    references_changed_ = true;
    stats_.listener_removed.add();
  } else if (type_url != type_url::route && !do_without(type_url, name) && type_url == type_url::endpoints) {
    note_endpoints(name, &EndpointUpdates::empty);
  }
}

/// Nothing good is known of these routes, endpoints or secret, and waiting is no use: what names them goes live and
/// answers 404, has no endpoints, refuses handshakes. Held back, it would leave its traffic to what is meant for
/// unknown destinations, and the proxy unready. False: there is a version that serves; or nothing names it, and what
/// comes to name it later is to wait.
bool ConfigStore::do_without(std::string_view type_url, const std::string& name) {
  const auto serve_empty = [&]<class T>(Record<T>& record, const auto& message, std::shared_ptr<const T> value) {
    if (record.active) return false;
    record.active =
        std::make_unique<Accepted<T>>(Accepted<T>{message.SerializeAsString(), {}, clock_.wall(), std::move(value)});
    return true;
  };
  if (type_url == type_url::secret) return secrets_.do_without(name);
  if (type_url == type_url::route) {
    if (!stats_.rds.contains(name)) return false;
    envoy::config::route::v3::RouteConfiguration message;
    message.set_name(name);
    auto table = std::make_shared<RouteTable>();
    table->name = name;
    if (!serve_empty(routes_[name], message, std::shared_ptr<const RouteTable>(std::move(table)))) return false;
    changed_routes_.insert(name);
    return true;
  }
  if (type_url == type_url::endpoints) {
    bool named = false;
    for_each_cluster_of(name, [&named](const std::string&, auto&) { named = true; });
    if (!named) return false;
    envoy::config::endpoint::v3::ClusterLoadAssignment message;
    message.set_cluster_name(name);
    if (!serve_empty(endpoints_[name], message, std::make_shared<const LoadAssignment>())) return false;
    endpoints_changed(name);
    return true;
  }
  return false;
}

Refusals ConfigStore::on_response(const envoy::service::discovery::v3::DeltaDiscoveryResponse& response) {
  const TimePoint arrived = clock_.now();
  Refusals refusals;
  const std::string& version = response.system_version_info();
  if (const std::string twice = said_twice(response); !twice.empty()) {
    for (const auto& resource : response.resources()) refusals.names.insert(resource.name());
    refusals.detail = twice;
  } else {
    for (const auto& resource : response.resources()) {
      const std::string problem = accept_resource(response.type_url(), resource.name(), resource.resource(), version);
      if (problem.empty()) continue;
      refusals.names.insert(resource.name());
      refusals.detail += (refusals.detail.empty() ? "" : "; ") + problem;
    }
    for (const auto& name : response.removed_resources()) remove_resource(response.type_url(), name);
  }
  for (const auto& name : refusals.names)
    if (do_without(response.type_url(), name))
      CLEW_LOG(config, warning, "{} {}: no version was accepted, what names it goes live without", response.type_url(),
               name);
  versions_[response.type_url()] = version;

  if (response.type_url() == type_url::cluster) got_clusters_ = true;
  if (response.type_url() == type_url::listener) got_listeners_ = true;
  if (response.has_control_plane()) stats_.control_plane = response.control_plane().identifier();
  settle();
  count(response, refusals, clock_.now() - arrived);
  return refusals;
}

void ConfigStore::on_subscribed() {
  stats_.cds.begun();
  stats_.lds.begun();
}

void ConfigStore::on_connected(bool connected) {
  stats_.connected_state.set(connected ? 1 : 0);
  if (connected) return;
  stats_.cds.failed();
  stats_.lds.failed();
  for (auto& [name, rds] : stats_.rds) rds.failed();
  for (auto& [name, cluster] : clusters_)
    if (cluster.updates.attempt > 0) cluster.updates.outcome(&EndpointUpdates::failure);
}

std::string ConfigStore::on_secret(const std::string& name, const google::protobuf::Any& resource,
                                   const std::string& version) {
  std::string problem = secrets_.accept(name, resource, version);
  if (!problem.empty()) secrets_.do_without(name);
  settle();
  return problem;
}

void ConfigStore::on_fetch_timeout(std::string_view type_url, const std::string& name) {
  if (!do_without(type_url, name)) return;
  CLEW_LOG(config, warning, "{} {} did not arrive in its initial_fetch_timeout: what names it goes live without",
           type_url, name);
  if (const auto rds = stats_.rds.find(name); type_url == type_url::route && rds != stats_.rds.end())
    rds->second.timed_out();
  if (type_url == type_url::endpoints) count_endpoints(name, &EndpointUpdates::fetch_timeout);
  settle();
}

void ConfigStore::on_resolved(const std::shared_ptr<const Cluster>& cluster,
                              std::shared_ptr<const LoadAssignment> endpoints) {
  resolved_[cluster] = std::move(endpoints);
  changed_clusters_.insert(cluster->name);
  settle();
}

std::string ConfigStore::add_static_cluster(const envoy::config::cluster::v3::Cluster& message) {
  DecodeContext context{filters_, secrets_.interner()};
  context.added_via_api = false;
  auto decoded = decode_cluster(message, context);
  if (!decoded) return decoded.error().message;
  if (!static_clusters_.insert(message.name()).second) return "cluster " + message.name() + " appears twice";
  clusters_[message.name()].warming = std::make_unique<Accepted<Cluster>>(Accepted<Cluster>{
      message.SerializeAsString(), {}, clock_.wall(), std::move(*decoded), share(std::move(context.needs))});
  warming_clusters_.insert(message.name());
  return {};
}

std::string ConfigStore::add_static_listener(const envoy::config::listener::v3::Listener& message) {
  DecodeContext context{filters_, secrets_.interner()};
  context.added_via_api = false;
  auto decoded = decode_listener(message, context, nullptr);
  if (!decoded) return decoded.error().message;
  if (std::string problem = open_logs(**decoded); !problem.empty()) return problem;
  const std::string name = (*decoded)->name;
  if (!static_listeners_.insert(name).second) return "listener " + name + " appears twice";
  listeners_[name].warming = std::make_unique<Accepted<Listener>>(Accepted<Listener>{
      message.SerializeAsString(), {}, clock_.wall(), std::move(*decoded), share(std::move(context.needs))});
  warming_listeners_.insert(name);
  return {};
}

std::string ConfigStore::add_static_secret(const envoy::extensions::transport_sockets::tls::v3::Secret& message) {
  return secrets_.add_static(message);
}

void ConfigStore::start() {
  references_changed_ = true;
  settle();
}

const std::string& ConfigStore::version(std::string_view type_url) const {
  static const std::string none;
  const auto it = versions_.find(type_url);
  return it == versions_.end() ? none : it->second;
}

// ---- warming ----

std::shared_ptr<const LoadAssignment> ConfigStore::endpoints_of(const std::shared_ptr<const Cluster>& cluster) const {
  if (cluster->type == Cluster::Type::eds) {
    const auto it = endpoints_.find(eds_name(*cluster));
    return it == endpoints_.end() || !it->second.active ? nullptr : it->second.active->value;
  }
  if (resolves_by_dns(*cluster)) {
    const auto it = resolved_.find(cluster);
    return it == resolved_.end() ? nullptr : it->second;
  }
  return cluster->inline_endpoints;
}

bool ConfigStore::warm(const Accepted<Cluster>& cluster) const {
  const bool needs_endpoints = cluster.value->type == Cluster::Type::eds || resolves_by_dns(*cluster.value);
  return secrets_.settled(cluster.needs->secrets) && (!needs_endpoints || endpoints_of(cluster.value));
}

bool ConfigStore::warm(const Accepted<Listener>& listener) const {
  const bool routes =
      std::all_of(listener.needs->rds_names.begin(), listener.needs->rds_names.end(), [&](const auto& wanted) {
        const auto it = routes_.find(wanted.first);
        return it != routes_.end() && it->second.active;
      });
  return routes && secrets_.settled(listener.needs->secrets);
}

template <class T>
void ConfigStore::go_live(Record<T>& record, Counter& added, Counter& modified) {
  (record.active ? modified : added).add();
  references_changed_ = references_changed_ || record.active;  // what the old version alone referred to
  record.active = std::move(record.warming);
}

void ConfigStore::activate_clusters() {
  std::erase_if(warming_clusters_, [&](const std::string& name) {
    Record<Cluster>& record = clusters_.find(name)->second;
    if (!warm(*record.warming)) return false;
    go_live(record, stats_.cluster_added, stats_.cluster_modified);
    changed_clusters_.insert(name);
    return true;
  });
}

void ConfigStore::activate_listeners() {
  // As Envoy starts: no pod traffic is taken before the first set of clusters is there to carry it.
  clusters_ready_ = clusters_ready_ || (got_clusters_ && warming_clusters_.empty());
  std::erase_if(warming_listeners_, [&](const std::string& name) {
    Record<Listener>& record = listeners_.find(name)->second;
    if (!(clusters_ready_ || static_listeners_.contains(name)) || !warm(*record.warming)) return false;
    if (record.active) drain(record.active->value, record.warming->value.get());
    go_live(record, stats_.listener_added, stats_.listener_modified);
    changed_listeners_.insert(name);
    return true;
  });
}

/// Tells the clients what clusters and listeners refer to now, and forgets what nobody refers to any more.
void ConfigStore::update_wants() {
  if (!references_changed_) return;
  references_changed_ = false;
  FetchTimeouts eds, rds;
  std::set<SecretReference> secrets;
  const Needs* last = nullptr;  // most clusters share theirs
  const auto want_secrets = [&](const Needs& needs) {
    if (std::exchange(last, &needs) != &needs) secrets.insert(needs.secrets.begin(), needs.secrets.end());
  };
  std::vector<std::shared_ptr<const Cluster>> dns;
  clusters_by_eds_name_.clear();
  for (auto& [name, record] : clusters_) {
    for (const auto* accepted : {record.active.get(), record.warming.get()}) {
      if (!accepted) continue;
      want_secrets(*accepted->needs);
      if (accepted->value->type != Cluster::Type::eds) continue;
      record.updates.begun();
      eds.insert_or_assign(eds_name(*accepted->value), accepted->needs->eds_timeout);
      if (eds_name(*accepted->value) != name) clusters_by_eds_name_[eds_name(*accepted->value)].insert(name);
    }
    if (const auto* newest = record.newest(); newest && resolves_by_dns(*newest->value)) dns.push_back(newest->value);
  }
  for (const auto& [name, record] : listeners_) {
    for (const auto* accepted : {record.active.get(), record.warming.get()}) {
      if (!accepted) continue;
      want_secrets(*accepted->needs);
      rds.insert(accepted->needs->rds_names.begin(), accepted->needs->rds_names.end());
    }
  }
  std::erase_if(endpoints_, [&](const auto& entry) { return !eds.contains(entry.first); });
  std::erase_if(routes_, [&](const auto& entry) {
    if (rds.contains(entry.first)) return false;
    changed_routes_.insert(entry.first);
    return true;
  });
  std::erase_if(stats_.rds, [&](const auto& entry) { return !rds.contains(entry.first); });
  for (const auto& [name, timeout] : rds)
    if (const auto [entry, fresh] = stats_.rds.try_emplace(name); fresh) entry->second.begun();
  std::erase_if(resolved_, [&](const auto& entry) {
    const auto it = clusters_.find(entry.first->name);
    return it == clusters_.end() || !it->second.has(entry.first);
  });
  secrets_.want(std::move(secrets));
  wants_.endpoints(eds);
  wants_.routes(rds);
  wants_.secrets(secrets_.wanted());
  wants_.dns(dns);
}

void ConfigStore::settle() {
  activate_clusters();
  activate_listeners();
  update_wants();
  if (!initialized_at_ && got_clusters_ && got_listeners_ && warming_clusters_.empty() && warming_listeners_.empty())
    initialized_at_ = clock_.now();
  publish();
  update_gauges();
}

// ---- publishing ----

void ConfigStore::publish() {
  auto tls = secrets_.contexts();
  if (changed_clusters_.empty() && changed_listeners_.empty() && changed_routes_.empty() && tls == snapshot_->tls)
    return;
  auto next = std::make_shared<Snapshot>();
  next->version = snapshot_->version + 1;
  auto changes = std::make_shared<Changes>();
  changes->tls = tls != snapshot_->tls;
  next->tls = std::move(tls);

  NameMap<ClusterEntry>::Edit clusters(snapshot_->clusters);
  for (const auto& name : changed_clusters_) {
    const auto it = clusters_.find(name);
    if (it == clusters_.end()) {
      clusters.set(name, nullptr);
    } else if (it->second.active) {
      const auto& cluster = it->second.active->value;
      auto endpoints = endpoints_of(cluster);
      const ClusterEntry* const before = snapshot_->clusters.find(name);
      if (!same_members(before ? before->endpoints.get() : nullptr, endpoints.get()))
        ++it->second.updates.membership_change;
      clusters.set(name, std::make_shared<ClusterEntry>(ClusterEntry{cluster, std::move(endpoints)}));
    }
  }
  next->clusters = std::move(clusters).finish();

  NameMap<Listener>::Edit listeners(snapshot_->listeners);
  for (const auto& name : changed_listeners_) {
    const auto it = listeners_.find(name);
    listeners.set(name, it == listeners_.end() || !it->second.active ? nullptr : it->second.active->value);
  }
  next->listeners = std::move(listeners).finish();

  NameMap<RouteTable>::Edit routes(snapshot_->routes);
  for (const auto& name : changed_routes_) {
    const auto it = routes_.find(name);
    routes.set(name, it == routes_.end() || !it->second.active ? nullptr : it->second.active->value);
  }
  next->routes = std::move(routes).finish();

  changes->clusters.assign(changed_clusters_.begin(), changed_clusters_.end());
  changes->listeners.assign(changed_listeners_.begin(), changed_listeners_.end());
  changes->routes.assign(changed_routes_.begin(), changed_routes_.end());
  changed_clusters_.clear();
  changed_listeners_.clear();
  changed_routes_.clear();
  snapshot_ = next;
  wants_.publish(Update{std::move(next), std::move(changes)});
}

}  // namespace clew
