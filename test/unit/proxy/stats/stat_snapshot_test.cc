#include "proxy/stats/stat_snapshot.h"

#include <catch2/catch.hpp>
#include <cmath>

using namespace clew;
using Kind = StatSnapshot::Kind;

namespace {

const StatSnapshot::Entry* find(const StatSnapshot& snapshot, std::string_view name) {
  const auto it = snapshot.entries().find(name);
  return it == snapshot.entries().end() ? nullptr : &it->second;
}

std::int64_t number(const StatSnapshot& snapshot, std::string_view name) {
  const auto* entry = find(snapshot, name);
  REQUIRE(entry);
  return static_cast<std::int64_t>(entry->number);
}

}  // namespace

TEST_CASE("one name cannot be two kinds") {
  StatSnapshot snapshot, other;
  snapshot.counter("a", 1);
  snapshot.gauge("a", 5);
  snapshot.histogram("a", Histogram());
  snapshot.text("a", "x");
  other.text("a", "x");
  snapshot.merge(other);
  CHECK(find(snapshot, "a")->kind == Kind::counter);
  CHECK(number(snapshot, "a") == 1);
}

TEST_CASE("what is not included is not kept") {
  StatSnapshot snapshot(StatSelection{[](std::string_view name) { return name.starts_with("keep"); }, {}});
  snapshot.counter("keep.a", 1);
  snapshot.counter("drop.a", 1);
  snapshot.gauge("drop.b", 1);
  snapshot.text("drop.c", "x");
  const std::pair<std::string_view, std::string_view> label{"k", "v"};
  snapshot.labelled_counter("drop.d", {&label, 1}, 1);
  snapshot.labelled_counter("keep.d", {&label, 1}, 1);
  CHECK(snapshot.entries().size() == 2);
  CHECK(find(snapshot, "keep.d.k.v"));
}

TEST_CASE("threads are summed") {
  StatSnapshot sum;
  for (int thread = 1; thread <= 3; ++thread) {
    StatSnapshot one;
    Histogram histogram;
    histogram.record(7 * thread);
    one.counter("c", 10);
    one.counter("c", 1);  // two sources of one thread
    one.gauge("g", thread == 1 ? -5 : 1);
    one.histogram("h", histogram);
    one.text("t", std::to_string(thread));
    const std::pair<std::string_view, std::string_view> label{"reporter", "source"};
    one.labelled_counter("istiocustom.x", {&label, 1}, 2);
    one.labelled_histogram("istiocustom.h", {&label, 1}, histogram);
    one.labelled_gauge("istiocustom.g", {&label, 1}, -1);
    sum.merge(one);
  }
  CHECK(number(sum, "c") == 33);
  CHECK(number(sum, "g") == -3);
  CHECK(sum.distribution(*find(sum, "h")).total() == 3);
  CHECK(sum.distribution(*find(sum, "h")).sum == 42);
  CHECK(sum.text(*find(sum, "t")) == "3");
  const auto* labelled = find(sum, "istiocustom.x.reporter.source");
  REQUIRE(labelled);
  CHECK(labelled->number == 6);
  REQUIRE(sum.labels(*labelled));
  CHECK(*sum.labels(*labelled) == StatSnapshot::OwnedLabels{{"reporter", "source"}});
  CHECK(sum.distribution(*find(sum, "istiocustom.h.reporter.source")).sum == 42);
  CHECK(number(sum, "istiocustom.g.reporter.source") == -3);
  CHECK(sum.labels(*find(sum, "c")) == nullptr);
}

TEST_CASE("quantiles are estimates within a bucket") {
  StatSnapshot::Distribution none;
  CHECK(std::isnan(none.quantile(0.5)));
  Histogram histogram;
  for (int i = 0; i < 100; ++i) histogram.record(20);  // bucket 10..25
  histogram.record(1e9);
  StatSnapshot snapshot;
  snapshot.histogram("h", histogram);
  const auto& distribution = snapshot.distribution(*find(snapshot, "h"));
  CHECK(distribution.quantile(0) == 10);
  CHECK(distribution.quantile(0.5) > 10);
  CHECK(distribution.quantile(0.5) < 25);
  CHECK(distribution.quantile(1) == 3600000);
}
