// Memory for what comes and goes with every request (coroutine frames, bodies, header fields): from free lists of the
// thread that frees it, by size, so that a worker in its stride asks the allocator for nothing.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

namespace clew {

/// Blocks of up to 4,104 bytes are kept for the next use, 2 MiB a thread; others are the allocator's. size: the same at
/// both ends, not 0.
void* take_recycled(std::size_t size);
void recycle(void* memory, std::size_t size) noexcept;

/// Base of classes whose objects live there.
struct Recycled {
  static void* operator new(std::size_t size) { return take_recycled(size); }
  static void operator delete(void* memory, std::size_t size) noexcept { recycle(memory, size); }
};

/// The same for containers.
template <class T>
struct RecyclingAllocator {
  using value_type = T;
  RecyclingAllocator() = default;
  template <class U>
  RecyclingAllocator(const RecyclingAllocator<U>&) noexcept {}
  T* allocate(std::size_t n) { return static_cast<T*>(take_recycled(n * sizeof(T))); }
  void deallocate(T* memory, std::size_t n) noexcept { recycle(memory, n * sizeof(T)); }
  friend bool operator==(RecyclingAllocator, RecyclingAllocator) { return true; }
};

/// make_shared, there.
template <class T, class... Arguments>
std::shared_ptr<T> make_recycled(Arguments&&... arguments) {
  return std::allocate_shared<T>(RecyclingAllocator<T>(), std::forward<Arguments>(arguments)...);
}

}  // namespace clew
