#include "proxy/upstream/timeouts.h"

#include <catch2/catch.hpp>

using namespace clew;
using namespace std::chrono_literals;

namespace {

struct Case {
  Arena arena;
  RequestHead request{arena};
  ForwardAction action;
  RetryPolicy retry;
  Timeouts of(bool grpc = false) { return Timeouts::of(action, &retry, request, grpc); }
  std::string announced(HeaderId id, Timeouts timeouts, Duration elapsed = Duration(0), bool suppress = false) {
    timeouts.announce(request, elapsed, suppress);
    return std::string(request.headers.get(id).value_or("none"));
  }
};

}  // namespace

TEST_CASE("route timeout: 15 s when not set, 0 is none") {
  Case c;
  REQUIRE(c.of().total == 15s);
  c.action.timeout = Duration(0);
  REQUIRE(c.of().total == Duration(0));
  c.action.timeout = 2s;
  REQUIRE(c.of().total == 2s);
}

TEST_CASE("timeouts by header win and are taken off") {
  Case c;
  c.retry.per_try_timeout = 1s;
  c.request.headers.add(HeaderId::x_envoy_upstream_rq_timeout_ms, "3000");
  c.request.headers.add(HeaderId::x_envoy_upstream_rq_per_try_timeout_ms, "700");
  const Timeouts t = c.of();
  REQUIRE(t.total == 3s);
  REQUIRE(t.per_try == 700ms);
  REQUIRE(c.request.headers.size() == 0);
}

TEST_CASE("headers that are no numbers change nothing, and are taken off too") {
  Case c;
  for (const char* text : {"", "-1", "1s", "99999999999999999999999", " 5"}) {
    c.request.headers.set(HeaderId::x_envoy_upstream_rq_timeout_ms, text);
    REQUIRE(c.of().total == 15s);
    REQUIRE(c.request.headers.size() == 0);
  }
  c.request.headers.set(HeaderId::x_envoy_upstream_rq_timeout_ms, "18446744073709551615");
  REQUIRE(c.of().total > 24h);
}

TEST_CASE("a per-try timeout that is not shorter than the total is ignored") {
  Case c;
  c.action.timeout = 1s;
  c.retry.per_try_timeout = 1s;
  REQUIRE(c.of().per_try == Duration(0));
  c.action.timeout = Duration(0);
  REQUIRE(c.of().per_try == 1s);
}

TEST_CASE("grpc-timeout") {
  Case c;
  c.action.timeout = 9s;
  c.request.headers.add(HeaderId::grpc_timeout, "2S");
  REQUIRE(c.of(true).total == 9s);  // not asked for
  c.action.grpc_timeout_max = Duration(0);
  REQUIRE(c.of(true).total == 2s);
  REQUIRE(c.of(false).total == 9s);
  c.action.grpc_timeout_max = 1s;
  REQUIRE(c.of(true).total == 1s);
  c.request.headers.set(HeaderId::grpc_timeout, "what");
  REQUIRE(c.of(true).total == 1s);
  c.action.grpc_timeout_max = Duration(0);
  REQUIRE(c.of(true).total == Duration(0));
}

TEST_CASE("grpc-timeout as text") {
  REQUIRE(parse_grpc_timeout("1H") == Duration(1h));
  REQUIRE(parse_grpc_timeout("2M") == Duration(2min));
  REQUIRE(parse_grpc_timeout("3S") == Duration(3s));
  REQUIRE(parse_grpc_timeout("4m") == Duration(4ms));
  REQUIRE(parse_grpc_timeout("5u") == Duration(1ms));
  REQUIRE(parse_grpc_timeout("6n") == Duration(1ms));
  REQUIRE(parse_grpc_timeout("0n") == Duration(0));
  REQUIRE(parse_grpc_timeout("99999999H"));
  for (const char* bad : {"", "m", "5", "-1m", "1x", "123456789m", "1 m"}) REQUIRE_FALSE(parse_grpc_timeout(bad));
}

TEST_CASE("the upstream is told what it may take") {
  Case c;
  c.action.timeout = 5s;
  REQUIRE(c.announced(HeaderId::x_envoy_expected_rq_timeout_ms, c.of()) == "5000");
  REQUIRE(c.announced(HeaderId::x_envoy_expected_rq_timeout_ms, c.of(), 2s) == "3000");
  REQUIRE(c.announced(HeaderId::x_envoy_expected_rq_timeout_ms, c.of(), 6s) == "1");
  c.retry.per_try_timeout = 1s;
  REQUIRE(c.announced(HeaderId::x_envoy_expected_rq_timeout_ms, c.of()) == "1000");
  REQUIRE(c.announced(HeaderId::x_envoy_expected_rq_timeout_ms, c.of(), 4500ms) == "500");
  c.request.headers.clear();
  REQUIRE(c.announced(HeaderId::x_envoy_expected_rq_timeout_ms, c.of(), Duration(0), true) == "none");
  c.retry.per_try_timeout = Duration(0);
  c.action.timeout = Duration(0);
  REQUIRE(c.announced(HeaderId::x_envoy_expected_rq_timeout_ms, c.of()) == "none");
}

TEST_CASE("grpc-timeout is rewritten to what is left") {
  Case c;
  c.action.grpc_timeout_max = 1s;
  c.request.headers.add(HeaderId::grpc_timeout, "3S");
  REQUIRE(c.announced(HeaderId::grpc_timeout, c.of(true)) == "1000m");
}
