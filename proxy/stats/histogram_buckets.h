// Which buckets histograms have: stats_config.histogram_bucket_settings of Envoy's bootstrap. Set once, before there
// are histograms and threads.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

namespace clew {

struct HistogramBuckets {
  std::function<bool(std::string_view name)> matches;  // of the dotted name
  std::vector<double> bounds;                          // upper ends, ascending
};

void set_histogram_buckets(std::vector<HistogramBuckets> settings);

/// Of the first setting that matches, or Envoy's default: 0.5 … 3,600,000.
const std::vector<double>& histogram_bounds(std::string_view name);
/// The default and those of all settings, ascending: what values are counted in.
const std::vector<double>& all_histogram_bounds();

}  // namespace clew
