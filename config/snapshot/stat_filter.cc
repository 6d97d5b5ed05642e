#include "config/snapshot/stat_filter.h"

#include <algorithm>

namespace clew {

bool StatFilter::includes(std::string_view name) const {
  if (mode == Mode::all || mode == Mode::none) return mode == Mode::all;
  const bool matched =
      std::any_of(patterns.begin(), patterns.end(), [&](const auto& pattern) { return pattern.matches(name); });
  return matched == (mode == Mode::inclusion);
}

}  // namespace clew
