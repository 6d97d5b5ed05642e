#include "fixture.h"

#include <map>
#include <set>

using namespace clew;

namespace {

class Sink final : public StatSink {
 public:
  void counter(std::string_view name, std::uint64_t value) override { counters[std::string(name)] = value; }
  void gauge(std::string_view name, std::int64_t value) override { gauges[std::string(name)] = value; }
  void histogram(std::string_view name, const Histogram&) override { histograms.emplace(name); }
  std::map<std::string, std::uint64_t> counters;
  std::map<std::string, std::int64_t> gauges;
  std::set<std::string> histograms;
};

/// Starts a request and answers it, so that one idle connection to its endpoint is there.
void complete(Fixture& f) {
  Request r(f);
  r.start();
  f.connector.peers.back().transport->send(ok_response);
  f.t.poll();
  r.read();
  r.drop_response();
}

}  // namespace

auto breaker_gauges(Fixture& f) {
  Sink sink;
  collect_circuit_breakers(f.snapshot, f.shared, sink);
  return sink.gauges;
}

TEST_CASE("clusters are found when the snapshot has them") {
  Fixture f;
  REQUIRE_FALSE(f.clusters.find("a"));
  f.add_cluster("a", endpoints({1}));
  const auto a = f.clusters.find("a");
  REQUIRE(a);
  REQUIRE(f.clusters.find("a") == a);
  f.remove_cluster("a");
  REQUIRE_FALSE(f.clusters.find("a"));
  REQUIRE(a->choose({}) == nullptr);  // what holds it draws nothing
}

TEST_CASE("endpoints that stay keep their connections") {
  Fixture f;
  const auto cluster = f.add_cluster("a", endpoints({1}));
  complete(f);
  f.set_cluster(cluster, endpoints({2, 1}));
  REQUIRE(f.stats().upstream_cx_active.value() == 1);
  REQUIRE_FALSE(f.connector.ended(0));
  f.set_cluster(cluster, endpoints({1}));
  complete(f);
  REQUIRE(f.connector.attempts == 1);
}

TEST_CASE("an endpoint that left: idle connections close, busy ones finish") {
  Fixture f;
  const auto cluster = f.add_cluster("a", endpoints({1}));
  complete(f);
  Request busy(f);
  busy.start();
  f.set_cluster(cluster, endpoints({2}));
  REQUIRE_FALSE(f.connector.ended(0));
  f.connector.peer(0).send(ok_response);
  f.t.poll();
  REQUIRE(busy.read().first == "hi");
  busy.drop_response();
  f.t.poll();
  REQUIRE(f.connector.ended(0));
  complete(f);
  REQUIRE(f.connector.peers.back().target.address == endpoint(2).address);
  f.set_cluster(cluster, endpoints({3}));
  f.t.poll();
  REQUIRE(f.connector.ended(f.connector.peers.size() - 1));
}

TEST_CASE("who waits for a connection to an endpoint that leaves is served") {
  Fixture f;
  const auto cluster = f.add_cluster("a", endpoints({1}));
  f.connector.hold = true;
  Request r(f);
  r.start();
  f.set_cluster(cluster, endpoints({2}));
  f.connector.let_go();
  f.t.poll();
  f.connector.peer(0).send(ok_response);
  f.t.poll();
  REQUIRE(r.read().first == "hi");
  r.drop_response();
  f.t.poll();
  REQUIRE(f.connector.ended(0));
}

TEST_CASE("a changed cluster retires its connections, the same one keeps them") {
  Fixture f;
  const auto cluster = f.add_cluster("a", endpoints({1}));
  complete(f);
  f.set_cluster(cluster, endpoints({1}));
  complete(f);
  REQUIRE(f.connector.attempts == 1);
  f.set_cluster(std::make_shared<Cluster>(*cluster), endpoints({1}));
  f.t.poll();
  REQUIRE(f.connector.ended(0));
  complete(f);
  REQUIRE(f.connector.attempts == 2);
  REQUIRE(f.stats().upstream_rq_total.value() == 3);  // counters go on
}

TEST_CASE("a cluster that changes its type forgets its endpoints") {
  Fixture f;
  const auto cluster = f.add_cluster("a", endpoints({1}));
  complete(f);
  auto changed = std::make_shared<Cluster>(*cluster);
  changed->type = Cluster::Type::original_dst;
  f.set_cluster(changed, nullptr);
  REQUIRE(f.clusters.find("a")->size() == 0);
  changed = std::make_shared<Cluster>(*cluster);
  f.set_cluster(changed, endpoints({1, 2}));
  REQUIRE(f.clusters.find("a")->size() == 2);
}

TEST_CASE("metadata that selects another transport socket ends the old pool") {
  Fixture f;
  auto assignment = std::make_shared<LoadAssignment>(*endpoints({1}));
  const auto cluster = f.add_cluster("a", assignment);
  complete(f);
  auto meshed = std::make_shared<LoadAssignment>(*assignment);
  auto with_sidecar = endpoint(1);
  with_sidecar.transport_match = {{"tlsMode", "istio"}};
  meshed->localities[0].endpoints[0] = std::make_shared<Endpoint>(with_sidecar);
  f.set_cluster(cluster, meshed);
  f.t.poll();
  REQUIRE(f.connector.ended(0));
}

TEST_CASE("an address that is listed twice counts once") {
  Fixture f;
  f.add_cluster("a", endpoints({1, 1, 2}));
  REQUIRE(f.clusters.find("a")->size() == 2);
  REQUIRE(f.clusters.find("a")->balancer().size() == 2);
}

TEST_CASE("requests under way are counted for the whole process") {
  OneEndpoint f;
  Request r(f);
  r.start();
  const auto shared = f.shared.cluster("a")->endpoint(endpoint(1).address);
  REQUIRE(shared->rq_active == 1);
  f.connector.peer(0).send(ok_response);
  f.t.poll();
  r.read();
  r.drop_response();
  REQUIRE(shared->rq_active == 0);
}

TEST_CASE("closing ends waits, requests and connections") {
  OneEndpoint f;
  complete(f);
  Request reading(f);
  reading.start();
  f.connector.hold = true;
  Request waiting(f);
  waiting.start();
  f.clusters.close(Errc::canceled);
  f.t.poll();
  REQUIRE(reading.done());
  REQUIRE(waiting.done());
  REQUIRE(f.connector.ended(0));
  f.connector.let_go();
  f.t.poll();
  f.t.poll();
  REQUIRE(f.stats().upstream_cx_active.value() == 0);
}

TEST_CASE("bytes of an exchange that lasts are counted when they are asked for") {
  OneEndpoint f;
  Request r(f);
  r.start();
  f.connector.peer(0).send("HTTP/1.1 200 OK\r\n");
  f.t.poll();
  for (int i = 0; i < 2; ++i) {
    Sink sink;
    f.clusters.collect(sink);
    REQUIRE(sink.counters.at("cluster.a.upstream_cx_tx_bytes_total") > 0);
    REQUIRE(sink.counters.at("cluster.a.upstream_cx_rx_bytes_total") == 17);
  }
}

TEST_CASE("metrics under Envoy's names") {
  Fixture f;
  f.add_cluster("outbound|80||x", endpoints({1}), [](Cluster& c) { c.alt_stat_name = "outbound|80||x:y;"; });
  f.clusters.find("outbound|80||x")->stats()->count_status(204, true);
  f.clusters.find("outbound|80||x")->stats()->count_status(9999, false);
  Sink sink;
  f.clusters.collect(sink);
  REQUIRE(sink.counters.at("cluster.outbound|80||x_y;.upstream_rq_204") == 1);
  REQUIRE(sink.counters.at("cluster.outbound|80||x_y;.upstream_rq_2xx") == 1);
  for (const char* name : {"upstream_rq_204", "upstream_rq_2xx", "upstream_rq_completed"}) {
    REQUIRE(sink.counters.at(std::string("cluster.outbound|80||x_y;.internal.") + name) == 1);
    REQUIRE_FALSE(sink.counters.contains(std::string("cluster.outbound|80||x_y;.external.") + name));
  }
  REQUIRE(sink.counters.at("cluster.outbound|80||x_y;.upstream_cx_total") == 0);
  REQUIRE(sink.gauges.contains("cluster.outbound|80||x_y;.upstream_cx_active"));
  REQUIRE_FALSE(sink.counters.contains("cluster.outbound|80||x_y;.ssl.handshake"));
  REQUIRE(sink.histograms.size() == 3);

  auto assignment = std::make_shared<LoadAssignment>(*endpoints({1, 2, 3}));
  assignment->localities[0].endpoints[0] = std::make_shared<Endpoint>(endpoint(1, HealthStatus::unhealthy));
  f.add_cluster("b", assignment);
  Sink membership;
  collect_membership(f.snapshot, membership);
  REQUIRE(membership.gauges.at("cluster.b.membership_total") == 3);
  REQUIRE(membership.gauges.at("cluster.b.membership_healthy") == 2);
  REQUIRE(membership.gauges.at("cluster.b.membership_degraded") == 0);
  REQUIRE(membership.gauges.at("cluster.b.membership_excluded") == 0);
  REQUIRE(membership.gauges.at("cluster.b.max_host_weight") == 1);

  f.add_cluster("c", endpoints({1}), [](Cluster& c) { c.circuit_breakers[Priority::standard].max_requests = 1; });
  const auto open = [&](const std::string& what) {
    return breaker_gauges(f).at("cluster.c.circuit_breakers.default." + what);
  };
  REQUIRE(open("rq_open") == 0);
  ResourceToken token;
  auto& counted = f.clusters.find("c")->breakers(Priority::standard);
  REQUIRE(counted.take_request(f.clusters.find("c")->limits(Priority::standard), token));
  REQUIRE(open("rq_open") == 1);
  REQUIRE(open("cx_open") == 0);
  REQUIRE(open("cx_pool_open") == 0);
  const auto all = breaker_gauges(f);
  REQUIRE(all.at("cluster.c.circuit_breakers.high.rq_open") == 0);
  REQUIRE_FALSE(all.contains("cluster.c.circuit_breakers.default.remaining_rq"));  // nobody asked
  token.release();
  REQUIRE(open("rq_open") == 0);
}

TEST_CASE("what is left under a limit is told where it is asked for") {
  Fixture f;
  f.add_cluster("c", endpoints({1}), [](Cluster& c) {
    c.circuit_breakers[Priority::high].max_requests = 3;
    c.circuit_breakers[Priority::high].track_remaining = true;
  });
  const auto left = [&](const std::string& what) {
    return breaker_gauges(f).at("cluster.c.circuit_breakers.high." + what);
  };
  REQUIRE(left("remaining_rq") == 3);
  ResourceToken token;
  auto& counted = f.clusters.find("c")->breakers(Priority::high);
  REQUIRE(counted.take_request(f.clusters.find("c")->limits(Priority::high), token));
  REQUIRE(left("remaining_rq") == 2);
  REQUIRE(left("remaining_cx") == 1024);
  REQUIRE(left("remaining_pending") == 1024);
  REQUIRE(left("remaining_retries") == 3);
  REQUIRE(left("remaining_cx_pools") == -1);  // 2^64 - 1, as Envoy prints no limit
  token.release();
  REQUIRE(left("remaining_rq") == 3);
}

TEST_CASE("times of requests by who asked; what codecs count once there is a connection") {
  Fixture f;
  f.add_cluster("a", endpoints({1}));
  const auto names = [&] {
    Sink sink;
    f.clusters.collect(sink);
    std::set<std::string> out;
    out.insert(sink.histograms.begin(), sink.histograms.end());
    for (const auto& [name, value] : sink.counters) out.insert(name);
    return out;
  };
  f.clusters.find("a")->stats()->record_time(3, false);
  REQUIRE(names().contains("cluster.a.external.upstream_rq_time"));
  REQUIRE_FALSE(names().contains("cluster.a.internal.upstream_rq_time"));
  REQUIRE_FALSE(names().contains("cluster.a.http1.response_flood"));
  Request r(f);
  r.start();
  REQUIRE(names().contains("cluster.a.http1.response_flood"));
  REQUIRE_FALSE(names().contains("cluster.a.http2.rx_reset"));
}
