#include "fixture.h"

using namespace clew;
using Catch::Matchers::Contains;
using namespace std::chrono_literals;

TEST_CASE("no answer in time") {
  OneEndpoint f;
  Request r(f);
  r.action().timeout = 2s;
  r.start();
  REQUIRE_THAT(f.connector.peer(0).receive(), Contains("x-envoy-expected-rq-timeout-ms: 2000"));
  f.t.advance(1900ms);
  REQUIRE_FALSE(r.done());
  f.t.advance(200ms);
  REQUIRE(r.reply().status == 504);
  REQUIRE(r.reply().body == "upstream request timeout");
  REQUIRE(r.reply().details == "response_timeout");
  REQUIRE(r.reply().flag == ResponseFlag::upstream_request_timeout);
  REQUIRE(f.connector.ended(0));
  REQUIRE(f.stats().upstream_rq_timeout.value() == 1);
  REQUIRE(f.stats().upstream_rq_5xx.value() == 1);
  f.t.poll();
  REQUIRE(f.stats().upstream_rq_active.value() == 0);
}

TEST_CASE("the default is 15 seconds") {
  OneEndpoint f;
  Request r(f);
  r.action().timeout.reset();
  r.start();
  f.t.advance(14900ms);
  REQUIRE_FALSE(r.done());
  f.t.advance(200ms);
  REQUIRE(r.reply().status == 504);
}

TEST_CASE("zero is none") {
  OneEndpoint f;
  Request r(f);
  r.start();
  f.t.advance(10min);
  REQUIRE_FALSE(r.done());
  f.connector.peer(0).send(ok_response);
  f.t.poll();
  r.read();
}

TEST_CASE("the time runs from the request's end, and over the connecting too") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& c) { c.connect_timeout = 1min; });
  SECTION("a slow upload has its time") {
    auto body = std::make_shared<FedBody::State>();
    Request r(f);
    r.action().timeout = 1s;
    r.start(body);
    f.t.advance(10s);
    REQUIRE_FALSE(r.done());
    body->end();
    f.t.poll();
    f.t.advance(1100ms);
    REQUIRE(r.reply().status == 504);
  }
  SECTION("waiting for a connection counts") {
    f.connector.hold = true;
    Request r(f);
    r.action().timeout = 1s;
    r.start();
    f.t.advance(1100ms);
    REQUIRE(r.reply().details == "response_timeout");
    REQUIRE(f.stats().upstream_rq_pending_active.value() == 0);
  }
}

TEST_CASE("time out in the answer's body") {
  OneEndpoint f;
  Request r(f);
  r.action().timeout = 1s;
  r.start();
  f.connector.peer(0).send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
  f.t.poll();
  REQUIRE(r.read().second == Errc::would_block);
  auto wait = f.t.start(r.response()->readable());
  f.t.advance(1100ms);
  REQUIRE(wait.done());
  REQUIRE(r.read().second == Errc::upstream_request_timeout);
  REQUIRE(r.flags() == "UT");
  REQUIRE(r.stream->info.response_code_details == "response_timeout");
}

TEST_CASE("a try's own time") {
  OneEndpoint f;
  Request r(f);
  r.retry(RetryOn::on_5xx, 1).per_try_timeout = 500ms;
  r.action().timeout = 10s;
  r.start();
  f.t.advance(600ms);
  REQUIRE_FALSE(r.done());
  REQUIRE(f.connector.ended(0));
  REQUIRE(f.stats().upstream_rq_per_try_timeout.value() == 1);
  f.t.advance(100ms);
  SECTION("the second try answers") {
    REQUIRE(f.connector.peers.size() == 2);
    f.connector.peer(1).send(ok_response);
    f.t.poll();
    REQUIRE(r.read().first == "hi");
    REQUIRE(r.flags() == "-");
  }
  SECTION("the second is late too") {
    f.t.advance(600ms);
    REQUIRE(r.reply().status == 504);
    REQUIRE(r.reply().details == "upstream_per_try_timeout");
    REQUIRE(r.reply().flag == ResponseFlag::upstream_request_timeout);
    REQUIRE(f.stats().upstream_rq_per_try_timeout.value() == 2);
    REQUIRE(f.stats().upstream_rq_timeout.value() == 0);
  }
}

TEST_CASE("the total time ends the back-off and all tries") {
  OneEndpoint f;
  Request r(f);
  RetryPolicy& policy = r.retry(RetryOn::on_5xx, 100);
  policy.base_interval = 10h;
  policy.max_interval = 10h;
  r.action().timeout = 1s;
  r.start();
  f.connector.peer(0).send("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n");
  f.t.poll();
  f.t.advance(1100ms);
  REQUIRE(r.reply().details == "response_timeout");
}

TEST_CASE("idle within a try") {
  OneEndpoint f;
  Request r(f);
  r.retry(RetryOn::connect_failure).per_try_idle_timeout = 1s;
  r.start();
  f.connector.peer(0).send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n");
  f.t.poll();
  for (int i = 0; i < 5; ++i) {
    f.t.advance(800ms);
    f.connector.peer(0).send("x");
    f.t.poll();
    REQUIRE(r.read().second == Errc::would_block);
  }
  f.t.advance(1100ms);
  REQUIRE(r.read().second == Errc::upstream_per_try_timeout);
  REQUIRE(r.stream->info.response_code_details == "upstream_per_try_idle_timeout");
}

TEST_CASE("connect timeout") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& c) { c.connect_timeout = 3s; });
  f.connector.hold = true;
  Request r(f);
  r.start();
  f.t.advance(3100ms);
  REQUIRE(r.reply().details == "upstream_reset_before_response_started{connection_timeout}");
  REQUIRE(r.reply().flag == ResponseFlag::upstream_connection_failure);
  REQUIRE(f.stats().upstream_cx_connect_timeout.value() == 1);
}

TEST_CASE("204 instead of 504, when the request asks for it") {
  OneEndpoint f;
  Request r(f);
  r.action().timeout = 1s;
  r.headers = {{"x-envoy-upstream-rq-timeout-alt-response", "1"}};
  r.start();
  REQUIRE_THAT(f.connector.peer(0).receive(), !Contains("alt-response"));
  f.t.advance(1100ms);
  REQUIRE(r.reply().status == 204);
  REQUIRE(r.reply().body.empty());
}

TEST_CASE("an upgrade's answer is waited for as long as any, its connection as long as it likes") {
  OneEndpoint f;
  auto body = std::make_shared<FedBody::State>();
  Request r(f);
  r.upgrade = "websocket";
  r.action().timeout = 1s;
  r.start(body);
  SECTION("no answer") {
    f.t.advance(1100ms);
    REQUIRE(r.reply().status == 504);
  }
  SECTION("answered") {
    f.connector.peer(0).send("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n");
    f.t.poll();
    f.t.advance(1h);
    REQUIRE(r.read().second == Errc::would_block);
  }
}
