// GET /clusters, as text and as envoy.admin.v3.Clusters (what `istioctl proxy-config endpoints` reads).
#pragma once

#include "proxy/admin/admin.h"

namespace clew {

AdminResponse clusters_text(const ConfigStore& store, const ClusterEndpointTotals& stats, const Regex* filter);
AdminResponse clusters_json(const ConfigStore& store, const ClusterEndpointTotals& stats, const Regex* filter);

}  // namespace clew
