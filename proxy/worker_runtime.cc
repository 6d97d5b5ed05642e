#include "proxy/worker_runtime.h"

#include "config/snapshot/stat_prefix.h"
#include "filters/network/metadata_exchange.h"
#include "proxy/net/time_slice.h"

#include <pthread.h>

#include <algorithm>

namespace clew {

namespace {

// A turn of the loop takes less: a request waits for what shares the core (the application, other pods, our own control
// thread) no longer than this.
constexpr Duration time_slice = std::chrono::microseconds(100);

const WrapUpstream wrap_upstream = [](std::unique_ptr<Transport> upstream, const Cluster& cluster, StreamInfo& info) {
  if (!cluster.tcp_metadata_exchange) return upstream;
  return wrap_upstream_metadata_exchange(
      std::move(upstream), [&info](std::shared_ptr<const PeerWorkload> peer) { info.upstream_peer = std::move(peer); });
};

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
  const HttpService service{worker_, forwarder_, logger_,
                            http_stats((*manager)->stat_prefix, connection.listener->address)};
  return serve_http(service, transport, std::move(initial), connection, **manager, drain);
}

/// Made at the first connection.
HttpServerStats& WorkerRuntime::http_stats(const std::string& stat_prefix, const Address& listener) {
  ByListener& all = http_stats_[stat_prefix];
  const auto known = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.first == listener; });
  if (known != all.end()) return *known->second;
  return *all.emplace_back(listener, std::make_unique<HttpServerStats>()).second;
}

Task<void> WorkerRuntime::serve_tcp(Transport& transport, const ConnectionInfo& connection, StreamInfo& info,
                                    Buffer initial) {
  const TcpProxy& proxy = *std::get<std::shared_ptr<const TcpProxy>>(connection.chain->terminal);
  auto& stats = tcp_stats_[proxy.stat_prefix];
  if (!stats) stats = std::make_unique<TcpProxyStats>();
  const TcpService service{clusters_, *stats, wrap_upstream};
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
  for (const auto& [prefix, all] : http_stats_) {
    for (const auto& [listener, stats] : all) {
      stats->collect("http." + prefix, sink);
      stats->collect_answers(listener_stat_prefix(listener) + ".http." + prefix, sink);
    }
  }
  for (const auto& [prefix, stats] : tcp_stats_) stats->collect("tcp." + prefix, sink);
}

}  // namespace clew
