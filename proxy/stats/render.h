// A snapshot as text: Envoy's «name: value» lines, its JSON, and the Prometheus exposition exactly as Envoy prints it.
// Gauges come out as unsigned 64 bits, which is what Envoy's are.
#pragma once

#include "proxy/stats/stat_snapshot.h"
#include "proxy/stats/tag_extractor.h"

#include <cstdint>
#include <optional>
#include <string>

namespace clew {

/// How to show a snapshot: parameters of /stats and /stats/prometheus.
struct StatQuery {
  /// Counters that ever counted, histograms that have a value. Gauges are all used: nothing reports one it does not
  /// have.
  bool used_only = false;
  std::optional<StatSnapshot::Kind> kind;
  enum class Buckets : std::uint8_t { summary, cumulative, disjoint } buckets = Buckets::summary;  // text only
  bool text_readouts = false;  // Prometheus: texts as gauges
};

/// Texts first, then counters and gauges, then histograms, each sorted by name.
std::string stats_text(const StatSnapshot& snapshot, const StatQuery& query);
std::string stats_json(const StatSnapshot& snapshot, const StatQuery& query);
/// Names get the prefix «envoy_», except in the namespaces of Istio's own metrics («istiocustom.», «wasmcustom.»),
/// which go away.
std::string stats_prometheus(const StatSnapshot& snapshot, const StatQuery& query, TagExtractor& tags);

}  // namespace clew
