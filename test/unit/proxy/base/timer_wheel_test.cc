#include "proxy/base/timer_wheel.h"

#include "test/support/fake_clock.h"

#include <catch2/catch.hpp>
#include <map>
#include <memory>
#include <random>
#include <vector>

using namespace clew;
using namespace std::chrono_literals;

namespace {

struct Bench {
  FakeClock clock;
  TimerWheel wheel{clock};
  void pass(Duration d) {
    clock.advance(d);
    wheel.advance();
  }
};

}  // namespace

TEST_CASE("a timer fires once, never early") {
  Bench bench;
  int fired = 0;
  Timer timer(bench.wheel, [&] { ++fired; });
  CHECK_FALSE(bench.wheel.next_deadline());
  bench.clock.advance(300us);
  timer.arm(10ms);
  CHECK(timer.armed());
  bench.pass(10ms - 1ns);
  CHECK(fired == 0);
  bench.pass(1ms);
  CHECK(fired == 1);
  CHECK_FALSE(timer.armed());
  bench.pass(1h);
  CHECK(fired == 1);
}

TEST_CASE("nothing to wait means the next advance") {
  Bench bench;
  int fired = 0;
  Timer timer(bench.wheel, [&] { ++fired; });
  bench.clock.advance(300us);
  const Duration after = GENERATE(Duration(0), Duration(-5s), Duration::min());
  timer.arm(after);
  CHECK(*bench.wheel.next_deadline() <= bench.clock.now());
  bench.pass(0ns);
  CHECK(fired == 1);
}

TEST_CASE("cancelled, re-armed and destroyed timers") {
  Bench bench;
  int fired = 0;
  auto timer = std::make_unique<Timer>(bench.wheel, [&] { ++fired; });
  timer->cancel();
  timer->arm(5ms);
  timer->cancel();
  CHECK_FALSE(bench.wheel.next_deadline());
  timer->arm(5ms);
  timer->arm(50ms);
  bench.pass(10ms);
  CHECK(fired == 0);
  timer.reset();
  bench.pass(1s);
  CHECK(fired == 0);
}

TEST_CASE("a callback may destroy its own timer, and others that are due") {
  Bench bench;
  std::unique_ptr<Timer> a, b, c;
  int fired = 0;
  const std::string long_enough_for_the_heap(100, 'x');
  a = std::make_unique<Timer>(bench.wheel, [&, long_enough_for_the_heap] {
    a.reset();
    b.reset();
    fired += static_cast<int>(long_enough_for_the_heap.size());
  });
  b = std::make_unique<Timer>(bench.wheel, [&] { fired += 1; });
  c = std::make_unique<Timer>(bench.wheel, [&] { fired += 10; });
  for (auto* timer : {&a, &b, &c}) (*timer)->arm(5ms);
  bench.pass(5ms);
  CHECK(fired == 110);
}

TEST_CASE("a callback may re-arm") {
  Bench bench;
  int fired = 0, ticks = 0;
  Timer once(bench.wheel, [&] { ++fired; });
  Timer again(bench.wheel, [&] {
    ++ticks;
    again.arm(0s);  // must not keep advance() from ending, nor others from firing
  });
  again.arm(1ms);
  once.arm(70ms);
  bench.pass(5s);
  CHECK(fired == 1);
  CHECK(ticks >= 1);
  const int before = ticks;
  bench.pass(0s);
  CHECK(ticks == before + 1);
}

TEST_CASE("the next deadline follows what is armed and cancelled") {
  Bench bench;
  Timer a(bench.wheel, [] {}), b(bench.wheel, [] {}), c(bench.wheel, [] {});
  CHECK_FALSE(bench.wheel.next_deadline());
  a.arm(50ms);
  b.arm(60ms);
  CHECK(*bench.wheel.next_deadline() == bench.clock.now() + 50ms);
  c.arm(10ms);
  CHECK(*bench.wheel.next_deadline() == bench.clock.now() + 10ms);
  c.cancel();
  CHECK(*bench.wheel.next_deadline() == bench.clock.now() + 50ms);
}

TEST_CASE("timers left armed survive the wheel's end") {
  FakeClock clock;
  auto wheel = std::make_unique<TimerWheel>(clock);
  Timer timer(*wheel, [] {});
  Timer due(*wheel, [] {});
  timer.arm(5s);
  due.arm(0s);
  wheel.reset();
  CHECK_FALSE(timer.armed());
  CHECK_FALSE(due.armed());
}

TEST_CASE("every timer fires on its tick, at any distance") {
  Bench bench;
  std::mt19937_64 random(7);
  const TimePoint start = bench.clock.now();
  struct Entry {
    std::unique_ptr<Timer> timer;
    TimePoint due;
    int fired = 0;
    TimePoint at{};
  };
  std::vector<Entry> entries(2000);
  for (Entry& entry : entries) {
    entry.timer = std::make_unique<Timer>(bench.wheel, [&entry, &bench] {
      ++entry.fired;
      entry.at = bench.clock.now();
    });
    const auto after = std::chrono::milliseconds(random() % (1ull << (1 + random() % 40)));
    entry.due = start + after;
    entry.timer->arm(after);
  }
  // Jump as the owner would: from deadline to deadline.
  int jumps = 0;
  while (const auto deadline = bench.wheel.next_deadline()) {
    REQUIRE(*deadline >= bench.clock.now());
    bench.clock.advance(*deadline - bench.clock.now());
    bench.wheel.advance();
    ++jumps;
  }
  CHECK(jumps < 2000 * 7);
  for (const Entry& entry : entries) {
    CHECK(entry.fired == 1);
    CHECK(entry.at == entry.due);
  }
}

TEST_CASE("one long pause runs everything that is due, nothing else") {
  Bench bench;
  std::mt19937_64 random(11);
  int fired = 0, expected = 0;
  std::vector<std::unique_ptr<Timer>> timers;
  bench.pass(123456ms);
  for (int i = 0; i < 3000; ++i) {
    const auto after = std::chrono::milliseconds(random() % 1'000'000);
    timers.push_back(std::make_unique<Timer>(bench.wheel, [&] { ++fired; }));
    timers.back()->arm(after);
    if (after <= 500'000ms) ++expected;
  }
  bench.pass(500'000ms);
  CHECK(fired == expected);
  bench.pass(600'000ms);
  CHECK(fired == 3000);
}

TEST_CASE("the longest durations do not overflow") {
  Bench bench;
  int fired = 0;
  Timer timer(bench.wheel, [&] { ++fired; });
  timer.arm(Duration::max());
  CHECK(bench.wheel.next_deadline().has_value());
  bench.pass(24h * 365);
  CHECK(fired == 0);
}
