#include "config/snapshot/name_map.h"

#include <catch2/catch.hpp>
#include <map>
#include <set>

using namespace clew;

TEST_CASE("an empty map has nothing") {
  const NameMap<int> map;
  CHECK(map.find("") == nullptr);
  CHECK(map.get("a") == nullptr);
  CHECK(map.size() == 0);
  NameMap<int>::Edit edit(map);
  edit.set("absent", nullptr);
  CHECK(std::move(edit).finish().size() == 0);
}

TEST_CASE("an edit leaves its base as it was, and what it did not touch in place") {
  NameMap<int>::Edit first{NameMap<int>()};
  for (int i = 0; i < 1000; ++i) first.set("name" + std::to_string(i), std::make_shared<const int>(i));
  const NameMap<int> one = std::move(first).finish();
  REQUIRE(one.size() == 1000);

  NameMap<int>::Edit second(one);
  second.set("name7", std::make_shared<const int>(-7));
  second.set("name8", nullptr);
  second.set("new", std::make_shared<const int>(1));
  second.set("gone again", std::make_shared<const int>(1));
  second.set("gone again", nullptr);
  const NameMap<int> two = std::move(second).finish();

  CHECK(two.size() == 1000);
  CHECK(*one.find("name7") == 7);
  CHECK(*two.find("name7") == -7);
  CHECK(*one.find("name8") == 8);
  CHECK(two.find("name8") == nullptr);
  CHECK(one.find("new") == nullptr);
  CHECK(two.find("gone again") == nullptr);
  CHECK(one.find("name500") == two.find("name500"));

  std::set<std::string> names;
  two.for_each([&](const std::string& name, const auto&) { names.insert(name); });
  CHECK(names.size() == 1000);
}
