#include "proxy/worker_runtime.h"

#include "filters/network/metadata_exchange.h"
#include "proxy/net/time_slice.h"

#include <pthread.h>

namespace clew {

namespace {

// A turn of the loop takes less: a request waits for what shares the core (the application, other pods, our own control
// thread) no longer than this.
constexpr Duration time_slice = std::chrono::microseconds(100);

const WrapUpstream wrap_upstream = [](std::unique_ptr<Transport> upstream, const Cluster& cluster, StreamInfo& info) {
  if (!cluster.tcp_metadata_exchange) return upstream;
  return wrap_upstream_metadata_exchange(std::move(upstream), [&info](PeerMetadata peer) {
    info.upstream_peer_id = std::move(peer.id);
    info.upstream_peer = std::move(peer.metadata);
  });
};

/// One of each stat_prefix, made at its first connection.
template <class Stats>
Stats& find_or_make(StringMap<std::unique_ptr<Stats>>& all, const std::string& stat_prefix) {
  auto& stats = all[stat_prefix];
  if (!stats) stats = std::make_unique<Stats>();
  return *stats;
}

}  // namespace

WorkerRuntime::WorkerRuntime(unsigned index, const Shared& shared)
    : worker_(index, shared.clock),
      clusters_(worker_, shared.connector, shared.upstreams),
      forwarder_(clusters_),
      logger_(worker_, shared.logs),
      listeners_(worker_, {.handler = *this,
                           .limit = shared.connections,
                           .on_bind_failure = shared.on_bind_failure,
                           .drain_time = shared.drain_time}) {}

WorkerRuntime::~WorkerRuntime() = default;

void WorkerRuntime::start() {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), ("wrk:" + std::to_string(worker_.index())).c_str());
    ask_for_time_slice(time_slice);  // without it we are as late as others, no more
    worker_.run();
  });
}

void WorkerRuntime::stop() {
  worker_.post([this] { spawn(worker_.loop(), shut_down()); });
}

Task<void> WorkerRuntime::shut_down() {
  clusters_.close(Errc::canceled);
  co_await listeners_.close(Errc::canceled);
  logger_.flush();
  worker_.stop();
}

void WorkerRuntime::join() {
  if (thread_.joinable()) thread_.join();
}

Task<void> WorkerRuntime::serve(Transport& transport, ConnectionInfo& connection, ConnectionRecord& record,
                                Buffer initial, DrainSignal& drain) {
  const auto* manager = std::get_if<std::shared_ptr<const HttpConnectionManager>>(&connection.chain->terminal);
  if (!manager) return serve_tcp(transport, connection, record.get(), std::move(initial));
  const HttpService service{worker_, forwarder_, logger_, find_or_make(http_stats_, (*manager)->stat_prefix)};
  return serve_http(service, transport, std::move(initial), connection, **manager, drain);
}

Task<void> WorkerRuntime::serve_tcp(Transport& transport, const ConnectionInfo& connection, StreamInfo& info,
                                    Buffer initial) {
  const TcpProxy& proxy = *std::get<std::shared_ptr<const TcpProxy>>(connection.chain->terminal);
  const TcpService service{clusters_, find_or_make(tcp_stats_, proxy.stat_prefix), wrap_upstream};
  co_await proxy_tcp(service, transport, std::move(initial), connection, proxy, info);
  logger_.log_connection(proxy.access_logs, connection, info);
}

void WorkerRuntime::on_connection_done(const ConnectionInfo& connection, const StreamInfo& info) noexcept {
  if (connection.listener) logger_.log_connection(connection.listener->access_logs, connection, info);
}

void WorkerRuntime::collect(StatSink& sink) const {
  clusters_.collect(sink);
  listeners_.collect(sink);
  logger_.collect(sink);
  for (const auto& [prefix, stats] : http_stats_) stats->collect("http." + prefix, sink);
  for (const auto& [prefix, stats] : tcp_stats_) stats->collect("tcp." + prefix, sink);
}

}  // namespace clew
