// How fast lines that others cause may fill the process log: the first few as they come, then one each so often, which
// says how many were left out before it. One thread.
#pragma once

#include "proxy/base/clock.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace clew {

class LogPace {
 public:
  static constexpr std::uint64_t burst = 20;
  static constexpr Duration every = std::chrono::seconds(10);

  /// A line may be written now, with these words at its end; nothing: leave it out.
  std::optional<std::string> turn(TimePoint now) {
    const auto earned = static_cast<std::uint64_t>((now - since_) / every);
    since_ += every * static_cast<Duration::rep>(earned);
    left_ = std::min(burst, left_ + std::min(burst, earned));
    if (left_ == 0) {
      ++omitted_;
      return std::nullopt;
    }
    --left_;
    if (omitted_ == 0) return std::string();
    return fmt::format(" ({} such lines were left out before this one)", std::exchange(omitted_, 0));
  }

 private:
  std::uint64_t left_ = burst, omitted_ = 0;
  TimePoint since_{};
};

}  // namespace clew
