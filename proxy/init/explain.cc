#include "proxy/init/explain.h"

#include "proxy/init/iptables_restore.h"

#include <algorithm>

namespace clew {

namespace {

std::string cidr_words(const Cidr& cidr) {
  const bool host = cidr.prefix == (cidr.base.is_v4() ? 32 : 128);
  return cidr.base.to_string() + (host ? "" : "/" + std::to_string(cidr.prefix));
}

std::string range_words(std::uint32_t first, std::uint32_t last) {
  return first == last ? std::to_string(first) : std::to_string(first) + " to " + std::to_string(last);
}

std::string condition(const Rule& rule) {
  std::string out;
  const auto add = [&](const std::string& text) { out += (out.empty() ? "" : " ") + text; };
  if (rule.family != Family::any) add(rule.family == Family::v4 ? "IPv4" : "IPv6");
  add(rule.protocol == Protocol::tcp ? "TCP" : rule.protocol == Protocol::udp ? "UDP" : "everything");
  if (rule.source) add(std::string(rule.source->negated ? "not " : "") + "from " + cidr_words(rule.source->value));
  if (rule.source_port) add("from port " + range_words(rule.source_port->first, rule.source_port->last));
  if (rule.destination)
    add(std::string(rule.destination->negated ? "not " : "") + "to " + cidr_words(rule.destination->value));
  std::string list;
  for (PortRange port : rule.ports) list += (list.empty() ? "" : " or ") + range_words(port.first, port.last);
  if (!list.empty()) add((rule.ports_negated ? "not to port " : "to port ") + list);
  if (!rule.in.empty()) add("coming in by " + rule.in);
  if (!rule.out.empty()) add("leaving by " + rule.out);
  for (const Owner& owner : rule.owners)
    add(std::string(owner.negated ? "not of " : "of ") + (owner.group ? "group " : "user ") +
        range_words(owner.ids.first, owner.ids.last));
  if (rule.mark)
    add(std::string(rule.mark->negated ? "without" : "with") + " mark " + std::to_string(rule.mark->value));
  if (rule.conn_mark) add("of a connection with mark " + std::to_string(rule.conn_mark->value));
  if (rule.state == ConnState::invalid) add("that belongs to no connection");
  if (rule.state == ConnState::related_established) add("of a known connection");
  return out;
}

std::string consequence(const Rule& rule) {
  const std::string value = std::to_string(rule.value);
  switch (rule.action) {
    case Action::jump: return "goes on in " + rule.target;
    case Action::go_back: return is_istio_chain(rule.chain) ? "is left alone" : "is left alone by all that follows";
    case Action::accept: return "passes";
    case Action::drop: return "is dropped";
    case Action::redirect: return "goes to port " + value + " of this pod";
    case Action::tproxy: return "goes to port " + value + " of this pod, its addresses kept";
    case Action::set_mark: return "gets mark " + value;
    case Action::save_mark: return "gives its mark to its connection";
    case Action::restore_mark: return "gets the mark of its connection";
    case Action::zone: return "is tracked in zone " + value;
  }
  return {};
}

struct Section {
  Table table;
  std::string_view chain;
  std::string_view title;
};
constexpr Section entries[] = {
    {Table::raw, "OUTPUT", "What a process of this pod sends, first of all"},
    {Table::mangle, "OUTPUT", "What a process of this pod sends"},
    {Table::nat, "OUTPUT", "A connection that a process of this pod opens"},
    {Table::raw, "PREROUTING", "What arrives, first of all"},
    {Table::mangle, "PREROUTING", "What arrives"},
    {Table::nat, "PREROUTING", "A connection that arrives"},
};

void explain_chain(const std::vector<Rule>& rules, const Section& section,
                   std::vector<std::pair<Table, std::string>>& done, std::string& out) {
  std::vector<const Rule*> here;
  for (const auto& rule : rules)
    if (rule.table == section.table && rule.chain == section.chain) here.push_back(&rule);
  if (here.empty() || std::ranges::find(done, std::pair(section.table, std::string(section.chain))) != done.end())
    return;
  done.emplace_back(section.table, section.chain);
  out += std::string(section.title) + " (" + std::string(to_string(section.table)) + " " + std::string(section.chain) +
         ")\n";
  for (std::size_t i = 0; i < here.size(); ++i) {
    const std::string number = std::to_string(i + 1);
    out += std::string(number.size() < 3 ? 3 - number.size() : 0, ' ') + number + "  " + explain_rule(*here[i]);
    if (!here[i]->why.empty()) out += "\n       why: " + std::string(here[i]->why);
    out += "\n";
  }
  out += "\n";
  for (const Rule* rule : here)
    if (rule->action == Action::jump)
      explain_chain(rules, {section.table, rule->target, "The chain " + rule->target}, done, out);
}

bool matches_number(const std::optional<Matches<std::uint32_t>>& match, std::uint32_t value) {
  return !match || (match->value == value) != match->negated;
}

bool is_interface(std::string_view pattern, std::string_view name) {
  return pattern.ends_with('+') ? name.starts_with(pattern.substr(0, pattern.size() - 1)) : pattern == name;
}

bool matches(const Rule& rule, const Packet& packet) {
  const auto address = [](const std::optional<Matches<Cidr>>& match, const IpAddress& ip) {
    return !match || match->value.contains(ip) != match->negated;
  };
  if (rule.family != Family::any && rule.family != packet.family) return false;
  if (rule.protocol != Protocol::any && rule.protocol != packet.protocol) return false;
  if (!address(rule.source, packet.source) || !address(rule.destination, packet.destination)) return false;
  if (!rule.in.empty() && !is_interface(rule.in, packet.in)) return false;
  if (!rule.out.empty() && !is_interface(rule.out, packet.out)) return false;
  if (rule.source_port && !rule.source_port->contains(packet.source_port)) return false;
  const bool in_list = std::ranges::any_of(rule.ports, [&](PortRange range) { return range.contains(packet.port); });
  if (!rule.ports.empty() && in_list == rule.ports_negated) return false;
  if (rule.state != ConnState::any) return false;  // a new connection is neither invalid nor known
  if (!matches_number(rule.mark, packet.mark) || !matches_number(rule.conn_mark, 0)) return false;
  return std::ranges::all_of(rule.owners, [&](const Owner& owner) {
    const auto& id = owner.group ? packet.gid : packet.uid;
    return (id && owner.ids.contains(*id)) != owner.negated;
  });
}

/// Walks one packet through tables and chains.
class Walk {
 public:
  Walk(const std::vector<RuleInForce>& rules, Packet& packet, Encounter& out)
      : rules_(rules), packet_(packet), out_(out) {}
  /// False once nothing further can happen to the packet.
  bool hook(Table table, std::string_view chain) {
    chain_done(table, chain, 0);
    return out_.end != Encounter::End::dropped && out_.end != Encounter::End::tproxied;
  }

 private:
  /// True if the packet's way through this table is decided.
  bool chain_done(Table table, std::string_view chain, int depth);
  bool rule_done(const Rule& rule, int depth, bool& back);
  void end(Encounter::End end, std::uint32_t port = 0) {
    out_.end = end;
    out_.port = static_cast<std::uint16_t>(port);
  }

  const std::vector<RuleInForce>& rules_;
  Packet& packet_;
  Encounter& out_;
};

bool Walk::chain_done(Table table, std::string_view chain, int depth) {
  if (depth > 16) return true;  // the kernel refuses circles; what was read may be anything
  for (const RuleInForce& there : rules_) {
    if (there.table != table || there.chain != chain) continue;
    const std::string place = std::string(to_string(table)) + " " + std::string(chain) + ": ";
    if (!there.rule) {
      out_.steps.push_back(place + "a rule that is none of ours may decide: «" + there.text + "»");
      continue;
    }
    if (!matches(*there.rule, packet_)) continue;
    out_.steps.push_back(place + explain_rule(*there.rule));
    bool back = false;
    if (rule_done(*there.rule, depth, back)) return true;
    if (back) return false;
  }
  return false;
}

bool Walk::rule_done(const Rule& rule, int depth, bool& back) {
  switch (rule.action) {
    case Action::jump: return chain_done(rule.table, rule.target, depth + 1);
    case Action::go_back: back = true; return false;
    case Action::accept: return true;
    case Action::drop: end(Encounter::End::dropped); return true;
    case Action::redirect: end(Encounter::End::redirected, rule.value); return true;
    case Action::tproxy: end(Encounter::End::tproxied, rule.value); return true;
    case Action::set_mark: packet_.mark = rule.value; return false;
    case Action::save_mark:
    case Action::zone: return false;
    case Action::restore_mark: packet_.mark = 0; return false;
  }
  return false;
}

}  // namespace

std::string explain_rule(const Rule& rule) { return condition(rule) + ": " + consequence(rule); }

std::string explain(const std::vector<Rule>& rules) {
  std::string out;
  std::vector<std::pair<Table, std::string>> done;
  for (const Section& entry : entries) explain_chain(rules, entry, done, out);
  // Chains that are there and that nothing leads to, as in the stock tool.
  for (const auto& rule : rules)
    explain_chain(rules, {rule.table, rule.chain, "Nothing leads here: the chain " + rule.chain}, done, out);
  return out;
}

Packet make_packet(const PacketQuestion& question, const std::vector<IpAddress>& own) {
  Packet out;
  const bool v4 = question.destination.is_v4();
  const bool local = question.destination.is_loopback() || std::ranges::find(own, question.destination) != own.end();
  out.family = v4 ? Family::v4 : Family::v6;
  out.protocol = question.udp ? Protocol::udp : Protocol::tcp;
  out.destination = question.destination;
  out.port = question.port;
  out.source_port = 40000;  // any that no rule names
  out.uid = question.uid;
  out.gid = question.gid;
  const std::string other = question.interface.empty() ? "eth0" : question.interface;
  if (question.inbound)
    out.in = other;
  else
    out.out = local && question.interface.empty() ? "lo" : other;
  if (question.source) {
    out.source = *question.source;
  } else if (local && !question.inbound) {
    out.source = question.destination;
  } else {
    const auto first =
        std::ranges::find_if(own, [&](const IpAddress& ip) { return ip.is_v4() == v4 && !ip.is_loopback(); });
    out.source = first != own.end() && !question.inbound ? *first : *IpAddress::parse(v4 ? "192.0.2.1" : "2001:db8::1");
  }
  return out;
}

std::vector<RuleInForce> as_in_force(const std::vector<Rule>& rules) {
  std::vector<RuleInForce> out;
  out.reserve(rules.size());
  for (const auto& rule : rules) out.push_back({rule.table, rule.chain, rule_arguments(rule), rule});
  return out;
}

Encounter meet(const std::vector<RuleInForce>& rules, Packet packet) {
  Encounter out;
  Walk walk(rules, packet, out);
  const bool starts_here = packet.in.empty();
  if (starts_here) {
    for (Table table : {Table::raw, Table::mangle, Table::nat, Table::filter})
      if (!walk.hook(table, "OUTPUT")) return out;
    if (out.end == Encounter::End::redirected) {
      packet.destination = *IpAddress::parse(packet.family == Family::v4 ? "127.0.0.1" : "::1");
      packet.port = out.port;
      packet.out = "lo";
    }
    if (packet.out != "lo") return out;
    // It comes in again by lo; nat decided already, once for each connection.
    packet.in = "lo";
    packet.out.clear();
  }
  for (Table table : {Table::raw, Table::mangle, Table::nat})
    if (!(table == Table::nat && starts_here) && !walk.hook(table, "PREROUTING")) return out;
  walk.hook(Table::filter, "INPUT");
  return out;
}

std::string Encounter::text() const {
  switch (end) {
    case End::untouched: return "it is left alone, and goes where it was sent";
    case End::redirected: return "it goes to port " + std::to_string(port) + " of this pod";
    case End::tproxied: return "it goes to port " + std::to_string(port) + " of this pod, its addresses kept";
    case End::dropped: return "it is dropped";
  }
  return {};
}

}  // namespace clew
