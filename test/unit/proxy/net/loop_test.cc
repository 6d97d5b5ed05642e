#include "proxy/net/loop.h"

#include "proxy/net/event.h"
#include "proxy/net/socket_transport.h"
#include "test/support/test_worker.h"

#include <catch2/catch.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace clew {
namespace {

Task<int> at_once(int value) { co_return value; }
Task<int> after(Event& event, int value) {
  co_await event.wait();
  if (value < 0) throw std::runtime_error("negative");
  co_return value;
}

Task<int> sum_at_once(int n) {
  int sum = 0;
  for (int i = 0; i < n; ++i) sum += co_await at_once(1);
  co_return sum;
}

Task<int> sum_after(Event& event, int n) {
  int sum = 0;
  for (int i = 0; i < n; ++i) sum += co_await after(event, 1);
  co_return sum;
}

TEST_CASE("task: children that do not suspend take no stack, however many") {
  TestWorker t;
  REQUIRE(t.run(sum_at_once(1000000)) == 1000000);
}

TEST_CASE("task: a child that suspends resumes who awaits it, and no stack is left behind") {
  TestWorker t;
  Event event;
  auto sum = t.start(sum_after(event, 100000));
  while (!sum.done()) {
    REQUIRE(event.waiting());
    event.notify();
    t.poll();
  }
  REQUIRE(sum.get() == 100000);
}

Task<std::string> catches(Event& event) {
  std::string what = "nothing";
  try {
    const int got = co_await after(event, -1);
    what = std::to_string(got);
  } catch (const std::runtime_error& e) {
    what = e.what();
  }
  co_return what;
}

TEST_CASE("task: an exception goes to who awaits") {
  TestWorker t;
  Event event;
  auto caught = t.start(catches(event));
  event.notify();
  t.poll();
  REQUIRE(caught.get() == "negative");
}

struct Noted {
  std::vector<std::string>& order;
  std::string name;
  ~Noted() { order.push_back(name); }
};

Task<void> inner(std::vector<std::string>& order, Event& never) {
  const Noted noted{order, "inner"};
  co_await never.wait();
}
Task<void> outer(std::vector<std::string>& order, Event& never) {
  const Noted noted{order, "outer"};
  co_await inner(order, never);
}

TEST_CASE("loop: what is suspended at its end is destroyed, the inner first") {
  std::vector<std::string> order;
  Event never;
  {
    TestWorker t;
    spawn(t.worker.loop(), outer(order, never));
    REQUIRE(order.empty());
  }
  REQUIRE(order == std::vector<std::string>{"inner", "outer"});
  REQUIRE_FALSE(never.waiting());
}

TEST_CASE("loop: calls from many threads all come, each thread's in order") {
  const SystemClock clock;
  Worker worker(0, clock);
  constexpr int threads = 4, calls = 2000;
  std::vector<std::vector<int>> got(threads);
  int total = 0;
  std::vector<std::thread> posters;
  for (int i = 0; i < threads; ++i) {
    posters.emplace_back([&, i] {
      for (int n = 0; n < calls; ++n)
        worker.post([&, i, n] {
          got[static_cast<std::size_t>(i)].push_back(n);
          if (++total == threads * calls) worker.stop();
        });
    });
  }
  worker.run();
  for (auto& poster : posters) poster.join();
  for (const auto& one : got) {
    REQUIRE(one.size() == calls);
    REQUIRE(std::is_sorted(one.begin(), one.end()));
  }
}

Task<void> spin(Loop& loop, const bool& enough, int& turns) {
  while (!enough) {
    ++turns;
    co_await loop.yield();
  }
}
Task<void> read_one(SocketTransport& socket, bool& enough) {
  Buffer bytes;
  while (!socket.try_read(bytes, 100)) {
    const Result<void> ready = co_await socket.readable();
    if (!ready) break;
  }
  enough = true;
}

TEST_CASE("loop: who yields lets sockets, timers and calls go first") {
  TestWorker t;
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
  SocketTransport socket(t.worker, fds[0]);
  bool enough = false;
  int turns = 0;
  spawn(t.worker.loop(), read_one(socket, enough));
  spawn(t.worker.loop(), spin(t.worker.loop(), enough, turns));
  REQUIRE(::write(fds[1], "x", 1) == 1);
  t.wait_until([&] { return enough; });
  REQUIRE(turns > 0);
  REQUIRE(turns < 10);  // not as many as one turn of the loop may run

  bool called = false;
  turns = 0;
  enough = false;
  Timer timer(t.worker.timers(), [&] { enough = true; });
  timer.arm(std::chrono::milliseconds(1));
  spawn(t.worker.loop(), spin(t.worker.loop(), enough, turns));
  t.worker.post([&] { called = true; });
  t.clock.advance(std::chrono::milliseconds(10));
  t.poll();
  REQUIRE(turns < 10);
  REQUIRE(called);
  ::close(fds[1]);
}

Task<std::string> read_by_event(SocketTransport& socket) {
  Buffer bytes;
  for (;;) {
    const Result<std::size_t> got = socket.try_read(bytes, 100);
    if (got) continue;
    if (got.error().code != Errc::would_block) co_return bytes.to_string().append(to_string(got.error().code));
    const Result<void> ready = co_await socket.readable();
    (void)ready;
  }
}

TEST_CASE("loop: an end that is told together with the last bytes is not lost") {
  TestWorker t;
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
  SocketTransport socket(t.worker, fds[0]);
  auto reading = t.start(read_by_event(socket));
  REQUIRE_FALSE(reading.done());
  REQUIRE(::write(fds[1], "last", 4) == 4);
  ::close(fds[1]);  // one event says both; the read is short, and no other event will come
  REQUIRE(t.wait(reading) == "lasteof");
}

TEST_CASE("loop: who closes another's socket in the same batch of events ends its events") {
  TestWorker t;
  int a[2], b[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, a) == 0);
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, b) == 0);
  struct Closer final : Watched {
    Loop& loop;
    int fd, told = 0;
    Closer* other = nullptr;
    Closer(Loop& l, int f) : loop(l), fd(f) { loop.watch(fd, EPOLLIN | EPOLLET, *this); }
    void close() {
      if (fd >= 0) loop.close(std::exchange(fd, -1), *this);
    }
    void on_ready(std::uint32_t) override {
      ++told;
      other->close();
    }
  };
  Closer first(t.worker.loop(), a[0]), second(t.worker.loop(), b[0]);
  first.other = &second;
  second.other = &first;
  REQUIRE(::write(a[1], "x", 1) == 1);
  REQUIRE(::write(b[1], "x", 1) == 1);
  t.poll();
  REQUIRE(first.told + second.told == 1);
  first.close();
  second.close();
  ::close(a[1]);
  ::close(b[1]);
}

}  // namespace
}  // namespace clew
