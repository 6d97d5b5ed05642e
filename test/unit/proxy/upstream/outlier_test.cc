#include "fixture.h"

using namespace clew;
using namespace std::chrono_literals;

namespace {

std::shared_ptr<ClusterState> add(Fixture& f, const std::function<void(OutlierDetection&)>& change = {},
                                  std::initializer_list<int> numbers = {1, 2}) {
  f.add_cluster("a", endpoints(numbers), [&](Cluster& c) {
    c.healthy_panic_threshold = 0;
    OutlierDetection& outlier = c.outlier_detection.emplace();
    outlier.consecutive_5xx = 3;
    outlier.max_ejection_percent = 50;
    if (change) change(outlier);
  });
  return f.clusters.find("a");
}

std::shared_ptr<EndpointState> host(ClusterState& cluster, int n) {
  std::shared_ptr<EndpointState> out;
  cluster.for_each_host([&](const Host& h) {
    if (h.state->address == endpoint(n).address) out = h.state;
  });
  REQUIRE(out);
  return out;
}

void report(ClusterState& cluster, int n, std::uint32_t status, int times, bool local = false) {
  for (int i = 0; i < times; ++i) cluster.report(host(cluster, n), status, local);
}

bool drawn(ClusterState& cluster, int n) {
  for (int i = 0; i < 50; ++i) {
    const Host* h = cluster.choose({});
    if (h && h->state->address == endpoint(n).address) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("outlier: errors in a row eject, for a while") {
  Fixture f;
  const auto a = add(f);
  report(*a, 1, 500, 2);
  report(*a, 1, 200, 1);  // not in a row
  report(*a, 1, 500, 2);
  REQUIRE(drawn(*a, 1));
  report(*a, 1, 500, 1);
  REQUIRE_FALSE(drawn(*a, 1));
  REQUIRE(drawn(*a, 2));
  REQUIRE(f.stats().outlier.ejections_active.value() == 1);
  REQUIRE(f.stats().outlier.ejections_enforced_consecutive_5xx.value() == 1);
  f.t.advance(29s);
  REQUIRE_FALSE(drawn(*a, 1));
  f.t.advance(2s);
  REQUIRE(drawn(*a, 1));
  REQUIRE(f.stats().outlier.ejections_active.value() == 0);
  report(*a, 1, 500, 3);  // again: twice as long
  f.t.advance(31s);
  REQUIRE_FALSE(drawn(*a, 1));
  f.t.advance(30s);
  REQUIRE(drawn(*a, 1));
}

TEST_CASE("outlier: an ejection is never longer than its bound") {
  Fixture f;
  const auto a = add(f, [](OutlierDetection& o) {
    o.max_ejection_time = 45s;
    o.interval = 1h;
  });
  for (int i = 0; i < 5; ++i) {
    report(*a, 1, 500, 3);
    REQUIRE_FALSE(drawn(*a, 1));
    f.t.advance(46s);
    REQUIRE(drawn(*a, 1));
  }
}

TEST_CASE("outlier: not more than a part is ejected") {
  Fixture f;
  const auto a = add(f);
  report(*a, 1, 503, 3);
  report(*a, 2, 503, 3);
  REQUIRE_FALSE(drawn(*a, 1));
  REQUIRE(drawn(*a, 2));
  REQUIRE(f.stats().outlier.ejections_overflow.value() == 1);
  const auto few = add(f, [](OutlierDetection& o) { o.max_ejection_percent = 10; }, {3, 4});
  report(*few, 3, 503, 3);
  REQUIRE(drawn(*few, 3));  // one of two is more than a tenth
}

TEST_CASE("outlier: detection without enforcement only counts") {
  Fixture f;
  const auto a = add(f, [](OutlierDetection& o) { o.enforcing_consecutive_5xx = 0; });
  report(*a, 1, 500, 3);
  REQUIRE(drawn(*a, 1));
  REQUIRE(f.stats().outlier.ejections_detected_consecutive_5xx.value() == 1);
}

TEST_CASE("outlier: gateway failures are a row of their own") {
  Fixture f;
  const auto a = add(f, [](OutlierDetection& o) {
    o.consecutive_5xx = 100;
    o.consecutive_gateway_failure = 2;
    o.enforcing_consecutive_gateway_failure = 100;
  });
  report(*a, 1, 503, 1);
  report(*a, 1, 500, 1);
  report(*a, 1, 503, 1);
  REQUIRE(drawn(*a, 1));
  report(*a, 1, 504, 1);
  REQUIRE_FALSE(drawn(*a, 1));
  REQUIRE(f.stats().outlier.ejections_enforced_consecutive_gateway_failure.value() == 1);
}

TEST_CASE("outlier: failures of ours count as 5xx, or apart when told so") {
  Fixture f;
  const auto a = add(f);
  report(*a, 1, 503, 3, true);
  REQUIRE_FALSE(drawn(*a, 1));
  const auto split = add(f,
                         [](OutlierDetection& o) {
                           o.split_external_local_origin_errors = true;
                           o.consecutive_local_origin_failure = 2;
                         },
                         {3, 4});
  report(*split, 3, 500, 2);
  report(*split, 3, 503, 1, true);
  report(*split, 3, 200, 1);  // an answer ends the local row
  report(*split, 3, 503, 1, true);
  REQUIRE(drawn(*split, 3));
  report(*split, 3, 503, 1, true);
  REQUIRE_FALSE(drawn(*split, 3));
}

TEST_CASE("outlier: without the config nothing is counted, and what was ejected is drawn") {
  Fixture f;
  const auto a = add(f);
  report(*a, 1, 500, 3);
  REQUIRE_FALSE(drawn(*a, 1));
  auto plain = std::make_shared<Cluster>(*a->cluster());
  plain->outlier_detection.reset();
  f.set_cluster(plain, endpoints({1, 2}));
  REQUIRE(drawn(*a, 1));
  report(*a, 2, 500, 100);
  REQUIRE(drawn(*a, 2));
}

TEST_CASE("outlier: requests report what they saw") {
  Fixture f;
  const auto a = add(f, [](OutlierDetection& o) { o.max_ejection_percent = 100; }, {1});
  for (int i = 0; i < 3; ++i) {
    Request r(f);
    r.start();
    f.connector.peers.back().transport->send("HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    f.t.poll();
    REQUIRE(r.response() == nullptr);
    f.t.poll();
  }
  Request none(f);
  none.start();
  REQUIRE(none.reply().details == "no_healthy_upstream");
  f.t.advance(31s);
  f.connector.failures = {
      {Errc::connection_refused, ""}, {Errc::connection_refused, ""}, {Errc::connection_refused, ""}};
  for (int i = 0; i < 3; ++i) {
    Request r(f);
    r.start();
    REQUIRE(r.reply().flag == ResponseFlag::upstream_connection_failure);
  }
  Request again(f);
  again.start();
  REQUIRE(again.reply().details == "no_healthy_upstream");
}
