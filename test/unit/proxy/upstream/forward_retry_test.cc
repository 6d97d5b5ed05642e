#include "fixture.h"

using namespace clew;
using Catch::Matchers::Contains;
using namespace std::chrono_literals;

namespace {

const std::string unavailable = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno";

/// The back-off and the try that follows.
void next_try(Fixture& f) { f.t.advance(300ms); }

}  // namespace

TEST_CASE("a bad answer is retried and the next one stands") {
  OneEndpoint f;
  Request r(f);
  r.retry(RetryOn::on_5xx, 2);
  r.table->hosts[0].include_request_attempt_count = true;
  r.start();
  f.connector.peer(0).receive();
  f.connector.peer(0).send(unavailable);
  f.t.poll();
  REQUIRE_FALSE(r.done());
  next_try(f);
  const std::size_t last = f.connector.peers.size() - 1;
  REQUIRE_THAT(f.connector.peer(last).receive(), Contains("x-envoy-attempt-count: 2"));
  f.connector.peer(last).send(ok_response);
  f.t.poll();
  REQUIRE(r.read() == std::pair(std::string("hi"), Errc::eof));
  REQUIRE(r.stream->info.attempts == 2);
  REQUIRE(r.flags() == "-");
  REQUIRE(f.stats().upstream_rq_retry.value() == 1);
  REQUIRE(f.stats().upstream_rq_retry_success.value() == 1);
  REQUIRE(f.stats().upstream_rq_retry_limit_exceeded.value() == 0);
}

TEST_CASE("retries run out: the last answer stands, flagged") {
  OneEndpoint f;
  Request r(f);
  r.retry(RetryOn::gateway_error, 1);
  r.start();
  f.connector.peer(0).send(unavailable);
  f.t.poll();
  next_try(f);
  f.connector.peers.back().transport->send(unavailable);
  f.t.poll();
  REQUIRE(r.read().first == "no");
  REQUIRE(r.flags() == "URX");
  REQUIRE(f.stats().upstream_rq_retry_limit_exceeded.value() == 1);
}

TEST_CASE("connect failures are retried, elsewhere when told to avoid hosts that failed") {
  Fixture f;
  f.add_cluster("a", endpoints({1, 2, 3}), [](Cluster& c) { c.lb_policy = Cluster::LbPolicy::random; });
  f.connector.failures = {{Errc::connection_refused, "x"}, {Errc::connection_refused, "x"}};
  Request r(f);
  RetryPolicy& policy = r.retry(RetryOn::connect_failure, 2);
  policy.previous_hosts = true;
  policy.host_selection_attempts = 50;
  r.start();
  next_try(f);
  next_try(f);
  REQUIRE(f.connector.peers.size() == 1);
  int failed = 0;
  f.clusters.find("a")->for_each_host([&](const Host& host) {
    failed += static_cast<int>(host.state->stats.cx_connect_fail.value());
    REQUIRE(host.state->stats.cx_connect_fail.value() <= 1);
  });
  REQUIRE(failed == 2);
  f.connector.peer(0).send(ok_response);
  f.t.poll();
  REQUIRE(r.read().first == "hi");
  REQUIRE(r.stream->info.upstream_transport_failure_reason.empty());
}

TEST_CASE("a connect failure that no retry cured") {
  OneEndpoint f;
  f.connector.failures = {{Errc::connection_refused, "first"}, {Errc::connect_timeout, ""}};
  Request r(f);
  r.retry(RetryOn::connect_failure, 1);
  r.start();
  next_try(f);
  REQUIRE(r.reply().status == 503);
  REQUIRE(r.reply().body ==
          "upstream connect error or disconnect/reset before headers. retried and the latest reset reason: connection "
          "timeout");
  r.stream->info.flags.set(*r.reply().flag);
  REQUIRE(r.flags() == "URX,UF");
}

TEST_CASE("what is not asked for is not retried") {
  OneEndpoint f;
  SECTION("a reset, with connect-failure only") {
    Request r(f);
    r.retry(RetryOn::connect_failure | RetryOn::refused_stream | RetryOn::retriable_status_codes, 5);
    r.start();
    f.connector.peer(0).close(Errc::eof);
    f.t.advance(1s);
    REQUIRE(r.reply().flag == ResponseFlag::upstream_connection_termination);
  }
  SECTION("a reset after the request was sent, with reset-before-request") {
    Request r(f);
    r.retry(RetryOn::reset_before_request, 5);
    r.start();
    f.connector.peer(0).close(Errc::eof);
    f.t.advance(1s);
    r.reply();
  }
  SECTION("a status, with connect-failure only") {
    Request r(f);
    r.retry(RetryOn::connect_failure, 5);
    r.start();
    f.connector.peer(0).send(unavailable);
    f.t.poll();
    REQUIRE(r.read().first == "no");
  }
  SECTION("no endpoint at all") {
    f.add_cluster("a", endpoints({}));
    Request r(f);
    r.retry(RetryOn::on_5xx | RetryOn::reset, 5);
    r.start();
    REQUIRE(r.reply().flag == ResponseFlag::no_healthy_upstream);
  }
  REQUIRE(f.stats().upstream_rq_retry.value() == 0);
}

TEST_CASE("a reset before the answer is retried when asked for") {
  OneEndpoint f;
  Request r(f);
  r.retry(RetryOn::reset, 1);
  r.start();
  f.connector.peer(0).inject_reset();
  f.t.poll();
  next_try(f);
  f.connector.peer(1).send(ok_response);
  f.t.poll();
  REQUIRE(r.read().first == "hi");
}

TEST_CASE("after an interim head there is no other try") {
  OneEndpoint f;
  Request r(f);
  r.retry(RetryOn::on_5xx | RetryOn::reset, 3);
  r.start();
  f.connector.peer(0).send("HTTP/1.1 103 Early Hints\r\n\r\n" + unavailable);
  f.t.advance(1s);
  REQUIRE(r.read().first == "no");
  REQUIRE(f.connector.attempts == 1);
}

TEST_CASE("a request body is sent again, all of it") {
  OneEndpoint f;
  Request r(f);
  r.retry(RetryOn::on_5xx, 2);
  auto body = std::make_shared<FedBody::State>();
  body->feed("hello ");
  r.headers = {{"content-length", "11"}};
  SECTION("that was complete") {
    body->feed("world");
    body->end();
    r.start(body);
  }
  SECTION("that goes on during the second try") {
    r.start(body);
    f.connector.peer(0).receive();
    f.connector.peer(0).send(unavailable);
    f.t.poll();
    next_try(f);
    body->feed("world");
    body->end();
    f.t.poll();
    const std::string second = f.connector.peers.back().transport->receive();
    REQUIRE_THAT(second, Contains("hello ") && Contains("world"));
    f.connector.peers.back().transport->send(ok_response);
    f.t.poll();
    REQUIRE(r.read().first == "hi");
    return;
  }
  REQUIRE_THAT(f.connector.peer(0).receive(), Contains("hello world"));
  f.connector.peer(0).send(unavailable);
  f.t.poll();
  next_try(f);
  REQUIRE_THAT(f.connector.peers.back().transport->receive(), Contains("hello world"));
  f.connector.peers.back().transport->send(ok_response);
  f.t.poll();
  REQUIRE(r.read().first == "hi");
}

TEST_CASE("while the client's body pauses, a failed try gives its lease back and the next one gets what there is") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& c) { c.circuit_breakers[Priority::standard].max_requests = 1; });
  Request r(f);
  r.retry(RetryOn::on_5xx, 1);
  auto body = std::make_shared<FedBody::State>();
  body->feed("hello ");
  const bool whole = GENERATE(false, true);
  if (whole) body->end();
  r.start(body);
  f.connector.peer(0).send(unavailable);
  f.t.poll();
  CHECK(f.stats().upstream_rq_active.value() == 0);
  CHECK(f.clusters.find("a")->breakers(Priority::standard).requests() == 0);

  Request other(f);  // the one that the breaker allows
  other.start();
  f.connector.peers.back().transport->send(ok_response);
  f.t.poll();
  REQUIRE(other.read().first == "hi");
  other.drop_response();
  f.connector.peers.back().transport->receive();

  next_try(f);
  REQUIRE_THAT(f.connector.peers.back().transport->receive(), Contains("hello "));
  if (!whole) {
    body->feed("world");
    body->end();
    f.t.poll();
    REQUIRE_THAT(f.connector.peers.back().transport->receive(), Contains("world"));
  }
  f.connector.peers.back().transport->send(ok_response);
  f.t.poll();
  REQUIRE(r.read().first == "hi");
}

TEST_CASE("a large body is sent again, byte for byte") {
  OneEndpoint f;
  Request r(f);
  r.retry(RetryOn::on_5xx, 1);
  auto body = std::make_shared<FedBody::State>();
  std::string text;
  for (int i = 0; text.size() < 300'000; ++i) text += std::to_string(i) + ",";
  body->feed(text);
  body->end();
  r.version = HttpVersion::http11;
  r.start(body);
  const auto drain = [&](std::size_t peer) {
    std::string out;
    for (std::string part; f.t.poll(), !(part = f.connector.peer(peer).receive()).empty();) out += part;
    // chunked framing off
    std::string data;
    std::size_t at = out.find("\r\n\r\n") + 4;
    for (;;) {
      const std::size_t end = out.find("\r\n", at);
      const std::size_t n = std::stoul(out.substr(at, end - at), nullptr, 16);
      if (n == 0) return data;
      data += out.substr(end + 2, n);
      at = end + 2 + n + 2;
    }
  };
  REQUIRE(drain(0) == text);
  f.connector.peer(0).send(unavailable);
  f.t.poll();
  next_try(f);
  REQUIRE(drain(f.connector.peers.size() - 1) == text);
}

TEST_CASE("a body beyond the bound is streamed, and not retried") {
  OneEndpoint f;
  Request r(f);
  auto listener = std::make_shared<Listener>();
  listener->connection_buffer_limit = 10;
  r.connection.listener = listener;
  r.retry(RetryOn::on_5xx, 2);
  auto body = std::make_shared<FedBody::State>();
  body->feed("0123456789");
  r.start(body);
  body->feed("x");
  f.t.poll();
  REQUIRE(f.stats().retry_or_shadow_abandoned.value() == 1);
  body->end();
  f.t.poll();
  REQUIRE_THAT(f.connector.peer(0).receive(), Contains("0123456789") && Contains("x"));
  f.connector.peer(0).send(unavailable);
  f.t.advance(1s);
  REQUIRE(r.read().first == "no");
  REQUIRE(f.connector.attempts == 1);
}

TEST_CASE("circuit breaker of retries") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& c) { c.circuit_breakers[Priority::standard].max_retries = 0; });
  Request r(f);
  r.retry(RetryOn::on_5xx, 2);
  r.start();
  f.connector.peer(0).send(unavailable);
  f.t.poll();
  REQUIRE(r.read().first == "no");
  REQUIRE(r.flags() == "UO");
  REQUIRE(f.stats().upstream_rq_retry_overflow.value() == 1);
}

TEST_CASE("a retry gives its unit of the breaker back") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& c) { c.circuit_breakers[Priority::standard].max_retries = 1; });
  for (int i = 0; i < 3; ++i) {
    Request r(f);
    r.retry(RetryOn::on_5xx, 2);
    r.start();
    f.connector.peers.back().transport->send(unavailable);
    f.t.poll();
    REQUIRE(f.clusters.find("a")->breakers(Priority::standard).retries() == 1);
    next_try(f);
    f.connector.peers.back().transport->send(ok_response);
    f.t.poll();
    r.read();
    r.drop_response();
    REQUIRE(f.clusters.find("a")->breakers(Priority::standard).retries() == 0);
  }
}

TEST_CASE("the client is gone during the back-off") {
  OneEndpoint f;
  Request r(f);
  RetryPolicy& policy = r.retry(RetryOn::on_5xx, 2);
  policy.base_interval = 1h;
  policy.max_interval = 1h;
  Stream& s = r.start();
  f.connector.peer(0).send(unavailable);
  f.t.poll();
  REQUIRE_FALSE(r.done());
  s.cancel(Errc::downstream_closed);
  f.t.poll();
  r.reply();
  REQUIRE(f.connector.attempts == 1);
}

TEST_CASE("the cluster goes during the back-off") {
  OneEndpoint f;
  Request r(f);
  RetryPolicy& policy = r.retry(RetryOn::on_5xx, 2);
  policy.base_interval = policy.max_interval = 1h;  // of which a part is drawn: never none of it
  r.action().timeout = Duration::zero();
  r.start();
  f.connector.peer(0).send(unavailable);
  f.t.poll();
  f.remove_cluster("a");
  f.t.advance(1h);
  REQUIRE(r.reply().details == "no_healthy_upstream");
}

TEST_CASE("a policy of the virtual host serves routes without one") {
  OneEndpoint f;
  Request r(f);
  const auto policy = std::make_shared<RetryPolicy>();
  policy->on = RetryOn::on_5xx;
  r.table->hosts[0].retry = policy;
  r.start();
  f.connector.peer(0).send(unavailable);
  f.t.poll();
  next_try(f);
  f.connector.peers.back().transport->send(ok_response);
  f.t.poll();
  REQUIRE(r.read().first == "hi");
}
