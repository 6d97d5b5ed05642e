#include "config/xds/config_stats.h"

#include <catch2/catch.hpp>

#include <map>

using namespace clew;
using namespace std::chrono_literals;

namespace {

class Sink final : public StatSink {
 public:
  void counter(std::string_view name, std::uint64_t value) override { numbers[std::string(name)] = value; }
  void gauge(std::string_view name, std::int64_t value) override {
    numbers[std::string(name)] = static_cast<std::uint64_t>(value);
  }
  void histogram(std::string_view name, const Histogram& value) override {
    for (const std::uint64_t count : value.counts()) numbers[std::string(name)] += count;
  }
  void text(std::string_view name, std::string_view value) override { texts[std::string(name)] = value; }
  std::map<std::string, std::uint64_t> numbers;
  std::map<std::string, std::string> texts;
};

Sink collected(const SubscriptionStats& stats) {
  Sink sink;
  stats.collect("p.", sink);
  stats.collect_reloads("p.", sink);
  return sink;
}

}  // namespace

TEST_CASE("what fails leaves the version alone, and is an attempt") {
  SubscriptionStats stats;
  stats.begun();
  stats.accepted("v1", WallTime(5s), 2ms);
  const Sink before = collected(stats);
  stats.rejected();
  stats.failed();
  stats.timed_out();
  Sink sink = collected(stats);
  CHECK(sink.numbers["p.update_attempt"] == 5);
  CHECK(sink.numbers["p.update_rejected"] == 1);
  CHECK(sink.numbers["p.update_failure"] == 1);
  CHECK(sink.numbers["p.init_fetch_timeout"] == 1);
  CHECK(sink.numbers["p.update_success"] == 1);
  CHECK(sink.numbers["p.update_duration"] == 1);
  CHECK(sink.numbers["p.config_reload"] == 0);
  for (const char* name : {"p.update_time", "p.version"}) CHECK(sink.numbers[name] == before.numbers.at(name));
  CHECK(sink.texts["p.version_text"] == "v1");
}

TEST_CASE("an accepted update tells its time, its version and the version's hash, as Envoy's") {
  SubscriptionStats stats;
  CHECK(collected(stats).numbers["p.update_attempt"] == 0);
  stats.accepted("", WallTime(1s), 1ms);
  const std::uint64_t none = collected(stats).numbers["p.version"];
  stats.accepted("2026-11-21T10:00:00Z/7", WallTime(1234567ms), 1ms);
  stats.reloaded(WallTime(1234568ms));
  Sink sink = collected(stats);
  CHECK(sink.numbers["p.update_time"] == 1234567);
  CHECK(sink.numbers["p.config_reload"] == 1);
  CHECK(sink.numbers["p.config_reload_time_ms"] == 1234568);
  CHECK(sink.numbers["p.version"] != none);
  CHECK(sink.texts["p.version_text"] == "2026-11-21T10:00:00Z/7");
}
