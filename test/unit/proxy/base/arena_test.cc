#include "proxy/base/arena.h"

#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

using namespace clew;

TEST_CASE("what an arena gave stays as long as it does") {
  Arena arena;
  std::vector<std::pair<std::string, std::string_view>> kept;
  for (std::size_t i = 0; i < 500; ++i) {
    std::string text(i * 37 % 9000, static_cast<char>('a' + i % 26));
    const std::string_view copy = arena.copy(text);
    kept.emplace_back(std::move(text), copy);
  }
  for (const auto& [text, copy] : kept) CHECK(text == copy);
}

TEST_CASE("nothing is text too") {
  Arena arena;
  CHECK(arena.copy({}).empty());
  CHECK(arena.copy({}).data() != nullptr);
  CHECK(arena.concat({}, {}, {}).empty());
  CHECK(arena.used() == 0);
}

TEST_CASE("pieces are joined") {
  Arena arena;
  CHECK(arena.concat("a", "", "c") == "ac");
  CHECK(arena.concat("ab", "cd") == "abcd");
  CHECK(arena.used() == 6);
}

TEST_CASE("aligned memory is aligned, whatever came before") {
  Arena arena;
  for (std::size_t i = 1; i < 2000; ++i) {
    std::memset(arena.allocate(i % 61), 1, i % 61);
    char* memory = arena.allocate(24, true);
    REQUIRE(reinterpret_cast<std::uintptr_t>(memory) % alignof(std::max_align_t) == 0);
    std::memset(memory, 2, 24);
  }
}

TEST_CASE("a large piece does not end the block in use") {
  Arena arena;
  const char* first = arena.allocate(8);
  arena.allocate(100'000);
  CHECK(arena.allocate(8) == first + 8);
}
