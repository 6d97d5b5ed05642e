#include "proxy/http/h2_memory.h"

#include <catch2/catch.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace clew {

TEST_CASE("h2 memory: what nghttp2 asks for, bad sizes first") {
  H2Memory one;
  one.made();
  const nghttp2_mem memory = one.hooks();
  void* const user = memory.mem_user_data;
  CHECK(memory.malloc(SIZE_MAX - 1, user) == nullptr);
  CHECK(memory.calloc(SIZE_MAX / 2, 3, user) == nullptr);
  memory.free(nullptr, user);

  void* const dirty = memory.malloc(100, user);
  std::memset(dirty, 1, 100);
  memory.free(dirty, user);
  auto* const zeroed = static_cast<char*>(memory.calloc(10, 10, user));
  CHECK(std::string(zeroed, 100) == std::string(100, '\0'));

  std::memset(zeroed, 'x', 100);
  auto* const larger = static_cast<char*>(memory.realloc(zeroed, 20000, user));
  CHECK(std::string(larger, 100) == std::string(100, 'x'));
  auto* const smaller = static_cast<char*>(memory.realloc(larger, 10, user));
  CHECK(std::string(smaller, 10) == std::string(10, 'x'));
  CHECK(reinterpret_cast<std::uintptr_t>(smaller) % alignof(std::max_align_t) == 0);
  memory.free(smaller, user);
  void* const made = memory.realloc(nullptr, 8, user);
  CHECK(made != nullptr);
  memory.free(made, user);
}

TEST_CASE("h2 memory: what sessions pack their frames into, all of a thread share; nothing else") {
  constexpr std::size_t frame = 16394;
  H2Memory a, b;
  const nghttp2_mem memory = a.hooks(), other = b.hooks();
  void* const first = memory.malloc(frame, &a);
  void* const small = memory.malloc(1024, &a);
  void* const second = other.malloc(frame, &b);
  CHECK(first == second);
  b.made();
  void* const later = other.malloc(frame, &b);  // such as the second frame of a large head
  CHECK(later != first);

  memory.free(first, &a);
  std::memset(second, 1, frame);  // still there
  auto* const moved = static_cast<char*>(other.realloc(second, 2 * frame, &b));
  CHECK(std::string(moved, frame) == std::string(frame, 1));
  memory.free(small, &a);
  other.free(later, &b);
  other.free(moved, &b);
  void* const again = memory.malloc(frame, &a);
  std::memset(again, 2, frame);
  memory.free(again, &a);
}

TEST_CASE("h2 memory: an empty table of streams is given back, one with a stream is not") {
  H2Memory sessions[200];
  std::vector<char*> tables;
  for (H2Memory& session : sessions) {
    const nghttp2_mem memory = session.hooks();
    tables.push_back(static_cast<char*>(memory.calloc(256, 16, &session)));
    session.made();
    REQUIRE(tables.back());
    CHECK(std::string(tables.back(), 4096) == std::string(4096, '\0'));
    CHECK(std::count(tables.begin(), tables.end(), tables.back()) == 1);
  }
  std::memset(tables[7], 'x', 4096);
  tables[8][4095] = 'x';
  for (H2Memory& session : sessions) session.rest();
  CHECK(std::string(tables[7], 4096) == std::string(4096, 'x'));
  CHECK(tables[8][4095] == 'x');
  const auto resident = [](char* table) {
    unsigned char yes = 0;
    return ::mincore(table, 4096, &yes) == 0 && (yes & 1);
  };
  CHECK(resident(tables[8]));
  if (::sysconf(_SC_PAGESIZE) == 4096) CHECK_FALSE(resident(tables[9]));
  tables[9][0] = 'y';  // and is there again
  CHECK(std::string(tables[9], 4096) == "y" + std::string(4095, '\0'));

  for (std::size_t i = 0; i < tables.size(); ++i) sessions[i].hooks().free(tables[i], &sessions[i]);
  for (H2Memory& session : sessions) session.rest();  // nothing is there to give back
  H2Memory next;
  char* const grown = static_cast<char*>(next.hooks().calloc(256, 16, &next));
  CHECK(std::string(grown, 4096) == std::string(4096, '\0'));
  std::memset(grown, 'z', 4096);
  auto* const larger = static_cast<char*>(next.hooks().realloc(grown, 8192, &next));
  CHECK(std::string(larger, 4096) == std::string(4096, 'z'));
  next.hooks().free(larger, &next);
}

}  // namespace clew
