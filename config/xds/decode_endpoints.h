// Endpoints, from EDS or inside a cluster.
#pragma once

#include "config/snapshot/cluster.h"
#include "config/xds/scope.h"

namespace envoy::config::endpoint::v3 {
class ClusterLoadAssignment;
}

namespace clew {

/// names: host names stand for addresses (DNS clusters): they go to Endpoint::hostname, and only the port of address
/// counts.
std::shared_ptr<const LoadAssignment> decode_load_assignment(
    const envoy::config::endpoint::v3::ClusterLoadAssignment& message, bool names, Scope& scope);

}  // namespace clew
