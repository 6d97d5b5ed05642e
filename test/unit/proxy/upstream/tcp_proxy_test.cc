#include "proxy/upstream/tcp_proxy.h"

#include "proxy/net/peer_workload.h"

#include "fixture.h"

using namespace clew;
using namespace std::chrono_literals;

namespace {

/// One TCP connection through the proxy; `client` is the client's hand.
struct Connection {
  explicit Connection(Fixture& fixture) : f(fixture) {
    auto [mine, theirs] = MemoryTransport::make();
    client = std::move(mine);
    downstream = std::move(theirs);
    config.clusters.push_back({"a", 1});
    info.start = f.t.clock.now();
  }
  void start(std::string_view initial = {}) {
    Buffer bytes;
    bytes.append(initial);
    task.emplace(
        f.t.start(proxy_tcp({f.clusters, stats, wrap}, *downstream, std::move(bytes), connection, config, info)));
  }
  bool done() { return task->done(); }

  Fixture& f;
  std::unique_ptr<MemoryTransport> client, downstream;
  ConnectionInfo connection;
  TcpProxy config;
  TcpProxyStats stats;
  WrapUpstream wrap;
  StreamInfo info;
  std::optional<TestWorker::Started<void>> task;
};

}  // namespace

TEST_CASE("tcp: bytes both ways, each direction ends on its own") {
  OneEndpoint f;
  Connection c(f);
  c.start("hello ");
  c.client->send("world");
  f.t.poll();
  REQUIRE(f.connector.peer(0).receive() == "hello world");
  f.connector.peer(0).send("and back");
  f.t.poll();
  REQUIRE(c.client->receive() == "and back");
  REQUIRE(c.client->shutdown_write().has_value());
  f.t.poll();
  REQUIRE(f.connector.ended(0));
  REQUIRE_FALSE(c.done());
  f.connector.peer(0).send("last");
  REQUIRE(f.connector.peer(0).shutdown_write().has_value());
  f.t.poll();
  REQUIRE(c.done());
  REQUIRE(c.client->receive() == "last");
  REQUIRE(c.client->at_end());
  REQUIRE(c.info.bytes_received == 11);
  REQUIRE(c.info.bytes_sent == 12);
  REQUIRE(c.info.flags.to_string() == "-");
  REQUIRE(c.info.upstream_cluster == "a");
  REQUIRE(c.info.upstream_remote == endpoint(1).address);
  REQUIRE(f.stats().upstream_cx_total.value() == 1);
  REQUIRE(f.stats().upstream_cx_active.value() == 0);
  REQUIRE(c.stats.downstream_cx_active.value() == 0);
  REQUIRE(c.stats.bytes.read.value() == 11);
}

TEST_CASE("tcp: the server speaks first") {
  OneEndpoint f;
  Connection c(f);
  c.start();
  f.connector.peer(0).send("220 ready\r\n");
  f.t.poll();
  REQUIRE(c.client->receive() == "220 ready\r\n");
  c.client->close(Errc::eof);
  f.connector.peer(0).close(Errc::eof);
  f.t.poll();
  REQUIRE(c.done());
}

TEST_CASE("tcp: nobody to connect to") {
  Fixture f;
  Connection c(f);
  SECTION("no endpoint, as the black hole has none") {
    f.add_cluster("a", endpoints({}));
    c.start();
    REQUIRE(c.info.flags.to_string() == "UH");
  }
  SECTION("no such cluster") {
    c.start();
    REQUIRE(c.info.flags.to_string() == "NC");
    REQUIRE(c.stats.downstream_cx_no_route.value() == 1);
  }
  SECTION("the endpoint refuses") {
    f.add_cluster("a", endpoints({1}));
    f.connector.failures = {{Errc::connection_refused, "delayed connect error: Connection refused"}};
    c.start();
    REQUIRE(c.info.flags.to_string() == "UF,URX");
    REQUIRE(c.info.upstream_transport_failure_reason == "delayed connect error: Connection refused");
    REQUIRE(c.info.upstream_remote == endpoint(1).address);
    REQUIRE(f.stats().upstream_cx_connect_attempts_exceeded.value() == 1);
  }
  SECTION("too many connections") {
    f.add_cluster("a", endpoints({1}),
                  [](Cluster& cluster) { cluster.circuit_breakers[Priority::standard].max_connections = 0; });
    c.start();
    REQUIRE(c.info.flags.to_string() == "UO");
  }
  SECTION("its address is not known") {
    f.add_cluster("a", nullptr, [](Cluster& cluster) { cluster.type = Cluster::Type::original_dst; });
    c.start();
    REQUIRE(c.info.flags.to_string() == "UH");
  }
  f.t.poll();
  REQUIRE(c.done());
  REQUIRE(c.client->at_end());
}

TEST_CASE("tcp: connections under way are bounded as pending requests, those that are there by no number of requests") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& cluster) {
    cluster.circuit_breakers[Priority::standard].max_pending_requests = 1;
    cluster.circuit_breakers[Priority::standard].max_requests = 1;
  });
  f.connector.hold = true;
  Connection first(f), second(f), third(f);
  first.start();
  second.start();
  REQUIRE(second.done());
  REQUIRE(second.info.flags.to_string() == "URX");
  REQUIRE(f.stats().upstream_rq_pending_overflow.value() == 1);
  REQUIRE(f.stats().upstream_cx_connect_attempts_exceeded.value() == 1);
  REQUIRE(f.stats().upstream_rq_pending_active.value() == 1);
  f.connector.let_go();
  f.t.poll();
  third.start("x");
  REQUIRE(f.connector.peer(1).receive() == "x");
  REQUIRE_FALSE(first.done());
  REQUIRE(f.stats().upstream_rq_active.value() == 2);
  for (Connection* connection : {&first, &third}) connection->downstream->close(Errc::canceled);
  f.t.poll();
  REQUIRE(first.done());
  REQUIRE(third.done());
}

TEST_CASE("tcp: the client's address is kept where its listener says so") {
  OneEndpoint f;
  Connection c(f);
  c.connection.original_source = OriginalSource{IpAddress::v4(0x0a000001), 1337};
  c.start("x");
  REQUIRE(f.connector.peers.at(0).target.original_source == c.connection.original_source);
  c.downstream->close(Errc::canceled);
  f.t.poll();
  REQUIRE(c.done());
}

TEST_CASE("tcp: several attempts to connect") {
  OneEndpoint f;
  f.connector.failures = {{Errc::connection_refused, ""}, {Errc::connect_timeout, ""}};
  Connection c(f);
  c.config.max_connect_attempts = 3;
  c.start("x");
  REQUIRE(f.connector.peer(0).receive() == "x");
  REQUIRE(c.info.attempts == 3);
  REQUIRE(c.info.flags.to_string() == "-");
  c.downstream->close(Errc::canceled);
  f.t.poll();
  REQUIRE(c.done());
}

TEST_CASE("tcp: a reset on one side is a reset on the other") {
  OneEndpoint f;
  Connection c(f);
  c.start("x");
  SECTION("by the upstream") {
    f.connector.peer(0).close(Errc::connection_reset, true);
    f.t.poll();
    REQUIRE(c.done());
    REQUIRE(c.client->was_reset());
  }
  SECTION("by the client") {
    c.client->close(Errc::connection_reset, true);
    f.t.poll();
    REQUIRE(c.done());
    REQUIRE(f.connector.peer(0).was_reset());
  }
}

TEST_CASE("tcp: idle") {
  OneEndpoint f;
  Connection c(f);
  c.config.idle_timeout = 10s;
  c.start();
  f.t.advance(8s);
  f.connector.peer(0).send("x");
  f.t.poll();
  f.t.advance(8s);
  REQUIRE_FALSE(c.done());
  f.t.advance(3s);
  REQUIRE(c.done());
  REQUIRE(c.stats.idle_timeout.value() == 1);
  REQUIRE(c.client->at_end() == false);  // what was sent is still to be read
  REQUIRE(c.client->receive() == "x");
  REQUIRE(c.client->at_end());
}

TEST_CASE("tcp: an hour is the default for idle, zero is none") {
  OneEndpoint f;
  Connection c(f), d(f);
  d.config.idle_timeout = Duration(0);
  c.start();
  d.start();
  f.t.advance(61min);
  REQUIRE(c.done());
  f.t.advance(24h);
  REQUIRE_FALSE(d.done());
  d.downstream->close(Errc::canceled);
  f.t.poll();
  REQUIRE(d.done());
}

TEST_CASE("tcp: at most so long") {
  OneEndpoint f;
  Connection c(f);
  c.config.max_connection_duration = 5s;
  c.start();
  f.t.advance(6s);
  REQUIRE(c.done());
  REQUIRE(c.info.flags.to_string() == "DT");
}

TEST_CASE("tcp: a slow reader is waited for, with bounded memory") {
  OneEndpoint f;
  Connection c(f);
  c.start();
  const std::string big(2'000'000, 'z');
  c.client->send(big);
  f.t.poll();
  std::size_t got = 0;
  for (int i = 0; i < 100 && got < big.size(); ++i) {
    const std::string part = f.connector.peer(0).receive();
    REQUIRE(part.size() <= 64 * 1024);
    got += part.size();
    f.t.poll();
  }
  REQUIRE(got == big.size());
  c.downstream->close(Errc::canceled);
  f.t.poll();
}

TEST_CASE("tcp: weighted clusters, and zero weight never") {
  OneEndpoint f;
  f.add_cluster("b", endpoints({2}));
  f.add_cluster("never", endpoints({3}));
  int a = 0;
  for (int i = 0; i < 300; ++i) {
    Connection c(f);
    c.config.clusters = {{"a", 25}, {"never", 0}, {"b", 75}};
    c.start();
    REQUIRE(c.info.upstream_cluster != "never");
    if (c.info.upstream_cluster == "a") ++a;
    c.downstream->close(Errc::canceled);
    f.t.poll();
    REQUIRE(c.done());
  }
  REQUIRE(a > 40);
  REQUIRE(a < 120);
}

TEST_CASE("tcp: the upstream connection can be wrapped") {
  Fixture f;
  f.add_cluster("a", endpoints({1}), [](Cluster& cluster) { cluster.tcp_metadata_exchange = true; });
  Connection c(f);
  c.wrap = [](std::unique_ptr<Transport> upstream, const Cluster& cluster, StreamInfo& info) {
    if (cluster.tcp_metadata_exchange) info.upstream_peer = std::make_shared<PeerWorkload>();
    return upstream;
  };
  c.start("x");
  REQUIRE(c.info.upstream_peer);
  c.downstream->close(Errc::canceled);
  f.t.poll();
}
