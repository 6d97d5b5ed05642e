// Jittered exponential back-off of one stream's reconnects, as Envoy's: each wait is drawn evenly from [0, ceiling),
// and the ceiling doubles from 500 ms to 30 s. A stream that delivered something starts over.
#pragma once

#include "proxy/base/clock.h"

#include <algorithm>
#include <cstdint>

namespace clew {

class Backoff {
 public:
  static constexpr Duration base = std::chrono::milliseconds(500);
  static constexpr Duration limit = std::chrono::seconds(30);

  Duration next(std::uint64_t random) {
    const Duration wait{static_cast<Duration::rep>(random % static_cast<std::uint64_t>(ceiling_.count()))};
    ceiling_ = std::min(ceiling_ * 2, limit);
    return wait;
  }
  void reset() { ceiling_ = base; }

 private:
  Duration ceiling_ = base;
};

}  // namespace clew
