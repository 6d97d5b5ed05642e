#include "proxy/init/rules.h"
#include "proxy/init/iptables_restore.h"
#include "test/unit/proxy/init/support.h"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace clew;

namespace {

std::vector<std::string> chain(const std::vector<Rule>& rules, Table table, std::string_view name) {
  std::vector<std::string> out;
  for (const auto& rule : rules)
    if (rule.table == table && rule.chain == name) out.push_back(rule_arguments(rule));
  return out;
}

std::vector<Rule> v4(const InitConfig& config) { return of_family(make_rules(config, Backend::iptables), Family::v4); }

}  // namespace

TEST_CASE("init rules: the injected configuration, in order") {
  const auto rules = v4(captured());
  CHECK(chain(rules, Table::nat, "PREROUTING") == std::vector<std::string>{"-p tcp -j ISTIO_INBOUND"});
  CHECK(chain(rules, Table::nat, "OUTPUT") == std::vector<std::string>{"-j ISTIO_OUTPUT"});
  CHECK(chain(rules, Table::nat, "ISTIO_INBOUND") ==
        std::vector<std::string>{"-p tcp -m tcp --dport 15008 -j RETURN", "-p tcp -m tcp --dport 15090 -j RETURN",
                                 "-p tcp -m tcp --dport 15021 -j RETURN", "-p tcp -m tcp --dport 15020 -j RETURN",
                                 "-p tcp -j ISTIO_IN_REDIRECT"});
  CHECK(chain(rules, Table::nat, "ISTIO_OUTPUT") ==
        std::vector<std::string>{
            "-s 127.0.0.6/32 -o lo -j RETURN",
            "! -d 127.0.0.1/32 -o lo -p tcp -m tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT",
            "-o lo -m owner ! --uid-owner 1337 -j RETURN", "-m owner --uid-owner 1337 -j RETURN",
            "! -d 127.0.0.1/32 -o lo -p tcp -m tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT",
            "-o lo -m owner ! --gid-owner 1337 -j RETURN", "-m owner --gid-owner 1337 -j RETURN",
            "-d 127.0.0.1/32 -j RETURN", "-j ISTIO_REDIRECT"});
  CHECK(std::ranges::none_of(rules, [](const Rule& rule) { return rule.table != Table::nat; }));
}

TEST_CASE("init rules: nothing for IPv6 unless it is on, and then the same rules") {
  InitConfig config = everything();
  const auto both = make_rules(config, Backend::iptables);
  CHECK(of_family(both, Family::v4).size() == of_family(both, Family::v6).size());
  config.ipv6 = false;
  for (Backend backend : {Backend::iptables, Backend::nftables})
    for (const auto& rule : make_rules(config, backend)) CHECK(rule.family != Family::v6);
}

TEST_CASE("init rules: a loopback block among the destinations opens loopback traffic") {
  InitConfig config = captured();
  config.all_outbound = false;
  config.outbound_cidrs = {*Cidr::parse("127.0.0.0/8")};
  const auto count = [&] { return chain(v4(config), Table::nat, "ISTIO_OUTPUT").size(); };
  const auto before = count();
  config.outbound_has_loopback = true;
  CHECK(count() == before - 2);
}

TEST_CASE("init rules: DNS of the families that have servers") {
  InitConfig config = captured();
  config.ipv6 = config.dns = true;
  config.dns_servers = {*IpAddress::parse("10.96.0.10")};
  const auto rules = make_rules(config, Backend::iptables);
  const auto jumps = [&](Family family) {
    const auto output = chain(of_family(rules, family), Table::nat, "ISTIO_OUTPUT");
    return std::ranges::count(output, "-j ISTIO_OUTPUT_DNS");
  };
  CHECK(jumps(Family::v4) == 1);
  CHECK(jumps(Family::v6) == 0);
  CHECK(chain(of_family(rules, Family::v4), Table::nat, "ISTIO_OUTPUT_DNS") ==
        std::vector<std::string>{"-d 10.96.0.10/32 -p tcp -m tcp --dport 53 -j REDIRECT --to-ports 15053",
                                 "-d 10.96.0.10/32 -p udp -m udp --dport 53 -j REDIRECT --to-ports 15053"});
  CHECK(chain(of_family(rules, Family::v6), Table::nat, "ISTIO_OUTPUT_DNS").empty());
}

TEST_CASE("init rules: every jump leads to a chain with rules, and every rule says why") {
  for (Backend backend : {Backend::iptables, Backend::nftables}) {
    const auto rules = make_rules(everything(), backend);
    for (const auto& rule : rules) {
      CHECK_FALSE(rule.why.empty());
      if (rule.action == Action::jump)
        CHECK(std::ranges::any_of(
            rules, [&](const Rule& other) { return other.table == rule.table && other.chain == rule.target; }));
    }
  }
}

TEST_CASE("init rules: host bits") {
  for (const auto& [in, out] : {std::pair("10.1.2.3/8", "10.0.0.0/8"), std::pair("10.1.2.3/32", "10.1.2.3/32"),
                                std::pair("10.1.2.3/0", "0.0.0.0/0"), std::pair("192.168.255.9/20", "192.168.240.0/20"),
                                std::pair("fd00:1:2:3::4/33", "fd00:1::/33"), std::pair("fd00::1/128", "fd00::1/128")})
    CHECK(masked(*Cidr::parse(in)) == *Cidr::parse(out));
}
