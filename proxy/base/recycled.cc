#include "proxy/base/recycled.h"

#include "proxy/base/free_list.h"

namespace clew {

namespace {

constexpr std::size_t size_step = 32, largest_kept = 2048;
struct Lists {
  FreeList<64> of_size[largest_kept / size_step];  // 4 MiB a thread at the very most
};
thread_local Lists lists;

std::size_t size_class(std::size_t size) { return (size + size_step - 1) / size_step - 1; }

}  // namespace

void* take_recycled(std::size_t size) {
  if (size > largest_kept) return ::operator new(size);
  const std::size_t at = size_class(size);
  if (void* memory = lists.of_size[at].get()) return memory;
  return ::operator new((at + 1) * size_step);
}

void recycle(void* memory, std::size_t size) noexcept {
  if (size > largest_kept || !lists.of_size[size_class(size)].put(memory)) ::operator delete(memory);
}

}  // namespace clew
