#include "proxy/net/relay.h"

#include "test/support/memory_transport.h"
#include "test/support/test_worker.h"

#include <catch2/catch.hpp>

#include <string>

namespace clew {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// A relay with a test's hand on either side.
struct Relay {
  TestWorker t;
  std::unique_ptr<MemoryTransport> client, downstream, upstream, server;
  RelayBytes bytes;
  std::optional<TestWorker::Started<RelayEnd>> task;

  explicit Relay(std::size_t capacity = 64 * 1024, Duration idle = Duration::zero(), const std::string& first = {}) {
    std::tie(client, downstream) = MemoryTransport::make(capacity);
    std::tie(upstream, server) = MemoryTransport::make(capacity);
    Buffer initial;
    initial.append(first);
    task = t.start(relay(t.worker, *downstream, *upstream, std::move(initial), Buffer(), bytes, idle));
  }
  void send(MemoryTransport& from, const std::string& text) {
    from.send(text);
    t.poll();
  }
  void end(MemoryTransport& from) {
    (void)from.shutdown_write();
    t.poll();
  }
};

TEST_CASE("relay: both directions, the first bytes first") {
  Relay r(64 * 1024, Duration::zero(), "hello ");
  r.send(*r.client, "server");
  REQUIRE(r.server->receive() == "hello server");
  r.send(*r.server, "hello client");
  REQUIRE(r.client->receive() == "hello client");
  REQUIRE(r.bytes.from_downstream == 6);  // what came before was counted by who read it
  REQUIRE(r.bytes.from_upstream == 12);
  REQUIRE_FALSE(r.task->done());
  r.end(*r.client);
  r.end(*r.server);
  REQUIRE(r.task->get().cause == Errc::ok);
}

TEST_CASE("relay: half-close in every order, nothing is lost") {
  const bool client_first = GENERATE(true, false);
  Relay r;
  MemoryTransport& first = client_first ? *r.client : *r.server;
  MemoryTransport& second = client_first ? *r.server : *r.client;
  r.send(first, "last words");
  r.end(first);
  REQUIRE(second.receive() == "last words");
  REQUIRE(second.at_end());
  REQUIRE_FALSE(r.task->done());
  REQUIRE_FALSE(first.at_end());
  r.send(second, "a long answer");
  REQUIRE(first.receive() == "a long answer");
  r.end(second);
  REQUIRE(first.at_end());
  REQUIRE(r.task->done());
  REQUIRE(r.task->get().cause == Errc::ok);
  REQUIRE_FALSE(r.downstream->closed_with_reset());
}

TEST_CASE("relay: bytes and end at once, before the relay looks") {
  Relay r;
  r.client->send("request");
  (void)r.client->shutdown_write();
  r.server->send("answer");
  (void)r.server->shutdown_write();
  r.t.poll();
  REQUIRE(r.server->receive() == "request");
  REQUIRE(r.client->receive() == "answer");
  REQUIRE(r.task->get().cause == Errc::ok);
}

TEST_CASE("relay: a slow reader holds the sender up, and gets everything") {
  Relay r(1000);
  const std::string text(600000, 'x');
  r.send(*r.client, text);
  REQUIRE(r.bytes.from_downstream <= 260 * 1024);  // what one direction may hold
  std::string got;
  while (got.size() < text.size()) {
    const std::string piece = r.server->receive();
    REQUIRE_FALSE(piece.empty());
    got += piece;
    r.t.poll();
  }
  REQUIRE(got == text);
  REQUIRE(r.bytes.from_downstream == text.size());
  r.end(*r.client);
  r.end(*r.server);
  REQUIRE(r.task->done());
}

TEST_CASE("relay: a sender without a pause to a reader without one lets others have their turn") {
  constexpr std::size_t all = 8 * 1024 * 1024;
  Relay r(2 * all);
  std::uint64_t before_the_call = 0;
  r.t.worker.post([&] { before_the_call = r.bytes.from_downstream; });
  r.send(*r.client, std::string(all, 'x'));
  REQUIRE(before_the_call < all / 8);
  REQUIRE(r.bytes.from_downstream == all);
  r.end(*r.client);
  r.end(*r.server);
  REQUIRE(r.task->done());
}

TEST_CASE("relay: a reset goes through as one") {
  const bool from_client = GENERATE(true, false);
  Relay r;
  (from_client ? *r.client : *r.server).inject_reset();
  r.t.poll();
  REQUIRE(r.task->done());
  const RelayEnd end = r.task->get();
  REQUIRE(end.cause == Errc::connection_reset);
  REQUIRE(end.downstream == from_client);
  REQUIRE((from_client ? *r.upstream : *r.downstream).closed_with_reset());
}

TEST_CASE("relay: the receiver is gone while the sender still talks") {
  Relay r(100);
  r.server->close(Errc::ok);
  r.t.poll();
  r.send(*r.client, std::string(5000, 'x'));
  REQUIRE(r.task->done());
  REQUIRE(r.task->get().cause == Errc::connection_reset);
  REQUIRE(r.downstream->closed());
}

TEST_CASE("relay: idle timeout, by the last byte either way") {
  Relay r(64 * 1024, seconds(10));
  r.t.advance(seconds(9));
  r.send(*r.client, "x");
  r.t.advance(seconds(9));
  r.send(*r.server, "y");
  r.t.advance(milliseconds(9900));
  REQUIRE_FALSE(r.task->done());
  r.t.advance(milliseconds(200));
  REQUIRE(r.task->done());
  REQUIRE(r.task->get().cause == Errc::idle_timeout);
  REQUIRE(r.client->receive() == "y");
  REQUIRE(r.client->at_end());
}

TEST_CASE("relay: closed from outside") {
  Relay r;
  r.downstream->close(Errc::canceled);
  r.t.poll();
  REQUIRE(r.task->done());
  REQUIRE(r.task->get().cause == Errc::canceled);
  REQUIRE(r.upstream->closed());
}

}  // namespace
}  // namespace clew
