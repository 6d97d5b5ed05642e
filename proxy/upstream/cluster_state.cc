#include "proxy/upstream/cluster_state.h"

#include "proxy/http/url.h"
#include "proxy/net/proxy_header.h"

#include <algorithm>

namespace clew {

const TransportSocketMatch& select_transport_socket(const Cluster& cluster, const Endpoint& endpoint) {
  static const TransportSocketMatch plain;
  for (const TransportSocketMatch& socket : cluster.transport_sockets) {
    const bool all = std::all_of(socket.match.begin(), socket.match.end(), [&](const auto& wanted) {
      return std::find(endpoint.transport_match.begin(), endpoint.transport_match.end(), wanted) !=
             endpoint.transport_match.end();
    });
    if (all) return socket;
  }
  return plain;
}

ClusterState::ClusterState(Worker& worker, Connector& connector, std::shared_ptr<ClusterShared> shared,
                           ClusterEntry entry)
    : worker_(worker), connector_(connector), shared_(std::move(shared)), cluster_(std::move(entry.cluster)) {
  update_endpoints(std::move(entry.endpoints));
}

ClusterState::~ClusterState() { retire(); }

void ClusterState::update(ClusterEntry entry) {
  if (entry.cluster != cluster_) {
    for (auto& [address, host] : hosts_) retire_pools(*host);
    if (entry.cluster->type != cluster_->type) {
      hosts_.clear();
      order_.clear();
      assignment_.reset();
    }
    cluster_ = std::move(entry.cluster);
    balancer_.reset();
  }
  if (entry.endpoints != assignment_) update_endpoints(std::move(entry.endpoints));
}

Host& ClusterState::add_host(const Address& address) {
  auto& slot = hosts_[address];
  if (!slot) {
    slot = std::make_unique<Host>();
    slot->state = std::make_shared<EndpointState>();
    slot->state->address = address;
    slot->state->shared = shared_->endpoint(address);
  }
  return *slot;
}

/// The work follows what changed: an endpoint that is the same object in the same order costs a comparison.
void ClusterState::update_endpoints(std::shared_ptr<const LoadAssignment> endpoints) {
  if (cluster_->type == Cluster::Type::original_dst) return;
  balancer_.reset();
  ++round_;
  const std::vector<Host*> before = std::exchange(order_, {});
  order_.reserve(before.size());
  std::size_t next = 0;  // in before
  if (endpoints) {
    for (const LocalityEndpoints& locality : endpoints->localities) {
      for (const EndpointPtr& endpoint : locality.endpoints) {
        const bool same = next < before.size() && before[next]->endpoint == endpoint;
        Host& host = same ? *before[next] : add_host(endpoint->address);
        if (host.round == round_) continue;  // listed twice: the first stands
        if (host.endpoint) {
          if (!same && host.endpoint->transport_match != endpoint->transport_match) retire_pools(host);
          next = host.position + 1;
        }
        host.endpoint = endpoint;
        host.round = round_;
        host.position = order_.size();
        order_.push_back(&host);
      }
    }
  }
  for (Host* host : before) {
    if (host->round == round_) continue;
    retire_pools(*host);
    hosts_.erase(hosts_.find(host->endpoint->address));
  }
  assignment_ = std::move(endpoints);
}

void ClusterState::retire_pools(Host& host) {
  for (const std::shared_ptr<Pool>& pool : host.pools) pool->retire();
  host.pools.clear();
}

void ClusterState::retire() {
  retired_ = true;
  for (auto& [address, host] : hosts_) retire_pools(*host);
}

void ClusterState::close(Errc cause) {
  retired_ = true;
  for (auto& [address, host] : hosts_)
    for (const std::shared_ptr<Pool>& pool : std::exchange(host->pools, {})) pool->close(cause);
}

void ClusterState::refresh_tls() {
  for (auto& [address, host] : hosts_)
    for (const std::shared_ptr<Pool>& pool : host->pools)
      if (pool->tls()) pool->set_tls_context(tls_context(pool->tls_params()));
}

LoadBalancer& ClusterState::balancer() {
  if (balancer_) return *balancer_;
  const bool hashing =
      cluster_->lb_policy == Cluster::LbPolicy::ring_hash || cluster_->lb_policy == Cluster::LbPolicy::maglev;
  std::vector<LbHost> hosts;
  hosts.reserve(order_.size());
  std::vector<LbLocality> localities;
  std::size_t next = 0;
  if (assignment_) {
    for (const LocalityEndpoints& locality : assignment_->localities) {
      const auto index = static_cast<std::uint32_t>(localities.size());
      localities.push_back({locality.weight, locality.priority});
      for (const EndpointPtr& endpoint : locality.endpoints) {
        // order_ lacks what is listed twice
        if (next == order_.size() || order_[next]->endpoint != endpoint) continue;
        const EndpointState& state = *order_[next++]->state;
        hosts.push_back({endpoint->weight, endpoint->health,
                         cluster_->outlier_detection && state.shared->ejected.load(std::memory_order_relaxed), index,
                         hashing ? endpoint->address.to_string() : std::string(), &state.shared->rq_active});
      }
    }
  }
  const std::uint32_t overprovisioning = assignment_ ? assignment_->overprovisioning_factor : 140;
  balancer_ = std::make_unique<LoadBalancer>(*cluster_, overprovisioning, std::move(hosts), std::move(localities),
                                             [&worker = worker_] { return worker.random(); });
  return *balancer_;
}

Host* ClusterState::choose(const DrawContext& context) {
  if (retired_) return nullptr;
  if (cluster_->type == Cluster::Type::original_dst) return original_destination(context);
  if (cluster_->outlier_detection) look_at_ejections();
  Host* host = nullptr;
  LbContext draw{context.hash, 0};
  for (; draw.attempt <= context.attempts; ++draw.attempt) {
    const auto choice = balancer().pick(draw);
    if (!choice) break;
    host = order_[choice->host];
    if (choice->panic) stats_->lb_healthy_panic.add();
    if (std::find(context.avoid.begin(), context.avoid.end(), host->state) == context.avoid.end()) break;
  }
  if (!host) stats_->upstream_cx_none_healthy.add();
  return host;
}

/// The endpoint is what the client dialled. Such endpoints are made on demand and forgotten when they have no
/// connections.
Host* ClusterState::original_destination(const DrawContext& context) {
  if (!context.original_destination || context.original_destination->is_pipe()) {
    stats_->original_dst_host_invalid.add();
    stats_->upstream_cx_none_healthy.add();
    return nullptr;
  }
  Address address = *context.original_destination;
  if (cluster_->original_dst_port_override) address = address.with_port(*cluster_->original_dst_port_override);
  const auto known = hosts_.find(address);
  if (known != hosts_.end()) return known->second.get();
  sweep();
  Host& host = add_host(address);
  auto dialled = std::make_shared<Endpoint>();
  dialled->address = address;
  host.endpoint = std::move(dialled);
  return &host;
}

/// Each time their number has doubled: amortized, no timer.
void ClusterState::sweep() {
  if (hosts_.size() < sweep_at_) return;
  std::erase_if(hosts_, [](const auto& entry) {
    const Host& host = *entry.second;
    return host.state->stats.rq_active.value() == 0 && host.state->stats.cx_active.value() == 0 &&
           std::all_of(host.pools.begin(), host.pools.end(), [](const auto& pool) { return pool->empty(); });
  });
  sweep_at_ = std::max<std::size_t>(64, 2 * hosts_.size());
}

std::shared_ptr<const TlsContext> ClusterState::tls_context(const std::shared_ptr<const TlsParams>& params) const {
  const auto& contexts = worker_.snapshot()->tls;
  return contexts && params->slot < contexts->size() ? (*contexts)[params->slot] : nullptr;
}

UpstreamTarget ClusterState::socket_target(const Host& host) const {
  UpstreamTarget target;
  target.address = host.endpoint->address;
  target.additional = host.endpoint->additional_addresses;
  target.sources = cluster_->source_addresses;
  target.timeout = cluster_->connect_timeout;
  target.keepalive = cluster_->tcp_keepalive;
  return target;
}

/// For one pool more: empty ones go, then the oldest that is idle.
bool ClusterState::make_room(Host& host, std::size_t limit) {
  if (host.pools.size() < limit) return true;
  if (std::erase_if(host.pools, [](const auto& pool) { return pool->empty(); }) > 0) return true;
  const auto idle = std::find_if(host.pools.begin(), host.pools.end(), [](const auto& pool) { return pool->idle(); });
  if (idle == host.pools.end()) return false;
  (*idle)->retire();
  host.pools.erase(idle);
  return true;
}

std::shared_ptr<Pool> ClusterState::http_pool(Host& host, const HttpDemand& demand) {
  const TransportSocketMatch& socket = select_transport_socket(*cluster_, *host.endpoint);
  PoolKey key;
  key.tls = socket.tls;
  key.source = demand.connection.original_source;
  key.priority = demand.priority;
  if (socket.proxy_protocol) key.preface = make_proxy_header(*socket.proxy_protocol, demand.connection);
  const auto protocol = cluster_->http.protocol;
  key.http2 = protocol == UpstreamHttpOptions::Protocol::http2 ||
              (protocol == UpstreamHttpOptions::Protocol::downstream && demand.downstream_http2);
  if (key.tls) {
    key.alpn = demand.alpn && !demand.alpn->empty() ? demand.alpn : nullptr;
    key.sni = key.tls->sni;
    if (key.tls->auto_sni || key.tls->auto_san_validation) {
      std::string_view name = split_host_port(demand.authority).host;
      if (name.starts_with('[') && name.ends_with(']')) name = name.substr(1, name.size() - 2);
      if (key.tls->auto_sni && !IpAddress::parse(name)) key.sni = name;
      if (key.tls->auto_san_validation) key.expected_san = name;
    }
  }
  for (const std::shared_ptr<Pool>& pool : host.pools)
    if (pool->matches(key)) return pool;

  const bool for_one_client = key.source || !key.preface.empty();
  if (!make_room(host, for_one_client ? max_clients_per_host : max_pools_per_host)) {
    stats_->upstream_cx_pool_overflow.add();
    return nullptr;
  }
  UpstreamTarget target = socket_target(host);
  if (key.tls) target.context = tls_context(key.tls);
  Pool::Owner owner{worker_, connector_, stats_, shared_, cluster_, host.state};
  return host.pools.emplace_back(Pool::make(std::move(owner), key, std::move(target)));
}

UpstreamTarget ClusterState::target(const Host& host, const ConnectionInfo& connection) const {
  UpstreamTarget target = socket_target(host);
  target.original_source = connection.original_source;
  const TransportSocketMatch& socket = select_transport_socket(*cluster_, *host.endpoint);
  if (socket.proxy_protocol) target.preface = make_proxy_header(*socket.proxy_protocol, connection);
  if (!socket.tls) return target;
  target.tls = true;
  target.context = tls_context(socket.tls);
  target.sni = socket.tls->sni;
  return target;
}

void ClusterState::for_each_host(const std::function<void(const Host&)>& visit) const {
  for (const auto& [address, host] : hosts_) visit(*host);
}

}  // namespace clew
