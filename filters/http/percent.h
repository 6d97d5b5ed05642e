// Chance, for filters that act on a share of requests.
#pragma once

#include "proxy/net/worker.h"

namespace clew {

/// True for `percent` (0 … 100, to a millionth) of the draws.
inline bool draw_percent(Worker& worker, double percent) {
  if (percent >= 100) return true;
  if (percent <= 0) return false;
  return static_cast<double>(worker.random() % 100'000'000) < percent * 1'000'000;
}

}  // namespace clew
