// What the admin interface sees of the running proxy, and may ask of it. Implemented by proxy/app; control thread only.
#pragma once

#include "config/xds/config_store.h"
#include "proxy/net/task.h"
#include "proxy/stats/stats.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace google::protobuf {
class Message;
}

namespace clew {

struct Bootstrap;
struct CommandLine;
class StatSnapshot;
struct StatSelection;
class TagExtractor;

/// envoy.admin.v3.ServerInfo.State
enum class ServerState : std::uint8_t { live = 0, draining = 1, pre_initializing = 2, initializing = 3 };

struct DrainRequest {
  bool graceful = false, inbound_only = false, skip_exit = false;
};

/// Counters of one endpoint, summed over workers.
struct EndpointTotals {
  std::uint64_t cx_active = 0, cx_connect_fail = 0, cx_total = 0, rq_active = 0, rq_error = 0, rq_success = 0,
                rq_timeout = 0, rq_total = 0;
  bool ejected = false;  // by any worker

  EndpointTotals& operator+=(const EndpointTotals& other) {
    cx_active += other.cx_active;
    cx_connect_fail += other.cx_connect_fail;
    cx_total += other.cx_total;
    rq_active += other.rq_active;
    rq_error += other.rq_error;
    rq_success += other.rq_success;
    rq_timeout += other.rq_timeout;
    rq_total += other.rq_total;
    ejected = ejected || other.ejected;
    return *this;
  }
};
/// By cluster, then by the endpoint's address as text.
using ClusterEndpointTotals = StringMap<StringMap<EndpointTotals>>;

class Process {
 public:
  virtual ~Process() = default;
  virtual ServerState state() const = 0;
  virtual Duration uptime() const = 0;
  virtual WallTime started() const = 0;
  virtual WallTime now() const = 0;
  virtual std::string version() const = 0;  // «SHA/1.40.0/Clean/RELEASE/…», as istioctl takes it apart
  virtual unsigned concurrency() const = 0;
  virtual const CommandLine& command_line() const = 0;
  virtual const Bootstrap& bootstrap() const = 0;
  virtual const ConfigStore& config() const = 0;
  /// The metrics of every thread that the filter asks for, merged: suspends while workers add theirs.
  virtual Task<StatSnapshot> stats(StatSelection filter) = 0;
  virtual TagExtractor& tags() = 0;
  virtual Task<ClusterEndpointTotals> endpoint_stats() = 0;
  virtual void drain_listeners(const DrainRequest& request) = 0;
  /// POST /healthcheck/fail and /ok: DRAINING, and connections end after what is under way, until it is taken back.
  virtual void fail_health_check(bool failing) = 0;
  /// Counters and histograms count from `now` on.
  virtual void reset_counters(const StatSnapshot& now) = 0;
  virtual void reopen_logs() = 0;
  virtual void quit() = 0;
};

}  // namespace clew
