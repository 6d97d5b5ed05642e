#include "proxy/stats/stats.h"

#include "proxy/stats/histogram_buckets.h"

#include <algorithm>
#include <cmath>

namespace clew {

void Histogram::record(double value) {
  if (std::isnan(value)) return;
  const std::vector<double>& bounds = all_histogram_bounds();
  if (counts_.empty()) counts_.resize(bounds.size() + 1);
  const auto bound = std::lower_bound(bounds.begin(), bounds.end(), value);
  ++counts_[static_cast<std::size_t>(bound - bounds.begin())];
  sum_ += value;
}

}  // namespace clew
