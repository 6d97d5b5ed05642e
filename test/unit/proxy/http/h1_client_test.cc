#include "config/snapshot/cluster.h"
#include "proxy/http/client_connection.h"
#include "test/support/memory_transport.h"
#include "test/support/test_worker.h"

#include <catch2/catch.hpp>

#include <string>

using namespace clew;

namespace {

class ClientKit {
 public:
  TestWorker test;
  UpstreamHttpOptions options;
  std::unique_ptr<MemoryTransport> upstream;  // the test's end
  MemoryTransport* ours = nullptr;
  std::unique_ptr<ClientConnection> connection;
  std::unique_ptr<ClientExchange> exchange;
  int changes = 0;
  Arena arena;
  RequestHead request{arena};
  ResponseHead response{arena};

  ClientKit() {
    auto [mine, theirs] = MemoryTransport::make();
    ours = mine.get();
    upstream = std::move(theirs);
    connection = make_http1_client(test.worker, std::move(mine), options);
    connection->on_change = [this] { ++changes; };
    request.method = "GET";
    request.authority = "a";
    request.path = "/";
  }
  ~ClientKit() {
    exchange.reset();
    connection.reset();
    test.poll();
  }

  /// Sends a request without body and reads the head of what comes.
  Errc ask(std::string_view answer, bool end = false) {
    exchange = connection->open();
    if (!exchange) return Errc::canceled;
    if (!exchange->send_head(request, true)) return Errc::internal;
    auto head = test.start(exchange->read_head(response));
    upstream->send(answer);
    if (end) upstream->shutdown_write();
    test.poll();
    if (!head.done()) return Errc::would_block;
    const Result<void> got = head.get();
    return got ? Errc::ok : got.error().code;
  }
  std::pair<std::string, Errc> body() {
    Buffer bytes;
    for (;;) {
      const Result<std::size_t> got = exchange->body().try_read(bytes, 1000);
      if (!got) return {bytes.to_string(), got.error().code};
    }
  }
  void finish() {
    exchange.reset();
    test.poll();
  }
};

using Got = std::pair<std::string, Errc>;
const std::string ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

}  // namespace

TEST_CASE("h1 client: one request after the other") {
  ClientKit kit;
  CHECK(kit.connection->can_open());
  REQUIRE(kit.ask(ok) == Errc::ok);
  CHECK(kit.response.status == 200);
  CHECK(kit.upstream->receive() == "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  CHECK(kit.connection->active() == 1);
  CHECK(!kit.connection->can_open());
  CHECK(kit.connection->open() == nullptr);
  CHECK(kit.body() == Got{"hi", Errc::eof});
  kit.finish();
  CHECK(kit.changes > 0);
  CHECK(kit.connection->can_open());
  REQUIRE(kit.ask("HTTP/1.1 204 No Content\r\n\r\n") == Errc::ok);
  CHECK(kit.response.status == 204);
  CHECK(kit.response.headers.size() == 0);
  CHECK(kit.body() == Got{"", Errc::eof});
  kit.finish();
  CHECK(kit.connection->can_open());
}

TEST_CASE("h1 client: connections in doubt are not used again") {
  ClientKit kit;
  SECTION("bytes after the answer") {
    REQUIRE(kit.ask(ok + "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil") == Errc::ok);
    CHECK(kit.body() == Got{"hi", Errc::eof});
    kit.finish();
  }
  SECTION("bytes while it lies in the pool") {
    REQUIRE(kit.ask(ok) == Errc::ok);
    kit.body();
    kit.finish();
    CHECK(kit.connection->can_open());
    kit.upstream->send(ok);
    kit.test.poll();
  }
  SECTION("bytes before any request, not yet noticed") {
    kit.upstream->send(ok);
    CHECK(kit.connection->open() == nullptr);
  }
  SECTION("closed while it lies in the pool") {
    REQUIRE(kit.ask(ok) == Errc::ok);
    kit.body();
    kit.finish();
    kit.upstream->shutdown_write();
    kit.test.poll();
  }
  SECTION("connection: close") {
    REQUIRE(kit.ask("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n") == Errc::ok);
    kit.finish();
  }
  SECTION("the answer was not read to its end") {
    REQUIRE(kit.ask(ok) == Errc::ok);
    kit.finish();
  }
  SECTION("no answer was read") {
    kit.exchange = kit.connection->open();
    REQUIRE(kit.exchange->send_head(kit.request, true).has_value());
    kit.finish();
  }
  SECTION("answered before the request was sent") {
    kit.request.method = "POST";
    kit.request.headers.add("content-length", "10");
    kit.exchange = kit.connection->open();
    REQUIRE(kit.exchange->send_head(kit.request, false).has_value());
    auto head = kit.test.start(kit.exchange->read_head(kit.response));
    kit.upstream->send(ok);
    kit.test.poll();
    REQUIRE(head.done());
    CHECK(kit.body() == Got{"hi", Errc::eof});
    kit.finish();
  }
  SECTION("less was sent than declared") {
    kit.request.method = "POST";
    kit.request.headers.add("content-length", "10");
    kit.exchange = kit.connection->open();
    REQUIRE(kit.exchange->send_head(kit.request, false).has_value());
    Buffer bytes;
    bytes.append("abc");
    const auto sent = kit.test.run(kit.exchange->send_body(bytes, true));
    REQUIRE(!sent.has_value());
    CHECK(sent.error().code == Errc::http_bad_framing);
    kit.finish();
  }
  SECTION("more was sent than declared") {
    kit.request.method = "POST";
    kit.request.headers.add("content-length", "2");
    kit.exchange = kit.connection->open();
    REQUIRE(kit.exchange->send_head(kit.request, false).has_value());
    Buffer bytes;
    bytes.append("abcGET /evil HTTP/1.1\r\n\r\n");
    CHECK(!kit.test.run(kit.exchange->send_body(bytes, false)).has_value());
    CHECK(kit.upstream->receive().find("evil") == std::string::npos);
    kit.finish();
  }
  CHECK(kit.connection->closed());
  CHECK(!kit.connection->can_open());
  CHECK(kit.connection->active() == 0);
  CHECK(kit.ours->closed());
}

TEST_CASE("h1 client: an exchange that was given up before anything was sent leaves the connection as it was") {
  ClientKit kit;
  kit.exchange = kit.connection->open();
  REQUIRE(kit.exchange);
  const bool told = GENERATE(false, true);
  if (told) kit.exchange->reset(Errc::downstream_closed);
  if (told) CHECK(kit.exchange->send_head(kit.request, true).error().code == Errc::downstream_closed);
  kit.finish();
  CHECK(kit.changes > 0);
  REQUIRE(kit.ask(ok) == Errc::ok);
  CHECK(kit.upstream->receive() == "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
  CHECK(kit.body() == Got{"hi", Errc::eof});
}

TEST_CASE("h1 client: how answers fail") {
  struct Case {
    std::string answer;
    bool end;
    Errc cause;
  };
  const Case cases[] = {
      {"", true, Errc::upstream_closed},
      {"HTTP/1.1 200", true, Errc::upstream_protocol_error},
      {"HTTQ/1.1 200 OK\r\n\r\n", false, Errc::upstream_protocol_error},
      {"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", false,
       Errc::upstream_protocol_error},
      {"HTTP/1.1 101 Switching\r\n\r\n", false, Errc::upstream_protocol_error},
      {"HTTP/1.1 200 OK\r\nx: " + std::string(100000, 'a'), false, Errc::upstream_protocol_error},
  };
  for (const Case& c : cases) {
    ClientKit kit;
    CAPTURE(c.answer.substr(0, 60));
    CHECK(to_string(kit.ask(c.answer, c.end)) == to_string(c.cause));
    CHECK(kit.connection->closed());
  }
  ClientKit kit;
  REQUIRE(kit.ask("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", true) == Errc::ok);
  CHECK(kit.body() == Got{"abc", Errc::upstream_protocol_error});
  ClientKit cut;
  REQUIRE(cut.ask("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc") == Errc::ok);
  CHECK(cut.body() == Got{"abc", Errc::would_block});
  cut.upstream->inject_reset();
  CHECK(cut.body() == Got{"", Errc::upstream_protocol_error});
  ClientKit chunked;
  REQUIRE(chunked.ask("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nZ\r\n") == Errc::ok);
  CHECK(chunked.body() == Got{"abc", Errc::upstream_protocol_error});
}

TEST_CASE("h1 client: bodies that end with the connection end in order or not at all") {
  ClientKit kit;
  REQUIRE(kit.ask("HTTP/1.1 200 OK\r\n\r\nabc") == Errc::ok);
  CHECK(kit.body() == Got{"abc", Errc::would_block});
  SECTION("orderly") {
    kit.upstream->shutdown_write();
    CHECK(kit.body() == Got{"", Errc::eof});
  }
  SECTION("reset") {
    kit.upstream->inject_reset();
    CHECK(kit.body() == Got{"", Errc::upstream_closed});
  }
  kit.finish();
  CHECK(kit.connection->closed());
}

TEST_CASE("h1 client: interim heads come one by one") {
  ClientKit kit;
  REQUIRE(kit.ask("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + ok) == Errc::ok);
  CHECK(kit.response.status == 100);
  REQUIRE(kit.test.run(kit.exchange->read_head(kit.response)).has_value());
  CHECK(kit.response.status == 103);
  CHECK(kit.response.headers.size() == 1);
  REQUIRE(kit.test.run(kit.exchange->read_head(kit.response)).has_value());
  CHECK(kit.response.status == 200);
  CHECK(kit.body() == Got{"hi", Errc::eof});
  kit.finish();
  CHECK(kit.connection->can_open());
}

TEST_CASE("h1 client: request bodies") {
  ClientKit kit;
  kit.request.method = "POST";
  kit.exchange = kit.connection->open();
  REQUIRE(kit.exchange->send_head(kit.request, false).has_value());
  CHECK(kit.upstream->receive().empty());  // leaves with the first bytes
  Buffer bytes;
  bytes.append("abc");
  REQUIRE(kit.test.run(kit.exchange->send_body(bytes, false)).has_value());
  CHECK(kit.ours->writes().size() == 1);
  bytes.append("de");
  REQUIRE(kit.test.run(kit.exchange->send_body(bytes, true)).has_value());
  CHECK(kit.upstream->receive() ==
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  kit.upstream->send(ok);
  REQUIRE(kit.test.run(kit.exchange->read_head(kit.response)).has_value());
  kit.body();
  kit.finish();
  CHECK(kit.connection->can_open());
}

TEST_CASE("h1 client: what belongs to an upgrade waits for the 101") {
  ClientKit kit;
  kit.request.upgrade = "websocket";
  kit.exchange = kit.connection->open();
  REQUIRE(kit.exchange->send_head(kit.request, false).has_value());
  Buffer bytes;
  bytes.append("GET /evil HTTP/1.1\r\n\r\n");
  SECTION("too early") {
    CHECK(!kit.test.run(kit.exchange->send_body(bytes, false)).has_value());
    CHECK(kit.upstream->receive().empty());
  }
  SECTION("accepted") {
    auto head = kit.test.start(kit.exchange->read_head(kit.response));
    kit.upstream->send("HTTP/1.1 101 S\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nraw");
    kit.test.poll();
    REQUIRE(head.done());
    CHECK(kit.response.upgraded);
    CHECK(kit.body() == Got{"raw", Errc::would_block});
    CHECK(kit.test.run(kit.exchange->send_body(bytes, true)).has_value());
    CHECK(kit.ours->write_ended());
    kit.upstream->shutdown_write();
    CHECK(kit.body() == Got{"", Errc::upstream_closed});  // an upgraded connection has no half-close
  }
  SECTION("refused") {
    auto head = kit.test.start(kit.exchange->read_head(kit.response));
    kit.upstream->send(ok);
    kit.test.poll();
    REQUIRE(head.done());
    CHECK(!kit.response.upgraded);
    CHECK(kit.body() == Got{"hi", Errc::eof});
  }
  kit.finish();
  CHECK(kit.connection->closed());
}

TEST_CASE("h1 client: reset and drain") {
  ClientKit kit;
  SECTION("a reset ends what waits") {
    kit.exchange = kit.connection->open();
    REQUIRE(kit.exchange->send_head(kit.request, true).has_value());
    auto head = kit.test.start(kit.exchange->read_head(kit.response));
    kit.exchange->reset(Errc::upstream_request_timeout);
    kit.test.poll();
    REQUIRE(head.done());
    const Result<void> result = head.get();
    REQUIRE(!result.has_value());
    CHECK(result.error().code == Errc::upstream_request_timeout);
  }
  SECTION("a reset ends a wait for the body") {
    REQUIRE(kit.ask("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n") == Errc::ok);
    auto ready = kit.test.start(kit.exchange->body().readable());
    kit.exchange->body().cancel(Errc::downstream_closed);
    kit.test.poll();
    CHECK(ready.done());
    CHECK(kit.body() == Got{"", Errc::downstream_closed});
  }
  SECTION("draining while idle") { kit.connection->drain(); }
  SECTION("draining while busy lets the answer through") {
    REQUIRE(kit.ask("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n") == Errc::ok);
    kit.connection->drain();
    CHECK(!kit.connection->closed());
    kit.upstream->send("hi");
    CHECK(kit.body() == Got{"hi", Errc::eof});
  }
  SECTION("the holder goes first") {
    REQUIRE(kit.ask("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n") == Errc::ok);
    kit.connection.reset();
    kit.upstream->send("hi");
    CHECK(kit.body() == Got{"hi", Errc::eof});
    kit.finish();
    return;
  }
  kit.finish();
  CHECK(kit.connection->closed());
}
