#include "proxy/http/request_policy.h"
#include "proxy/http/client_cert_header.h"
#include "proxy/http/path_normalize.h"
#include "test/unit/proxy/http/http_test_kit.h"

#include <catch2/catch.hpp>

using namespace clew;

namespace {

struct PolicyKit {
  TestWorker test;
  HttpConnectionManager hcm;
  ConnectionInfo connection;
  TlsInfo tls;
  std::optional<Stream> stream;

  PolicyKit() {
    hcm.generate_request_id = false;
    connection.remote = connection.direct_remote = *peer("8.8.4.4");
    connection.local = Address(*IpAddress::parse("10.0.0.9"), 8080);
  }
  static std::optional<Address> peer(std::string_view text) { return Address(*IpAddress::parse(text), 999); }

  std::optional<LocalReply> prepare(std::vector<std::pair<std::string, std::string>> headers = {},
                                    std::string_view path = "/") {
    stream.emplace(test.worker, connection, hcm);
    RequestHead& request = stream->request;
    request.method = "GET";
    request.authority = "a";
    request.path = stream->arena.copy(path);
    for (const auto& [name, value] : headers) request.headers.add(name, value);
    return prepare_request(*stream);
  }
  std::string header(std::string_view name) { return std::string(stream->request.headers.get(name).value_or("-")); }
};

}  // namespace

TEST_CASE("paths in one form, as Envoy's") {
  const std::pair<std::string, std::string> same[] = {
      {"/", "/"},
      {"/a/b?x=/../y", "/a/b?x=/../y"},
      {"/a/../b", "/b"},
      {"/../b", "/b"},
      {"/../../..", "/"},
      {"/a/..", "/"},
      {"/a/b/..", "/a/"},
      {"/a/.", "/a/"},
      {"/a/./b", "/a/b"},
      {"/a/%2e%2E/b", "/b"},
      {"/a/.%2e/b", "/b"},
      {"/a/..b/.c", "/a/..b/.c"},
      {"//a//b", "//a//b"},
      {"/a//../b", "/a/b"},
      {"/a\\b", "/a/b"},
      {"/a\\..\\b", "/b"},
      {"/%41%7e%20b", "/A~%20b"},
      {"/a%2fb%5C", "/a%2fb%5C"},
      {"/a%zzb%", "/a%zzb%"},
      {"/\"<>^`{|}", "/%22%3C%3E%5E%60%7B%7C%7D"},
      {"/a%252e/b", "/a%252e/b"},
      {"/a;x=1/..;/b", "/a;x=1/..;/b"},
  };
  for (const auto& [from, to] : same) {
    CAPTURE(from);
    REQUIRE(normalize_path(from).has_value());
    CHECK(*normalize_path(from) == to);
    CHECK(*normalize_path(to) == to);  // once is enough
  }
  CHECK(!normalize_path("/a%00b"));
  CHECK(!normalize_path("a"));
  CHECK(!normalize_path(""));
  CHECK(merge_slashes("//a///b//?x=//") == "/a/b/?x=//");
  CHECK(*unescape_slashes("/a%2fb%5Cc?%2f") == "/a/b\\c?%2f");
  CHECK(!unescape_slashes("/a?%2f"));
}

TEST_CASE("what the connection manager does to paths") {
  using EscapedSlashes = HttpConnectionManager::EscapedSlashes;
  PolicyKit kit;
  CHECK(kit.prepare({}, "/a#frag")->details == "path_normalization_failed");
  kit.hcm.reject_path_with_fragment = false;
  CHECK(!kit.prepare({}, "/a/../b#frag"));
  CHECK(kit.stream->request.path == "/a/../b");
  kit.hcm.normalize_path = true;
  CHECK(!kit.prepare({}, "/a/../b?c#frag"));
  CHECK(kit.stream->request.path == "/b?c");
  CHECK(kit.prepare({}, "/%00")->status == 400);
  CHECK(kit.prepare({}, "*")->status == 404);
  CHECK(kit.prepare({}, "?q")->details == "absolute_path_rejected");
  kit.hcm.merge_slashes = true;
  kit.hcm.escaped_slashes = EscapedSlashes::unescape_and_forward;
  CHECK(!kit.prepare({}, "/a%2f%2F..%5cb"));
  CHECK(kit.stream->request.path == "/a/b");
  kit.hcm.escaped_slashes = EscapedSlashes::reject;
  CHECK(kit.prepare({}, "/a%2fb")->details == "path_normalization_failed");
  CHECK(!kit.prepare({}, "/ab"));
  kit.hcm.escaped_slashes = EscapedSlashes::unescape_and_redirect;
  const auto redirect = kit.prepare({}, "/a%2fb");
  REQUIRE(redirect);
  CHECK(redirect->status == 307);
  CHECK(redirect->headers.at(0).second == "/a/b");
}

TEST_CASE("hosts lose what the config says") {
  PolicyKit kit;
  const auto host = [&](std::string_view authority) {
    kit.stream.emplace(kit.test.worker, kit.connection, kit.hcm);
    kit.stream->request.method = "GET";
    kit.stream->request.authority = authority;
    kit.stream->request.path = "/";
    CHECK(!prepare_request(*kit.stream));
    return std::string(kit.stream->request.authority);
  };
  CHECK(host("a.:8080") == "a.:8080");
  kit.hcm.strip_port = HttpConnectionManager::StripPort::matching;
  CHECK(host("a:8080") == "a");
  CHECK(host("a:8081") == "a:8081");
  CHECK(host("[::1]:8080") == "[::1]");
  kit.hcm.strip_port = HttpConnectionManager::StripPort::any;
  CHECK(host("a:8081") == "a");
  kit.hcm.strip_trailing_host_dot = true;
  CHECK(host("a.:1") == "a");
  kit.hcm.strip_port = HttpConnectionManager::StripPort::none;
  CHECK(host("a.:1") == "a:1");
}

TEST_CASE("who asked: use_remote_address, trusted hops, internal networks") {
  struct Case {
    bool use_remote;
    std::uint32_t hops;
    std::string peer, xff;  // empty: none
    std::string remote, forwarded;
    bool internal;
  };
  const Case cases[] = {
      // a gateway believes its socket
      {true, 0, "8.8.4.4", "", "8.8.4.4", "8.8.4.4", false},
      {true, 0, "8.8.4.4", "10.0.0.1", "8.8.4.4", "10.0.0.1,8.8.4.4", false},
      {true, 0, "10.0.0.2", "", "10.0.0.2", "10.0.0.2", true},
      {true, 0, "10.0.0.2", "10.0.0.1", "10.0.0.2", "10.0.0.1,10.0.0.2", false},
      {true, 1, "8.8.4.4", "1.1.1.1, 2.2.2.2", "2.2.2.2", "1.1.1.1, 2.2.2.2,8.8.4.4", false},
      {true, 2, "8.8.4.4", "1.1.1.1, 2.2.2.2", "1.1.1.1", "1.1.1.1, 2.2.2.2,8.8.4.4", false},
      {true, 3, "8.8.4.4", "1.1.1.1, 2.2.2.2", "8.8.4.4", "1.1.1.1, 2.2.2.2,8.8.4.4", false},
      // a sidecar believes the header
      {false, 0, "8.8.4.4", "", "8.8.4.4", "-", false},
      {false, 0, "10.0.0.2", "", "10.0.0.2", "-", false},
      {false, 0, "8.8.4.4", "10.0.0.1", "10.0.0.1", "10.0.0.1", true},
      {false, 0, "8.8.4.4", "10.0.0.1,10.0.0.2", "10.0.0.2", "10.0.0.1,10.0.0.2", false},
      {false, 1, "8.8.4.4", "1.1.1.1,10.0.0.2", "1.1.1.1", "1.1.1.1,10.0.0.2", false},
      {false, 0, "8.8.4.4", "nonsense", "8.8.4.4", "nonsense", false},
  };
  for (const Case& c : cases) {
    CAPTURE(c.use_remote, c.hops, c.peer, c.xff);
    PolicyKit kit;
    kit.hcm.use_remote_address = c.use_remote;
    kit.hcm.xff_num_trusted_hops = c.hops;
    kit.hcm.internal_cidrs = {*Cidr::parse("10.0.0.0/8")};
    kit.connection.remote = *PolicyKit::peer(c.peer);
    std::vector<std::pair<std::string, std::string>> headers{{"x-envoy-internal", "true"}, {"x-envoy-retry-on", "5xx"}};
    if (!c.xff.empty()) headers.emplace_back("x-forwarded-for", c.xff);
    CHECK(!kit.prepare(headers));
    CHECK(kit.stream->remote.ip().to_string() == c.remote);
    CHECK(kit.header("x-forwarded-for") == c.forwarded);
    CHECK(kit.stream->internal == c.internal);
    CHECK(kit.header("x-envoy-internal") == (c.internal ? "true" : "-"));
    CHECK(kit.header("x-envoy-retry-on") == (c.internal ? "5xx" : "-"));
    CHECK(kit.header("x-envoy-external-address") == (c.use_remote && !c.internal ? c.remote : "-"));
  }
  // without a configured network nobody is inside
  PolicyKit kit;
  CHECK(!kit.prepare({{"x-forwarded-for", "10.0.0.1"}}));
  CHECK(!kit.stream->internal);
}

TEST_CASE("x-envoy headers that the edge takes from strangers") {
  const std::string names[] = {"x-envoy-retry-on",
                               "x-envoy-retry-grpc-on",
                               "x-envoy-max-retries",
                               "x-envoy-upstream-alt-stat-name",
                               "x-envoy-upstream-rq-timeout-ms",
                               "x-envoy-upstream-rq-per-try-timeout-ms",
                               "x-envoy-upstream-rq-timeout-alt-response",
                               "x-envoy-expected-rq-timeout-ms",
                               "x-envoy-force-trace",
                               "x-envoy-ip-tags",
                               "x-envoy-original-url",
                               "x-envoy-hedge-on-per-try-timeout",
                               "x-envoy-internal"};
  const std::string edge_only[] = {"x-envoy-decorator-operation", "x-envoy-downstream-service-cluster",
                                   "x-envoy-downstream-service-node", "x-envoy-original-path"};
  std::vector<std::pair<std::string, std::string>> headers;
  for (const std::string& name : names) headers.emplace_back(name, "1");
  for (const std::string& name : edge_only) headers.emplace_back(name, "1");
  for (const bool edge : {false, true}) {
    PolicyKit kit;
    kit.hcm.use_remote_address = edge;
    CHECK(!kit.prepare(headers));
    for (const std::string& name : names) CHECK(kit.header(name) == "-");
    for (const std::string& name : edge_only) CHECK(kit.header(name) == (edge ? "-" : "1"));
  }
}

TEST_CASE("x-forwarded-proto and port") {
  PolicyKit kit;
  CHECK(!kit.prepare());
  CHECK(kit.header("x-forwarded-proto") == "http");
  CHECK(kit.stream->request.scheme == "http");
  CHECK(!kit.prepare({{"x-forwarded-proto", "https"}}));
  CHECK(kit.stream->request.scheme == "https");
  CHECK(!kit.prepare({{"x-forwarded-proto", "foo"}}));
  CHECK(kit.stream->request.scheme == "http");
  kit.connection.tls = &kit.tls;
  CHECK(!kit.prepare());
  CHECK(kit.header("x-forwarded-proto") == "https");
  kit.hcm.use_remote_address = true;
  kit.hcm.append_x_forwarded_port = true;
  CHECK(!kit.prepare({{"x-forwarded-proto", "http"}, {"x-forwarded-port", "1"}}));
  CHECK(kit.header("x-forwarded-proto") == "https");
  CHECK(kit.header("x-forwarded-port") == "8080");
  kit.hcm.xff_num_trusted_hops = 1;
  CHECK(!kit.prepare({{"x-forwarded-proto", "http"}, {"x-forwarded-port", "1"}}));
  CHECK(kit.header("x-forwarded-proto") == "http");
  CHECK(kit.header("x-forwarded-port") == "1");
}

TEST_CASE("x-request-id") {
  const std::string given = "0a1b2c3d-0000-4000-8000-000000000001";
  PolicyKit kit;
  kit.hcm.generate_request_id = true;
  CHECK(!kit.prepare());
  const std::string made = kit.header("x-request-id");
  REQUIRE(made.size() == 36);
  CHECK(made[14] == '4');
  CHECK(std::string("89ab").find(made[19]) != std::string::npos);
  CHECK(kit.stream->info.request_id == made);
  CHECK(!kit.prepare({{"x-request-id", "abc"}}));
  CHECK(kit.header("x-request-id") == "abc");

  kit.hcm.use_remote_address = true;
  CHECK(!kit.prepare({{"x-request-id", given}}));
  CHECK(kit.header("x-request-id") != given);
  kit.hcm.preserve_external_request_id = true;
  CHECK(!kit.prepare({{"x-request-id", given}}));
  CHECK(kit.header("x-request-id") == given);
  std::string traced = given;
  traced[14] = '9';
  CHECK(!kit.prepare({{"x-request-id", traced}}));
  CHECK(kit.header("x-request-id") == given);

  kit.hcm.use_remote_address = false;
  kit.hcm.tracing = HttpConnectionManager::Tracing{};
  CHECK(!kit.prepare({{"x-request-id", given}}));
  CHECK(kit.header("x-request-id")[14] == '9');
  kit.hcm.tracing->random_sampling = 0;
  CHECK(!kit.prepare({{"x-request-id", given}}));
  CHECK(kit.header("x-request-id")[14] == '4');
  CHECK(!kit.prepare({{"x-request-id", traced}}));
  CHECK(kit.header("x-request-id")[14] == '9');  // the caller's decision stands
  CHECK(!kit.prepare({{"x-request-id", given}, {"x-client-trace-id", "1"}}));
  CHECK(kit.header("x-request-id")[14] == 'b');
  kit.hcm.tracing->overall_sampling = 0;
  CHECK(!kit.prepare({{"x-request-id", traced}}));
  CHECK(kit.header("x-request-id")[14] == '4');
}

TEST_CASE("x-forwarded-client-cert in five modes") {
  using Mode = HttpConnectionManager::ForwardClientCert;
  auto peer = std::make_shared<CertificateInfo>();
  peer->uri_sans = {"spiffe://cluster.local/ns/default/sa/client"};
  peer->dns_sans = {"a.example", "b.example"};
  peer->subject = "CN=client,O=x";
  peer->sha256 = "abcd";
  peer->pem_urlencoded = "PEM";
  peer->chain_urlencoded = "CHAIN";
  auto local = std::make_shared<CertificateInfo>();
  local->uri_sans = {"spiffe://cluster.local/ns/default/sa/server"};
  TlsInfo mutual, plain_tls;
  mutual.peer = peer;
  mutual.local = local;
  HttpConnectionManager hcm;
  hcm.client_cert_details = {true, false, false, true, true};
  const std::string ours =
      "By=spiffe://cluster.local/ns/default/sa/server;Hash=abcd;Subject=\"CN=client,O=x\";"
      "URI=spiffe://cluster.local/ns/default/sa/client;DNS=a.example;DNS=b.example";
  const auto run = [&](Mode mode, const TlsInfo* tls, std::vector<std::string> given) {
    Arena arena;
    HeaderMap headers(arena);
    for (const std::string& value : given) headers.add("x-forwarded-client-cert", value);
    hcm.forward_client_cert = mode;
    forward_client_cert(headers, hcm, tls);
    return std::string(headers.get_all("x-forwarded-client-cert").value_or("-"));
  };
  struct Case {
    Mode mode;
    std::string mutual, tls, plain;
  };
  const Case cases[] = {
      {Mode::sanitize, "-", "-", "-"},
      {Mode::forward_only, "By=x", "-", "-"},
      {Mode::append_forward, "By=x," + ours, "-", "-"},
      {Mode::sanitize_set, ours, "-", "-"},
      {Mode::always_forward_only, "By=x", "By=x", "By=x"},
  };
  for (const Case& c : cases) {
    CHECK(run(c.mode, &mutual, {"By=x"}) == c.mutual);
    CHECK(run(c.mode, &plain_tls, {"By=x"}) == c.tls);
    CHECK(run(c.mode, nullptr, {"By=x"}) == c.plain);
  }
  CHECK(run(Mode::append_forward, &mutual, {}) == ours);
  CHECK(run(Mode::append_forward, &mutual, {"By=x", "By=y"}) == "By=x,By=y," + ours);
  hcm.client_cert_details = {true, true, true, false, true};
  peer->uri_sans.clear();
  peer->subject.clear();
  CHECK(run(Mode::sanitize_set, &mutual, {"By=x"}) ==
        "By=spiffe://cluster.local/ns/default/sa/server;Hash=abcd;Cert=\"PEM\";Chain=\"CHAIN\";Subject=\"\";URI=");
}

TEST_CASE("what an answer says of us") {
  using ServerHeader = HttpConnectionManager::ServerHeader;
  PolicyKit kit;
  const auto answer = [&](std::vector<std::pair<std::string, std::string>> headers) {
    CHECK(!kit.prepare({{"x-request-id", "id"}}));
    for (const auto& [name, value] : headers) kit.stream->response.headers.add(name, value);
    prepare_response(*kit.stream);
    return show(kit.stream->response.headers);
  };
  const std::string date = " | date: Thu, 01 Jan 2026 00:00:00 GMT";
  CHECK(answer({{"server", "nginx"}, {"connection", "x"}, {"keep-alive", "5"}}) == " | server: envoy" + date);
  CHECK(answer({{"date", "then"}}) == " | date: then | server: envoy");
  kit.hcm.server_header = ServerHeader::append_if_absent;
  CHECK(answer({{"server", "nginx"}}) == " | server: nginx" + date);
  CHECK(answer({}) == date + " | server: envoy");
  kit.hcm.server_header = ServerHeader::pass_through;
  CHECK(answer({}) == date);
  kit.hcm.always_set_request_id_in_response = true;
  kit.hcm.via = "clew";
  CHECK(answer({}) == " | x-request-id: id | via: clew" + date);
}
