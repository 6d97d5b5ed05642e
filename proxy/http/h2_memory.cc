#include "proxy/http/h2_memory.h"

#include "proxy/base/recycled.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

namespace clew {
namespace {

constexpr std::size_t page_size = 4096;        // of a session's table of streams; the kernel's may be larger
constexpr std::size_t frame_size = 16 * 1024;  // RFC 9113 4.2; nothing else that a new session takes is as large

// nghttp2 frees without saying how much: the size stands before the block.
struct alignas(std::max_align_t) Head {
  std::size_t size;   // with this
  std::size_t users;  // sessions that have the block for their frames; 0: it is no such block
};

thread_local constinit Head* frame = nullptr;  // null: no session has one

Head* head_of(void* block) { return static_cast<Head*>(block) - 1; }

void* take_block(std::size_t size, std::size_t users) noexcept {
  const std::size_t whole = size + sizeof(Head);
  if (whole < size) return nullptr;
  try {
    return new (take_recycled(whole)) Head{whole, users} + 1;
  } catch (const std::bad_alloc&) {
    return nullptr;  // nothing may be thrown through C
  }
}

void* take_frame(std::size_t size) {
  if (frame && frame->size == size + sizeof(Head)) {
    ++frame->users;
    return frame + 1;
  }
  void* const block = take_block(size, 1);
  if (block) frame = head_of(block);
  return block;
}

void give_block(void* block) {
  Head* const head = head_of(block);
  if (head->users > 1) {
    --head->users;
    return;
  }
  if (head == frame) frame = nullptr;
  recycle(head, head->size);
}

/// Pages out of one stretch of addresses of the process, by which they are told from other blocks. Those of a thread
/// come back to it; where there are no more, a block serves as well.
class Pages {
 public:
  static bool owns(const void* block) {
    const auto address = reinterpret_cast<std::uintptr_t>(block);
    return address % page_size == 0 && stretch() != 0 && address - stretch() < stretch_size;
  }
  /// Zeroed; or null.
  static void* take() {
    if (free_.empty() && !more()) return nullptr;
    void* const page = free_.back();
    free_.pop_back();
    return std::memset(page, 0, page_size);
  }
  static void give(void* page) {
    if (free_.size() >= most_kept) drop(page);
    free_.push_back(page);
  }
  /// It reads as zero from here on, and is nobody's memory until it is written to.
  static void drop(void* page) { ::madvise(page, page_size, MADV_DONTNEED); }

 private:
  static constexpr std::size_t stretch_size = std::size_t{1} << 30, share = 64 * page_size, most_kept = 64;

  /// 0: not to be had.
  static std::uintptr_t stretch() {
    static const std::uintptr_t first = [] {
      void* const got =
          ::mmap(nullptr, stretch_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (got == MAP_FAILED) return std::uintptr_t{0};
      ::madvise(got, stretch_size, MADV_NOHUGEPAGE);  // a first touch would be one of 2 MiB
      return reinterpret_cast<std::uintptr_t>(got);
    }();
    return first;
  }
  static bool more() {
    static std::atomic<std::size_t> given{0};
    if (stretch() == 0 || given.load(std::memory_order_relaxed) >= stretch_size) return false;
    const std::size_t at = given.fetch_add(share, std::memory_order_relaxed);
    if (at >= stretch_size) return false;
    for (std::size_t i = share; i > 0; i -= page_size)
      free_.push_back(reinterpret_cast<void*>(stretch() + at + i - page_size));
    return true;
  }

  static thread_local std::vector<void*> free_;
};
thread_local std::vector<void*> Pages::free_;

}  // namespace

/// What nghttp2 calls; each finds its session's memory in user_data.
struct H2Memory::Hooks {
  static H2Memory& self(void* user) { return *static_cast<H2Memory*>(user); }

  static void* take(std::size_t size, void* user) noexcept {
    return self(user).making_ && size >= frame_size ? take_frame(size) : take_block(size, 0);
  }

  static void give(void* block, void* user) noexcept {
    if (!block) return;
    if (!Pages::owns(block)) return give_block(block);
    if (self(user).streams_ == block) self(user).streams_ = nullptr;
    Pages::give(block);
  }

  static void* take_zeroed(std::size_t count, std::size_t size, void* user) noexcept {
    std::size_t all = 0;
    if (__builtin_mul_overflow(count, size, &all)) return nullptr;
    if (self(user).making_ && all == page_size)
      if (void* const page = Pages::take()) return self(user).streams_ = page;
    void* const block = take(all, user);
    return block ? std::memset(block, 0, all) : nullptr;
  }

  static void* take_again(void* block, std::size_t size, void* user) noexcept {
    void* const other = take(size, user);
    if (!other || !block) return other;
    const std::size_t before = Pages::owns(block) ? page_size : head_of(block)->size - sizeof(Head);
    std::memcpy(other, block, std::min(size, before));
    give(block, user);
    return other;
  }
};

nghttp2_mem H2Memory::hooks() { return {this, Hooks::take, Hooks::give, Hooks::take_zeroed, Hooks::take_again}; }

void H2Memory::rest() {
  if (!streams_) return;
  const auto* const words = static_cast<const std::uint64_t*>(streams_);
  if (std::all_of(words, words + page_size / sizeof(*words), [](std::uint64_t word) { return word == 0; }))
    Pages::drop(streams_);
}

}  // namespace clew
