#include "proxy/upstream/hash_policy.h"

#include <catch2/catch.hpp>

using namespace clew;

namespace {

struct Case {
  Arena arena;
  RequestHead request{arena};
  ConnectionInfo connection;
  Address remote;
  std::vector<HashPolicy> policies;

  Case() {
    remote = connection.remote = Address(*IpAddress::parse("10.1.1.1"), 4000);
    connection.local = Address(*IpAddress::parse("10.1.1.2"), 80);
    request.path = "/a?user=me&x=1";
  }
  RequestHash hash() { return hash_request(policies, request, connection, remote); }
};

HashPolicy header(std::string name, bool terminal = false) { return {HashPolicy::Header{std::move(name)}, terminal}; }

}  // namespace

TEST_CASE("no policy, or none that finds anything: no hash") {
  Case c;
  REQUIRE_FALSE(c.hash().value);
  c.policies = {
      header("x-user"), {HashPolicy::Cookie{"c", {}, "", {}}, false}, {HashPolicy::QueryParameter{"none"}, false}};
  REQUIRE_FALSE(c.hash().value);
}

TEST_CASE("hash of a header") {
  Case c;
  c.policies = {header("x-user")};
  c.request.headers.add("x-user", "one");
  const auto one = c.hash().value;
  REQUIRE(one);
  REQUIRE(c.hash().value == one);
  c.request.headers.set("x-user", "two");
  REQUIRE(c.hash().value != one);
  c.request.headers.add("x-user", "one");
  const auto both = c.hash().value;
  c.request.headers.remove("x-user");
  c.request.headers.add("x-user", "one");
  c.request.headers.add("x-user", "two");
  REQUIRE(c.hash().value == both);  // order does not matter
}

TEST_CASE("hash of the client's address: the port does not matter") {
  Case c;
  c.policies = {{HashPolicy::SourceIp{}, false}};
  const auto hash = c.hash().value;
  REQUIRE(hash);
  c.remote = c.remote.with_port(1);
  REQUIRE(c.hash().value == hash);
  c.connection.remote = Address(*IpAddress::parse("10.1.1.9"), 1);  // whoever brought it
  REQUIRE(c.hash().value == hash);
  c.remote = Address::pipe("/x");
  REQUIRE_FALSE(c.hash().value);
}

TEST_CASE("hash of a query parameter") {
  Case c;
  c.policies = {{HashPolicy::QueryParameter{"user"}, false}};
  const auto hash = c.hash().value;
  REQUIRE(hash);
  c.request.path = "/b?z&user=me";
  REQUIRE(c.hash().value == hash);
  c.request.path = "/b?xuser=me";
  REQUIRE_FALSE(c.hash().value);
}

TEST_CASE("hash of a cookie") {
  Case c;
  c.policies = {{HashPolicy::Cookie{"s", {}, "", {}}, false}};
  c.request.headers.add(HeaderId::cookie, "ss=0; s=\"abc\" ;t=1");
  const auto hash = c.hash();
  REQUIRE(hash.value);
  REQUIRE(hash.set_cookies.empty());
  c.request.headers.set(HeaderId::cookie, "s=abc");
  REQUIRE(c.hash().value == hash.value);
}

TEST_CASE("a cookie that is missing is made, when the policy has a lifetime") {
  Case c;
  c.policies = {
      {HashPolicy::Cookie{"s", std::chrono::seconds(60), "/p", {{"SameSite", "Strict"}, {"Secure", ""}}}, false}};
  const RequestHash made = c.hash();
  REQUIRE(made.value);
  REQUIRE(made.set_cookies.size() == 1);
  REQUIRE(made.set_cookies[0].find("; Max-Age=60; Path=/p; SameSite=Strict; Secure; HttpOnly") != std::string::npos);
  // the client brings it back: the same endpoint
  const std::string value = made.set_cookies[0].substr(0, made.set_cookies[0].find(';'));
  c.request.headers.add(HeaderId::cookie, value);
  REQUIRE(c.hash().value == made.value);
  c.request.headers.clear();
  c.policies = {{HashPolicy::Cookie{"s", std::chrono::seconds(0), "", {}}, false}};
  REQUIRE(c.hash().set_cookies[0].find("Max-Age") == std::string::npos);
}

TEST_CASE("several policies are combined until a terminal one has a hash") {
  Case c;
  c.request.headers.add("a", "1");
  c.request.headers.add("b", "2");
  c.policies = {header("a")};
  const auto a = c.hash().value;
  c.policies = {header("a"), header("b")};
  REQUIRE(c.hash().value != a);
  c.policies = {header("a", true), header("b")};
  REQUIRE(c.hash().value == a);
  c.policies = {header("none", true), header("a")};
  REQUIRE(c.hash().value == a);
}
