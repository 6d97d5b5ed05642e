// The clusters of one worker, by name: made at first use, kept up to date by the names that a publish carries.
#pragma once

#include "proxy/stats/stats.h"
#include "proxy/upstream/cluster_state.h"

#include <memory>
#include <string_view>

namespace clew {

class ClusterManager final : public StatSource {
 public:
  /// Registers with the worker, which must outlive it, as connector and shared state must.
  ClusterManager(Worker& worker, Connector& connector, SharedState& shared);
  ClusterManager(const ClusterManager&) = delete;
  ~ClusterManager() override;

  /// Null: the snapshot has no such cluster. Keep the pointer across suspensions; a cluster that goes meanwhile draws
  /// nothing.
  std::shared_ptr<ClusterState> find(std::string_view name);

  /// Ends every connection and every wait with `cause`, for shutdown: what waits finishes when the loop runs on.
  void close(Errc cause);

  /// Per-worker metrics of the clusters that were used here: cluster.NAME.*
  void collect(StatSink& sink) const override;
  /// For /clusters: clusters used on this worker, with their endpoints.
  void for_each(const std::function<void(const ClusterState&)>& visit) const;

  Worker& worker() const { return worker_; }
  Connector& connector() const { return connector_; }

 private:
  void on_update(const Update& update);

  Worker& worker_;
  Connector& connector_;
  SharedState& shared_;
  StringMap<std::shared_ptr<ClusterState>> clusters_;
};

/// cluster.NAME.membership_* and max_host_weight: they are the same on every worker, so they come from the snapshot.
void collect_membership(const Snapshot& snapshot, StatSink& sink);
/// Envoy's circuit_breakers.PRIORITY.*_open of every cluster: 1 when nothing more is let through; and remaining_* where
/// they are asked for.
void collect_circuit_breakers(const Snapshot& snapshot, SharedState& shared, StatSink& sink);

}  // namespace clew
