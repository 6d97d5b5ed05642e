#include "proxy/upstream/load_balancer.h"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <random>

using namespace clew;

namespace {

using Policy = Cluster::LbPolicy;

/// A cluster in a few words: hosts are added to localities; then it is drawn from.
struct Draws {
  Cluster cluster;
  std::uint32_t overprovisioning = 140;
  std::vector<LbHost> hosts;
  std::vector<LbLocality> localities;
  std::deque<std::atomic<std::uint32_t>> active;
  std::mt19937_64 engine{1};

  explicit Draws(Policy policy) { cluster.lb_policy = policy; }
  Draws& locality(std::uint32_t priority = 0, std::uint32_t weight = 0) {
    localities.push_back({weight, priority});
    return *this;
  }
  Draws& host(std::uint32_t weight = 1, HealthStatus health = HealthStatus::healthy) {
    if (localities.empty()) locality();
    active.emplace_back(0);
    hosts.push_back({weight, health, false, static_cast<std::uint32_t>(localities.size() - 1),
                     "10.0.0." + std::to_string(hosts.size()) + ":80", &active.back()});
    return *this;
  }
  Draws& add(int n, HealthStatus health = HealthStatus::healthy) {
    for (int i = 0; i < n; ++i) host(1, health);
    return *this;
  }
  LoadBalancer build() {
    return LoadBalancer(cluster, overprovisioning, hosts, localities, [this] { return engine(); });
  }
  /// Share of each host in many draws.
  std::vector<double> shares(int draws = 20000) {
    LoadBalancer lb = build();
    std::vector<double> out(hosts.size());
    for (int i = 0; i < draws; ++i) {
      const auto choice = lb.pick({});
      REQUIRE(choice);
      out[choice->host] += 1.0 / draws;
    }
    return out;
  }
};

Approx near(double value) { return Approx(value).margin(0.02); }

}  // namespace

TEST_CASE("nothing to draw from") {
  for (const Policy policy :
       {Policy::round_robin, Policy::least_request, Policy::random, Policy::ring_hash, Policy::maglev}) {
    Draws empty(policy);
    REQUIRE_FALSE(empty.build().pick({}));
    Draws no_hosts(policy);
    no_hosts.locality();
    REQUIRE_FALSE(no_hosts.build().pick({}));
    Draws sick(policy);
    sick.cluster.healthy_panic_threshold = 0;
    sick.add(3, HealthStatus::unhealthy);
    REQUIRE_FALSE(sick.build().pick({}));
  }
}

TEST_CASE("round robin takes turns") {
  Draws d(Policy::round_robin);
  d.add(3);
  LoadBalancer lb = d.build();
  const auto first = lb.pick({})->host;
  REQUIRE(lb.pick({})->host == (first + 1) % 3);
  REQUIRE(lb.pick({})->host == (first + 2) % 3);
  REQUIRE(lb.pick({})->host == first);
}

TEST_CASE("weighted round robin keeps to the weights in every round") {
  Draws d(Policy::round_robin);
  d.host(1).host(2).host(5);
  LoadBalancer lb = d.build();
  std::map<std::uint32_t, int> count;
  for (int i = 0; i < 80; ++i) ++count[lb.pick({})->host];
  REQUIRE(std::abs(count[0] - 10) <= 1);
  REQUIRE(std::abs(count[1] - 20) <= 1);
  REQUIRE(std::abs(count[2] - 50) <= 1);
}

TEST_CASE("weights as large as Istio's multi-network ones") {
  Draws d(Policy::round_robin);
  d.host(0xffffffff).host(1);
  const auto shares = d.shares(1000);
  REQUIRE(shares[0] > 0.99);
}

TEST_CASE("least request, equal weights: the less busy of two") {
  Draws d(Policy::least_request);
  d.add(3);
  d.active[0] = 10;
  d.active[1] = 5;
  const auto shares = d.shares();
  // With replacement: the busiest is drawn when both samples are it, the least busy unless both are others.
  REQUIRE(shares[0] == near(1.0 / 9));
  REQUIRE(shares[1] == near(3.0 / 9));
  REQUIRE(shares[2] == near(5.0 / 9));
}

TEST_CASE("least request, unequal weights: divided by requests under way") {
  Draws d(Policy::least_request);
  d.host(1).host(3);
  auto shares = d.shares();
  REQUIRE(shares[0] == near(0.25));
  d.active[1] = 2;  // weight 3 / (2 + 1)
  shares = d.shares();
  REQUIRE(shares[0] == near(0.5));
}

TEST_CASE("random does not look at weights") {
  Draws d(Policy::random);
  d.host(1).host(100);
  REQUIRE(d.shares()[0] == near(0.5));
}

TEST_CASE("only healthy hosts are drawn while there are enough of them") {
  for (const Policy policy :
       {Policy::round_robin, Policy::least_request, Policy::random, Policy::ring_hash, Policy::maglev}) {
    Draws d(policy);
    d.cluster.maglev_table_size = 1009;
    d.add(3).host(1, HealthStatus::unhealthy).host(1, HealthStatus::draining).host(1, HealthStatus::timeout);
    d.hosts.push_back(d.hosts[0]);
    d.hosts.back().ejected = true;
    d.cluster.healthy_panic_threshold = 40;
    const auto shares = d.shares(2000);
    REQUIRE(shares[3] + shares[4] + shares[5] + shares[6] == 0);
  }
}

TEST_CASE("panic: too few healthy ones, so all are drawn") {
  Draws d(Policy::round_robin);
  d.add(2).add(8, HealthStatus::unhealthy);
  LoadBalancer lb = d.build();
  REQUIRE(lb.panic(0));
  REQUIRE(lb.pick({})->panic);
  for (const double share : d.shares(1000)) REQUIRE(share == near(0.1));
  d.cluster.healthy_panic_threshold = 20;  // 20 % are healthy: not below
  REQUIRE_FALSE(d.build().panic(0));
  REQUIRE(d.shares(1000)[0] == near(0.5));
}

TEST_CASE("priorities: Envoy's table of healthy percentages and loads") {
  struct Row {
    int healthy0, healthy1;  // of 100 each
    std::uint32_t load0, load1;
  };
  // docs: «Priority levels», overprovisioning 1.4
  const Row row = GENERATE(Row{100, 100, 100, 0}, Row{72, 72, 100, 0}, Row{71, 71, 99, 1}, Row{50, 50, 70, 30},
                           Row{25, 100, 35, 65}, Row{0, 100, 0, 100}, Row{25, 25, 50, 50});
  Draws d(Policy::round_robin);
  d.cluster.healthy_panic_threshold = 0;
  d.locality(0).add(row.healthy0).add(100 - row.healthy0, HealthStatus::unhealthy);
  d.locality(1).add(row.healthy1).add(100 - row.healthy1, HealthStatus::unhealthy);
  LoadBalancer lb = d.build();
  REQUIRE(lb.load(0) == row.load0);
  REQUIRE(lb.load(1) == row.load1);
}

TEST_CASE("priorities: an empty first one fails over") {
  Draws d(Policy::least_request);
  d.locality(0).locality(2).add(2);
  LoadBalancer lb = d.build();
  REQUIRE(lb.load(2) == 100);
  REQUIRE(lb.pick({}));
}

TEST_CASE("degraded hosts take what healthy ones do not cover") {
  Draws d(Policy::round_robin);
  d.cluster.healthy_panic_threshold = 0;
  d.add(25).add(75, HealthStatus::degraded);
  const auto shares = d.shares();
  double healthy = 0;
  for (int i = 0; i < 25; ++i) healthy += shares[i];
  REQUIRE(healthy == near(0.35));
}

TEST_CASE("locality weights") {
  for (const Policy policy : {Policy::round_robin, Policy::least_request, Policy::random}) {
    Draws d(policy);
    d.cluster.locality_weighted = true;
    d.locality(0, 80).add(2).locality(0, 20).add(4).locality(0, 0).add(3);
    const auto shares = d.shares();
    REQUIRE(shares[0] + shares[1] == near(0.8));
    REQUIRE(shares[2] + shares[3] + shares[4] + shares[5] == near(0.2));
    REQUIRE(shares[6] + shares[7] + shares[8] == 0);
  }
}

TEST_CASE("a locality that is half healthy weighs less") {
  Draws d(Policy::round_robin);
  d.cluster.locality_weighted = true;
  d.cluster.healthy_panic_threshold = 0;
  d.locality(0, 50).add(2).add(2, HealthStatus::unhealthy).locality(0, 50).add(4);
  const auto shares = d.shares();
  REQUIRE(shares[0] + shares[1] == near(0.7 / 1.7));
}

TEST_CASE("weighted localities without any weight draw nothing") {
  Draws d(Policy::round_robin);
  d.cluster.locality_weighted = true;
  d.add(2);
  REQUIRE_FALSE(d.build().pick({}));
}

TEST_CASE("consistent hashing: same hash, same host; few move when one goes") {
  for (const Policy policy : {Policy::ring_hash, Policy::maglev}) {
    Draws d(policy);
    d.add(10);
    LoadBalancer before = d.build();
    d.hosts.erase(d.hosts.begin() + 4);
    LoadBalancer after = d.build();
    std::vector<int> count(10);
    int moved = 0;
    for (int i = 0; i < 20000; ++i) {
      const LbContext context{d.engine(), 0};
      const auto host = before.pick(context)->host;
      REQUIRE(before.pick(context)->host == host);
      ++count[host];
      auto now = after.pick(context)->host;
      if (now >= 4) ++now;
      if (host != 4 && now != host) ++moved;
    }
    for (const int n : count) REQUIRE(n > 1000);
    REQUIRE(moved < 2000);  // a few that need not: both tables share out what the lost host had anew
  }
}

TEST_CASE("consistent hashing keeps to weights and localities") {
  for (const Policy policy : {Policy::ring_hash, Policy::maglev}) {
    Draws d(policy);
    d.host(1).host(3);
    REQUIRE(d.shares()[0] == Approx(0.25).margin(0.05));
    Draws l(policy);
    l.cluster.locality_weighted = true;
    l.locality(0, 90).add(1).locality(0, 10).add(1);
    REQUIRE(l.shares()[0] == Approx(0.9).margin(0.05));
  }
}

TEST_CASE("consistent hashing: a refused draw leads elsewhere") {
  for (const Policy policy : {Policy::ring_hash, Policy::maglev}) {
    Draws d(policy);
    d.add(5);
    LoadBalancer lb = d.build();
    const auto first = lb.pick({12345, 0})->host;
    bool other = false;
    for (std::uint32_t attempt = 1; attempt < 20; ++attempt) other = other || lb.pick({12345, attempt})->host != first;
    REQUIRE(other);
  }
}

TEST_CASE("the ring is bounded whatever the weights say") {
  Draws d(Policy::ring_hash);
  d.host(1).host(0xffffffff);
  REQUIRE(d.shares(100)[1] > 0.9);
}

TEST_CASE("a Maglev table whose size is not prime falls back to one that is") {
  Draws d(Policy::maglev);
  d.cluster.maglev_table_size = 64;
  d.add(3);
  for (const double share : d.shares()) REQUIRE(share == Approx(1.0 / 3).margin(0.05));
}
