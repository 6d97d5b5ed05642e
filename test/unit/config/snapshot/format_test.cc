#include "config/snapshot/format.h"

#include <catch2/catch.hpp>
#include <cstdlib>

using namespace clew;
using Op = FormatItem::Op;

namespace {

FormatItem only(std::string_view text) {
  const ParsedFormat parsed = parse_format(text);
  INFO(text << ": " << parsed.error);
  REQUIRE(parsed.items.size() == 1);
  return parsed.items[0];
}

}  // namespace

TEST_CASE("formats that are wrong are refused, and the operator is named") {
  const auto [text, cause] = GENERATE(table<const char*, const char*>({
      {"%", "no valid operator"},
      {"%%%", "no valid operator"},
      {"100% sure", "no valid operator"},
      {"%lower%", "no valid operator"},
      {"%REQ(A%", "no valid operator"},
      {"%REQ(A):x%", "no valid operator"},
      {"%REQ(A):%", "no valid operator"},
      {"%REQ(A):5", "no valid operator"},
      {"%REQ(A) %", "no valid operator"},
      {"%REQ(A):99999999999999999999%", "no valid operator"},
      {"%NOT_AN_OPERATOR%", "%NOT_AN_OPERATOR%"},
      {"%CEL(request.path)%", "%CEL%"},
      {"%REQ%", "%REQ% requires"},
      {"%REQ()%", "%REQ% requires"},
      {"%REQ(A?B?C)%", "more than one alternative"},
      {"%REQ(a b)%", "invalid header name"},
      {"%REQ(a?)%", "invalid header name"},
      {"%REQ(:)%", "invalid header name"},
      {"%REQ(a\n)%", "invalid header name"},
      {"%PROTOCOL(x)%", "takes no parameter"},
      {"%PROTOCOL:5%", "takes no length"},
      {"%START_TIME(%n)%", "line break"},
      {"%START_TIME(%-2En)%", "line break"},
      {"%START_TIME(%Y\n)%", "line break"},
      {"%START_TIME(%Y%)%", "ends within"},
      {"%START_TIME:3%", "takes no length"},
      {"%COMMON_DURATION(DS_RX_BEG)%", "START:END"},
      {"%COMMON_DURATION(DS_RX_BEG:nonsense)%", "nonsense"},
      {"%COMMON_DURATION(DS_RX_BEG:DS_TX_END:s)%", "unit s"},
      {"%DYNAMIC_METADATA()%", "requires"},
      {"%FILTER_STATE%", "requires"},
      {"%FILTER_STATE(a:XML)%", "PLAIN"},
      {"%FILTER_STATE(a:FIELD)%", "field name"},
      {"%GRPC_STATUS(UPPER)%", "CAMEL_STRING"},
      {"%PATH(XQ)%", "WQ or NQ"},
      {"%PATH(WQ:X)%", "ORIG"},
      {"%RESPONSE_CODE_DETAILS(x)%", "ALLOW_WHITESPACES"},
      {"%ENVIRONMENT()%", "requires"},
  }));
  const ParsedFormat parsed = parse_format(text);
  INFO(text);
  CHECK(parsed.items.empty());
  CHECK_THAT(parsed.error, Catch::Contains(cause));
}

TEST_CASE("literals and escaped percent signs are one item") {
  CHECK(parse_format("").items.empty());
  CHECK(parse_format("").error.empty());
  CHECK(only("a%%b %%").text == "a%b %");
  const auto parsed = parse_format("[%START_TIME%] %%%PROTOCOL%%RESPONSE_CODE%\n");
  REQUIRE(parsed.items.size() == 6);
  CHECK(parsed.items[2].text == "] %");
  CHECK(parsed.items[4].op == Op::response_code);
  CHECK(parsed.items[5].text == "\n");
}

TEST_CASE("headers") {
  auto item = only("%REQ(X-Envoy-Original-Path?:PATH):12%");
  CHECK(item.op == Op::request_header);
  CHECK(item.text == "x-envoy-original-path");
  CHECK(item.alternative == ":path");
  CHECK(item.max_length == 12u);
  item = only("%RESP(X)%");
  CHECK(item.op == Op::response_header);
  CHECK_FALSE(item.max_length);
  CHECK(only("%TRAILER(grpc-status):0%").max_length == 0u);
  CHECK(only("%REQ_WITHOUT_QUERY(:PATH)%").op == Op::request_header_without_query);
}

TEST_CASE("times") {
  CHECK(only("%START_TIME%").text == "%Y-%m-%dT%H:%M:%S.%3fZ");
  CHECK(only("%START_TIME(%s.%9f)%").text == "%s.%9f");
  CHECK(only("%EMIT_TIME(%Y/%m/%dT%H:%M:%S%z %s)%").op == Op::emit_time);
}

TEST_CASE("durations between two instants") {
  const auto item = only("%COMMON_DURATION(US_RX_BEG:DS_TX_END:us)%");
  CHECK(item.op == Op::common_duration);
  CHECK(item.from == FormatItem::Instant::upstream_first_byte_received);
  CHECK(item.to == FormatItem::Instant::response_last_byte);
  CHECK(item.unit_ns == 1000);
  CHECK(only("%COMMON_DURATION(DS_RX_BEG:DS_TX_BEG)%").unit_ns == 1'000'000);
}

TEST_CASE("metadata and state") {
  auto item = only("%DYNAMIC_METADATA(envoy.filters.http.rbac:shadow:x):10%");
  CHECK(item.text == "envoy.filters.http.rbac");
  CHECK(item.path == std::vector<std::string>{"shadow", "x"});
  CHECK(item.max_length == 10u);
  item = only("%FILTER_STATE(upstream_peer:FIELD:name)%");
  CHECK(item.text == "upstream_peer");
  CHECK(item.path == std::vector<std::string>{"FIELD", "name"});
  CHECK(only("%FILTER_STATE(upstream_peer)%").path.empty());
}

TEST_CASE("the environment is read once") {
  setenv("CLEW_FORMAT_TEST", "value", 1);
  auto item = only("a %ENVIRONMENT(CLEW_FORMAT_TEST):3% b");
  CHECK(item.op == Op::literal);
  CHECK(item.text == "a val b");
  unsetenv("CLEW_FORMAT_TEST");
  CHECK(only("%ENVIRONMENT(CLEW_FORMAT_TEST)%").text == "-");
}

TEST_CASE("gRPC status and paths") {
  CHECK(only("%GRPC_STATUS%").op == Op::grpc_status);
  CHECK(only("%GRPC_STATUS(SNAKE_STRING)%").text == "SNAKE_STRING");
  CHECK(only("%GRPC_STATUS(NUMBER)%").op == Op::grpc_status_number);
  CHECK(only("%PATH%").text == "wq");
  CHECK(only("%PATH(NQ:ORIG)%").alternative == "orig");
  CHECK(only("%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%").text == "ALLOW_WHITESPACES");
}

TEST_CASE("Istio's default format") {
  const auto parsed = parse_format(
      "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% "
      "%RESPONSE_FLAGS% "
      "%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" "
      "%BYTES_RECEIVED% "
      "%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
      "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% "
      "%UPSTREAM_LOCAL_ADDRESS% "
      "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n");
  CHECK(parsed.error.empty());
  CHECK(parsed.items.size() == 49);
}
