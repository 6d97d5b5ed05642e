#include "config/snapshot/stat_prefix.h"

#include <algorithm>

namespace clew {

std::string cluster_stat_prefix(const Cluster& cluster) {
  std::string prefix = "cluster." + (cluster.alt_stat_name.empty() ? cluster.name : cluster.alt_stat_name);
  std::replace(prefix.begin(), prefix.end(), ':', '_');
  return prefix;
}

std::string listener_stat_prefix(const Address& address) {
  std::string prefix = "listener." + address.to_string();
  std::replace(prefix.begin(), prefix.end(), ':', '_');
  return prefix;
}

}  // namespace clew
