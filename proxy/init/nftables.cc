#include "proxy/init/nftables.h"

#include "proxy/init/state.h"

#include <algorithm>
#include <string_view>

namespace clew {

namespace {

std::string chain_name(std::string_view chain) {
  std::string out;
  for (char c : chain) out += c == '_' ? '-' : static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return out;
}

/// nft has * where iptables has +.
std::string interface_text(std::string name) {
  if (name.ends_with('+')) name.back() = '*';
  return "\"" + name + "\"";
}

std::string range_text(std::uint32_t first, std::uint32_t last) {
  return first == last ? std::to_string(first) : std::to_string(first) + "-" + std::to_string(last);
}

class Writer {
 public:
  explicit Writer(const Rule& rule) : rule_(rule) {}
  std::string write();

 private:
  void word(std::string_view text) {
    if (!out_.empty()) out_ += ' ';
    out_ += text;
  }
  void addresses();
  void ports();
  void action();
  std::string_view protocol() const { return rule_.protocol == Protocol::tcp ? "tcp" : "udp"; }

  const Rule& rule_;
  std::string out_;
};

void Writer::addresses() {
  const auto one = [&](std::string_view field, const std::optional<Matches<Cidr>>& match) {
    if (!match) return;
    word(match->value.base.is_v4() ? "ip" : "ip6");
    word(field);
    if (match->negated) word("!=");
    word(match->value.base.to_string() + "/" + std::to_string(match->value.prefix));
  };
  one("saddr", rule_.source);
  one("daddr", rule_.destination);
}

void Writer::ports() {
  if (rule_.source_port) {
    word(protocol());
    word("sport " + range_text(rule_.source_port->first, rule_.source_port->last));
  }
  if (rule_.ports.empty()) return;
  word(protocol());
  word("dport");
  if (rule_.ports_negated) word("!=");
  std::string list;
  for (PortRange port : rule_.ports) list += (list.empty() ? "" : ", ") + range_text(port.first, port.last);
  word(rule_.ports.size() > 1 ? "{ " + list + " }" : list);
}

void Writer::action() {
  const std::string value = std::to_string(rule_.value);
  if (rule_.action == Action::tproxy)
    return word((rule_.family == Family::v6 ? "tproxy ip6 to :" : "tproxy ip to :") + value + " meta mark set " +
                std::to_string(rule_.mark_set) + " counter accept");
  word("counter");
  switch (rule_.action) {
    case Action::jump: return word("jump " + chain_name(rule_.target));
    case Action::go_back: return word("return");
    case Action::accept: return word("accept");
    case Action::drop: return word("drop");
    case Action::redirect: return word("redirect to :" + value);
    case Action::set_mark: return word("meta mark set " + value);
    case Action::save_mark: return word("ct mark set mark");
    case Action::restore_mark: return word("meta mark set ct mark");
    case Action::zone: return word("ct zone set " + value);
    case Action::tproxy: return;
  }
}

std::string Writer::write() {
  if (!rule_.in.empty()) word("iifname " + interface_text(rule_.in));
  if (!rule_.out.empty()) word("oifname " + interface_text(rule_.out));
  if (rule_.protocol != Protocol::any) word("meta l4proto " + std::string(protocol()));
  if (rule_.state == ConnState::invalid) word("ct state invalid");
  if (rule_.state == ConnState::related_established) word("ct state related,established");
  // The order of matches changes nothing but what a listing looks like; it is the stock tool's.
  if (rule_.table == Table::raw) ports();
  addresses();
  if (rule_.table != Table::raw) ports();
  for (const Owner& owner : rule_.owners)
    word(std::string(owner.group ? "meta skgid " : "meta skuid ") + (owner.negated ? "!= " : "") +
         range_text(owner.ids.first, owner.ids.last));
  if (rule_.mark)
    word(std::string("meta mark ") + (rule_.mark->negated ? "!= " : "") + std::to_string(rule_.mark->value));
  if (rule_.conn_mark) word("ct mark " + std::to_string(rule_.conn_mark->value));
  action();
  return std::move(out_);
}

std::string_view hook(Table table, std::string_view chain) {
  const bool output = chain == "OUTPUT";
  switch (table) {
    case Table::nat:
      return output ? "type nat hook output priority -100 ;" : "type nat hook prerouting priority -100 ;";
    case Table::mangle:
      return output ? "type route hook output priority -150 ;" : "type filter hook prerouting priority -150 ;";
    default: return output ? "type filter hook output priority -300 ;" : "type filter hook prerouting priority -300 ;";
  }
}

}  // namespace

std::string nft_table_name(Table table) { return "istio-proxy-" + std::string(to_string(table)); }

std::string nft_script(const std::vector<Rule>& rules) {
  std::string out;
  for (Table table : nft_tables) {
    const std::string name = "inet " + nft_table_name(table);
    out += "add table " + name + "\ndelete table " + name + "\n";  // added first: deleting what is not there would fail
    const auto in_table = [&](const Rule& rule) { return rule.table == table; };
    if (std::ranges::none_of(rules, in_table)) continue;
    out += "add table " + name + "\n";
    for (std::string_view chain : {"PREROUTING", "OUTPUT"})
      if (std::ranges::any_of(rules, [&](const Rule& rule) { return in_table(rule) && rule.chain == chain; }))
        out += "add chain " + name + " " + chain_name(chain) + " { " + std::string(hook(table, chain)) + " }\n";
    auto chains = own_chains(rules, table);
    for (const auto& chain : chains) out += "add chain " + name + " " + chain_name(chain) + "\n";
    for (const Rule& rule : rules)
      if (in_table(rule)) out += "add rule " + name + " " + chain_name(rule.chain) + " " + Writer(rule).write() + "\n";
  }
  return out;
}

}  // namespace clew
