#include "config/xds/compatibility.h"

#include <catch2/catch.hpp>

#include <fstream>
#include <iterator>

namespace clew {
namespace {

TEST_CASE("COMPATIBILITY.md is what the table says") {
  std::ifstream in(CLEW_SOURCE_ROOT "/COMPATIBILITY.md");
  REQUIRE(in);
  const std::string there{std::istreambuf_iterator<char>(in), {}};
  INFO("run the target «compatibility»");
  CHECK(there == compatibility_markdown());
}

}  // namespace
}  // namespace clew
