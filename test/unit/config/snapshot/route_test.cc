#include "config/snapshot/route.h"

#include <catch2/catch.hpp>

using namespace clew;

namespace {

RouteTable table(std::vector<std::vector<std::string>> domains) {
  RouteTable out;
  for (auto& list : domains) {
    VirtualHost host;
    host.name = list.front();
    host.domains = std::move(list);
    out.hosts.push_back(std::move(host));
  }
  return out;
}

std::string found(const RouteTable& routes, std::string_view authority) {
  const VirtualHost* host = routes.find_host(authority);
  return host ? host->name : "none";
}

}  // namespace

TEST_CASE("a domain that appears twice is named") {
  CHECK(table({{"a", "b"}, {"B"}}).finish() == "B");
  CHECK(table({{"*"}, {"*"}}).finish() == "*");
  CHECK(table({{"*.a"}, {"*.A"}}).finish() == "*.A");
  CHECK(table({{"a.*", "a.*"}}).finish() == "a.*");
  CHECK(table({{"a", "*.a", "a.*", "*"}}).finish() == std::nullopt);
}

TEST_CASE("no host in a request finds a table's only default, or nothing") {
  RouteTable only = table({{"*"}});
  REQUIRE_FALSE(only.finish());
  CHECK(found(only, "") == "*");
  RouteTable more = table({{"*"}, {"a"}});
  REQUIRE_FALSE(more.finish());
  CHECK(found(more, {}) == "none");  // no authority at all: answered before routing
  CHECK(found(more, "") == "*");     // an empty one is a host like any other, as in Envoy
  RouteTable none;
  REQUIRE_FALSE(none.finish());
  CHECK(found(none, "a") == "none");
}

TEST_CASE("hosts are found in Envoy's order, whatever the table's") {
  RouteTable routes =
      table({{"*"}, {"*.com"}, {"*-bar.baz.com"}, {"*.baz.com"}, {"foo.*"}, {"foo.b.*"}, {"Foo.baz.com"}});
  REQUIRE_FALSE(routes.finish());
  CHECK(found(routes, "foo.baz.com") == "Foo.baz.com");
  CHECK(found(routes, "FOO.BAZ.COM") == "Foo.baz.com");
  CHECK(found(routes, "foo-bar.baz.com") == "*-bar.baz.com");
  CHECK(found(routes, "x.baz.com") == "*.baz.com");
  CHECK(found(routes, ".baz.com") == "*.com");  // the star stands for something
  CHECK(found(routes, "baz.com") == "*.com");
  CHECK(found(routes, "foo.org") == "foo.*");
  CHECK(found(routes, "foo.b.org") == "foo.b.*");
  CHECK(found(routes, "foo.") == "*");
  CHECK(found(routes, "foo.com") == "*.com");
  CHECK(found(routes, "other") == "*");
  CHECK(found(routes, "foo.baz.com:80") == "foo.*");
}

TEST_CASE("ports are stripped when asked") {
  RouteTable routes = table({{"a"}, {"[::1]"}, {"*"}});
  routes.ignore_port_in_host = true;
  REQUIRE_FALSE(routes.finish());
  CHECK(found(routes, "a:80") == "a");
  CHECK(found(routes, "a:") == "a");
  CHECK(found(routes, "a") == "a");
  CHECK(found(routes, "[::1]:80") == "[::1]");
  CHECK(found(routes, "[::1]") == "[::1]");
  routes.ignore_port_in_host = false;
  CHECK(found(routes, "a:80") == "*");
}

TEST_CASE("retry words; unknown ones are passed over") {
  CHECK(parse_retry_on("") == 0);
  CHECK(parse_retry_on(",, x,5XX,5xxx") == 0);
  CHECK(parse_retry_on("5xx") == RetryOn::on_5xx);
  CHECK(parse_retry_on("connect-failure,refused-stream, unavailable ,cancelled,retriable-status-codes") ==
        (RetryOn::connect_failure | RetryOn::refused_stream | RetryOn::grpc_unavailable | RetryOn::grpc_cancelled |
         RetryOn::retriable_status_codes));
  CHECK(parse_retry_on("gateway-error,bogus,reset") == (RetryOn::gateway_error | RetryOn::reset));
}
