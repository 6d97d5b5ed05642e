#include "proxy/stats/stat_store.h"

#include "proxy/stats/stat_snapshot.h"

#include <catch2/catch.hpp>

using namespace clew;

TEST_CASE("a name is one metric, and it stays where it is") {
  StatStore store;
  Counter& first = store.counter("a");
  for (int i = 0; i < 100; ++i) store.counter("n" + std::to_string(i));
  CHECK(&store.counter("a") == &first);
  first.add(3);
  store.gauge("g").set(-2);
  store.histogram("h").record(1);
  store.set_text("t", "old");
  store.set_text("t", "new");
  StatSnapshot snapshot;
  store.collect(snapshot);
  CHECK(snapshot.entries().size() == 104);
  CHECK(snapshot.entries().find("a")->second.number == 3);
  CHECK(snapshot.text(snapshot.entries().find("t")->second) == "new");
  CHECK(snapshot.distribution(snapshot.entries().find("h")->second).total() == 1);
}
