// The whole proxy: builds every object, starts them in order, stops them in order. One per process. Everything but the
// construction of workers and their join happens on the control thread, which is the one that calls run().
#pragma once

#include "config/bootstrap/bootstrap.h"
#include "config/bootstrap/command_line.h"
#include "config/snapshot/stat_filter.h"
#include "config/xds/xds_session.h"
#include "proxy/admin/process.h"
#include "proxy/admin/server.h"
#include "proxy/stats/stat_snapshot.h"
#include "proxy/stats/tag_extractor.h"
#include "proxy/upstream/dns_clusters.h"
#include "proxy/upstream/forward.h"
#include "proxy/worker_runtime.h"

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace clew {

class App final : public Process, private Watched {
 public:
  App(CommandLine options, Bootstrap bootstrap);
  ~App() override;

  /// Takes the static resources in. What is wrong with them, or nothing. `--mode validate` ends here.
  std::string load();
  /// Opens the admin interface and starts the workers with their static listeners. What failed, or nothing.
  std::string start();
  /// Serves until quit() or a signal; the process's exit code.
  int run();

  // Process
  ServerState state() const override;
  Duration uptime() const override { return clock_.now() - started_; }
  WallTime started() const override { return started_wall_; }
  WallTime now() const override { return clock_.wall(); }
  std::string version() const override;
  unsigned concurrency() const override { return static_cast<unsigned>(workers_.size()); }
  const CommandLine& command_line() const override { return options_; }
  const Bootstrap& bootstrap() const override { return bootstrap_; }
  const ConfigStore& config() const override { return const_cast<App*>(this)->xds_.store(); }
  Task<StatSnapshot> stats(StatSelection filter) override;
  TagExtractor& tags() override { return tags_; }
  Task<ClusterEndpointTotals> endpoint_stats() override;
  void drain_listeners(const DrainRequest& request) override;
  void fail_health_check(bool failing) override;
  void reset_counters(const StatSnapshot& now) override;
  void reopen_logs() override;
  void quit() override;

 private:
  /// A signal has come.
  void on_ready(std::uint32_t events) override;
  void on_worker_open();
  void publish(const Update& update);
  std::int64_t days_until_expiry() const;
  void collect_server(StatSink& sink) const;
  void on_bind_failure(const BindFailure& failure);
  Task<void> shut_down();
  void stop_workers();

  const int signals_;  // a descriptor
  const CommandLine options_;
  const Bootstrap bootstrap_;
  SystemClock clock_;
  TimePoint started_ = clock_.now();
  WallTime started_wall_ = clock_.wall();

  SharedState upstreams_;
  NetConnector connector_;
  LogSinks logs_;
  ConnectionLimit connections_;
  StatFilter stat_filter_;
  TagExtractor tags_;

  Worker control_;
  ClusterManager control_clusters_;
  UpstreamForwarder control_forwarder_;
  CaresResolver resolver_;
  DnsClusters dns_;
  XdsSession xds_;
  AdminServer admin_;
  std::vector<std::unique_ptr<WorkerRuntime>> workers_;
  std::size_t workers_opening_ = 0;  // have not yet taken the first snapshot, with its listeners
  TimePoint workers_open_at_{};
  bool workers_started_ = false, unhealthy_ = false, quitting_ = false;
  StatSnapshot counted_before_;  // what /reset_counters takes away
  std::set<std::string> bind_failures_;
  enum class Drained : std::uint8_t { none, inbound, all } drained_ = Drained::none;  // by request
  std::optional<Timer> drain_end_;
};

}  // namespace clew
