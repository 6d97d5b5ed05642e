// The beginning of the names under which statistics of an object are told.
#pragma once

#include "config/snapshot/cluster.h"

#include <string>

namespace clew {

/// «cluster.» and the alt_stat_name or name, with «:» replaced as Envoy does.
std::string cluster_stat_prefix(const Cluster& cluster);

/// «listener.0.0.0.0_15006», of the address that it listens at.
std::string listener_stat_prefix(const Address& address);

}  // namespace clew
