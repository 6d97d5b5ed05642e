#include "proxy/http/route_match.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <random>

using namespace clew;

namespace {

struct Asked {
  Arena arena;
  RequestHead head{arena};
  explicit Asked(std::string_view path, std::string_view method = "GET", std::string_view authority = "a") {
    head.method = method;
    head.authority = authority;
    head.path = path;
    head.scheme = "http";
  }
};

Route route(PathMatch::Kind kind, std::string text, bool case_sensitive = true) {
  Route out;
  out.path.kind = kind;
  if (kind == PathMatch::Kind::regex) out.path.regex = Regex::compile(text);
  out.path.text = std::move(text);
  out.path.case_sensitive = case_sensitive;
  out.action = ForwardAction{};
  return out;
}

HeaderMatcher exact(std::string name, std::string value) {
  HeaderMatcher out;
  out.name = std::move(name);
  StringMatcher matcher;
  matcher.text = std::move(value);
  out.rule = matcher;
  return out;
}

std::string location(const LocalReply& reply) { return reply.headers.empty() ? "" : reply.headers.front().second; }

}  // namespace

TEST_CASE("routes match by path, without query and fragment") {
  using Kind = PathMatch::Kind;
  struct Case {
    Kind kind;
    std::string text, path;
    bool expected, case_sensitive = true;
  };
  const Case cases[] = {
      {Kind::prefix, "/a", "/a", true},
      {Kind::prefix, "/a", "/ab?x", true},
      {Kind::prefix, "/a?x", "/a?x", false},
      {Kind::prefix, "/a", "/A", false},
      {Kind::prefix, "/a", "/A", true, false},
      {Kind::prefix, "/abc", "/a", false},
      {Kind::exact, "/a", "/a?x=1", true},
      {Kind::exact, "/a", "/a#x", true},
      {Kind::exact, "/a", "/a/", false},
      {Kind::exact, "/a", "/A", true, false},
      {Kind::separated_prefix, "/a", "/a", true},
      {Kind::separated_prefix, "/a", "/a/b", true},
      {Kind::separated_prefix, "/a", "/a?b", true},
      {Kind::separated_prefix, "/a", "/ab", false},
      {Kind::regex, "/[0-9]+", "/12?x", true},
      {Kind::regex, "/[0-9]+", "/12x", false},
      {Kind::connect, "", "/", false},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text, c.path);
    Asked asked(c.path);
    CHECK(matches(route(c.kind, c.text, c.case_sensitive), asked.head) == c.expected);
  }
  Asked connect("", "CONNECT");
  CHECK(matches(route(Kind::connect, ""), connect.head));
  for (const Kind kind : {Kind::prefix, Kind::exact, Kind::separated_prefix, Kind::regex})
    for (const char* text : {"", "/", ".*"}) CHECK(!matches(route(kind, text), connect.head));
}

TEST_CASE("routes match by headers, pseudo-headers and query parameters") {
  Asked asked("/p?one=1&flag&two=x=y");
  asked.head.headers.add("x-a", "1");
  asked.head.headers.add("x-a", "2");
  const auto with = [](HeaderMatcher matcher) {
    Route out = route(PathMatch::Kind::prefix, "/");
    out.headers.push_back(std::move(matcher));
    return out;
  };
  CHECK(matches(with(exact("x-a", "1,2")), asked.head));
  CHECK(!matches(with(exact("x-a", "1")), asked.head));
  CHECK(matches(with(exact(":method", "GET")), asked.head));
  CHECK(matches(with(exact(":authority", "a")), asked.head));
  CHECK(matches(with(exact(":path", "/p?one=1&flag&two=x=y")), asked.head));
  CHECK(!matches(with(exact(":scheme", "https")), asked.head));
  CHECK(!matches(with(exact("x-b", "")), asked.head));
  CHECK(query_parameter(asked.head.path, "one") == "1");
  CHECK(query_parameter(asked.head.path, "flag") == "");
  CHECK(query_parameter(asked.head.path, "two") == "x=y");
  CHECK(!query_parameter(asked.head.path, "three"));
  CHECK(!query_parameter("/p", "one"));
  Route query = route(PathMatch::Kind::prefix, "/");
  query.query.push_back({"flag", std::nullopt});
  CHECK(matches(query, asked.head));
  StringMatcher other;
  other.text = "2";
  query.query.push_back({"one", other});
  CHECK(!matches(query, asked.head));
}

TEST_CASE("the first route that matches wins; weights draw the cluster") {
  RouteTable table;
  VirtualHost host;
  host.domains = {"a"};
  host.routes = {route(PathMatch::Kind::exact, "/x"), route(PathMatch::Kind::prefix, "/"),
                 route(PathMatch::Kind::prefix, "/y")};
  ForwardAction split;
  for (const auto& [name, weight] : {std::pair<const char*, std::uint32_t>{"one", 90}, {"two", 10}}) {
    WeightedCluster cluster;
    cluster.cluster = name;
    cluster.weight = weight;
    split.clusters.push_back(cluster);
  }
  split.total_weight = 100;
  host.routes[1].action = split;
  table.hosts.push_back(host);
  REQUIRE(!table.finish());
  Asked y("/y");
  const RouteMatch found = match_route(table, y.head, 189);
  REQUIRE(found.route == &table.hosts[0].routes[1]);
  CHECK(found.cluster->cluster == "one");
  CHECK(match_route(table, y.head, 190).cluster->cluster == "two");
  CHECK(match_route(table, y.head, 0).cluster->cluster == "one");
  Asked elsewhere("/", "GET", "b");
  CHECK(match_route(table, elsewhere.head, 0).host == nullptr);
}

TEST_CASE("redirects") {
  PathMatch match;
  match.text = "/old";
  Asked asked("/old/x?q=1", "GET", "a.example:80");
  asked.head.headers.add("x-forwarded-proto", "http");
  RedirectAction action;
  action.host = "b.example";
  CHECK(location(redirect_reply(action, match, asked.head)) == "http://b.example/old/x?q=1");
  action.https = true;
  action.prefix_rewrite = "/new";
  CHECK(location(redirect_reply(action, match, asked.head)) == "https://b.example/new/x?q=1");
  action.path = "/fixed";
  CHECK(location(redirect_reply(action, match, asked.head)) == "https://b.example/fixed?q=1");
  action.path = "/fixed?own";
  CHECK(location(redirect_reply(action, match, asked.head)) == "https://b.example/fixed?own");
  action.path.clear();
  action.strip_query = true;
  action.host.clear();
  action.status = 308;
  CHECK(location(redirect_reply(action, match, asked.head)) == "https://a.example/new/x");
  CHECK(redirect_reply(action, match, asked.head).status == 308);
  action.port = 8443;
  CHECK(location(redirect_reply(action, match, asked.head)) == "https://a.example:8443/new/x");
  RedirectAction plain;
  plain.path = "/y";
  CHECK(location(redirect_reply(plain, match, asked.head)) == "http://a.example:80/y?q=1");
}

TEST_CASE("hosts that want TLS") {
  VirtualHost host;
  Asked asked("/x?y", "GET", "a:80");
  asked.head.headers.add("x-forwarded-proto", "http");
  CHECK(!require_tls(host, asked.head, false));
  host.require_tls = VirtualHost::RequireTls::all;
  CHECK(location(*require_tls(host, asked.head, true)) == "https://a:80/x?y");
  host.require_tls = VirtualHost::RequireTls::external_only;
  CHECK(!require_tls(host, asked.head, true));
  CHECK(require_tls(host, asked.head, false)->status == 301);
  asked.head.headers.set("x-forwarded-proto", "https");
  CHECK(!require_tls(host, asked.head, false));
}

TEST_CASE("many routes: the index finds what trying each finds") {
  using Kind = PathMatch::Kind;
  std::mt19937 random(7);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  const auto text = [&](std::initializer_list<const char*> pieces, std::size_t most) {
    std::string out;
    for (std::size_t n = below(most + 1); n > 0; --n) out += pieces.begin()[below(pieces.size())];
    return out;
  };
  for (int round = 0; round < 300; ++round) {
    RouteTable table;
    VirtualHost& host = table.hosts.emplace_back();
    host.domains = {"*"};
    for (int i = 0; i < 40; ++i) {
      const Kind kind =
          std::array{Kind::prefix, Kind::exact, Kind::separated_prefix, Kind::regex, Kind::connect}[below(5)];
      const std::string path =
          kind == Kind::regex
              ? text({"/", "a", "b", "ab", ".", ".*", "[ab]", "(a|ab)", "b?", "a+", "^", "$", "(?i)", "\\/", "(/a|/b)"},
                     5)
              : "/" + text({"/", "a", "b", "ab", "A"}, 4);
      Route& made = host.routes.emplace_back(route(kind, path, below(4) != 0));
      if (kind == Kind::regex && !made.path.regex)
        host.routes.pop_back();
      else if (below(5) == 0)
        made.headers.push_back(exact(":method", below(2) ? "GET" : "POST"));
    }
    REQUIRE(!table.finish());
    REQUIRE(host.index);
    for (int i = 0; i < 40; ++i) {
      const std::string path = (below(8) ? "/" : "") + text({"/", "a", "b", "ab", "A", "?", "#", "\xff"}, 6);
      Asked asked(path, std::array{"GET", "POST", "CONNECT"}[below(3)]);
      const auto plain = std::find_if(host.routes.begin(), host.routes.end(),
                                      [&](const Route& one) { return matches(one, asked.head); });
      INFO(path);
      REQUIRE(match_route(table, asked.head, 0).route == (plain == host.routes.end() ? nullptr : &*plain));
    }
  }
}
