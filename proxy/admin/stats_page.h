// GET /stats and /stats/prometheus: the queries of the agent, istioctl, Prometheus and people.
#pragma once

#include "proxy/admin/admin.h"
#include "proxy/stats/render.h"

namespace clew {

/// Of «filter» and «invert_filter»: what is wrong with them, or nothing. A pattern is searched anywhere in a name, as
/// Envoy does.
std::string read_stat_selection(const Query& query, StatSelection& into);
AdminResponse stats_page(const StatSnapshot& snapshot, const Query& query, TagExtractor& tags);
AdminResponse prometheus_page(const StatSnapshot& snapshot, const Query& query, TagExtractor& tags);

}  // namespace clew
