#include "proxy/http/h2_memory.h"

#include <catch2/catch.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace clew {

TEST_CASE("h2 memory: what nghttp2 asks for, bad sizes first") {
  const nghttp2_mem& memory = *recycled_nghttp2_memory();
  CHECK(memory.malloc(SIZE_MAX - 1, nullptr) == nullptr);
  CHECK(memory.calloc(SIZE_MAX / 2, 3, nullptr) == nullptr);
  memory.free(nullptr, nullptr);

  void* const dirty = memory.malloc(100, nullptr);
  std::memset(dirty, 1, 100);
  memory.free(dirty, nullptr);
  auto* const zeroed = static_cast<char*>(memory.calloc(10, 10, nullptr));
  CHECK(std::string(zeroed, 100) == std::string(100, '\0'));

  std::memset(zeroed, 'x', 100);
  auto* const larger = static_cast<char*>(memory.realloc(zeroed, 20000, nullptr));
  CHECK(std::string(larger, 100) == std::string(100, 'x'));
  auto* const smaller = static_cast<char*>(memory.realloc(larger, 10, nullptr));
  CHECK(std::string(smaller, 10) == std::string(10, 'x'));
  CHECK(reinterpret_cast<std::uintptr_t>(smaller) % alignof(std::max_align_t) == 0);
  memory.free(smaller, nullptr);
  void* const made = memory.realloc(nullptr, 8, nullptr);
  CHECK(made != nullptr);
  memory.free(made, nullptr);
}

}  // namespace clew
