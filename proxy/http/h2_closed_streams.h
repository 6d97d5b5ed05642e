// Whether a head may still come for a closed stream (RFC 9113 5.1, 5.1.1): for one that we reset it may be under way,
// for one that the peer itself ended, or passed over, it may not. No I/O, no clock.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace clew {

class H2ClosedStreams {
 public:
  /// The peer opens a stream; those it could have opened before and did not are closed with it.
  void opened(std::int32_t id) {
    if (id > last_opened_ + 2) passed_over_ = {last_opened_, id};
    last_opened_ = id;
  }
  /// The peer's END_STREAM, on a stream that is over, or its RST_STREAM.
  void ended_by_peer(std::int32_t id) {
    ended_[next_++ % ended_.size()] = id;
    newest_ended_ = std::max(newest_ended_, id);
  }

  /// A bounded memory: what is forgotten counts as reset by us, whose late frames are to be ignored.
  bool ended(std::int32_t id) const {
    if (id == 0 || newest_ended_ < id) return false;
    return std::find(ended_.begin(), ended_.end(), id) != ended_.end();
  }
  bool passed_over(std::int32_t id) const { return id > passed_over_.after && id < passed_over_.before; }

 private:
  std::array<std::int32_t, 32> ended_{};
  std::size_t next_ = 0;
  std::int32_t newest_ended_ = 0;
  struct {
    std::int32_t after = 0, before = 0;
  } passed_over_;
  std::int32_t last_opened_ = -1;
};

}  // namespace clew
