// The whole configuration of the data path at one moment: immutable, shared, swapped by pointer. Built on the control
// thread (config/xds/config_store), read by workers without any lock. Parts that did not change are the same
// pointers in the next snapshot. A snapshot is valid resource by resource; a route may name a cluster that is absent
// (503 NC).
#pragma once

#include "config/snapshot/cluster.h"
#include "config/snapshot/listener.h"
#include "config/snapshot/name_map.h"
#include "config/snapshot/route.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace clew {

class TlsContext;  // proxy/net/tls_context.h

/// A cluster with its endpoints; endpoints is null while they are not known (DNS not resolved yet: no healthy
/// upstream).
struct ClusterEntry {
  std::shared_ptr<const Cluster> cluster;
  std::shared_ptr<const LoadAssignment> endpoints;
};

using TlsContexts = std::vector<std::shared_ptr<const TlsContext>>;

struct Snapshot {
  std::uint64_t version = 0;
  NameMap<Listener> listeners;     // active ones only, static and dynamic
  NameMap<RouteTable> routes;      // by RDS name
  NameMap<ClusterEntry> clusters;  // warm ones only
  /// By TlsParams::slot. Null: a secret it needs has not arrived, handshakes fail meanwhile.
  std::shared_ptr<const TlsContexts> tls;

  const TlsContext* tls_context(const TlsParams& params) const {
    return tls && params.slot < tls->size() ? (*tls)[params.slot].get() : nullptr;
  }
};

using SnapshotPtr = std::shared_ptr<const Snapshot>;

/// What differs from the snapshot before: a worker's work follows this and not the size of the mesh.
struct Changes {
  std::vector<std::string> listeners, routes, clusters;
  bool tls = false;
};

/// A snapshot on its way to the workers. Neither is null.
struct Update {
  SnapshotPtr snapshot;
  std::shared_ptr<const Changes> changes;
};

}  // namespace clew
