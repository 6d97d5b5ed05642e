#include "proxy/net/worker.h"

#include "test/support/test_worker.h"

#include <catch2/catch.hpp>

#include <set>
#include <thread>
#include <vector>

namespace clew {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("worker: sleep_for follows the fake clock") {
  TestWorker t;
  const auto sleeping = t.start(sleep_for(t.worker, seconds(10)));
  t.advance(milliseconds(9990));
  REQUIRE_FALSE(sleeping.done());
  t.advance(milliseconds(20));
  REQUIRE(sleeping.done());
}

TEST_CASE("worker: the system clock drives the wheel, an earlier timer included") {
  const SystemClock clock;
  Worker worker(0, clock);
  std::vector<int> order;
  Timer late(worker.timers(), [&] {
    order.push_back(2);
    worker.stop();
  });
  Timer soon(worker.timers(), [&] { order.push_back(1); });
  Timer never(worker.timers(), [&] { order.push_back(3); });
  worker.post([&] {
    late.arm(milliseconds(30));
    never.arm(milliseconds(15));
    soon.arm(milliseconds(5));
    never.cancel();
  });
  const TimePoint start = clock.now();
  worker.run();
  REQUIRE(order == std::vector<int>{1, 2});
  REQUIRE(clock.now() - start >= milliseconds(30));
}

TEST_CASE("worker: a timer that arms another from its callback") {
  const SystemClock clock;
  Worker worker(0, clock);
  int fired = 0;
  Timer second(worker.timers(), [&] {
    ++fired;
    worker.stop();
  });
  Timer first(worker.timers(), [&] {
    ++fired;
    second.arm(milliseconds(1));
  });
  worker.post([&] { first.arm(Duration::zero()); });
  worker.run();
  REQUIRE(fired == 2);
}

TEST_CASE("worker: publish swaps the snapshot and calls in order of registration") {
  const SystemClock clock;
  Worker worker(3, clock);
  REQUIRE(worker.snapshot());
  std::vector<int> order;
  worker.on_update([&](const Update& update) {
    REQUIRE(worker.snapshot()->version == 7);
    REQUIRE(update.snapshot->version == 7);
    REQUIRE(update.changes->clusters == std::vector<std::string>{"c"});
    order.push_back(1);
  });
  worker.on_update([&](const Update&) {
    order.push_back(2);
    worker.stop();
  });
  auto snapshot = std::make_shared<Snapshot>();
  snapshot->version = 7;
  auto changes = std::make_shared<Changes>();
  changes->clusters = {"c"};
  std::thread publisher([&] { worker.publish({snapshot, changes}); });
  worker.run();
  publisher.join();
  REQUIRE(order == std::vector<int>{1, 2});
  REQUIRE(worker.snapshot().get() == snapshot.get());
  // Its own reference count: copies on this worker do not touch the publisher's.
  const long before = snapshot.use_count();
  const SnapshotPtr copy = worker.snapshot();
  REQUIRE(snapshot.use_count() == before);
}

TEST_CASE("worker: ids carry the worker, random numbers differ") {
  const SystemClock clock;
  Worker a(1, clock), b(2, clock);
  std::set<std::uint64_t> ids, numbers;
  for (int i = 0; i < 100; ++i) {
    ids.insert(a.next_id());
    ids.insert(b.next_id());
    numbers.insert(a.random());
    numbers.insert(b.random());
  }
  REQUIRE(ids.size() == 200);
  REQUIRE(numbers.size() == 200);
}

}  // namespace
}  // namespace clew
