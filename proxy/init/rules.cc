#include "proxy/init/rules.h"

#include <algorithm>
#include <array>
#include <tuple>

namespace clew {

namespace {

constexpr std::uint16_t dns_port = 53, agent_dns_port = 15053;
constexpr PortRange port_53{dns_port, dns_port};

PortRange one(std::uint16_t port) { return {port, port}; }

class Maker {
 public:
  Maker(const InitConfig& config, Backend backend) : config_(config), nft_(backend == Backend::nftables) {}
  std::vector<Rule> make();

 private:
  Rule& add(Rule rule) { return rules_.emplace_back(std::move(rule)); }
  void put_first(Rule rule) { rules_.insert(rules_.begin(), std::move(rule)); }
  /// The rule once for each family: with the loopback block, or the source of the proxy's passthrough connections.
  void add_not_to_loopback(Rule rule);
  void add_by_source(Rule rule, std::vector<Rule>& to) const;
  Cidr loopback(Family family) const {
    return family == Family::v4 ? config_.loopback : Cidr{*IpAddress::parse("::1"), 128};
  }
  static Cidr passthrough(Family family) {
    return family == Family::v4 ? Cidr{*IpAddress::parse("127.0.0.6"), 32} : Cidr{*IpAddress::parse("::6"), 128};
  }
  Cidr host(const IpAddress& ip) const { return {ip, static_cast<std::uint8_t>(ip.is_v4() ? 32 : 128)}; }
  static Family family_of(const IpAddress& ip) { return ip.is_v4() ? Family::v4 : Family::v6; }
  /// The families that have DNS servers; any for both.
  std::optional<Family> dns_families() const;

  void interfaces();
  void inbound();
  void inbound_tproxy();
  void outbound();
  void proxy_owner(const Owner& owner);
  void owner_groups();
  void dns_redirect();
  void dns_zones();
  void outbound_cidrs();
  void tproxy_marks();
  void tproxy_inbound_head();

  const InitConfig& config_;
  const bool nft_;
  std::vector<Rule> rules_;
};

Rule rule(Table table, std::string_view chain, std::string_view why) {
  Rule out;
  out.table = table;
  out.chain = chain;
  out.why = why;
  return out;
}

Rule tcp(Rule r) {
  r.protocol = Protocol::tcp;
  return r;
}

Rule to(Rule r, std::string_view target) {
  r.action = Action::jump;
  r.target = target;
  return r;
}

Rule redirect(Rule r, std::uint16_t port) {
  r.action = Action::redirect;
  r.value = port;
  return r;
}

Rule ports(Rule r, std::vector<PortRange> list, bool negated = false) {
  r.ports = std::move(list);
  r.ports_negated = negated;
  return r;
}

Rule with_mark(Rule r, std::uint32_t mark, bool negated = false) {
  r.mark = {mark, negated};
  return r;
}

Rule ends(Rule r, Action action, std::uint32_t value = 0) {
  r.action = action;
  r.value = value;
  return r;
}

void Maker::add_not_to_loopback(Rule rule) {
  for (Family family : {Family::v4, Family::v6}) {
    rule.family = family;
    rule.destination = {loopback(family), true};
    add(rule);
  }
}

void Maker::add_by_source(Rule rule, std::vector<Rule>& to) const {
  for (Family family : {Family::v4, Family::v6}) {
    rule.family = family;
    rule.source = {passthrough(family), false};
    to.push_back(rule);
  }
}

void Maker::interfaces() {
  std::vector<Table> tables{Table::nat};
  if (config_.tproxy) tables.push_back(Table::mangle);
  for (Table table : tables) {
    for (const auto& name : config_.excluded_interfaces) {
      add(rule(table, "PREROUTING", "--istio-exclude-interfaces names the interface")).in = name;
      add(rule(table, "OUTPUT", "--istio-exclude-interfaces names the interface")).out = name;
    }
  }
  for (const auto& name : config_.virtual_interfaces) {
    Rule r = rule(Table::nat, "PREROUTING",
                  "what a virtual machine behind --kube-virt-interfaces sends and nothing below captures goes its way");
    r.in = name;
    r.head = true;
    put_first(r);
  }
}

void Maker::inbound_tproxy() {
  const auto mangle = [](std::string_view chain, std::string_view why) { return rule(Table::mangle, chain, why); };
  add(ends(mangle("ISTIO_DIVERT", "the mark sends it to the local socket through the extra route table"),
           Action::set_mark, config_.mark));
  add(ends(mangle("ISTIO_DIVERT", "nothing more to decide in this table"), Action::accept));
  Rule r = tcp(mangle("ISTIO_TPROXY", "a new inbound connection goes to the proxy, with both its addresses kept"));
  r.action = Action::tproxy;
  r.value = config_.inbound_port;
  r.mark_set = config_.mark;
  add_not_to_loopback(r);
}

void Maker::inbound() {
  if (!config_.captures_inbound()) return;
  const Table table = config_.tproxy ? Table::mangle : Table::nat;
  if (config_.tproxy) inbound_tproxy();
  add(to(tcp(rule(table, "PREROUTING", "every TCP connection from outside is looked at")), "ISTIO_INBOUND"));
  std::vector<std::optional<PortRange>> captured;
  if (config_.all_inbound) {
    for (PortRange port : config_.inbound_excluded)
      add(ports(tcp(rule(table, "ISTIO_INBOUND", "--istio-local-exclude-ports names the port")), {port}));
    captured.emplace_back();
  } else {
    captured.assign(config_.inbound_ports.begin(), config_.inbound_ports.end());
  }
  const std::string_view why =
      config_.all_inbound ? "all inbound ports are captured" : "--istio-inbound-ports names the port";
  for (const auto& port : captured) {
    Rule r = tcp(rule(table, "ISTIO_INBOUND", why));
    if (port) r.ports = {*port};
    if (config_.tproxy) {
      Rule known = to(r, "ISTIO_DIVERT");
      known.state = ConnState::related_established;
      known.why = "a packet of a connection that the proxy holds already";
      add(known);
    }
    add(to(r, config_.tproxy ? "ISTIO_TPROXY" : "ISTIO_IN_REDIRECT"));
  }
}

void Maker::proxy_owner(const Owner& owner) {
  Owner others = owner;
  others.negated = true;
  const bool past_dns = config_.dns && !owner.group;  // as the stock tool: the group's rule does not name port 53

  Rule r = to(tcp(rule(Table::nat, "ISTIO_OUTPUT",
                       "an application called itself through a service: the proxy's second half takes it as inbound")),
              "ISTIO_IN_REDIRECT");
  r.out = "lo";
  r.owners = {owner};
  r.ports = {one(config_.tunnel_port)};
  if (past_dns) r.ports.insert(r.ports.begin(), port_53);
  r.ports_negated = true;
  add_not_to_loopback(r);

  if (!config_.outbound_has_loopback) {
    Rule local = rule(Table::nat, "ISTIO_OUTPUT", "containers of one pod talk to each other without the proxy");
    local.out = "lo";
    local.owners = {others};
    if (config_.dns) local = ports(tcp(local), {port_53}, true);
    add(local);
  }
  add(rule(Table::nat, "ISTIO_OUTPUT", "the proxy's own traffic is never captured again")).owners = {owner};
}

void Maker::owner_groups() {
  if (config_.all_groups) {
    for (IdRange group : config_.groups)
      add(rule(Table::nat, "ISTIO_OUTPUT", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE names the group")).owners = {
          {group, true, false}};
    return;
  }
  Rule r = rule(Table::nat, "ISTIO_OUTPUT", "ISTIO_OUTBOUND_OWNER_GROUPS does not name the group");
  for (IdRange group : config_.groups) r.owners.push_back({group, true, true});
  add(r);
}

std::optional<Family> Maker::dns_families() const {
  if (config_.all_dns) return Family::any;
  bool v4 = false, v6 = false;
  for (const auto& server : config_.dns_servers) (server.is_v4() ? v4 : v6) = true;
  if (v4 && v6) return Family::any;
  if (v4) return Family::v4;
  if (v6) return Family::v6;
  return {};
}

void Maker::dns_redirect() {
  add(to(rule(Table::raw, "OUTPUT", "DNS of the application and of the agent are kept apart"), "ISTIO_OUTPUT_DNS"));
  if (auto family = dns_families())
    add(to(rule(Table::nat, "ISTIO_OUTPUT", "DNS is looked at first"), "ISTIO_OUTPUT_DNS")).family = *family;
  for (Protocol protocol : {Protocol::tcp, Protocol::udp}) {
    Rule r = ports(redirect(rule(Table::nat, "ISTIO_OUTPUT_DNS", "the agent answers DNS"), agent_dns_port), {port_53});
    r.protocol = protocol;
    if (config_.all_dns) add(r);
    for (const auto& server : config_.dns_servers) {
      r.family = family_of(server);
      r.destination = {host(server), false};
      add(r);
    }
  }
  dns_zones();
}

void Maker::dns_zones() {
  const auto udp = [](std::string_view chain, std::uint32_t zone, std::string_view why) {
    Rule r = rule(Table::raw, chain, why);
    r.protocol = Protocol::udp;
    return ends(std::move(r), Action::zone, zone);
  };
  const auto owner_rules = [&](const Owner& owner) {
    Rule asks = ports(udp("ISTIO_OUTPUT_DNS", 1, "the agent asks the real server"), {port_53});
    asks.owners = {owner};
    add(asks);
    Rule answers = udp("ISTIO_OUTPUT_DNS", 2, "the agent answers an application");
    answers.source_port = one(agent_dns_port);
    answers.owners = {owner};
    add(answers);
  };
  for (IdRange uid : config_.proxy_uids) owner_rules({uid, false, false});
  for (IdRange gid : config_.proxy_gids) owner_rules({gid, true, false});

  Rule asks = ports(udp("ISTIO_OUTPUT_DNS", 2, "an application asks"), {port_53});
  Rule answers = udp("ISTIO_INBOUND", 1, "the real server answers the agent");
  answers.source_port = port_53;
  if (auto family = dns_families())
    add(to(rule(Table::raw, "PREROUTING", "answers of DNS servers are looked at"), "ISTIO_INBOUND")).family = *family;
  if (config_.all_dns) {
    add(asks);
    add(answers);
  }
  for (const auto& server : config_.dns_servers) {
    asks.family = answers.family = family_of(server);
    asks.destination = {host(server), false};
    answers.source = {host(server), false};
    add(asks);
    add(answers);
  }
}

void Maker::outbound_cidrs() {
  Rule virtual_machine = to(
      rule(Table::nat, "PREROUTING", "what a virtual machine behind --kube-virt-interfaces sends counts as outbound"),
      "ISTIO_REDIRECT");
  virtual_machine.head = true;
  if (config_.all_outbound) {
    add(to(rule(Table::nat, "ISTIO_OUTPUT", "all other outbound connections are captured"), "ISTIO_REDIRECT"));
    for (const auto& name : config_.virtual_interfaces) {
      virtual_machine.in = name;
      put_first(virtual_machine);
    }
    return;
  }
  for (const auto& cidr : config_.outbound_cidrs) {
    Rule r = to(rule(Table::nat, "ISTIO_OUTPUT", "--istio-service-cidr names the destination"), "ISTIO_REDIRECT");
    r.family = virtual_machine.family = family_of(cidr.base);
    r.destination = virtual_machine.destination = {cidr, false};
    for (const auto& name : config_.virtual_interfaces) {
      virtual_machine.in = name;
      put_first(virtual_machine);
    }
    add(r);
  }
}

void Maker::outbound() {
  add(to(rule(Table::nat, "OUTPUT", "everything that a process of this pod sends is looked at"), "ISTIO_OUTPUT"));
  for (PortRange port : config_.outbound_excluded_ports) {
    for (Protocol protocol : {Protocol::tcp, Protocol::udp}) {
      Rule r = ports(rule(Table::nat, "ISTIO_OUTPUT", "--istio-local-outbound-ports-exclude names the port"), {port});
      r.protocol = protocol;
      add(r);
    }
  }
  Rule passthrough_rule =
      rule(Table::nat, "ISTIO_OUTPUT", "the proxy passes an inbound connection on to the application");
  passthrough_rule.out = "lo";
  add_by_source(passthrough_rule, rules_);
  for (IdRange uid : config_.proxy_uids) proxy_owner({uid, false, false});
  for (IdRange gid : config_.proxy_gids) proxy_owner({gid, true, false});
  owner_groups();
  if (config_.dns) dns_redirect();
  for (Family family : {Family::v4, Family::v6}) {
    Rule r = rule(Table::nat, "ISTIO_OUTPUT", "what is sent to localhost stays there");
    r.family = family;
    r.destination = {loopback(family), false};
    add(r);
  }
  for (const auto& cidr : config_.outbound_excluded_cidrs) {
    Rule r = rule(Table::nat, "ISTIO_OUTPUT", "--istio-service-exclude-cidr names the destination");
    r.family = family_of(cidr.base);
    r.destination = {cidr, false};
    add(r);
  }
  for (PortRange port : config_.outbound_ports)
    add(ports(to(tcp(rule(Table::nat, "ISTIO_OUTPUT", "--istio-outbound-ports names the port")), "ISTIO_REDIRECT"),
              {port}));
  outbound_cidrs();
}

void Maker::tproxy_marks() {
  const auto mangle = [](std::string_view chain, std::string_view why) { return tcp(rule(Table::mangle, chain, why)); };
  add(ends(
      with_mark(mangle("PREROUTING", "the connection remembers that the proxy opened it with the client's address"),
                config_.mark),
      Action::save_mark));
  add(with_mark(mangle("OUTPUT", "the proxy's connection to the application has its mark already"), config_.mark)).out =
      "lo";
  const auto owner_rule = [&](const Owner& owner) {
    Rule r = ends(
        mangle("OUTPUT", "an application called itself through a service: the mark lets it be captured as inbound"),
        Action::set_mark, outbound_mark);
    r.out = "lo";
    r.owners = {owner};
    add_not_to_loopback(r);
  };
  for (IdRange uid : config_.proxy_uids) owner_rule({uid, false, false});
  for (IdRange gid : config_.proxy_gids) owner_rule({gid, true, false});
  Rule& answer =
      add(ends(mangle("OUTPUT", "the application's answers find the way back to the proxy"), Action::restore_mark));
  answer.conn_mark = {config_.mark, false};
}

void Maker::tproxy_inbound_head() {
  const auto inbound = [](std::string_view why) { return tcp(rule(Table::mangle, "ISTIO_INBOUND", why)); };
  std::vector<Rule> first;
  Rule from_proxy = inbound("the proxy passes an inbound connection on to the application");
  from_proxy.in = "lo";
  add_by_source(from_proxy, first);
  Rule others =
      with_mark(inbound("an application calls its own pod's address: without the proxy"), outbound_mark, true);
  others.in = "lo";
  // Three returns in a row, so their order decides nothing; it is the stock tool's, which inserts them by index.
  if (nft_ && config_.ipv6)
    first = {first[1], others, first[0]};
  else
    first.push_back(others);
  first.insert(first.begin(),
               with_mark(inbound("the proxy's connection to the application is not captured again"), config_.mark));
  rules_.insert(rules_.begin(), first.begin(), first.end());
}

std::vector<Rule> Maker::make() {
  interfaces();
  if (config_.drop_invalid) {
    Rule r = to(rule(Table::mangle, "PREROUTING",
                     "--drop-invalid: a packet out of the window is dropped, not answered by a reset"),
                "ISTIO_DROP");
    r.state = ConnState::invalid;
    if (nft_) r.protocol = Protocol::tcp;
    add(r);
    add(ends(rule(Table::mangle, "ISTIO_DROP", "--drop-invalid"), Action::drop));
  }
  add(ports(tcp(rule(Table::nat, "ISTIO_INBOUND", "the tunnel port is served by the proxy itself")),
            {one(config_.tunnel_port)}));
  add(redirect(tcp(rule(Table::nat, "ISTIO_REDIRECT", "to the proxy's outbound listener")), config_.proxy_port));
  add(redirect(tcp(rule(Table::nat, "ISTIO_IN_REDIRECT", "to the proxy's inbound listener")), config_.inbound_port));
  inbound();
  outbound();
  if (config_.tproxy) {
    tproxy_marks();
    tproxy_inbound_head();
  }
  if (!config_.ipv6) std::erase_if(rules_, [](const Rule& r) { return r.family == Family::v6; });
  if (nft_) {
    // One table for both families: only an address ties a rule to one.
    for (auto& r : rules_)
      if (!r.source && !r.destination) r.family = Family::any;
  }
  return std::move(rules_);
}

}  // namespace

bool operator==(const Rule& a, const Rule& b) {
  const auto key = [](const Rule& r) {
    return std::tie(r.table, r.chain, r.family, r.protocol, r.in, r.out, r.source, r.destination, r.source_port,
                    r.ports, r.ports_negated, r.state, r.mark, r.conn_mark, r.owners, r.action, r.target, r.value,
                    r.mark_set);
  };
  return key(a) == key(b);
}

std::string_view to_string(Table table) {
  switch (table) {
    case Table::raw: return "raw";
    case Table::mangle: return "mangle";
    case Table::nat: return "nat";
    case Table::filter: return "filter";
  }
  return "";
}

bool is_istio_chain(std::string_view chain) { return chain.starts_with("ISTIO_"); }

Cidr masked(Cidr cidr) {
  std::array<std::uint8_t, 16> bytes{};
  const auto text = cidr.base.bytes();
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int kept = std::clamp(static_cast<int>(cidr.prefix) - static_cast<int>(8 * i), 0, 8);
    bytes[i] = static_cast<std::uint8_t>(static_cast<std::uint8_t>(text[i]) & (0xff00 >> kept));
  }
  if (cidr.base.is_v4())
    cidr.base = IpAddress::v4(static_cast<std::uint32_t>(bytes[0]) << 24 | static_cast<std::uint32_t>(bytes[1]) << 16 |
                              static_cast<std::uint32_t>(bytes[2]) << 8 | bytes[3]);
  else
    cidr.base = IpAddress::v6(bytes);
  return cidr;
}

std::vector<Rule> make_rules(const InitConfig& config, Backend backend) { return Maker(config, backend).make(); }

std::vector<Rule> of_family(const std::vector<Rule>& rules, Family family) {
  std::vector<Rule> out;
  for (const auto& r : rules) {
    if (r.family != Family::any && r.family != family) continue;
    out.push_back(r);
    out.back().family = family;
    // All addresses of a family: in the tables of one family that is no condition, and iptables-save prints none.
    if (r.destination && r.destination->value.prefix == 0 && !r.destination->negated) out.back().destination.reset();
  }
  return out;
}

}  // namespace clew
