#include "proxy/upstream/tcp_proxy.h"

#include "proxy/net/task_group.h"
#include "proxy/upstream/hash_policy.h"

#include <algorithm>

namespace clew {
namespace {

constexpr std::size_t read_size = 64 * 1024;
constexpr Duration default_idle_timeout = std::chrono::hours(1);

std::string_view draw_cluster(const TcpProxy& config, std::uint64_t random) {
  std::uint64_t total = 0;
  for (const TcpProxy::Target& target : config.clusters) total += target.weight;
  if (total == 0) return config.clusters.empty() ? std::string_view() : std::string_view(config.clusters.front().cluster);
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
      : worker_(worker), stats_(cluster.stats()), endpoint_(std::move(endpoint)), token_(std::move(token)), start_(worker.clock().now()) {
    stats_->upstream_cx_total.add();
    stats_->upstream_cx_active.add();
    endpoint_->stats.cx_total.add();
    endpoint_->stats.cx_active.add();
    endpoint_->shared->rq_active.fetch_add(1, std::memory_order_relaxed);
  }
  UpstreamSocket(const UpstreamSocket&) = delete;
  UpstreamSocket& operator=(const UpstreamSocket&) = delete;
  ~UpstreamSocket() {
    stats_->upstream_cx_active.sub();
    stats_->upstream_cx_destroy.add();
    endpoint_->stats.cx_active.sub();
    endpoint_->shared->rq_active.fetch_sub(1, std::memory_order_relaxed);
    if (!transport_) return;
    stats_->upstream_cx_rx_bytes_total.add(transport_->wire_bytes_read());
    stats_->upstream_cx_tx_bytes_total.add(transport_->wire_bytes_written());
    stats_->upstream_cx_length_ms.record(std::chrono::duration<double, std::milli>(worker_.clock().now() - start_).count());
  }

  void connected(std::unique_ptr<Transport> transport, bool tls) {
    transport_ = std::move(transport);
    stats_->upstream_cx_connect_ms.record(std::chrono::duration<double, std::milli>(worker_.clock().now() - start_).count());
    if (tls) stats_->ssl.handshake.add();
  }
  void failed(Errc error) {
    stats_->upstream_cx_connect_fail.add();
    endpoint_->stats.cx_connect_fail.add();
    count_connect_failure(*stats_, error);
  }
  void wrap(const WrapUpstream& wrap, const Cluster& cluster, StreamInfo& info) {
    transport_ = wrap(std::move(transport_), cluster, info);
  }
  Transport& transport() { return *transport_; }

 private:
  Worker& worker_;
  const std::shared_ptr<ClusterStats> stats_;
  const std::shared_ptr<EndpointState> endpoint_;
  const ResourceToken token_;
  const TimePoint start_;
  std::unique_ptr<Transport> transport_;
};

/// Two directions between two transports; any error, and any of the timers, closes both.
class Relay {
 public:
  Relay(Worker& worker, Transport& downstream, Transport& upstream, const TcpProxy& config, TcpProxyStats& stats, StreamInfo& info)
      : downstream_(downstream),
        upstream_(upstream),
        stats_(stats),
        info_(info),
        clock_(worker.clock()),
        idle_timeout_(config.idle_timeout.value_or(default_idle_timeout)),
        last_(clock_.now()),
        idle_(worker.timers(), [this] { idle_expired(); }),
        life_(worker.timers(), [this] { life_expired(); }) {
    if (idle_timeout_ > Duration::zero()) idle_.arm(idle_timeout_);
    if (config.max_connection_duration) life_.arm(*config.max_connection_duration);
  }

  Task<void> run(Worker& worker, Buffer initial) {
    TaskGroup group(worker.executor());
    group.spawn(to_upstream(std::move(initial)));
    group.spawn(to_downstream());
    co_await group.join();
  }

 private:
  Task<void> to_upstream(Buffer initial) {
    info_.bytes_received += initial.size();
    stats_.downstream_cx_rx_bytes_total.add(initial.size());
    const Result<void> end = co_await copy(downstream_, upstream_, std::move(initial), &Relay::received);
    if (!end) close(end.error().code);
  }
  Task<void> to_downstream() {
    const Result<void> end = co_await copy(upstream_, downstream_, Buffer(), &Relay::sent);
    if (!end) close(end.error().code);
  }

  /// Until the source's end, which is passed on.
  Task<Result<void>> copy(Transport& from, Transport& to, Buffer bytes, void (Relay::*count)(std::size_t)) {
    for (;;) {
      while (!bytes.empty()) {
        const Result<std::size_t> written = to.try_write(bytes);
        if (written) continue;
        if (written.error().code != Errc::would_block) co_return written.error();
        const Result<void> ready = co_await to.writable();
        if (!ready) co_return ready.error();
      }
      const Result<std::size_t> got = from.try_read(bytes, read_size);
      if (got) {
        (this->*count)(*got);
        last_ = clock_.now();
        continue;
      }
      if (got.error().code == Errc::eof) break;
      if (got.error().code != Errc::would_block) co_return got.error();
      const Result<void> ready = co_await from.readable();
      if (!ready) co_return ready.error();
    }
    for (;;) {
      const Result<void> ended = to.shutdown_write();
      if (ended || ended.error().code != Errc::would_block) co_return ended;
      const Result<void> ready = co_await to.writable();
      if (!ready) co_return ready.error();
    }
  }

  void received(std::size_t n) {
    info_.bytes_received += n;
    stats_.downstream_cx_rx_bytes_total.add(n);
  }
  void sent(std::size_t n) {
    info_.bytes_sent += n;
    stats_.downstream_cx_tx_bytes_total.add(n);
  }

  void idle_expired() {
    const Duration idle = clock_.now() - last_;
    if (idle < idle_timeout_) return idle_.arm(idle_timeout_ - idle);
    stats_.idle_timeout.add();
    info_.connection_termination_details = "tcp_session_idle_timeout";
    close(Errc::idle_timeout);
  }
  void life_expired() {
    stats_.max_downstream_connection_duration.add();
    info_.flags.set(ResponseFlag::duration_timeout);
    info_.connection_termination_details = "max_connection_duration_reached";
    close(Errc::max_stream_duration);
  }
  void close(Errc cause) {
    // A reset on one side is a reset on the other: an end that looks orderly would hide lost bytes.
    const bool reset = cause == Errc::connection_reset;
    downstream_.close(cause, reset);
    upstream_.close(cause, reset);
  }

  Transport& downstream_;
  Transport& upstream_;
  TcpProxyStats& stats_;
  StreamInfo& info_;
  const Clock& clock_;
  const Duration idle_timeout_;
  TimePoint last_;
  Timer idle_, life_;
};

void record(StreamInfo& info, const ClusterState& cluster, const Host& host) {
  info.cluster = cluster.cluster();
  info.upstream_remote = host.endpoint->address;
  info.upstream_workload = host.endpoint->workload;
}

void record_tls(StreamInfo& info, const TlsInfo* tls) {
  if (!tls) return;
  info.upstream_tls_version = tls->version;
  info.upstream_tls_cipher = tls->cipher;
  if (tls->peer && !tls->peer->uri_sans.empty()) info.upstream_peer_san = tls->peer->uri_sans.front();
}

/// A connected socket, or null with the flags that say why.
Task<std::unique_ptr<UpstreamSocket>> connect_upstream(ClusterManager& clusters, ClusterState& cluster, const ConnectionInfo& connection,
                                                       const TcpProxy& config, StreamInfo& info) {
  Worker& worker = clusters.worker();
  const std::uint32_t attempts = std::max(1u, config.max_connect_attempts);
  for (std::uint32_t attempt = 1;; ++attempt) {
    info.attempts = attempt;
    DrawContext context;
    if (config.hash_source_ip) context.hash = hash_source_ip(connection);
    if (connection.local_restored) context.original_destination = &connection.local;
    Host* const host = cluster.choose(context);
    if (!host) {
      info.flags.set(ResponseFlag::no_healthy_upstream);
      co_return nullptr;
    }
    record(info, cluster, *host);
    ResourceToken token;
    if (!cluster.breakers().take_connection(cluster.cluster()->circuit_breakers, token)) {
      cluster.stats()->upstream_cx_overflow.add();
      info.flags.set(ResponseFlag::upstream_overflow);
      co_return nullptr;
    }
    auto socket = std::make_unique<UpstreamSocket>(worker, cluster, host->state, std::move(token));
    const UpstreamTarget target = cluster.target(*host, {}, nullptr);
    Connected result = co_await clusters.connector().connect(worker, target);
    if (result) {
      info.upstream_local = result.local;
      info.upstream_transport_failure_reason.clear();
      socket->connected(std::move(result.transport), target.tls);
      record_tls(info, socket->transport().tls());
      co_return socket;
    }
    socket->failed(result.error);
    info.upstream_transport_failure_reason = std::move(result.failure);
    if (attempt < attempts && !cluster.retired()) continue;
    cluster.stats()->upstream_cx_connect_attempts_exceeded.add();
    info.flags.set(ResponseFlag::upstream_connection_failure);
    info.flags.set(ResponseFlag::upstream_retry_limit_exceeded);
    co_return nullptr;
  }
}

}  // namespace

void TcpProxyStats::collect(std::string_view prefix, StatSink& sink) const {
  const std::string name = std::string(prefix) + ".";
  sink.counter(name + "downstream_cx_total", downstream_cx_total.value());
  sink.counter(name + "downstream_cx_no_route", downstream_cx_no_route.value());
  sink.counter(name + "downstream_cx_rx_bytes_total", downstream_cx_rx_bytes_total.value());
  sink.counter(name + "downstream_cx_tx_bytes_total", downstream_cx_tx_bytes_total.value());
  sink.counter(name + "idle_timeout", idle_timeout.value());
  sink.counter(name + "max_downstream_connection_duration", max_downstream_connection_duration.value());
  sink.gauge(name + "downstream_cx_active", downstream_cx_active.value());
}

Task<void> proxy_tcp(TcpService service, Transport& downstream, Buffer initial, const ConnectionInfo& connection, const TcpProxy& config,
                     StreamInfo& info) {
  service.stats.downstream_cx_total.add();
  service.stats.downstream_cx_active.add();
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
    Relay relay(worker, downstream, upstream->transport(), config, service.stats, info);
    co_await relay.run(worker, std::move(initial));
    info.upstream_bytes_sent = upstream->transport().wire_bytes_written();
    info.upstream_bytes_received = upstream->transport().wire_bytes_read();
    upstream->transport().close(Errc::eof);
  }
  downstream.close(Errc::eof);
  service.stats.downstream_cx_active.sub();
}

}  // namespace clew
