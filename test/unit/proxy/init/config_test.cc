#include "proxy/init/config.h"

#include <catch2/catch.hpp>

#include <map>

using namespace clew;

namespace {

struct World {
  std::map<std::string, std::string> env;
  std::vector<std::string> addresses{"127.0.0.1", "10.9.0.2"};
  std::optional<std::string> resolv_conf;

  Machine machine() const {
    Machine out;
    out.env = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = env.find(name);
      if (found == env.end()) return {};
      return found->second;
    };
    out.user = [](const std::string& name) -> std::optional<std::uint32_t> {
      if (name == "istio-proxy") return 1337;
      if (name == "alice") return 1001;
      return {};
    };
    out.group = [](const std::string& name) -> std::optional<std::uint32_t> {
      if (name == "staff") return 50;
      return {};
    };
    out.addresses = [this] {
      std::vector<IpAddress> ips;
      for (const auto& text : addresses) ips.push_back(*IpAddress::parse(text));
      return ips;
    };
    out.resolv_conf = [this] { return resolv_conf; };
    return out;
  }
};

InitResult<InitConfig> parse(const std::vector<std::string>& args, const World& world = {}) {
  return parse_init_config(args, world.machine());
}

InitConfig good(const std::vector<std::string>& args, const World& world = {}) {
  auto out = parse(args, world);
  REQUIRE(out.has_value());
  return *out;
}

}  // namespace

TEST_CASE("init config: defaults are the stock tool's") {
  const InitConfig c = good({});
  CHECK(c.proxy_port == 15001);
  CHECK(c.inbound_port == 15006);
  CHECK(c.tunnel_port == 15008);
  CHECK(c.proxy_uids == std::vector<IdRange>{{1337, 1337}});
  CHECK(c.proxy_gids == std::vector<IdRange>{{1337, 1337}});
  CHECK_FALSE(c.captures_inbound());
  CHECK_FALSE(c.all_outbound);
  CHECK(c.all_groups);
  CHECK(c.groups.empty());
  CHECK(c.loopback == *Cidr::parse("127.0.0.1/32"));
  CHECK(c.mark == 1337);
  CHECK(c.route_table == 133);
  CHECK(c.probe_timeout_ms == 5000);
  CHECK_FALSE(c.ipv6);
}

TEST_CASE("init config: every way to write a flag") {
  for (const auto& args : std::vector<std::vector<std::string>>{
           {"-p", "1"}, {"-p1"}, {"-p=1"}, {"--envoy-port", "1"}, {"--envoy-port=1"}, {"-p", "2", "-p", "1"}})
    CHECK(good(args).proxy_port == 1);
  for (const auto& args :
       std::vector<std::vector<std::string>>{{"-n"}, {"--dry-run"}, {"--dry-run=true"}, {"--dry-run=T"}, {"-n=1"}})
    CHECK(good(args).dry_run);
  CHECK_FALSE(good({"-n", "--dry-run=false"}).dry_run);
  CHECK_FALSE(good({"-x", "", "-b", ""}).captures_inbound());
  CHECK(good({"--log_output_level=default:info", "--log_as_json", "--vklog", "9", "-b", "*"}).all_inbound);
}

TEST_CASE("init config: the environment, and the flag that wins over it") {
  World world;
  world.env = {{"INBOUND_CAPTURE_PORT", "16006"},
               {"ISTIO_META_DNS_CAPTURE", "true"},
               {"REDIRECT_DNS", "false"},
               {"CAPTURE_ALL_DNS", "1"},
               {"ENVOY_PORT", "1"},
               {"DUAL_STACK", ""},
               {"INVALID_DROP", "true"}};
  const InitConfig c = good({}, world);
  CHECK(c.inbound_port == 16006);
  CHECK(c.dns);
  CHECK(c.all_dns);
  CHECK(c.drop_invalid);
  CHECK(c.proxy_port == 15001);
  CHECK(good({"-z", "16007"}, world).inbound_port == 16007);
}

TEST_CASE("init config: the address decides the family") {
  World world;
  world.addresses = {"127.0.0.1", "::1", "fe80::1", "169.254.1.1", "fd09::2"};
  CHECK(good({}, world).ipv6);
  CHECK(good({}, world).host_is_v6);
  world.addresses = {"127.0.0.1", "10.0.0.1", "fd09::2"};
  CHECK_FALSE(good({}, world).ipv6);
  CHECK(good({"--dual-stack"}, world).ipv6);
  CHECK_FALSE(good({"--dual-stack"}, world).host_is_v6);
  world.addresses = {"127.0.0.1", "::1", "fe80::1"};
  CHECK(parse({}, world).error().exit == InitExit::no_address);
  CHECK(parse({"--cleanup-only"}, world).has_value());
}

TEST_CASE("init config: DNS servers") {
  World world;
  world.resolv_conf =
      "# nameserver 9.9.9.9\nnameserver fd00::1\n  nameserver\t10.0.0.1 # first\nnameserver fe80::1%eth0\nnameservers "
      "1.1.1.1\nnameserver x\nnameserver";
  const InitConfig c = good({"--redirect-dns"}, world);
  CHECK(c.dns);
  CHECK(c.dns_servers == std::vector<IpAddress>{*IpAddress::parse("10.0.0.1"), *IpAddress::parse("fd00::1"),
                                                *IpAddress::parse("fe80::1")});
  CHECK(good({"--redirect-dns", "--capture-all-dns"}, world).dns_servers.empty());
  CHECK_FALSE(good({}, world).dns);
  world.resolv_conf = "search x\n";
  CHECK_FALSE(good({"--redirect-dns"}, world).dns);
  CHECK(good({"--redirect-dns"}, world).warnings.size() == 1);
  world.resolv_conf.reset();
  CHECK(parse({"--redirect-dns"}, world).error().exit == InitExit::bad_value);
}

TEST_CASE("init config: lists") {
  const InitConfig c = good({"-b", "80,,443, 8000:8010 ", "-i", "fd00::1/16,10.1.2.3/8,127.0.0.1/32", "-u", "alice,7",
                             "-g", "staff,8-9", "-k", "eth0,k6t-a"});
  CHECK(c.inbound_ports == std::vector<PortRange>{{80, 80}, {443, 443}, {8000, 8010}});
  CHECK(c.outbound_cidrs ==
        std::vector<Cidr>{*Cidr::parse("10.0.0.0/8"), *Cidr::parse("127.0.0.1/32"), *Cidr::parse("fd00::/16")});
  CHECK(c.outbound_has_loopback);
  CHECK(c.proxy_uids == std::vector<IdRange>{{1001, 1001}, {7, 7}});
  CHECK(c.proxy_gids == std::vector<IdRange>{{50, 50}, {8, 9}});
  CHECK(c.virtual_interfaces == std::vector<std::string>{"eth0", "k6t-a"});
}

TEST_CASE("init config: a packet to ask about") {
  const auto packet = good({"--check", "--destination", "10.0.0.1", "--port", "80", "--owner", "alice:staff"}).packet;
  REQUIRE(packet);
  CHECK(packet->uid == 1001);
  CHECK(packet->gid == 50);
  CHECK(packet->port == 80);
  CHECK_FALSE(packet->inbound);
}

TEST_CASE("init config: bad input names its kind in one sentence") {
  const std::pair<std::vector<std::string>, InitExit> table[] = {
      {{"--bogus"}, InitExit::bad_flag},
      {{"-Z"}, InitExit::bad_flag},
      {{"word"}, InitExit::bad_flag},
      {{"--"}, InitExit::bad_flag},
      {{"-"}, InitExit::bad_flag},
      {{""}, InitExit::bad_flag},
      {{"-p"}, InitExit::bad_flag},
      {{"--dry-run=maybe"}, InitExit::bad_flag},
      {{"--port", "1"}, InitExit::bad_flag},
      {{"--check", "--cleanup-only"}, InitExit::bad_flag},
      {{"--check", "--explain"}, InitExit::bad_flag},
      {{"--check", "--destination", "10.0.0.1"}, InitExit::bad_flag},
      {{"--explain", "--cleanup-only"}, InitExit::bad_flag},
      {{"--two\nlines"}, InitExit::bad_flag},
      {{"-b", std::string(100'000, 'x')}, InitExit::bad_port},
      {{"--destination", "10.0.0.1", "--port", "1"}, InitExit::bad_flag},
      {{"-p", "0"}, InitExit::bad_port},
      {{"-p", "65536"}, InitExit::bad_port},
      {{"-p", ""}, InitExit::bad_port},
      {{"-b", "80,http"}, InitExit::bad_port},
      {{"-b", "90:80"}, InitExit::bad_port},
      {{"-d", "1:70000"}, InitExit::bad_port},
      {{"-o", "-1"}, InitExit::bad_port},
      {{"-i", "10.0.0.0"}, InitExit::bad_cidr},
      {{"-i", "10.0.0.0/33"}, InitExit::bad_cidr},
      {{"-i", "::ffff:10.0.0.0/104"}, InitExit::bad_cidr},
      {{"-x", "*"}, InitExit::bad_cidr},
      {{"-c", "a-name-too-long-0"}, InitExit::bad_interface},
      {{"-c", "eth0;x"}, InitExit::bad_interface},
      {{"-k", "eth0\n-A"}, InitExit::bad_interface},
      {{"-u", "nobody-here"}, InitExit::bad_owner},
      {{"-g", "9-8"}, InitExit::bad_owner},
      {{"-u", "4294967295"}, InitExit::bad_owner},
      {{"-u", ","}, InitExit::bad_owner},
      {{"-g", " , "}, InitExit::bad_owner},
      {{"-m", "tproxy"}, InitExit::bad_value},
      {{"-t", "0x539"}, InitExit::bad_value},
      {{"-t", "1338"}, InitExit::bad_value},
      {{"-r", "0"}, InitExit::bad_value},
      {{"-r", "254"}, InitExit::bad_value},
      {{"--force-iptables-binary=x"}, InitExit::bad_value},
      {{"--probe-timeout", "5"}, InitExit::bad_value},
      {{"--probe-timeout", "99999h"}, InitExit::bad_value},
      {{"--check", "--destination", "host", "--port", "80"}, InitExit::bad_value},
      {{"--check", "--destination", "10.0.0.1", "--port", "80", "--protocol", "sctp"}, InitExit::bad_value},
      {{"--check", "--destination", "10.0.0.1", "--port", "80", "--source", "::1"}, InitExit::bad_value},
  };
  for (const auto& [args, exit] : table) {
    INFO(args.front() << " " << args.back());
    const auto out = parse(args);
    REQUIRE(out.has_error());
    CHECK(out.error().exit == exit);
    CHECK_FALSE(out.error().message.empty());
    CHECK(out.error().message.find('\n') == std::string::npos);
    CHECK(out.error().message.size() < 300);
  }
  World world;
  world.env = {{"DRY_RUN", "maybe"}};
  CHECK(parse({}, world).error().exit == InitExit::bad_value);
  world.env = {{"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "127.0.0.0/7"}};
  CHECK(parse({}, world).error().exit == InitExit::bad_cidr);
  world.env = {{"ISTIO_OUTBOUND_OWNER_GROUPS", ""}};
  for (int i = 0; i < 65; ++i) world.env["ISTIO_OUTBOUND_OWNER_GROUPS"] += std::to_string(i) + ",";
  CHECK(parse({}, world).error().exit == InitExit::bad_owner);
}
