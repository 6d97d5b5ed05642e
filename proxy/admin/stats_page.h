// GET /stats and /stats/prometheus: the queries of the agent, istioctl, Prometheus and people.
#pragma once

#include "proxy/admin/admin.h"
#include "proxy/stats/render.h"

namespace clew {

AdminResponse stats_page(const StatSnapshot& snapshot, const Query& query, TagExtractor& tags);
AdminResponse prometheus_page(const StatSnapshot& snapshot, const Query& query, TagExtractor& tags);

}  // namespace clew
