// Memory blocks of one size that a thread keeps for its next use. Not thread safe: one per thread.
#pragma once

#include <cstddef>
#include <new>

namespace clew {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool reuse_memory = false;  // else use after free goes unseen
#elif defined(__has_feature)
inline constexpr bool reuse_memory = !__has_feature(address_sanitizer);
#else
inline constexpr bool reuse_memory = true;
#endif

template <std::size_t limit>
class FreeList {
 public:
  ~FreeList() {
    trim(0);
    full_ = 0;  // objects that outlive the thread's list return their memory directly
  }
  /// A block, or null when there is none.
  void* get() {
    Link* link = head_;
    if (!link) return nullptr;
    head_ = link->next;
    --size_;
    return link;
  }
  /// False: the list is full, the caller frees the block.
  bool put(void* memory) {
    if (size_ >= full_) return false;
    head_ = new (memory) Link{head_};
    ++size_;
    return true;
  }
  /// Frees all but `keep` blocks.
  void trim(std::size_t keep) {
    while (size_ > keep) ::operator delete(get());
  }
  std::size_t size() const { return size_; }

 private:
  struct Link {
    Link* next;
  };
  Link* head_ = nullptr;
  std::size_t size_ = 0;
  std::size_t full_ = reuse_memory ? limit : 0;
};

}  // namespace clew
