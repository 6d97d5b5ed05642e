#include "proxy/init/iptables_restore.h"

#include <algorithm>
#include <array>
#include <set>

namespace clew {

namespace {

void word(std::string& out, std::string_view text) {
  if (!out.empty()) out += ' ';
  out += text;
}

std::string cidr_text(const Cidr& cidr) { return cidr.base.to_string() + "/" + std::to_string(cidr.prefix); }

std::string range_text(std::uint32_t first, std::uint32_t last, char between) {
  return first == last ? std::to_string(first) : std::to_string(first) + between + std::to_string(last);
}

std::string_view protocol_text(Protocol protocol) { return protocol == Protocol::tcp ? "tcp" : "udp"; }

void add_ports(std::string& out, const Rule& rule) {
  if (rule.source_port || rule.ports.size() == 1) {
    word(out, "-m");
    word(out, protocol_text(rule.protocol));
  }
  if (rule.source_port) word(out, "--sport " + range_text(rule.source_port->first, rule.source_port->last, ':'));
  if (rule.ports.empty()) return;
  if (rule.ports.size() > 1) word(out, "-m multiport");
  if (rule.ports_negated) word(out, "!");
  std::string list;
  for (PortRange port : rule.ports) list += (list.empty() ? "" : ",") + range_text(port.first, port.last, ':');
  word(out, (rule.ports.size() > 1 ? "--dports " : "--dport ") + list);
}

void add_matches(std::string& out, const Rule& rule) {
  const auto address = [&](std::string_view option, const std::optional<Matches<Cidr>>& match) {
    if (!match) return;
    if (match->negated) word(out, "!");
    word(out, option);
    word(out, cidr_text(match->value));
  };
  const auto number = [&](std::string_view module, const std::optional<Matches<std::uint32_t>>& match) {
    if (!match) return;
    word(out, "-m");
    word(out, module);
    if (match->negated) word(out, "!");
    word(out, "--mark " + std::to_string(match->value));
  };
  address("-s", rule.source);
  address("-d", rule.destination);
  if (!rule.in.empty()) word(out, "-i " + rule.in);
  if (!rule.out.empty()) word(out, "-o " + rule.out);
  if (rule.protocol != Protocol::any) {
    word(out, "-p");
    word(out, protocol_text(rule.protocol));
  }
  add_ports(out, rule);
  if (rule.state == ConnState::invalid) word(out, "-m conntrack --ctstate INVALID");
  if (rule.state == ConnState::related_established) word(out, "-m conntrack --ctstate RELATED,ESTABLISHED");
  number("mark", rule.mark);
  number("connmark", rule.conn_mark);
  for (const Owner& owner : rule.owners) {
    word(out, "-m owner");
    if (owner.negated) word(out, "!");
    word(out, owner.group ? "--gid-owner" : "--uid-owner");
    word(out, range_text(owner.ids.first, owner.ids.last, '-'));
  }
}

std::string action_text(const Rule& rule) {
  const std::string value = std::to_string(rule.value);
  switch (rule.action) {
    case Action::jump: return rule.target;
    case Action::go_back: return "RETURN";
    case Action::accept: return "ACCEPT";
    case Action::drop: return "DROP";
    case Action::redirect: return "REDIRECT --to-ports " + value;
    case Action::tproxy:
      return "TPROXY --on-port " + value + " --tproxy-mark " + std::to_string(rule.mark_set) + "/0xffffffff";
    case Action::set_mark: return "MARK --set-mark " + value;
    case Action::save_mark: return "CONNMARK --save-mark";
    case Action::restore_mark: return "CONNMARK --restore-mark";
    case Action::zone: return "CT --zone " + value;
  }
  return {};
}

void line(std::string& out, std::string_view a, std::string_view b, std::string_view c = {}) {
  out += a;
  out += ' ';
  out += b;
  if (!c.empty()) {
    out += ' ';
    out += c;
  }
  out += '\n';
}

std::string table_text(Table table, const TableText& have, const TableText& want) {
  std::string out = "*" + std::string(to_string(table)) + "\n";
  for (const auto& old : have.lines)
    if (!is_istio_chain(old.chain)) line(out, "-D", old.chain, old.arguments);
  for (const auto& chain : have.chains) line(out, "-F", chain);
  for (const auto& chain : have.chains) line(out, "-X", chain);
  for (const auto& chain : want.chains) line(out, "-N", chain);
  for (const auto& rule : want.lines)
    if (is_istio_chain(rule.chain)) line(out, "-A", rule.chain, rule.arguments);
  // What sends traffic into the chains comes last; each insertion at 1 pushes down the one before it.
  for (auto rule = want.lines.rbegin(); rule != want.lines.rend(); ++rule)
    if (rule->head) line(out, "-I", rule->chain, "1 " + rule->arguments);
  for (const auto& rule : want.lines)
    if (!rule.head && !is_istio_chain(rule.chain)) line(out, "-A", rule.chain, rule.arguments);
  return out + "COMMIT\n";
}

std::string guards(bool in) {
  std::string out = "*filter\n";
  for (std::string_view chain : {"INPUT", "FORWARD", "OUTPUT"})
    for (std::string_view protocol : {"tcp", "udp"})
      line(out, in ? "-I" : "-D", chain, std::string(in ? "1 -p " : "-p ") + std::string(protocol) + " -j DROP");
  return out + "COMMIT\n";
}

}  // namespace

std::string rule_arguments(const Rule& rule) {
  std::string out;
  add_matches(out, rule);
  word(out, "-j");
  word(out, action_text(rule));
  return out;
}

RuleText text_of(const std::vector<Rule>& rules) {
  RuleText out;
  for (const auto& rule : rules) out[rule.table].lines.push_back({rule.chain, rule_arguments(rule), rule.head});
  for (auto& [table, text] : out) text.chains = own_chains(rules, table);
  return out;
}

RuleText own_text(const State& state, const std::vector<Rule>& ours) {
  RuleText out;
  for (const auto& [table, chain] : state.chains)
    if (is_istio_chain(chain)) out[table].chains.push_back(chain);
  for (const auto& [table, chain, text, rule] : state.rules) {
    const bool jumps = text.find("-j ISTIO_") != text.npos ||
                       text.find("-g ISTIO_") != text.npos;  // in words that we may not know, too
    const bool equal = rule && std::ranges::find(ours, *rule) != ours.end();
    if (is_istio_chain(chain) || jumps || equal) out[table].lines.push_back({chain, text, false});
  }
  return out;
}

std::string replace_text_unguarded(const RuleText& have, const RuleText& want) {
  static const TableText nothing;
  const auto find = [](const RuleText& text, Table table) -> const TableText& {
    const auto found = text.find(table);
    return found == text.end() ? nothing : found->second;
  };
  std::string out;
  for (Table table : {Table::raw, Table::mangle, Table::nat})
    if (have.contains(table) || want.contains(table)) out += table_text(table, find(have, table), find(want, table));
  return out;
}

std::string replace_text(const RuleText& have, const RuleText& want, bool guarded) {
  std::set<Table> tables;
  for (const auto* text : {&have, &want})
    for (const auto& entry : *text) tables.insert(entry.first);
  std::string out = replace_text_unguarded(have, want);
  if (tables.size() > 1 && !guarded) out = guards(true) + out;
  if (tables.size() > 1 || guarded) out += guards(false);
  return out;
}

}  // namespace clew
