#include "proxy/http/h2_memory.h"

#include "proxy/base/recycled.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>

namespace clew {
namespace {

// nghttp2 frees without saying how much: the size stands before the block.
struct alignas(std::max_align_t) Head {
  std::size_t size;  // with this
};

Head* head_of(void* block) { return static_cast<Head*>(block) - 1; }

void* take(std::size_t size, void*) noexcept {
  const std::size_t whole = size + sizeof(Head);
  if (whole < size) return nullptr;
  try {
    return new (take_recycled(whole)) Head{whole} + 1;
  } catch (const std::bad_alloc&) {
    return nullptr;  // nothing may be thrown through C
  }
}

void give(void* block, void*) noexcept {
  if (block) recycle(head_of(block), head_of(block)->size);
}

void* take_zeroed(std::size_t count, std::size_t size, void*) noexcept {
  std::size_t all = 0;
  if (__builtin_mul_overflow(count, size, &all)) return nullptr;
  void* const block = take(all, nullptr);
  return block ? std::memset(block, 0, all) : nullptr;
}

void* take_again(void* block, std::size_t size, void*) noexcept {
  void* const other = take(size, nullptr);
  if (!other || !block) return other;
  std::memcpy(other, block, std::min(size, head_of(block)->size - sizeof(Head)));
  give(block, nullptr);
  return other;
}

}  // namespace

nghttp2_mem* recycled_nghttp2_memory() {
  static nghttp2_mem memory{nullptr, take, give, take_zeroed, take_again};
  return &memory;
}

}  // namespace clew
