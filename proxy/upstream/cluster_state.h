// One cluster on one worker: its current configuration, endpoints, balancer, pools and counters. Endpoints are known by
// address: what a worker holds for one survives updates; what left is retired. Worker's thread only.
#pragma once

#include "config/snapshot/snapshot.h"
#include "proxy/net/worker.h"
#include "proxy/upstream/load_balancer.h"
#include "proxy/upstream/pool.h"

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace clew {

/// An endpoint in its cluster, with its pools. Valid until the next suspension.
struct Host {
  std::shared_ptr<EndpointState> state;
  EndpointPtr endpoint;      // of the cluster's assignment; ORIGINAL_DST: made on demand
  std::size_t position = 0;  // in the balancer's order
  std::uint64_t round = 0;   // of the update that listed it last
  std::vector<std::shared_ptr<Pool>> pools;
};

/// What a draw depends on besides the cluster.
struct DrawContext {
  std::optional<std::uint64_t> hash;
  const Address* original_destination = nullptr;  // null: the connection's was not restored
  /// previous_hosts: drawn again, up to `attempts` times, when it is one of these; the last draw stands.
  std::span<const std::shared_ptr<EndpointState>> avoid;
  std::uint32_t attempts = 0;
};

/// What decides on the pool of a request besides the endpoint.
struct HttpDemand {
  bool downstream_http2;
  std::string_view authority;
  const std::vector<std::string>* alpn;  // instead of the transport socket's own; null: that
  const ConnectionInfo& connection;
  Priority priority;
};

class ClusterState {
 public:
  ClusterState(Worker& worker, Connector& connector, std::shared_ptr<ClusterShared> shared, ClusterEntry entry);
  ClusterState(const ClusterState&) = delete;
  ~ClusterState();

  /// A changed Cluster retires all pools; changed endpoints retire those that left.
  void update(ClusterEntry entry);
  /// New connections use the contexts of this snapshot.
  void refresh_tls();
  /// The cluster is gone, or the worker ends: no draw succeeds any more.
  void retire();
  void close(Errc cause);

  const std::shared_ptr<const Cluster>& cluster() const { return cluster_; }
  const std::shared_ptr<ClusterStats>& stats() const { return stats_; }
  CircuitBreakers& breakers(Priority priority) const { return shared_->breakers[priority]; }
  const CircuitBreakerThresholds& limits(Priority priority) const { return cluster_->circuit_breakers[priority]; }
  bool retired() const { return retired_; }

  /// Null: no healthy upstream (counted).
  Host* choose(const DrawContext& context);
  /// Results of an endpoint, for outlier detection (nothing when the cluster has none). It may be ejected on the spot.
  /// status: what it answered; 503 and 504 with local_origin: what we made of its failure or silence.
  void report(const std::shared_ptr<EndpointState>& endpoint, std::uint32_t status, bool local_origin = false);

  /// Null: too many busy pools at this endpoint (SNI, ALPN and the client's address come from requests).
  std::shared_ptr<Pool> http_pool(Host& host, const HttpDemand& demand);
  /// For a connection that is not pooled.
  UpstreamTarget target(const Host& host, const ConnectionInfo& connection) const;

  void for_each_host(const std::function<void(const Host&)>& visit) const;
  std::size_t size() const { return hosts_.size(); }
  LoadBalancer& balancer();

  static constexpr std::size_t max_pools_per_host = 64;
  static constexpr std::size_t max_clients_per_host = 1024;  // where each client has a pool of its own

 private:
  using Hosts = std::unordered_map<Address, std::unique_ptr<Host>>;

  void update_endpoints(std::shared_ptr<const LoadAssignment> endpoints);
  Host& add_host(const Address& address);
  void retire_pools(Host& host);
  void look_at_ejections();
  enum class Row { consecutive_5xx, gateway_failure, local_origin_failure };
  void detected(const std::shared_ptr<EndpointState>& endpoint, Row row);
  Host* original_destination(const DrawContext& context);
  void sweep();
  UpstreamTarget socket_target(const Host& host) const;
  static bool make_room(Host& host, std::size_t limit);
  std::shared_ptr<const TlsContext> tls_context(const std::shared_ptr<const TlsParams>& params) const;

  Worker& worker_;
  Connector& connector_;
  const std::shared_ptr<ClusterShared> shared_;
  const std::shared_ptr<ClusterStats> stats_ = std::make_shared<ClusterStats>();
  std::shared_ptr<const Cluster> cluster_;
  std::shared_ptr<const LoadAssignment> assignment_;
  Hosts hosts_;
  std::vector<Host*> order_;  // the balancer's indices
  std::uint64_t round_ = 0;   // counts updates of endpoints
  std::unique_ptr<LoadBalancer> balancer_;
  std::uint64_t ejections_seen_ = 0;
  std::size_t sweep_at_ = 64;
  bool retired_ = false;
};

/// First match wins; none: plain text.
const TransportSocketMatch& select_transport_socket(const Cluster& cluster, const Endpoint& endpoint);

}  // namespace clew
