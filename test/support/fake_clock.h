// Time that a test moves by hand.
#pragma once

#include "proxy/base/clock.h"

namespace clew {

class FakeClock final : public Clock {
 public:
  TimePoint now() const override { return now_; }
  WallTime wall() const override { return wall_; }
  void advance(Duration by) {
    now_ += by;
    wall_ += by;
  }

 private:
  TimePoint now_{std::chrono::hours(1)};
  WallTime wall_{std::chrono::seconds(1767225600)};  // 2026-01-01T00:00:00Z
};

}  // namespace clew
