#include "proxy/telemetry/time_format.h"

#include <catch2/catch.hpp>

using namespace clew;
using namespace std::chrono_literals;

namespace {

std::string formatted(std::string_view format, Duration since_epoch) {
  std::string out = "<";
  append_time(out, format, WallTime(since_epoch));
  return out + ">";
}

constexpr Duration moment = 1795261093s + 589202001ns;

}  // namespace

TEST_CASE("odd formats and times print something") {
  CHECK(formatted("", moment) == "<>");
  CHECK(formatted("no specifier", moment) == "<no specifier>");
  CHECK(formatted("%Y-%m-%d %s.%3f", -1ns) == "<1969-12-31 -1.999>");
  formatted("%", moment);
  formatted("%E", moment);
  formatted("%E9", moment);
  formatted("%10f", moment);
}

TEST_CASE("times print as Envoy prints them") {
  CHECK(formatted("%Y-%m-%dT%H:%M:%S.%3fZ", moment) == "<2026-11-21T11:38:13.589Z>");
  CHECK(formatted("%s.%6f", moment) == "<1795261093.589202>");
  CHECK(formatted("%s%3f %f %E3S %Ez %e", moment) == "<1795261093589 589202001 13.589 +00:00 21>");
  CHECK(formatted("%9f|%1f|%f", 7ns) == "<000000007|0|000000007>");
  CHECK(formatted("%Y/%m/%dT%H:%M:%S%z %s", moment) == "<2026/11/21T11:38:13+0000 1795261093>");
  CHECK(formatted("%%s", moment) == "<%s>");
}

TEST_CASE("what is remembered of a second is not used for another, nor for another format") {
  for (int round = 0; round < 3; ++round)
    for (int second = 0; second < 3; ++second)
      for (const char* format : {"a%S.%1f", "b%S.%2f", "c%S", "d%S", "e%S", "f%S"}) {
        const std::string out = formatted(format, std::chrono::seconds(second) + 120ms);
        CHECK(out.substr(1, 4) ==
              std::string(1, format[0]) + "0" + std::to_string(second) + (format[3] == '\0' ? ">" : "."));
      }
}
