#include "fixture.h"
#include "test/unit/proxy/http/h2_hand.h"

using namespace clew;
using namespace std::chrono_literals;

namespace {

/// A request that is answered and read to its end.
void complete(Fixture& f, std::size_t peer, std::optional<OriginalSource> source = {}) {
  Request r(f);
  r.connection.original_source = source;
  r.start();
  f.connector.peer(peer).receive();
  f.connector.peer(peer).send(ok_response);
  f.t.poll();
  REQUIRE(r.read() == std::pair(std::string("hi"), Errc::eof));
  r.drop_response();
}

}  // namespace

TEST_CASE("a connection is used again, the last used first") {
  OneEndpoint f;
  complete(f, 0);
  complete(f, 0);
  REQUIRE(f.connector.attempts == 1);
  Request one(f), two(f);
  one.start();
  two.start();
  REQUIRE(f.connector.attempts == 2);
  f.connector.peer(0).send(ok_response);
  f.connector.peer(1).send(ok_response);
  f.t.poll();
  one.read();
  two.read();
  two.drop_response();
  one.drop_response();
  f.connector.peer(0).receive();
  f.connector.peer(1).receive();
  Request next(f);
  next.start();
  REQUIRE_FALSE(f.connector.peer(0).receive().empty());
  REQUIRE(f.connector.peer(1).receive().empty());
  REQUIRE(f.stats().upstream_cx_http1_total.value() == 2);
}

TEST_CASE("a connection that the peer closed while idle is not used") {
  OneEndpoint f;
  complete(f, 0);
  f.connector.peer(0).close(Errc::eof);
  SECTION("noticed at once") {
    f.t.poll();
    REQUIRE(f.stats().upstream_cx_active.value() == 0);
    REQUIRE(f.stats().upstream_cx_destroy_remote.value() == 1);
  }
  SECTION("noticed when it is wanted") {}
  Request r(f);
  r.start();
  REQUIRE(f.connector.attempts == 2);
  f.connector.peer(1).send(ok_response);
  f.t.poll();
  REQUIRE(r.read().first == "hi");
}

TEST_CASE("bytes that nobody asked for end a connection") {
  OneEndpoint f;
  complete(f, 0);
  f.connector.peer(0).send(ok_response);
  f.t.poll();
  REQUIRE(f.stats().upstream_cx_active.value() == 0);
  complete(f, 1);
}

TEST_CASE("more bytes than the answer has end the connection, too") {
  OneEndpoint f;
  Request r(f);
  r.start();
  f.connector.peer(0).send(ok_response + "HTTP/1.1 200 OK\r\n\r\n");
  f.t.poll();
  REQUIRE(r.read().first == "hi");
  r.drop_response();
  f.t.poll();
  REQUIRE(f.stats().upstream_cx_active.value() == 0);
}

TEST_CASE("connection: close is obeyed") {
  OneEndpoint f;
  Request r(f);
  r.start();
  f.connector.peer(0).send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
  f.t.poll();
  REQUIRE(r.response() == nullptr);
  f.t.poll();
  REQUIRE(f.stats().upstream_cx_active.value() == 0);
}

TEST_CASE("idle connections end after the idle timeout, an hour unless said") {
  Fixture f;
  const bool said = GENERATE(true, false);
  f.add_cluster("a", endpoints({1}), [&](Cluster& c) {
    if (said) c.http.idle_timeout = 10s;
  });
  const Duration limit = said ? Duration(10s) : Duration(1h);
  complete(f, 0);
  f.t.advance(limit * 7 / 10);
  complete(f, 0);  // used: the time begins anew
  f.t.advance(limit * 7 / 10);
  REQUIRE(f.stats().upstream_cx_active.value() == 1);
  f.t.advance(limit * 4 / 10);
  REQUIRE(f.stats().upstream_cx_active.value() == 0);
  REQUIRE(f.stats().upstream_cx_idle_timeout.value() == 1);
  REQUIRE(f.connector.ended(0));
}

TEST_CASE("zero is no idle timeout, and a busy connection is not idle") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& c) { c.http.idle_timeout = Duration(0); });
  complete(f, 0);
  f.t.advance(24h);
  REQUIRE(f.stats().upstream_cx_active.value() == 1);
  f.add_cluster("b", endpoints({1}), [](Cluster& c) { c.http.idle_timeout = 1s; });
  Request r(f, "b");
  r.start();
  f.t.advance(1min);
  REQUIRE_FALSE(r.done());
}

TEST_CASE("at most so many requests on a connection") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& c) { c.http.max_requests_per_connection = 2; });
  complete(f, 0);
  complete(f, 0);
  f.t.poll();
  REQUIRE(f.connector.ended(0));
  REQUIRE(f.stats().upstream_cx_max_requests.value() == 1);
  complete(f, 1);
  REQUIRE(f.connector.attempts == 2);
}

TEST_CASE("at most so old a connection; a request under way is finished") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& c) { c.http.max_connection_duration = 5s; });
  complete(f, 0);
  f.t.advance(6s);
  REQUIRE(f.stats().upstream_cx_active.value() == 0);
  Request r(f);
  r.start();
  f.t.advance(6s);
  f.connector.peer(1).send(ok_response);
  f.t.poll();
  REQUIRE(r.read().first == "hi");
  r.drop_response();
  f.t.poll();
  REQUIRE(f.stats().upstream_cx_active.value() == 0);
  REQUIRE(f.stats().upstream_cx_max_duration_reached.value() == 2);
}

TEST_CASE("requests wait in line for connections under way") {
  OneEndpoint f;
  f.connector.hold = true;
  Request one(f), two(f), three(f);
  one.start();
  two.start();
  Stream& third = three.start();
  REQUIRE(f.connector.attempts == 3);
  REQUIRE(f.stats().upstream_rq_pending_active.value() == 3);
  third.cancel(Errc::downstream_closed);
  f.t.poll();
  REQUIRE(f.stats().upstream_rq_cancelled.value() >= 1);
  f.connector.let_go();
  f.t.poll();
  REQUIRE(f.stats().upstream_rq_pending_active.value() == 0);
  REQUIRE(f.stats().upstream_rq_active.value() == 2);
  REQUIRE(f.stats().upstream_cx_active.value() == 3);
}

TEST_CASE("a failed connection fails all who wait, as Envoy") {
  OneEndpoint f;
  f.connector.hold = true;
  f.connector.failures = {{Errc::connection_refused, "no"}, {Errc::connection_refused, "no"}};
  Request one(f), two(f);
  one.start();
  two.start();
  f.connector.let_go();
  f.t.poll();
  REQUIRE(one.reply().status == 503);
  REQUIRE(two.reply().status == 503);
  REQUIRE(f.stats().upstream_cx_active.value() == 0);
  complete(f, 0);
}

TEST_CASE("a connection that ends as soon as it is there fails whom it was for; no other is made for them") {
  Fixture f;
  const auto protocol = GENERATE(UpstreamHttpOptions::Protocol::http1, UpstreamHttpOptions::Protocol::http2);
  f.add_cluster("a", endpoints({1}), [&](Cluster& c) { c.http.protocol = protocol; });
  f.connector.ends_at_once = true;
  f.connector.hold = GENERATE(false, true);  // connected within the call, or later
  Request one(f), two(f);
  one.start();
  two.start();
  f.connector.let_go();
  f.t.poll();
  for (Request* r : {&one, &two}) {
    REQUIRE(r->reply().status == 503);
    REQUIRE(r->reply().flag == ResponseFlag::upstream_connection_termination);
  }
  REQUIRE(f.connector.attempts <= 2);
  REQUIRE(f.stats().upstream_rq_pending_active.value() == 0);
  REQUIRE(f.stats().upstream_cx_active.value() == 0);
  f.connector.ends_at_once = false;
  Request next(f);
  next.start();
  REQUIRE(f.stats().upstream_cx_active.value() == 1);
}

TEST_CASE("who waits under a limit of connections gets the next one when the one there is ends") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& c) { c.circuit_breakers[Priority::standard].max_connections = 1; });
  Request one(f), two(f);
  one.start();
  two.start();
  f.connector.peer(0).close(Errc::eof);
  f.t.poll();
  REQUIRE(one.reply().status == 503);
  REQUIRE(f.connector.attempts == 2);
  f.connector.peer(1).send(ok_response);
  f.t.poll();
  REQUIRE(two.read().first == "hi");
}

TEST_CASE("circuit breakers: each priority has its own limits and connections") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& c) {
    c.circuit_breakers[Priority::standard].max_requests = 1;
    c.circuit_breakers[Priority::high].max_requests = 2;
  });
  Request standard(f), beyond(f), high(f), high_too(f), high_beyond(f);
  for (Request* request : {&high, &high_too, &high_beyond}) request->action().priority = Priority::high;
  standard.start();
  beyond.start();
  REQUIRE(beyond.reply().flag == ResponseFlag::upstream_overflow);
  high.start();
  high_too.start();
  high_beyond.start();
  REQUIRE_FALSE(high.done());
  REQUIRE_FALSE(high_too.done());
  REQUIRE(high_beyond.reply().flag == ResponseFlag::upstream_overflow);
  const auto cluster = f.clusters.find("a");
  REQUIRE(cluster->breakers(Priority::standard).requests() == 1);
  REQUIRE(cluster->breakers(Priority::high).requests() == 2);
  // The second connection, whose request was refused, was there for none of the last three.
  REQUIRE(f.connector.attempts == 5);
}

TEST_CASE("circuit breakers of requests, pending requests and connections") {
  Fixture f;
  SECTION("pending") {
    f.add_cluster("a", endpoints({1}),
                  [](Cluster& c) { c.circuit_breakers[Priority::standard].max_pending_requests = 1; });
    f.connector.hold = true;
    Request one(f), two(f);
    one.start();
    two.start();
    REQUIRE(two.reply().status == 503);
    REQUIRE(two.reply().flag == ResponseFlag::upstream_overflow);
    REQUIRE(two.reply().details == "upstream_reset_before_response_started{overflow}");
    REQUIRE(two.reply().headers.at(0) == std::pair<std::string, std::string>("x-envoy-overloaded", "true"));
    REQUIRE(f.stats().upstream_rq_pending_overflow.value() == 1);
    REQUIRE_FALSE(one.done());
  }
  SECTION("requests") {
    f.add_cluster("a", endpoints({1}), [](Cluster& c) { c.circuit_breakers[Priority::standard].max_requests = 1; });
    Request one(f), two(f);
    one.start();
    two.start();
    REQUIRE(two.reply().flag == ResponseFlag::upstream_overflow);
    f.connector.peer(0).send(ok_response);
    f.t.poll();
    one.read();
    one.drop_response();
    REQUIRE(f.clusters.find("a")->breakers(Priority::standard).requests() == 0);
    complete(f, 0);
  }
  SECTION("connections: who comes later waits for the one there is") {
    f.add_cluster("a", endpoints({1}), [](Cluster& c) { c.circuit_breakers[Priority::standard].max_connections = 1; });
    Request one(f), two(f);
    one.start();
    two.start();
    REQUIRE_FALSE(two.done());
    REQUIRE(f.connector.attempts == 1);
    REQUIRE(f.stats().upstream_cx_overflow.value() >= 1);
    f.connector.peer(0).send(ok_response);
    f.t.poll();
    one.read();
    one.drop_response();
    f.connector.peer(0).receive();
    f.connector.peer(0).send(ok_response);
    f.t.poll();
    REQUIRE(two.read().first == "hi");
    REQUIRE(f.connector.attempts == 1);
  }
  SECTION("connections: each endpoint gets its first") {
    f.add_cluster("a", endpoints({1, 2}), [](Cluster& c) {
      c.circuit_breakers[Priority::standard].max_connections = 1;
      c.lb_policy = Cluster::LbPolicy::round_robin;
    });
    Request one(f), two(f);
    one.start();
    two.start();
    REQUIRE(f.connector.attempts == 2);
  }
}

TEST_CASE("transport socket by endpoint metadata, first match wins") {
  Cluster cluster;
  auto istio = std::make_shared<TlsParams>();
  cluster.transport_sockets = {{"tlsMode-istio", {{"tlsMode", "istio"}}, istio}, {"tlsMode-disabled", {}, nullptr}};
  Endpoint plain = endpoint(1);
  Endpoint meshed = endpoint(2);
  meshed.transport_match = {{"other", "x"}, {"tlsMode", "istio"}};
  REQUIRE(select_transport_socket(cluster, plain).tls == nullptr);
  REQUIRE(select_transport_socket(cluster, meshed).tls == istio);
  meshed.transport_match = {{"tlsMode", "other"}};
  REQUIRE(select_transport_socket(cluster, meshed).tls == nullptr);
  cluster.transport_sockets = {{"", {}, istio}};
  REQUIRE(select_transport_socket(cluster, plain).tls == istio);
  cluster.transport_sockets.clear();
  REQUIRE(select_transport_socket(cluster, plain).tls == nullptr);
}

namespace {

/// A cluster whose endpoints are reached by TLS (in name: the connector is a fake).
std::shared_ptr<TlsParams> add_tls_cluster(Fixture& f, const std::function<void(TlsParams&)>& change = {}) {
  auto params = std::make_shared<TlsParams>();
  params->sni = "configured.sni";
  if (change) change(*params);
  f.add_cluster("a", endpoints({1}), [&](Cluster& c) { c.transport_sockets = {{"", {}, params}}; });
  return params;
}

void set_tls(Fixture& f, std::shared_ptr<const TlsContext> context) {
  f.snapshot.tls = std::make_shared<TlsContexts>(TlsContexts{std::move(context)});
  f.publish({{}, {}, {}, true});
}

}  // namespace

TEST_CASE("TLS: the context of the moment of connecting; a rotation leaves connections alone") {
  Fixture f;
  const auto first = std::make_shared<const TlsContext>(nullptr);
  const auto second = std::make_shared<const TlsContext>(nullptr);
  set_tls(f, first);
  add_tls_cluster(f);
  complete(f, 0);
  REQUIRE(f.connector.peers[0].target.tls);
  REQUIRE(f.connector.peers[0].target.context == first);
  REQUIRE(f.connector.peers[0].target.sni == "configured.sni");
  set_tls(f, second);
  complete(f, 0);
  Request a(f), b(f);
  a.start();
  b.start();
  REQUIRE(f.connector.peers.size() == 2);
  REQUIRE(f.connector.peers[1].target.context == second);
}

TEST_CASE("TLS: SNI, the name to verify and ALPN by request make pools of their own") {
  Fixture f;
  add_tls_cluster(f, [](TlsParams& p) { p.auto_sni = p.auto_san_validation = true; });
  complete(f, 0);
  REQUIRE(f.connector.peers[0].target.sni == "host.test");
  REQUIRE(f.connector.peers[0].target.expected_san == "host.test");
  const std::vector<std::string> alpn{"istio-http/1.1"};
  Cluster::Type type = f.clusters.find("a")->cluster()->type;
  REQUIRE(type == Cluster::Type::eds);
  Host* host = f.clusters.find("a")->choose({});
  REQUIRE(host);
  auto& state = *f.clusters.find("a");
  const auto same = state.http_pool(*host, {false, "host.test:443", nullptr, {}, {}});
  REQUIRE(same == state.http_pool(*host, {false, "host.test", nullptr, {}, {}}));
  REQUIRE(same != state.http_pool(*host, {false, "other.test", nullptr, {}, {}}));
  REQUIRE(same != state.http_pool(*host, {false, "host.test", &alpn, {}, {}}));
  REQUIRE(state.http_pool(*host, {false, "[::1]:80", nullptr, {}, {}}) != nullptr);
}

TEST_CASE("pools of an endpoint are bounded") {
  Fixture f;
  add_tls_cluster(f, [](TlsParams& p) { p.auto_sni = true; });
  auto& state = *f.clusters.find("a");
  Host* const host = state.choose({});
  for (int i = 0; i < 1000; ++i) {
    const std::string name = "h" + std::to_string(i) + ".test";
    REQUIRE(state.http_pool(*host, {false, name, nullptr, {}, {}}));  // empty ones make room
  }
  REQUIRE(host->pools.size() <= ClusterState::max_pools_per_host);
}

TEST_CASE("where the client's address is kept, a connection serves that client alone") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& c) { c.source_addresses = {IpAddress::v4(0x7f000006)}; });
  const OriginalSource one{IpAddress::v4(0x0a000001), 1337}, two{IpAddress::v4(0x0a000002), 1337};
  complete(f, 0, one);
  complete(f, 1, two);
  complete(f, 0, one);
  complete(f, 2);
  REQUIRE(f.connector.attempts == 3);
  REQUIRE(f.connector.peers[0].target.original_source == one);
  REQUIRE(f.connector.peers[1].target.original_source == two);
  REQUIRE(f.connector.peers[2].target.original_source == std::nullopt);
}

TEST_CASE("PROXY protocol: no connection serves two clients, and its header names the one") {
  OneEndpoint f;
  f.add_cluster("a", endpoints({1}), [](Cluster& c) { c.transport_sockets = {{"", {}, nullptr, ProxyProtocol()}}; });
  const auto ask = [&](const char* client, std::uint16_t port, std::size_t peer) {
    Request r(f);
    r.connection.remote = Address(*IpAddress::parse(client), port);
    r.connection.local = Address(*IpAddress::parse("10.0.0.9"), 80);
    r.start();
    f.connector.peer(peer).send(ok_response);
    f.t.poll();
    REQUIRE(r.read().first == "hi");
  };
  ask("10.1.1.1", 1, 0);
  ask("10.1.1.1", 2, 1);
  ask("10.1.1.2", 1, 2);
  ask("10.1.1.1", 1, 0);  // its own again
  REQUIRE(f.connector.attempts == 3);
  REQUIRE(f.connector.peers[0].target.preface == "PROXY TCP4 10.1.1.1 10.0.0.9 1 80\r\n");
  REQUIRE(f.connector.peers[1].target.preface == "PROXY TCP4 10.1.1.1 10.0.0.9 2 80\r\n");
  REQUIRE(f.connector.peers[2].target.preface == "PROXY TCP4 10.1.1.2 10.0.0.9 1 80\r\n");
}

TEST_CASE("an idle pool makes room for another client's, the oldest first; busy ones do not") {
  constexpr std::size_t limit = ClusterState::max_clients_per_host;
  const auto client = [](std::size_t i) {
    return OriginalSource{IpAddress::v4(0x0a000000u + static_cast<std::uint32_t>(i)), 1337};
  };
  OneEndpoint f;
  SECTION("idle") {
    for (std::size_t i = 0; i < limit; ++i) complete(f, i, client(i));
    REQUIRE_FALSE(f.connector.ended(0));
    complete(f, limit, client(limit));
    REQUIRE(f.connector.ended(0));
    REQUIRE_FALSE(f.connector.ended(1));
    REQUIRE(f.clusters.find("a")->choose({})->pools.size() == limit);
  }
  SECTION("busy") {
    std::deque<Request> requests;
    for (std::size_t i = 0; i < limit; ++i) {
      requests.emplace_back(f).connection.original_source = client(i);
      requests.back().start();
    }
    Request more(f);
    more.connection.original_source = client(limit);
    more.start();
    REQUIRE(more.reply().flag == ResponseFlag::upstream_overflow);
    REQUIRE(f.stats().upstream_cx_pool_overflow.value() == 1);
  }
}

TEST_CASE("the upstream protocol can follow the client's") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& c) { c.http.protocol = UpstreamHttpOptions::Protocol::downstream; });
  Request one(f);
  one.start();
  Request two(f);
  two.version = HttpVersion::http2;
  two.start();
  REQUIRE(f.connector.peer(0).receive().starts_with("GET"));
  REQUIRE(f.connector.peer(1).receive().starts_with("PRI * HTTP/2.0"));
  REQUIRE(f.stats().upstream_cx_http2_total.value() == 1);
}

TEST_CASE("HTTP/2: one connection for many requests, resets are told apart") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& c) { c.http.protocol = UpstreamHttpOptions::Protocol::http2; });
  f.connector.hold = true;
  Request one(f), two(f), three(f);
  one.start();
  two.start();
  three.start();
  REQUIRE(f.connector.attempts == 1);
  f.connector.let_go();
  f.t.poll();
  REQUIRE(f.stats().upstream_rq_active.value() == 3);
  f.connector.peer(0).close(Errc::eof);
  f.t.poll();
  for (Request* r : {&one, &two, &three}) REQUIRE(r->reply().flag == ResponseFlag::upstream_connection_termination);
  REQUIRE(f.stats().upstream_rq_active.value() == 0);
  REQUIRE(f.stats().upstream_cx_active.value() == 0);
}

TEST_CASE("HTTP/2: a connection for one request serves that one") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& c) {
    c.http.protocol = UpstreamHttpOptions::Protocol::http2;
    c.http.max_requests_per_connection = 1;
  });
  for (std::size_t i = 0; i < 2; ++i) {
    Request r(f);
    r.start();
    MemoryTransport& peer = f.connector.peer(i);
    const std::string said = peer.receive();
    REQUIRE(h2::of_type(h2::parse(said), h2::goaway).empty());  // after one, many a server takes no request
    h2::Side server(h2::server_options());
    server.feed(said);
    REQUIRE(server.streams.size() == 1);
    h2::Response ok;
    REQUIRE(server.session.send_head(*server.streams[0], ok.head, false).has_value());
    server.streams[0]->out.append("hi");
    server.streams[0]->out_last = true;
    server.session.send_more(*server.streams[0]);
    peer.send(server.send());
    f.t.poll();
    REQUIRE(r.read() == std::pair(std::string("hi"), Errc::eof));
    r.drop_response();
    REQUIRE(f.connector.ended(i));
  }
  REQUIRE(f.stats().upstream_cx_max_requests.value() == 2);
}
