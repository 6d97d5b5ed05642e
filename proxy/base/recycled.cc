#include "proxy/base/recycled.h"

#include "proxy/base/free_list.h"

#include <algorithm>
#include <array>
#include <new>

namespace clew {

namespace {

// Sizes that leave no gap in glibc's blocks, which have a word beside them and stand 16 bytes apart.
constexpr std::size_t smallest = 24, size_step = 16, largest_kept = smallest + 255 * size_step;
constexpr std::size_t most_kept = reuse_memory ? 2 * 1024 * 1024 : 0;  // bytes of a thread

struct Link {
  Link* next;
};

// Plain data, so that its use asks for no look whether it was made already.
struct Lists {
  std::array<Link*, (largest_kept - smallest) / size_step + 1> of_size;
  std::size_t room;  // bytes that may still be kept
  bool begun;
};
thread_local constinit Lists lists{};

/// Opens the thread's lists, and empties them at its end: what is freed later goes back directly.
struct Lifetime {
  Lifetime() { lists.room = most_kept; }
  ~Lifetime() {
    for (Link*& first : lists.of_size)
      while (Link* const link = first) {
        first = link->next;
        ::operator delete(link);
      }
    lists.room = 0;
  }
};

std::size_t size_class(std::size_t size) { return (std::max(size, smallest) - smallest + size_step - 1) / size_step; }
std::size_t class_size(std::size_t at) { return smallest + at * size_step; }

void* allocate(std::size_t at) {
  if (!lists.begun) {
    lists.begun = true;
    thread_local Lifetime lifetime;
  }
  return ::operator new(class_size(at));
}

}  // namespace

void* take_recycled(std::size_t size) {
  if (size > largest_kept) return ::operator new(size);
  const std::size_t at = size_class(size);
  Link* const link = lists.of_size[at];
  if (!link) return allocate(at);
  lists.of_size[at] = link->next;
  lists.room += class_size(at);
  return link;
}

void recycle(void* memory, std::size_t size) noexcept {
  const std::size_t at = size_class(size);
  if (size > largest_kept || class_size(at) > lists.room) return ::operator delete(memory);
  lists.room -= class_size(at);
  lists.of_size[at] = new (memory) Link{lists.of_size[at]};
}

}  // namespace clew
