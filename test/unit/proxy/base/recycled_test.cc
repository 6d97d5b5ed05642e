#include "proxy/base/recycled.h"

#include "proxy/base/free_list.h"

#include <catch2/catch.hpp>

#include <cstring>
#include <vector>

namespace clew {

TEST_CASE("recycled: a block comes back for a size of its class, not for another; large ones are not kept") {
  void* const block = take_recycled(1000);
  std::memset(block, 1, 1000);
  recycle(block, 1000);
  void* const larger = take_recycled(2000);
  CHECK(larger != block);
  recycle(larger, 2000);
  void* const again = take_recycled(998);
  if (reuse_memory) CHECK(again == block);
  recycle(again, 998);
  void* const huge = take_recycled(1 << 20);
  std::memset(huge, 1, 1 << 20);
  recycle(huge, 1 << 20);
}

TEST_CASE("recycled: a class has room for each of its sizes, to its edges") {
  for (std::size_t size = 1; size <= 4200; ++size) {
    void* const block = take_recycled(size);
    std::memset(block, 3, size);
    recycle(block, size);
    void* const again = take_recycled(size);
    if (reuse_memory && size <= 4104) CHECK(again == block);
    std::memset(again, 4, size);
    recycle(again, size);
  }
}

TEST_CASE("recycled: more blocks than are kept go back to the allocator") {
  std::vector<void*> blocks;
  for (int i = 0; i < 40'000; ++i) blocks.push_back(take_recycled(64));
  for (void* block : blocks) recycle(block, 64);
  for (void*& block : blocks) std::memset(block = take_recycled(64), 2, 64);
  for (void* block : blocks) recycle(block, 64);
}

TEST_CASE("recycled: containers, shared and polymorphic objects") {
  struct Base : Recycled {
    virtual ~Base() = default;
  };
  struct Derived final : Base {
    std::vector<int, RecyclingAllocator<int>> numbers = std::vector<int, RecyclingAllocator<int>>(300, 7);
  };
  for (int i = 0; i < 3; ++i) {
    const std::unique_ptr<Base> base = std::make_unique<Derived>();
    CHECK(static_cast<Derived&>(*base).numbers.back() == 7);
    const std::shared_ptr<int> shared = make_recycled<int>(i);
    CHECK(*shared == i);
  }
}

}  // namespace clew
