#include "proxy/upstream/retry.h"

#include <catch2/catch.hpp>

using namespace clew;

namespace {

struct Case {
  Arena arena;
  RequestHead request{arena};
  ResponseHead response{arena};
  RetryPolicy policy;

  RetryState state() { return RetryState(&policy, request); }
  bool wants(std::uint32_t on, std::uint32_t status) {
    policy.on = on;
    response.status = status;
    return state().wants(response);
  }
  bool wants_grpc(std::uint32_t on, std::string_view code) {
    policy.on = on;
    response.status = 200;
    response.headers.set(HeaderId::grpc_status, code);
    return state().wants(response);
  }
  bool wants(std::uint32_t on, ResetReason reason, bool sent = true) {
    policy.on = on;
    return state().wants(reason, sent);
  }
};

}  // namespace

TEST_CASE("no policy, no headers: no retry") {
  Case c;
  RetryState state(nullptr, c.request);
  REQUIRE_FALSE(state.enabled());
  for (const std::uint32_t status : {200u, 409u, 500u, 503u}) {
    c.response.status = status;
    REQUIRE_FALSE(state.wants(c.response));
  }
  REQUIRE_FALSE(state.wants(ResetReason::remote_connection_failure, false));
}

TEST_CASE("retry on status") {
  Case c;
  REQUIRE(c.wants(RetryOn::on_5xx, 500));
  REQUIRE(c.wants(RetryOn::on_5xx, 599));
  REQUIRE_FALSE(c.wants(RetryOn::on_5xx, 499));
  REQUIRE_FALSE(c.wants(RetryOn::on_5xx, 200));
  REQUIRE(c.wants(RetryOn::gateway_error, 502));
  REQUIRE(c.wants(RetryOn::gateway_error, 503));
  REQUIRE(c.wants(RetryOn::gateway_error, 504));
  REQUIRE_FALSE(c.wants(RetryOn::gateway_error, 500));
  REQUIRE_FALSE(c.wants(RetryOn::gateway_error, 505));
  REQUIRE(c.wants(RetryOn::retriable_4xx, 409));
  REQUIRE_FALSE(c.wants(RetryOn::retriable_4xx, 404));
  c.policy.retriable_status_codes = {503, 429};
  REQUIRE(c.wants(RetryOn::retriable_status_codes, 429));
  REQUIRE_FALSE(c.wants(RetryOn::retriable_status_codes, 500));
  REQUIRE_FALSE(c.wants(RetryOn::retriable_4xx, 429));
}

TEST_CASE("retry on headers of the answer") {
  Case c;
  HeaderMatcher matcher;
  matcher.name = "x-again";
  matcher.rule = StringMatcher{StringMatcher::Kind::exact, false, "yes", {}};
  c.policy.retriable_headers.push_back(matcher);
  REQUIRE_FALSE(c.wants(RetryOn::retriable_headers, 200));
  c.response.headers.add("x-again", "no");
  REQUIRE_FALSE(c.wants(RetryOn::retriable_headers, 200));
  c.response.headers.set("x-again", "yes");
  REQUIRE(c.wants(RetryOn::retriable_headers, 200));
  REQUIRE_FALSE(c.wants(RetryOn::on_5xx, 200));
}

TEST_CASE("an answer of a rate limiter is retried only when asked for") {
  Case c;
  c.response.headers.add(HeaderId::x_envoy_ratelimited, "true");
  REQUIRE_FALSE(c.wants(RetryOn::on_5xx, 503));
  REQUIRE(c.wants(RetryOn::envoy_ratelimited, 429));
}

TEST_CASE("retry on gRPC status in the head") {
  Case c;
  REQUIRE(c.wants_grpc(RetryOn::grpc_cancelled, "1"));
  REQUIRE(c.wants_grpc(RetryOn::grpc_deadline_exceeded, "4"));
  REQUIRE(c.wants_grpc(RetryOn::grpc_resource_exhausted, "8"));
  REQUIRE(c.wants_grpc(RetryOn::grpc_internal, "13"));
  REQUIRE(c.wants_grpc(RetryOn::grpc_unavailable, "14"));
  REQUIRE_FALSE(c.wants_grpc(RetryOn::grpc_unavailable, "13"));
  REQUIRE_FALSE(c.wants_grpc(RetryOn::grpc_unavailable, "14x"));
  REQUIRE_FALSE(c.wants_grpc(RetryOn::grpc_unavailable, ""));
}

TEST_CASE("retry on resets") {
  Case c;
  using R = ResetReason;
  for (const R reason : {R::local_connection_failure, R::remote_connection_failure, R::connection_timeout}) {
    REQUIRE(c.wants(RetryOn::connect_failure, reason));
    REQUIRE_FALSE(c.wants(RetryOn::refused_stream, reason));
    REQUIRE(c.wants(RetryOn::reset, reason));
  }
  REQUIRE(c.wants(RetryOn::refused_stream, R::remote_refused_stream));
  REQUIRE_FALSE(c.wants(RetryOn::refused_stream, R::remote_reset));
  REQUIRE_FALSE(c.wants(RetryOn::connect_failure, R::connection_termination));
  for (const R reason : {R::remote_reset, R::connection_termination, R::local_reset, R::protocol_error}) {
    REQUIRE(c.wants(RetryOn::reset, reason));
    REQUIRE(c.wants(RetryOn::on_5xx, reason));
    REQUIRE(c.wants(RetryOn::gateway_error, reason));
    REQUIRE_FALSE(c.wants(RetryOn::retriable_status_codes, reason));
  }
  REQUIRE(c.wants(RetryOn::reset_before_request, R::connection_termination, false));
  REQUIRE_FALSE(c.wants(RetryOn::reset_before_request, R::connection_termination, true));
  REQUIRE_FALSE(c.wants(RetryOn::on_5xx | RetryOn::reset, R::overflow));
}

TEST_CASE("the request's own headers add to the policy and are taken off") {
  Case c;
  c.policy.num_retries = 1;
  c.request.headers.add(HeaderId::x_envoy_retry_on, "5xx, nonsense,connect-failure");
  c.request.headers.add(HeaderId::x_envoy_retry_grpc_on, "unavailable");
  c.request.headers.add(HeaderId::x_envoy_max_retries, "3");
  c.request.headers.add(HeaderId::x_envoy_retriable_status_codes, "418, x, 99999999999999999999, 420");
  c.request.headers.add(HeaderId::x_envoy_retriable_header_names, "X-Again");
  RetryState state = c.state();
  REQUIRE(c.request.headers.size() == 0);
  REQUIRE(state.remaining() == 3);
  c.response.status = 500;
  REQUIRE(state.wants(c.response));
  c.response.status = 200;
  REQUIRE_FALSE(state.wants(c.response));
  c.response.headers.add(HeaderId::grpc_status, "14");
  REQUIRE(state.wants(c.response));
  c.policy.on = RetryOn::retriable_status_codes;
  c.request.headers.add(HeaderId::x_envoy_retriable_status_codes, "418");
  c.response.headers.clear();
  c.response.status = 418;
  REQUIRE(c.state().wants(c.response));
}

TEST_CASE("x-envoy-max-retries alone turns nothing on") {
  Case c;
  c.request.headers.add(HeaderId::x_envoy_max_retries, "9");
  RetryState state(nullptr, c.request);
  REQUIRE_FALSE(state.enabled());
  REQUIRE(state.remaining() == 1);
}

TEST_CASE("retries run out") {
  Case c;
  c.policy.on = RetryOn::on_5xx;
  c.policy.num_retries = 2;
  RetryState state = c.state();
  REQUIRE(state.take());
  REQUIRE(state.take());
  REQUIRE_FALSE(state.take());
}

TEST_CASE("back-off doubles up to its limit, fully jittered") {
  Case c;
  c.policy.base_interval = std::chrono::milliseconds(25);
  c.policy.max_interval = std::chrono::milliseconds(80);
  RetryState state = c.state();
  const auto longest = [&](std::uint64_t window) {
    return state.next_backoff(window - 1) == std::chrono::milliseconds(window - 1);
  };
  REQUIRE(longest(25));
  REQUIRE(longest(50));
  REQUIRE(longest(80));
  REQUIRE(longest(80));
  REQUIRE(state.next_backoff(80) == Duration(0));
}
