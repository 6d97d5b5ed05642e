#include "proxy/stats/stats.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

using namespace clew;

TEST_CASE("a histogram puts any value into a bucket, NaN into none") {
  Histogram histogram;
  histogram.record(std::numeric_limits<double>::quiet_NaN());
  CHECK(histogram.counts().empty());
  CHECK(histogram.sum() == 0);
  histogram.record(-1);
  histogram.record(0);
  histogram.record(0.5);
  histogram.record(0.6);
  histogram.record(1);
  histogram.record(3600000);
  histogram.record(3600001);
  histogram.record(std::numeric_limits<double>::infinity());
  const auto& counts = histogram.counts();
  REQUIRE(counts.size() == 20);
  CHECK(counts[0] == 3);
  CHECK(counts[1] == 2);
  CHECK(counts[18] == 1);
  CHECK(counts[19] == 2);
}

TEST_CASE("counters and gauges") {
  Counter counter;
  counter.add();
  counter.add(4);
  CHECK(counter.value() == 5);
  Gauge gauge;
  gauge.add(2);
  gauge.sub(5);
  CHECK(gauge.value() == -3);
  gauge.set(7);
  CHECK(gauge.value() == 7);
}
