// One worker with everything that lives on it: its loop and thread, clusters, listeners, logs and counters; and the
// dispatch from a connection's filter chain to what serves it. Made, started and stopped by the app; all else happens
// on the worker's thread.
#pragma once

#include "proxy/http/server_connection.h"
#include "proxy/net/listener_set.h"
#include "proxy/telemetry/access_logger.h"
#include "proxy/upstream/cluster_manager.h"
#include "proxy/upstream/forward.h"
#include "proxy/upstream/tcp_proxy.h"

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace clew {

class WorkerRuntime final : public ConnectionHandler, public StatSource {
 public:
  /// Of the process; outlives the workers.
  struct Shared {
    const Clock& clock;
    SharedState& upstreams;
    Connector& connector;
    LogSinks& logs;
    ConnectionLimit& connections;
    std::function<void(const BindFailure&)> on_bind_failure;  // called on the worker's thread
    Duration drain_time;
  };

  WorkerRuntime(unsigned index, const Shared& shared);
  ~WorkerRuntime() override;

  Worker& worker() { return worker_; }
  const ClusterManager& clusters() const { return clusters_; }
  ListenerSet& listeners() { return listeners_; }

  void start();
  /// Any thread: ends connections and the loop; join() waits for it.
  void stop();
  void join();

  Task<void> serve(Transport& transport, ConnectionInfo& connection, ConnectionRecord& record, Buffer initial,
                   DrainSignal& drain) override;
  void on_connection_done(const ConnectionInfo& connection, const StreamInfo& info) noexcept override;
  void collect(StatSink& sink) const override;

 private:
  Task<void> serve_tcp(Transport& transport, const ConnectionInfo& connection, StreamInfo& info, Buffer initial);
  Task<void> shut_down();

  Worker worker_;
  ClusterManager clusters_;
  UpstreamForwarder forwarder_;
  AccessLogger logger_;
  /// Of a stat_prefix: one of each listener, added up when they are told.
  using ByListener = std::vector<std::pair<Address, std::unique_ptr<HttpServerStats>>>;
  HttpServerStats& http_stats(const std::string& stat_prefix, const Address& listener);

  StringMap<ByListener> http_stats_;
  StringMap<std::unique_ptr<TcpProxyStats>> tcp_stats_;
  ListenerSet listeners_;
  std::thread thread_;
};

}  // namespace clew
