// What updates of the configuration count, under Envoy's names: cluster_manager.*, listener_manager.*, control_plane.*,
// http.PREFIX.rds.NAME.*. As the agent's readiness and people read them. Written by the control thread.
#pragma once

#include "proxy/base/clock.h"
#include "proxy/base/strings.h"
#include "proxy/stats/stats.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace clew {

/// One subscription: to all clusters, to all listeners, or to one route table. An attempt is its start and each
/// outcome.
struct SubscriptionStats {
  void begun() { update_attempt.add(); }
  /// took: from the response's arrival until it was in service or waiting for what it refers to.
  void accepted(std::string_view version, WallTime now, Duration took);
  void rejected() { outcome(update_rejected); }
  /// The stream ended, or could not be opened.
  void failed() { outcome(update_failure); }
  void timed_out() { outcome(init_fetch_timeout); }
  /// Something in it was new.
  void reloaded(WallTime now);

  /// prefix: «cluster_manager.cds.»
  void collect(const std::string& prefix, StatSink& sink) const;
  /// Of those who tell it: listeners are told apart by other counters.
  void collect_reloads(const std::string& prefix, StatSink& sink) const;

 private:
  void outcome(Counter& counter) {
    counter.add();
    update_attempt.add();
  }
  Counter update_attempt, update_success, update_rejected, update_failure, init_fetch_timeout, config_reload;
  Gauge update_time, config_reload_time;  // ms since 1970
  Gauge version;                          // hash of the text
  Histogram update_duration;              // ms
  std::string version_text;
};

/// Updates of one cluster's endpoints: cluster.NAME.update_* and membership_change. Small, since there are thousands.
struct EndpointUpdates {
  std::uint32_t attempt = 0, success = 0, failure = 0, rejected = 0, empty = 0, no_rebuild = 0, fetch_timeout = 0,
                membership_change = 0;
  /// As of any subscription, an attempt is its start and each outcome.
  void begun() { attempt += attempt == 0 ? 1 : 0; }
  void outcome(std::uint32_t EndpointUpdates::* of) {
    ++(this->*of);
    ++attempt;
  }
  /// prefix: «cluster.NAME.»
  void collect(const std::string& prefix, StatSink& sink) const;
};
/// As the gauge of a subscription says it: a number that another text does not have; 0: none yet.
std::int64_t version_hash(std::string_view version);

struct ConfigStats final : StatSource {
  SubscriptionStats cds, lds;
  StringMap<SubscriptionStats> rds;  // by name of the route table
  Counter cluster_added, cluster_modified, cluster_removed, listener_added, listener_modified, listener_removed;
  Counter listener_in_place_updated;
  Gauge active_clusters, warming_clusters, listeners_active, listeners_warming, connected_state;
  std::string control_plane;  // who it said it was

  /// All but rds, whose names have the prefix of a connection manager in them.
  void collect(StatSink& sink) const override;
};

}  // namespace clew
