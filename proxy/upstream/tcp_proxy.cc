#include "proxy/upstream/tcp_proxy.h"

#include "proxy/net/relay.h"
#include "proxy/upstream/hash_policy.h"

#include <algorithm>

namespace clew {
namespace {

constexpr Duration default_idle_timeout = std::chrono::hours(1);

std::string_view draw_cluster(const TcpProxy& config, std::uint64_t random) {
  std::uint64_t total = 0;
  for (const TcpProxy::Target& target : config.clusters) total += target.weight;
  if (total == 0)
    return config.clusters.empty() ? std::string_view() : std::string_view(config.clusters.front().cluster);
  std::uint64_t dice = random % total;
  for (const TcpProxy::Target& target : config.clusters) {
    if (dice < target.weight) return target.cluster;
    dice -= target.weight;
  }
  return config.clusters.back().cluster;
}

/// An upstream connection with what it counts, from the attempt to the end.
class UpstreamSocket {
 public:
  UpstreamSocket(Worker& worker, ClusterState& cluster, std::shared_ptr<EndpointState> endpoint, ResourceToken token)
      : worker_(worker),
        stats_(cluster.stats()),
        endpoint_(std::move(endpoint)),
        token_(std::move(token)),
        start_(worker.clock().now()) {
    stats_->upstream_cx_total.add();
    stats_->upstream_cx_active.add();
    stats_->upstream_rq_pending_total.add();
    stats_->upstream_rq_pending_active.add();
    endpoint_->stats.cx_total.add();
    endpoint_->stats.cx_active.add();
    endpoint_->shared->rq_active.fetch_add(1, std::memory_order_relaxed);
  }
  UpstreamSocket(const UpstreamSocket&) = delete;
  UpstreamSocket& operator=(const UpstreamSocket&) = delete;
  ~UpstreamSocket() {
    stats_->upstream_cx_active.sub();
    if (!transport_) stats_->upstream_rq_pending_active.sub();
    endpoint_->stats.cx_active.sub();
    endpoint_->shared->rq_active.fetch_sub(1, std::memory_order_relaxed);
    if (!transport_) return;
    stats_->upstream_rq_active.sub();
    stats_->upstream_cx_destroy.add();
    stats_->upstream_cx_destroy_with_active_rq.add();
    (left_ ? stats_->upstream_cx_destroy_remote : stats_->upstream_cx_destroy_local).add();
    (left_ ? stats_->upstream_cx_destroy_remote_with_active_rq : stats_->upstream_cx_destroy_local_with_active_rq)
        .add();
    stats_->upstream_cx_length_ms.record(
        std::chrono::duration<double, std::milli>(worker_.clock().now() - start_).count());
  }

  void connected(std::unique_ptr<Transport> transport, bool tls) {
    transport_ = std::move(transport);
    stats_->upstream_rq_pending_active.sub();
    stats_->upstream_rq_total.add();
    stats_->upstream_rq_active.add();
    transport_->count_into(stats_->http.bytes);
    stats_->upstream_cx_connect_ms.record(
        std::chrono::duration<double, std::milli>(worker_.clock().now() - start_).count());
    if (tls) stats_->ssl.handshake.add();
  }
  void failed(Errc error) {
    stats_->upstream_rq_pending_failure_eject.add();
    endpoint_->stats.cx_connect_fail.add();
    count_connect_failure(*stats_, error);
  }
  void wrap(const WrapUpstream& wrap, const Cluster& cluster, StreamInfo& info) {
    transport_ = wrap(std::move(transport_), cluster, info);
  }
  Transport& transport() { return *transport_; }
  /// The end was the upstream's: in good order, the last of the two.
  void set_left() { left_ = true; }

 private:
  Worker& worker_;
  const std::shared_ptr<ClusterStats> stats_;
  const std::shared_ptr<EndpointState> endpoint_;
  const ResourceToken token_;
  const TimePoint start_;
  std::unique_ptr<Transport> transport_;
  bool left_ = false;
};

void record(StreamInfo& info, const ClusterState& cluster, const Host& host) {
  info.cluster = cluster.cluster();
  info.upstream_remote = host.endpoint->address;
  info.upstream_endpoint = host.endpoint;
}

/// A connected socket, or null with the flags that say why.
Task<std::unique_ptr<UpstreamSocket>> connect_upstream(ClusterManager& clusters, ClusterState& cluster,
                                                       const ConnectionInfo& connection, const TcpProxy& config,
                                                       StreamInfo& info) {
  Worker& worker = clusters.worker();
  const std::uint32_t attempts = std::max(1u, config.max_connect_attempts);
  for (std::uint32_t attempt = 1;; ++attempt) {
    info.attempts = attempt;
    DrawContext context;
    if (config.hash_source_ip) context.hash = hash_source_ip(connection.remote);
    if (connection.local_restored) context.original_destination = &connection.local;
    Host* const host = cluster.choose(context);
    if (!host) {
      info.flags.set(ResponseFlag::no_healthy_upstream);
      co_return nullptr;
    }
    record(info, cluster, *host);
    ResourceToken token;
    const auto priority = Priority::standard;  // TCP has no routes that could say otherwise
    CircuitBreakers& breakers = cluster.breakers(priority);
    if (!breakers.take_connection(cluster.limits(priority), token)) {
      cluster.stats()->upstream_cx_overflow.add();
      info.flags.set(ResponseFlag::upstream_overflow);
      co_return nullptr;
    }
    // While it is not connected it is a pending request, and once it is, no limit of requests concerns it (as Envoy).
    ResourceToken pending;
    if (!breakers.take_pending(cluster.limits(priority), pending)) {
      cluster.stats()->upstream_rq_pending_overflow.add();
      if (attempt < attempts) continue;
      cluster.stats()->upstream_cx_connect_attempts_exceeded.add();
      info.flags.set(ResponseFlag::upstream_retry_limit_exceeded);
      co_return nullptr;
    }
    const std::shared_ptr<EndpointState> endpoint = host->state;
    auto socket = std::make_unique<UpstreamSocket>(worker, cluster, endpoint, std::move(token));
    const UpstreamTarget target = cluster.target(*host, connection);
    Connected result = co_await clusters.connector().connect(worker, target);
    if (result) {
      info.upstream_local = result.local;
      info.upstream_transport_failure_reason.clear();
      socket->connected(std::move(result.transport), target.tls);
      cluster.report(endpoint, 200);
      info.upstream_connection_id = worker.next_id();
      if (const TlsInfo* tls = socket->transport().tls()) info.upstream_tls = tls->shared_from_this();
      co_return socket;
    }
    socket->failed(result.error);
    cluster.report(endpoint, result.error == Errc::connect_timeout ? 504 : 503, true);
    info.upstream_transport_failure_reason = std::move(result.failure);
    if (attempt < attempts && !cluster.retired()) continue;
    cluster.stats()->upstream_cx_connect_attempts_exceeded.add();
    info.flags.set(ResponseFlag::upstream_connection_failure);
    info.flags.set(ResponseFlag::upstream_retry_limit_exceeded);
    co_return nullptr;
  }
}

/// Until both directions have ended, or one broke, or a time is over.
Task<void> relay_until_over(Worker& worker, Transport& downstream, UpstreamSocket& upstream, Buffer initial,
                            const TcpProxy& config, TcpProxyStats& stats, StreamInfo& info) {
  RelayBytes bytes{initial.size(), 0};
  Timer life(worker.timers(), [&] {
    stats.max_downstream_connection_duration.add();
    info.flags.set(ResponseFlag::duration_timeout);
    info.connection_termination_details = "max_connection_duration_reached";
    downstream.close(Errc::max_stream_duration);
  });
  if (config.max_connection_duration) life.arm(*config.max_connection_duration);
  const RelayEnd end = co_await relay(worker, downstream, upstream.transport(), std::move(initial), Buffer(), bytes,
                                      config.idle_timeout.value_or(default_idle_timeout));
  if (!end.downstream) upstream.set_left();
  if (end.cause == Errc::idle_timeout) {
    stats.idle_timeout.add();
    info.connection_termination_details = "tcp_session_idle_timeout";
  }
  info.bytes_received = bytes.from_downstream;
  info.bytes_sent = bytes.from_upstream;
}

}  // namespace

void TcpProxyStats::collect(std::string_view prefix, StatSink& sink) const {
  const std::string name = std::string(prefix) + ".";
  sink.counter(name + "downstream_cx_total", downstream_cx_total.value());
  sink.counter(name + "downstream_cx_no_route", downstream_cx_no_route.value());
  sink.counter(name + "downstream_cx_rx_bytes_total", bytes.read.value());
  sink.counter(name + "downstream_cx_tx_bytes_total", bytes.written.value());
  sink.counter(name + "idle_timeout", idle_timeout.value());
  sink.counter(name + "max_downstream_connection_duration", max_downstream_connection_duration.value());
  sink.gauge(name + "downstream_cx_active", downstream_cx_active.value());
}

Task<void> proxy_tcp(TcpService service, Transport& downstream, Buffer initial, const ConnectionInfo& connection,
                     const TcpProxy& config, StreamInfo& info) {
  service.stats.downstream_cx_total.add();
  service.stats.downstream_cx_active.add();
  downstream.count_into(service.stats.bytes);
  service.stats.bytes.read.add(initial.size());
  Worker& worker = service.clusters.worker();
  info.upstream_cluster = draw_cluster(config, worker.random());
  const std::shared_ptr<ClusterState> cluster = service.clusters.find(info.upstream_cluster);
  std::unique_ptr<UpstreamSocket> upstream;
  if (cluster) {
    info.cluster = cluster->cluster();
    upstream = co_await connect_upstream(service.clusters, *cluster, connection, config, info);
  } else {
    service.stats.downstream_cx_no_route.add();
    info.flags.set(ResponseFlag::no_cluster_found);
  }
  if (upstream) {
    if (service.wrap_upstream) upstream->wrap(service.wrap_upstream, *cluster->cluster(), info);
    co_await relay_until_over(worker, downstream, *upstream, std::move(initial), config, service.stats, info);
    info.upstream_bytes_sent = upstream->transport().wire_bytes_written();
    info.upstream_bytes_received = upstream->transport().wire_bytes_read();
  }
  downstream.close(Errc::eof);
  service.stats.downstream_cx_active.sub();
}

}  // namespace clew
