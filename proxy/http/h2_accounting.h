// Whether a peer's HTTP/2 frames are work or only make work. Counts and ratios, most of them Envoy's
// (protocol_constraints.cc), judged frame by frame; no I/O, no clock.
#pragma once

#include "proxy/base/clock.h"

#include <cstdint>

namespace clew {

class H2Accounting {
 public:
  // Each returns true while the peer is within bounds.

  void stream_opened() { ++opened_; }
  void data_sent() { ++data_sent_; }
  /// A stream ended by reset: by the peer before its answer began, or by us because of what the peer sent
  /// (CVE-2023-44487, CVE-2025-8671). More than 250, and more than half of all, is a flood.
  bool premature_reset() {
    ++premature_resets_;
    return premature_resets_ <= max_premature_resets || premature_resets_ * 2 <= opened_;
  }
  /// DATA or HEADERS without payload and without END_STREAM: one in a row is an accident.
  bool empty_frame() { return ++empty_in_a_row_ <= 1; }
  void useful_frame() { empty_in_a_row_ = 0; }
  bool window_update() { return ++window_updates_ <= 5 + 2 * (opened_ + 10 * data_sent_); }
  bool priority() { return ++priorities_ <= 100 * (1 + opened_); }
  /// Each costs a walk over all streams: 100 at once, 10 a second.
  bool settings(TimePoint now) {
    if (now - settings_since_ > std::chrono::seconds(10)) {
      settings_since_ = now;
      settings_ = 0;
    }
    return ++settings_ <= 100;
  }

  static constexpr std::uint64_t max_premature_resets = 250;
  /// A stream older than this was not reset prematurely.
  static constexpr Duration premature_age = std::chrono::seconds(1);

 private:
  std::uint64_t opened_ = 0, data_sent_ = 0, premature_resets_ = 0, window_updates_ = 0, priorities_ = 0, settings_ = 0;
  std::uint32_t empty_in_a_row_ = 0;
  TimePoint settings_since_{};
};

}  // namespace clew
