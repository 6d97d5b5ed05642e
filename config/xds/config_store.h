// The control thread's view of the configuration: every resource with its versions, what is warm, and the snapshot made
// of it. Inputs are whole and come one at a time (an xDS response, a secret, a DNS answer); after each, what became
// warm is put into service and one Update is published. The old version of a resource serves until its new one is warm
// (make before break).
#pragma once

#include "config/snapshot/snapshot.h"
#include "config/xds/ads_client.h"
#include "config/xds/config_stats.h"
#include "config/xds/resource.h"
#include "config/xds/secret_store.h"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

namespace google::protobuf {
class Any;
}

namespace clew {

class ConfigStore final : public AdsHandler {
 public:
  /// What the store asks of the world; called from inside its inputs, never re-entered.
  struct Wants {
    std::function<void(const FetchTimeouts&)> endpoints, routes;
    std::function<void(const std::set<SecretReference>&)> secrets;
    /// STRICT_DNS and LOGICAL_DNS clusters in service or warming.
    std::function<void(const std::vector<std::shared_ptr<const Cluster>>&)> dns;
    std::function<void(Update)> publish;
    /// Opens an access log's file; why it cannot be, or nothing. Unset: none is opened.
    std::function<std::string(const std::string& path)> open_log{};
  };

  /// drain_time: after which workers have ended the last connection of what went out of service.
  ConfigStore(const FilterRegistry& filters, const Clock& clock, Wants wants,
              Duration drain_time = std::chrono::seconds(600));

  // inputs; the text is why something was refused, empty when it was not
  std::string add_static_cluster(const envoy::config::cluster::v3::Cluster& message);
  std::string add_static_listener(const envoy::config::listener::v3::Listener& message);
  std::string add_static_secret(const envoy::extensions::transport_sockets::tls::v3::Secret& message);
  Refusals on_response(const envoy::service::discovery::v3::DeltaDiscoveryResponse& response) override;
  void on_connected(bool connected) override;
  /// name: that was asked for.
  std::string on_secret(const std::string& name, const google::protobuf::Any& resource, const std::string& version);
  /// Nobody delivered this secret, endpoints or routes in their time: what waits for it goes live without.
  void on_fetch_timeout(std::string_view type_url, const std::string& name);
  void on_resolved(const std::shared_ptr<const Cluster>& cluster, std::shared_ptr<const LoadAssignment> endpoints);
  /// Publishes what the static resources make; call once after adding them.
  void start();
  /// Clusters and listeners are asked for from now on.
  void on_subscribed();

  // state
  /// CDS came and everything in it was warm once: listeners are no longer held back. Stays true.
  bool clusters_ready() const { return clusters_ready_; }
  /// CDS and LDS came and everything in them was warm once: server.state may become LIVE. Stays true.
  bool initialized() const { return initialized_at_.has_value(); }
  const std::optional<TimePoint>& initialized_at() const { return initialized_at_; }
  const SnapshotPtr& snapshot() const { return snapshot_; }
  const StringMap<Record<Cluster>>& clusters() const { return clusters_; }
  const StringMap<Record<Listener>>& listeners() const { return listeners_; }
  const StringMap<Record<RouteTable>>& routes() const { return routes_; }
  const StringMap<Record<LoadAssignment>>& endpoints() const { return endpoints_; }
  const StringMap<Record<Secret>>& secrets() const { return secrets_.records(); }
  /// Those that clusters and listeners name.
  const std::set<SecretReference>& wanted_secrets() const { return secrets_.wanted(); }
  /// False: what names it waits for it.
  bool settled(const SecretReference& secret) const { return secrets_.settled(secret); }
  const std::string& version(std::string_view type_url) const;
  void collect(StatSink& sink) const;

 private:
  /// A resource as it came, under the name that it was sent by.
  struct Arrived {
    const std::string &name, &bytes, &version;
  };
  template <class Message, class T, class Decode>
  std::string decode(Accepted<T>& into, Decode&& decode_message);
  std::string accept_resource(std::string_view type_url, const std::string& name, const google::protobuf::Any& resource,
                              const std::string& version);
  std::string accept_cluster(const Arrived& arrived);
  std::string accept_listener(const Arrived& arrived);
  std::string accept_routes(const Arrived& arrived);
  std::string accept_endpoints(const Arrived& arrived);
  bool do_without(std::string_view type_url, const std::string& name);
  void remove_resource(std::string_view type_url, const std::string& name);
  std::shared_ptr<const Needs> share(Needs needs);
  /// What its endpoints are asked for by.
  static const std::string& eds_name(const Cluster& cluster) {
    return cluster.eds_service_name.empty() ? cluster.name : cluster.eds_service_name;
  }
  template <class F>
  void for_each_cluster_of(const std::string& name, F&& f);
  void endpoints_changed(const std::string& name);
  void count_endpoints(const std::string& name, std::uint32_t EndpointUpdates::* outcome);
  void note_endpoints(const std::string& name, std::uint32_t EndpointUpdates::* what);
  std::string open_logs(const Listener& listener) const;
  bool warm(const Accepted<Cluster>& cluster) const;
  bool warm(const Accepted<Listener>& listener) const;
  std::shared_ptr<const LoadAssignment> endpoints_of(const std::shared_ptr<const Cluster>& cluster) const;

  void settle();
  template <class T>
  void go_live(Record<T>& record, Counter& added, Counter& modified);
  void activate_clusters();
  void activate_listeners();
  void drain(const std::shared_ptr<const Listener>& old, const Listener* next);
  void update_wants();
  void publish();
  void update_gauges();
  void collect_updates(const Record<Cluster>& record, StatSink& sink) const;
  void count(const envoy::service::discovery::v3::DeltaDiscoveryResponse& response, const Refusals& refusals,
             Duration took);

  const FilterRegistry& filters_;
  const Clock& clock_;
  Wants wants_;
  const Duration drain_time_;
  StringMap<Record<Cluster>> clusters_;
  StringMap<Record<Listener>> listeners_;
  StringMap<Record<RouteTable>> routes_;
  StringMap<Record<LoadAssignment>> endpoints_;  // by EDS service name
  SecretStore secrets_;
  // DNS answers, each for the very definition whose names were asked for
  std::map<std::shared_ptr<const Cluster>, std::shared_ptr<const LoadAssignment>> resolved_;
  StringMap<std::string> versions_;  // of the last response, by type URL
  std::set<std::string> static_clusters_, static_listeners_;
  std::shared_ptr<const Needs> last_needs_;
  std::set<std::string> warming_clusters_, warming_listeners_;
  StringMap<std::set<std::string>> clusters_by_eds_name_;  // where that is not the cluster's own, as it mostly is
  // Clusters or listeners came or went, or replaced what served: what they refer to is to be looked at again.
  bool references_changed_ = false;
  bool got_clusters_ = false, got_listeners_ = false, clusters_ready_ = false;
  std::optional<TimePoint> initialized_at_;
  // what the next snapshot will differ in
  std::set<std::string> changed_clusters_, changed_listeners_, changed_routes_;
  SnapshotPtr snapshot_ = std::make_shared<Snapshot>();
  ConfigStats stats_;
  /// Out of service, and not gone as long as somebody holds it, which a stream that does not end may for ever.
  template <class T>
  struct Draining {
    std::weak_ptr<const T> what;
    TimePoint until;
    bool over(TimePoint now) const { return what.expired() || now >= until; }
  };
  std::vector<Draining<Listener>> draining_listeners_;
  std::vector<Draining<FilterChain>> draining_chains_;
};

}  // namespace clew
