// What a loop whose end is its peer's to choose may do before others get their turn: a peer that sends as fast as we
// read, to one that reads as fast as we send, never makes it wait. Where it does wait, this costs a comparison.
#pragma once

#include "proxy/net/loop.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace clew {

class FairShare {
 public:
  explicit FairShare(const Loop& loop) : loop_(loop) {}

  /// One more piece, of so many bytes, was dealt with. True: it is time to co_await loop.yield().
  bool spent(std::size_t bytes) {
    if (turn_ != loop_.turns()) used_ = 0;
    turn_ = loop_.turns();
    used_ += std::max(bytes, least);
    return used_ >= most;
  }

 private:
  static constexpr std::size_t most = 256 * 1024;
  static constexpr std::size_t least = 16 * 1024;  // a small piece costs as much as this many bytes do

  const Loop& loop_;
  std::uint64_t turn_ = 0;
  std::size_t used_ = 0;
};

}  // namespace clew
