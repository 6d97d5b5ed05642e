#include "proxy/upstream/dns_clusters.h"

#include "test/support/test_worker.h"

#include <catch2/catch.hpp>

#include <map>

using namespace clew;
using namespace std::chrono_literals;
using Family = DnsResolver::Family;

namespace {

class FakeResolver final : public DnsResolver {
 public:
  void resolve(const std::string& name, Family family, Done done) override {
    asked.push_back({name, family, std::move(done)});
  }
  struct Question {
    std::string name;
    Family family;
    Done done;
  };
  std::vector<Question> asked;

  /// Answers the oldest question.
  void answer(std::vector<std::string> texts, Duration ttl = Duration(0), bool ok = true) {
    REQUIRE_FALSE(asked.empty());
    Question question = std::move(asked.front());
    asked.erase(asked.begin());
    DnsAnswer out{ok, {}, ttl};
    for (const std::string& text : texts) out.addresses.push_back(*IpAddress::parse(text));
    question.done(std::move(out));
  }
  void fail() { answer({}, Duration(0), false); }
};

struct Case {
  TestWorker t;
  FakeResolver resolver;
  std::map<std::string, std::vector<std::string>> now;
  int changes = 0;
  DnsClusters dns{t.worker, resolver,
                  [this](const std::shared_ptr<const Cluster>& of, std::shared_ptr<const LoadAssignment> endpoints) {
                    ++changes;
                    auto& list = now[of->name];
                    list.clear();
                    for (const auto& locality : endpoints->localities)
                      for (const auto& endpoint : locality.endpoints) list.push_back(endpoint->address.to_string());
                  }};

  static std::shared_ptr<Cluster> cluster(std::initializer_list<const char*> names,
                                          Cluster::Type type = Cluster::Type::strict_dns) {
    auto out = std::make_shared<Cluster>();
    out->name = "c";
    out->type = type;
    out->dns_family = Cluster::DnsFamily::v4_only;
    auto assignment = std::make_shared<LoadAssignment>();
    assignment->localities.emplace_back();
    for (const char* name : names) {
      Endpoint endpoint;
      endpoint.hostname = name;
      endpoint.address = Address(IpAddress::parse(name).value_or(IpAddress()), 443);
      assignment->localities[0].endpoints.push_back(std::make_shared<Endpoint>(endpoint));
    }
    out->inline_endpoints = assignment;
    return out;
  }
  using List = std::vector<std::string>;
};

}  // namespace

TEST_CASE("dns: all addresses of a STRICT_DNS name are endpoints, whatever their order") {
  Case c;
  c.dns.watch({Case::cluster({"a.test"})});
  REQUIRE(c.resolver.asked.size() == 1);
  REQUIRE(c.resolver.asked[0].family == Family::v4);
  REQUIRE(c.changes == 0);
  c.resolver.answer({"10.0.0.2", "10.0.0.1", "10.0.0.2"});
  REQUIRE(c.now["c"] == Case::List{"10.0.0.1:443", "10.0.0.2:443"});
  c.t.advance(6s);
  c.resolver.answer({"10.0.0.1", "10.0.0.2"});
  REQUIRE(c.changes == 1);
  c.t.advance(6s);
  c.resolver.answer({"10.0.0.3"});
  REQUIRE(c.now["c"] == Case::List{"10.0.0.3:443"});
}

TEST_CASE("dns: a LOGICAL_DNS cluster has one endpoint, which stays while it is among the answers") {
  Case c;
  c.dns.watch({Case::cluster({"a.test"}, Cluster::Type::logical_dns)});
  c.resolver.answer({"10.0.0.2", "10.0.0.1"});
  REQUIRE(c.now["c"] == Case::List{"10.0.0.2:443"});
  c.t.advance(6s);
  c.resolver.answer({"10.0.0.1", "10.0.0.3", "10.0.0.2"});
  REQUIRE(c.now["c"] == Case::List{"10.0.0.2:443"});
  c.t.advance(6s);
  c.resolver.answer({"10.0.0.4", "10.0.0.3"});
  REQUIRE(c.now["c"] == Case::List{"10.0.0.4:443"});
  c.t.advance(6s);
  c.resolver.answer({});
  REQUIRE(c.now["c"] == Case::List{"10.0.0.4:443"});
}

TEST_CASE("dns: a failure at first gives no endpoints, later it changes nothing; no such name empties") {
  Case c;
  c.dns.watch({Case::cluster({"a.test"})});
  c.resolver.fail();
  REQUIRE(c.changes == 1);
  REQUIRE(c.now["c"].empty());
  c.t.advance(6s);
  c.resolver.answer({"10.0.0.1"});
  c.t.advance(6s);
  c.resolver.fail();
  REQUIRE(c.now["c"] == Case::List{"10.0.0.1:443"});
  REQUIRE(c.changes == 2);
  c.t.advance(6s);
  c.resolver.answer({});
  REQUIRE(c.now["c"].empty());
}

TEST_CASE("dns: several names, and one that is an address") {
  Case c;
  c.dns.watch({Case::cluster({"a.test", "10.9.9.9", "b.test", "a.test"})});
  REQUIRE(c.resolver.asked.size() == 2);
  c.resolver.answer({"10.0.0.1"});
  REQUIRE(c.changes == 0);  // all of a round together
  c.resolver.answer({"10.0.0.2"});
  REQUIRE(c.now["c"] == Case::List{"10.0.0.1:443", "10.9.9.9:443", "10.0.0.2:443", "10.0.0.1:443"});
}

TEST_CASE("dns: only addresses: nothing is asked, and nobody is called from inside watch") {
  Case c;
  c.dns.watch({Case::cluster({"10.9.9.9"})});
  REQUIRE(c.changes == 0);
  c.t.poll();
  REQUIRE(c.now["c"] == Case::List{"10.9.9.9:443"});
  c.t.advance(1h);
  REQUIRE(c.resolver.asked.empty());
}

TEST_CASE("dns: families and what is asked when the first has nothing") {
  using F = Cluster::DnsFamily;
  Case c;
  auto cluster = Case::cluster({"a.test"});
  SECTION("automatic: v6, then v4") {
    cluster->dns_family = F::automatic;
    c.dns.watch({cluster});
    REQUIRE(c.resolver.asked[0].family == Family::v6);
    c.resolver.answer({});
    REQUIRE(c.resolver.asked[0].family == Family::v4);
    c.resolver.answer({"10.0.0.1"});
    REQUIRE(c.now["c"] == Case::List{"10.0.0.1:443"});
  }
  SECTION("v4 preferred, then v6; twice nothing is nothing") {
    cluster->dns_family = F::v4_preferred;
    c.dns.watch({cluster});
    c.resolver.answer({});
    REQUIRE(c.resolver.asked[0].family == Family::v6);
    c.resolver.answer({});
    REQUIRE(c.changes == 1);
    REQUIRE(c.resolver.asked.empty());
  }
  SECTION("all") {
    cluster->dns_family = F::all;
    c.dns.watch({cluster});
    REQUIRE(c.resolver.asked[0].family == Family::any);
    c.resolver.answer({"fd00::1", "10.0.0.1"});
    REQUIRE(c.now["c"] == Case::List{"10.0.0.1:443", "[fd00::1]:443"});
  }
}

TEST_CASE("dns: refresh by rate or by the answer's lifetime, at most once a second") {
  Case c;
  auto cluster = Case::cluster({"a.test"});
  cluster->dns_refresh_rate = 60s;
  SECTION("rate") {
    c.dns.watch({cluster});
    c.resolver.answer({"10.0.0.1"}, 5s);
    c.t.advance(59s);
    REQUIRE(c.resolver.asked.empty());
    c.t.advance(2s);
    REQUIRE(c.resolver.asked.size() == 1);
  }
  SECTION("lifetime") {
    cluster->respect_dns_ttl = true;
    c.dns.watch({cluster});
    c.resolver.answer({"10.0.0.1"}, 5s);
    c.t.advance(6s);
    REQUIRE(c.resolver.asked.size() == 1);
    c.resolver.answer({"10.0.0.1"}, Duration(1));
    c.t.advance(900ms);
    REQUIRE(c.resolver.asked.empty());
    c.t.advance(300ms);
    REQUIRE(c.resolver.asked.size() == 1);
  }
}

TEST_CASE("dns: the same cluster goes on, a changed one begins anew, one that left is forgotten") {
  Case c;
  const auto cluster = Case::cluster({"a.test"});
  c.dns.watch({cluster});
  c.dns.watch({cluster});
  REQUIRE(c.resolver.asked.size() == 1);
  c.dns.watch({Case::cluster({"b.test"})});
  REQUIRE(c.resolver.asked.size() == 2);
  c.resolver.answer({"10.0.0.1"});  // of the old one: nobody listens
  REQUIRE(c.changes == 0);
  c.resolver.answer({"10.0.0.2"});
  REQUIRE(c.now["c"] == Case::List{"10.0.0.2:443"});
  c.dns.watch({});
  c.t.advance(1h);
  REQUIRE(c.resolver.asked.empty());
}

TEST_CASE("dns: a changed cluster keeps what is known of a name that it still has, until somebody says otherwise") {
  Case c;
  c.dns.watch({Case::cluster({"a.test", "b.test"})});
  c.resolver.answer({"10.0.0.1"});
  c.resolver.answer({"10.0.0.2"});
  auto changed = Case::cluster({"a.test", "c.test"});
  SECTION("the same question") {
    c.dns.watch({changed});
    REQUIRE(c.resolver.asked.size() == 2);
    REQUIRE(c.changes == 1);
    c.resolver.fail();
    c.resolver.fail();
    REQUIRE(c.changes == 2);  // the first round of this one, told all the same
    REQUIRE(c.now["c"] == Case::List{"10.0.0.1:443"});
    c.t.advance(6s);
    c.resolver.answer({});
    c.resolver.answer({"10.0.0.3"});
    REQUIRE(c.now["c"] == Case::List{"10.0.0.3:443"});
  }
  SECTION("other addresses are asked for") {
    changed->dns_family = Cluster::DnsFamily::v6_only;
    c.dns.watch({changed});
    c.resolver.fail();
    c.resolver.fail();
    REQUIRE(c.now["c"].empty());
  }
}

TEST_CASE("dns: being told may lead to watching something else") {
  TestWorker t;
  FakeResolver resolver;
  int told = 0;
  std::unique_ptr<DnsClusters> dns;
  dns = std::make_unique<DnsClusters>(t.worker, resolver, [&](const auto&, std::shared_ptr<const LoadAssignment>) {
    ++told;
    dns->watch({});
  });
  dns->watch({Case::cluster({"a.test"})});
  resolver.answer({"10.0.0.1"});
  REQUIRE(told == 1);
  t.advance(1h);
  REQUIRE(resolver.asked.empty());
}

TEST_CASE("c-ares: localhost is known, what is no name fails; both by way of the loop") {
  TestWorker t;
  CaresResolver resolver(t.worker);
  std::optional<DnsAnswer> answer;
  resolver.resolve("localhost", Family::v4, [&](DnsAnswer got) { answer = std::move(got); });
  REQUIRE_FALSE(answer);
  t.wait_until([&] { return answer.has_value(); });
  REQUIRE(answer->ok);
  REQUIRE_FALSE(answer->addresses.empty());
  REQUIRE(answer->addresses[0].is_loopback());
  answer.reset();
  resolver.resolve("..", Family::v4, [&](DnsAnswer got) { answer = std::move(got); });
  t.wait_until([&] { return answer.has_value(); });
  REQUIRE(answer->addresses.empty());
}
