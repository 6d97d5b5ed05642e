// Bump allocation that lives as long as a stream. Blocks are recycled memory, the first one is small: most messages
// need no other. Bounded by its users (header limits), not here.
#pragma once

#include <cstddef>
#include <string_view>

namespace clew {

class Arena {
 public:
  static constexpr std::size_t first_block_size = 1024, block_size = 4096;
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  Arena(Arena&&) = delete;
  ~Arena();

  /// size bytes, aligned to alignof(max_align_t) when align is set.
  char* allocate(std::size_t size, bool align = false);
  std::string_view copy(std::string_view text);
  /// Pieces joined.
  std::string_view concat(std::string_view a, std::string_view b, std::string_view c = {});
  std::size_t used() const { return used_; }

 private:
  struct Block;
  Block* head_ = nullptr;
  char* at_ = nullptr;
  char* end_ = nullptr;
  std::size_t used_ = 0;
};

}  // namespace clew
