#include "proxy/upstream/shared_state.h"

#include <catch2/catch.hpp>

#include <vector>

using namespace clew;

TEST_CASE("circuit breakers: a limit is exact and given back") {
  CircuitBreakers breakers;
  CircuitBreakerThresholds limits;
  limits.max_requests = 2;
  ResourceToken a, b, c;
  REQUIRE(breakers.take_request(limits, a));
  REQUIRE(breakers.take_request(limits, b));
  REQUIRE_FALSE(breakers.take_request(limits, c));
  REQUIRE(breakers.requests() == 2);
  a.release();
  REQUIRE(breakers.take_request(limits, c));
  a = std::move(b);
  REQUIRE(breakers.requests() == 2);
  a = ResourceToken();
  REQUIRE(breakers.requests() == 1);
}

TEST_CASE("circuit breakers: zero lets nothing through, unlimited counts nothing") {
  CircuitBreakers breakers;
  CircuitBreakerThresholds limits;
  limits.max_pending_requests = 0;
  limits.max_requests = CircuitBreakers::unlimited;
  ResourceToken pending, request;
  REQUIRE_FALSE(breakers.take_pending(limits, pending));
  REQUIRE(breakers.take_request(limits, request));
  REQUIRE(breakers.requests() == 0);
}

TEST_CASE("circuit breakers: a first connection may go beyond the limit") {
  CircuitBreakers breakers;
  CircuitBreakerThresholds limits;
  limits.max_connections = 1;
  ResourceToken a, b;
  REQUIRE(breakers.take_connection(limits, a));
  REQUIRE_FALSE(breakers.take_connection(limits, b));
  REQUIRE(breakers.take_connection(limits, b, true));
  REQUIRE(breakers.connections() == 2);
}

TEST_CASE("retry budget: a part of what is under way, at least the minimum") {
  CircuitBreakers breakers;
  CircuitBreakerThresholds limits;
  limits.max_requests = CircuitBreakers::unlimited;
  limits.max_retries = 0;  // the budget decides
  limits.retry_budget = CircuitBreakerThresholds::RetryBudget{20, 1};
  std::vector<ResourceToken> requests(10);
  for (ResourceToken& token : requests) REQUIRE(breakers.take_request(limits, token));
  std::vector<ResourceToken> retries(3);
  REQUIRE(breakers.take_retry(limits, retries[0]));
  REQUIRE(breakers.take_retry(limits, retries[1]));
  REQUIRE_FALSE(breakers.take_retry(limits, retries[2]));
  for (int i = 0; i < 9; ++i) requests.pop_back();
  retries.clear();
  retries.resize(2);
  REQUIRE(breakers.take_retry(limits, retries[0]));
  REQUIRE_FALSE(breakers.take_retry(limits, retries[1]));
}

TEST_CASE("shared state is one for a name and an address, as long as somebody holds it") {
  SharedState shared;
  const auto a = shared.cluster("a");
  REQUIRE(shared.cluster("a") == a);
  REQUIRE(shared.cluster("b") != a);
  const Address address(IpAddress::v4(0x01020304), 80);
  auto endpoint = a->endpoint(address);
  endpoint->rq_active = 7;
  REQUIRE(a->endpoint(address)->rq_active == 7);
  endpoint.reset();
  REQUIRE(a->endpoint(address)->rq_active == 0);
  for (std::uint16_t port = 1; port < 1000; ++port) a->endpoint(address.with_port(port));  // forgotten ones are swept
}

TEST_CASE("shared state: looking a cluster up makes none") {
  SharedState shared;
  REQUIRE(shared.find("c") == nullptr);
  auto made = shared.cluster("c");
  REQUIRE(shared.find("c") == made);
  made.reset();
  REQUIRE(shared.find("c") == nullptr);
}
