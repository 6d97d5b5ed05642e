#include "proxy/net/event.h"

#include "proxy/net/task_group.h"
#include "test/support/memory_transport.h"
#include "test/support/test_worker.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

namespace clew {
namespace {

Task<void> wait_and_note(Event& event, std::vector<int>& order, int name) {
  co_await event.wait();
  order.push_back(name);
}

TEST_CASE("event: waiters resume in order, from the loop and not inside notify") {
  TestWorker t;
  Event event;
  std::vector<int> order;
  const auto first = t.start(wait_and_note(event, order, 1));
  const auto second = t.start(wait_and_note(event, order, 2));
  const auto third = t.start(wait_and_note(event, order, 3));
  REQUIRE(event.waiting());
  event.notify();
  REQUIRE(order.empty());
  REQUIRE_FALSE(event.waiting());
  t.poll();
  REQUIRE(order == std::vector<int>{1, 2, 3});
}

TEST_CASE("event: a notification nobody waited for is kept once") {
  TestWorker t;
  Event event;
  std::vector<int> order;
  event.notify();
  event.notify();
  REQUIRE(t.start(wait_and_note(event, order, 1)).done());
  const auto second = t.start(wait_and_note(event, order, 2));
  REQUIRE_FALSE(second.done());
  event.notify();
  t.poll();
  REQUIRE(second.done());

  event.notify();
  event.reset();
  const auto third = t.start(wait_and_note(event, order, 3));
  REQUIRE_FALSE(third.done());
  event.notify();
  t.poll();
}

Task<void> read_until_closed(Transport& transport, Errc& why) {
  const Result<void> ready = co_await transport.readable();
  why = ready ? Errc::ok : ready.error().code;
}

Task<void> throw_something() {
  throw std::runtime_error("on purpose");
  co_return;
}

Task<Errc> parent(TaskGroup& group, Transport& transport, bool with_thrower, Errc& why) {
  Transport* raw = &transport;
  group.spawn(read_until_closed(transport, why), [raw](Errc cause) { raw->close(cause); });
  if (with_thrower) group.spawn(throw_something());
  co_await group.join();
  co_return group.cause();
}

TEST_CASE("task group: join waits for children, cancel closes what they wait for") {
  TestWorker t;
  auto [a, b] = MemoryTransport::make();
  TaskGroup group(t.worker.loop());
  Errc why = Errc::ok;
  auto started = t.start(parent(group, *a, false, why));
  REQUIRE_FALSE(started.done());
  REQUIRE(group.size() == 1);
  group.cancel(Errc::idle_timeout);
  group.cancel(Errc::canceled);  // too late to be the cause
  t.poll();
  REQUIRE(started.get() == Errc::idle_timeout);
  REQUIRE(why == Errc::idle_timeout);
  REQUIRE(group.empty());
}

TEST_CASE("task group: an exception cancels the siblings, a late child is cancelled at once") {
  TestWorker t;
  auto [a, b] = MemoryTransport::make();
  auto [c, d] = MemoryTransport::make();
  TaskGroup group(t.worker.loop());
  Errc why = Errc::ok, late = Errc::ok;
  REQUIRE(t.start(parent(group, *a, true, why)).get() == Errc::internal);
  REQUIRE(why == Errc::internal);
  REQUIRE(t.start(parent(group, *c, false, late)).get() == Errc::internal);
  REQUIRE(late == Errc::internal);
}

Task<std::string> read_all(Transport& transport) {
  Buffer bytes;
  for (;;) {
    const Result<std::size_t> n = transport.try_read(bytes, 3);
    if (n) continue;
    if (n.error().code == Errc::would_block) {
      const Result<void> ready = co_await transport.readable();
      if (ready) continue;
    }
    bytes.append(to_string(n.error().code));
    co_return bytes.to_string();
  }
}

Task<Result<void>> write_text(Transport& transport, std::string text) {
  Buffer bytes;
  bytes.append(text);
  co_return co_await write_all(transport, bytes);
}

TEST_CASE("memory transport: bounded, both directions, half-close") {
  TestWorker t;
  auto [a, b] = MemoryTransport::make(8);
  auto writing = t.start(write_text(*a, "0123456789abcdef!"));
  REQUIRE_FALSE(writing.done());
  REQUIRE(a->writing());
  auto reading = t.start(read_all(*b));
  REQUIRE(writing.done());
  REQUIRE(writing.get().has_value());
  b->send("back");
  REQUIRE(a->receive() == "back");
  REQUIRE(a->shutdown_write().has_value());
  t.poll();
  REQUIRE(reading.get() == "0123456789abcdef!eof");
  std::string joined;
  for (const std::string& piece : a->writes()) joined += piece;
  REQUIRE(joined == "0123456789abcdef!");
}

TEST_CASE("memory transport: close and reset end waits with their cause") {
  TestWorker t;
  auto [a, b] = MemoryTransport::make();
  auto reading = t.start(read_all(*b));
  a->close(Errc::canceled, true);
  t.poll();
  REQUIRE(reading.get() == "connection_reset");
  REQUIRE(b->was_reset());
  REQUIRE(a->closed_with_reset());

  auto [c, d] = MemoryTransport::make();
  Errc why = Errc::ok;
  const auto waiting = t.start(read_until_closed(*d, why));
  d->close(Errc::idle_timeout);
  t.poll();
  REQUIRE(waiting.done());
  REQUIRE(why == Errc::idle_timeout);
  REQUIRE(c->at_end());
}

}  // namespace
}  // namespace clew
