// Which metrics exist: stats_config.stats_matcher of Envoy's bootstrap.
#pragma once

#include "config/snapshot/matcher.h"

#include <cstdint>
#include <string_view>
#include <vector>

namespace clew {

struct StatFilter {
  enum class Mode : std::uint8_t { all, none, inclusion, exclusion } mode = Mode::all;
  std::vector<StringMatcher> patterns;
  bool includes(std::string_view name) const;
};

}  // namespace clew
