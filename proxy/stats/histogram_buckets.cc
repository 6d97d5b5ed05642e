#include "proxy/stats/histogram_buckets.h"

#include <algorithm>
#include <utility>

namespace clew {

namespace {

const std::vector<double> defaults{0.5,  1,    5,     10,    25,    50,     100,    250,     500,    1000,
                                   2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000};

struct Settings {
  std::vector<HistogramBuckets> by_name;
  std::vector<double> all = defaults;
};

Settings settings;

}  // namespace

void set_histogram_buckets(std::vector<HistogramBuckets> by_name) {
  Settings fresh;
  for (const HistogramBuckets& setting : by_name)
    fresh.all.insert(fresh.all.end(), setting.bounds.begin(), setting.bounds.end());
  std::sort(fresh.all.begin(), fresh.all.end());
  fresh.all.erase(std::unique(fresh.all.begin(), fresh.all.end()), fresh.all.end());
  fresh.by_name = std::move(by_name);
  settings = std::move(fresh);
}

const std::vector<double>& histogram_bounds(std::string_view name) {
  for (const HistogramBuckets& setting : settings.by_name)
    if (setting.matches(name)) return setting.bounds;
  return defaults;
}

const std::vector<double>& all_histogram_bounds() { return settings.all; }

}  // namespace clew
