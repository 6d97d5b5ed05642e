#include "proxy/net/filter_chain_match.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

namespace clew {
namespace {

using Names = std::vector<std::string>;

/// A listener built chain by chain.
struct Build {
  std::shared_ptr<Listener> listener = std::make_shared<Listener>();
  FilterChainMatch& chain(const std::string& name) {
    auto chain = std::make_shared<FilterChain>();
    chain->name = name;
    listener->chains.push_back(chain);
    return chain->match;
  }
  void fallback(const std::string& name) {
    auto chain = std::make_shared<FilterChain>();
    chain->name = name;
    listener->default_chain = chain;
  }
};

struct Client {
  std::string to = "10.0.0.1";
  std::uint16_t port = 80;
  std::string sni = {};
  Names alpn = {};
  bool tls = false;
  std::string from = "192.168.0.1";
  std::uint16_t from_port = 40000;
};

std::string select(const Build& build, const Client& client) {
  const FilterChainMatcher matcher(build.listener);
  ConnectionInfo info;
  info.local = Address(*IpAddress::parse(client.to), client.port);
  info.remote = Address(*IpAddress::parse(client.from), client.from_port);
  info.server_name = client.sni;
  info.offered_alpn = client.alpn;
  if (client.tls) info.transport_protocol = "tls";
  const auto* chain = matcher.select(info);
  return chain ? (*chain)->name : "-";
}

Cidr cidr(const std::string& text) { return *Cidr::parse(text); }

const Names H{"istio-http/1.0", "istio-http/1.1", "istio-h2"}, T{"istio-peer-exchange", "istio"}, P{"http/1.1", "h2c"};

TEST_CASE("filter chains: virtualOutbound") {
  Build b;
  b.chain("blackhole").destination_port = 15001;
  b.chain("catchall");
  REQUIRE(select(b, {"10.0.0.1", 15001}) == "blackhole");
  REQUIRE(select(b, {"10.0.0.1", 80}) == "catchall");
}

TEST_CASE("filter chains: inbound matrix") {
  // Each row of istiod's inbound table: the chains of one port, and who gets which.
  enum class Mode { permissive_auto, permissive_http, permissive_tcp, strict_auto, strict_http, disable_auto };
  struct Row {
    Mode mode;
    bool tls;
    Names alpn;
    std::string chain;
  };
  const auto build = [](Mode mode) {
    Build b;
    const auto add = [&b](const std::string& name, const std::string& transport, const Names& protocols) {
      FilterChainMatch& match = b.chain(name);
      match.destination_port = 8080;
      match.transport_protocol = transport;
      match.application_protocols = protocols;
    };
    Names all = H;
    all.insert(all.end(), T.begin(), T.end());
    switch (mode) {
      case Mode::permissive_auto:
        add("http-mtls", "tls", H), add("http", "raw_buffer", P), add("tcp-mtls", "tls", T),
            add("tcp", "raw_buffer", {}), add("app-tls", "tls", {});
        break;
      case Mode::permissive_http: add("http-mtls", "tls", all), add("http", "raw_buffer", {}); break;
      case Mode::permissive_tcp:
        add("tcp-mtls", "tls", all), add("app-tls", "tls", {}), add("tcp", "raw_buffer", {});
        break;
      case Mode::strict_auto: add("http-mtls", "tls", H), add("tcp-mtls", "tls", {}); break;
      case Mode::strict_http: add("http-mtls", "tls", {}); break;
      case Mode::disable_auto: add("http", "raw_buffer", P), add("tcp", "raw_buffer", {}); break;
    }
    b.chain("blackhole").destination_port = 15006;
    return b;
  };
  for (const Row& row : std::vector<Row>{{Mode::permissive_auto, true, {"istio-h2", "h2"}, "http-mtls"},
                                         {Mode::permissive_auto, true, {"istio-peer-exchange", "istio"}, "tcp-mtls"},
                                         {Mode::permissive_auto, true, {"h2", "http/1.1"}, "app-tls"},
                                         {Mode::permissive_auto, true, {}, "app-tls"},
                                         {Mode::permissive_auto, false, {"http/1.1"}, "http"},
                                         {Mode::permissive_auto, false, {"h2c"}, "http"},
                                         {Mode::permissive_auto, false, {"http/1.0"}, "tcp"},
                                         {Mode::permissive_auto, false, {}, "tcp"},
                                         {Mode::permissive_http, true, {"istio"}, "http-mtls"},
                                         {Mode::permissive_http, true, {"h2"}, "-"},
                                         {Mode::permissive_http, false, {}, "http"},
                                         {Mode::permissive_tcp, true, {"istio-http/1.1"}, "tcp-mtls"},
                                         {Mode::permissive_tcp, true, {"h2"}, "app-tls"},
                                         {Mode::permissive_tcp, false, {"http/1.1"}, "tcp"},
                                         {Mode::strict_auto, true, {"istio-http/1.1"}, "http-mtls"},
                                         {Mode::strict_auto, true, {"istio"}, "tcp-mtls"},
                                         {Mode::strict_auto, false, {"http/1.1"}, "-"},
                                         {Mode::strict_http, true, {"h2"}, "http-mtls"},
                                         {Mode::strict_http, false, {}, "-"},
                                         {Mode::disable_auto, false, {"h2c"}, "http"},
                                         {Mode::disable_auto, true, {"istio"}, "-"}}) {
    INFO(static_cast<int>(row.mode) << " " << row.tls << " " << (row.alpn.empty() ? "" : row.alpn[0]));
    REQUIRE(select(build(row.mode), {"10.0.0.1", 8080, "", row.alpn, row.tls}) == row.chain);
    REQUIRE(select(build(row.mode), {"10.0.0.1", 15006, "", row.alpn, row.tls}) == "blackhole");
    REQUIRE(select(build(row.mode), {"10.0.0.1", 9999, "", row.alpn, row.tls}) == "-");
  }
}

TEST_CASE("filter chains: the client's order of protocols decides") {
  Build b;
  b.chain("one").application_protocols = {"istio-h2"};
  b.chain("two").application_protocols = {"istio"};
  REQUIRE(select(b, {"10.0.0.1", 80, "", {"nothing", "istio", "istio-h2"}}) == "two");
  REQUIRE(select(b, {"10.0.0.1", 80, "", {"istio-h2", "istio"}}) == "one");
  REQUIRE(select(b, {"10.0.0.1", 80, "", {""}}) == "-");
}

TEST_CASE("filter chains: outbound, with a default") {
  Build b;
  FilterChainMatch& http = b.chain("http");
  http.application_protocols = P;
  http.transport_protocol = "raw_buffer";
  b.fallback("tcp");
  REQUIRE(select(b, {"10.0.0.1", 80, "", {"h2c"}}) == "http");
  REQUIRE(select(b, {"10.0.0.1", 80, "", {}}) == "tcp");
  REQUIRE(select(b, {"10.0.0.1", 80, "", {"h2c"}, true}) == "tcp");
}

TEST_CASE("filter chains: destination, the longest prefix, and no way back") {
  Build b;
  b.chain("net").prefix_ranges = {cidr("10.0.0.0/8"), cidr("fd00::/8")};
  b.chain("vip").prefix_ranges = {cidr("10.1.2.3/32")};
  FilterChainMatch& narrow = b.chain("narrow");
  narrow.prefix_ranges = {cidr("10.2.0.0/16")};
  narrow.server_names = {"only.example"};
  b.chain("other");
  REQUIRE(select(b, {"10.1.2.3"}) == "vip");
  REQUIRE(select(b, {"10.1.2.4"}) == "net");
  REQUIRE(select(b, {"fd00::1"}) == "net");
  REQUIRE(select(b, {"11.0.0.1"}) == "other");
  REQUIRE(select(b, {"2001:db8::1"}) == "other");
  REQUIRE(select(b, {"10.2.0.1", 80, "only.example"}) == "narrow");
  REQUIRE(select(b, {"10.2.0.1"}) == "-");  // 10.2.0.0/16 has decided
}

TEST_CASE("filter chains: a port of its own has decided too") {
  Build b;
  FilterChainMatch& tls = b.chain("tls");
  tls.destination_port = 8443;
  tls.transport_protocol = "tls";
  b.chain("all");
  REQUIRE(select(b, {"10.0.0.1", 8443, "", {}, true}) == "tls");
  REQUIRE(select(b, {"10.0.0.1", 8443}) == "-");
  b.fallback("default");
  REQUIRE(select(b, {"10.0.0.1", 8443}) == "default");
  REQUIRE(select(b, {"10.0.0.1", 80}) == "all");
}

TEST_CASE("filter chains: server names, exact, then the longest wildcard") {
  Build b;
  b.chain("exact").server_names = {"a.b.example", "example"};
  b.chain("deep").server_names = {"*.b.example"};
  b.chain("wide").server_names = {"*.example"};
  REQUIRE(select(b, {"10.0.0.1", 443, "a.b.example"}) == "exact");
  REQUIRE(select(b, {"10.0.0.1", 443, "x.b.example"}) == "deep");
  REQUIRE(select(b, {"10.0.0.1", 443, "x.y.b.example"}) == "deep");
  REQUIRE(select(b, {"10.0.0.1", 443, "b.example"}) == "wide");
  REQUIRE(select(b, {"10.0.0.1", 443, "example"}) == "exact");
  REQUIRE(select(b, {"10.0.0.1", 443, "example.org"}) == "-");
  REQUIRE(select(b, {"10.0.0.1", 443, ""}) == "-");
  REQUIRE(select(b, {"10.0.0.1", 443, ".example"}) == "-");
  b.chain("any");
  REQUIRE(select(b, {"10.0.0.1", 443, ""}) == "any");
}

TEST_CASE("filter chains: AUTO_PASSTHROUGH takes mesh protocols alone") {
  Build b;
  FilterChainMatch& match = b.chain("sni-dnat");
  match.server_names = {"outbound_.80_._.a.svc"};
  match.application_protocols = H;
  REQUIRE(select(b, {"10.0.0.1", 15443, "outbound_.80_._.a.svc", {"istio-h2", "h2"}, true}) == "sni-dnat");
  REQUIRE(select(b, {"10.0.0.1", 15443, "outbound_.80_._.a.svc", {"h2"}, true}) == "-");
  REQUIRE(select(b, {"10.0.0.1", 15443, "outbound_.80_._.b.svc", {"istio-h2"}, true}) == "-");
}

TEST_CASE("filter chains: source address and port") {
  Build b;
  b.chain("near").source_prefix_ranges = {cidr("192.168.0.0/16")};
  FilterChainMatch& one = b.chain("one");
  one.source_prefix_ranges = {cidr("192.168.0.0/16")};
  one.source_ports = {1000};
  b.chain("far");
  REQUIRE(select(b, {}) == "near");
  Client client;
  client.from_port = 1000;
  REQUIRE(select(b, client) == "one");
  client.from = "172.16.0.1";
  REQUIRE(select(b, client) == "far");
}

TEST_CASE("filter chains: none at all") {
  Build b;
  REQUIRE(select(b, {}) == "-");
  b.fallback("default");
  REQUIRE(select(b, {}) == "default");
}

TEST_CASE("filter chains: thousands of destinations") {
  Build b;
  for (int i = 0; i < 5000; ++i)
    b.chain(std::to_string(i)).prefix_ranges = {
        cidr("10.0." + std::to_string(i / 250) + "." + std::to_string(i % 250) + "/32")};
  REQUIRE(select(b, {"10.0.19.249"}) == "4999");
  REQUIRE(select(b, {"10.0.0.0"}) == "0");
  REQUIRE(select(b, {"10.0.20.0"}) == "-");
}

}  // namespace
}  // namespace clew
