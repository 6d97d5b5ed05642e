#include "proxy/stats/stats.h"

#include <algorithm>
#include <cmath>

namespace clew {

namespace {

void add(std::atomic<std::uint64_t>& count) {
  count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

}  // namespace

void Histogram::record(double value) {
  if (std::isnan(value)) return;
  const auto bound = std::lower_bound(bounds.begin(), bounds.end(), value);
  add(counts_[static_cast<std::size_t>(bound - bounds.begin())]);
  sum_.store(sum_.load(std::memory_order_relaxed) + value, std::memory_order_relaxed);
}

Histogram::Counts Histogram::counts() const {
  Counts out;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = counts_[i].load(std::memory_order_relaxed);
  return out;
}

}  // namespace clew
