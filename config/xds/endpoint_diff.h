// What of an assignment's bytes has been decoded before. EDS sends a cluster's endpoints whole, however few changed:
// those whose bytes are equal to one of the version before are shared with it, neither parsed nor checked again.
#pragma once

#include "config/snapshot/cluster.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace clew {

struct EndpointDiff {
  std::string rest;  // the ClusterLoadAssignment without the endpoints that are known
  /// Of each locality in turn; null: the next one of this locality in rest.
  std::vector<std::vector<EndpointPtr>> localities;
};

/// bytes: a serialized ClusterLoadAssignment; old_bytes: the one that `old` was decoded from. Nothing when there is
/// nothing to gain, or when bytes are not well-formed.
std::optional<EndpointDiff> diff_endpoints(const std::string& bytes, const std::string& old_bytes,
                                           const LoadAssignment& old);

}  // namespace clew
