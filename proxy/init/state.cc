#include "proxy/init/state.h"

#include "proxy/base/strings.h"
#include "proxy/init/iptables_restore.h"

#include <algorithm>
#include <array>

namespace clew {

namespace {

/// Words between blanks; quotes are taken off, and what they hold stays one word.
std::vector<std::string> words(std::string_view line) {
  std::vector<std::string> out;
  std::size_t i = 0;
  while (i < line.size()) {
    if (line[i] == ' ' || line[i] == '\t') {
      ++i;
      continue;
    }
    const bool quoted = line[i] == '"';
    if (quoted) ++i;
    const std::size_t end = std::min(quoted ? line.find('"', i) : line.find_first_of(" \t", i), line.size());
    out.emplace_back(line.substr(i, end - i));
    i = end + (quoted ? 1 : 0);
  }
  return out;
}

/// Calls `use` with each line, without its end.
template <class F>
void each_line(std::string_view text, F use) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    use(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::optional<std::uint32_t> number(std::string_view text) {
  if (!text.starts_with("0x")) {
    const auto value = parse_uint(text);
    if (!value || *value > 0xffffffff) return {};
    return static_cast<std::uint32_t>(*value);
  }
  text.remove_prefix(2);
  if (text.empty() || text.size() > 8) return {};
  std::uint32_t out = 0;
  for (char c : text) {
    const std::size_t digit = std::string_view("0123456789abcdef").find(ascii_lower(c));
    if (digit == std::string_view::npos) return {};
    out = out << 4 | static_cast<std::uint32_t>(digit);
  }
  return out;
}

std::optional<Cidr> block(std::string_view text) {
  if (text.find('/') != text.npos) return Cidr::parse(text);
  const auto ip = IpAddress::parse(text);
  if (!ip) return {};
  return Cidr{*ip, static_cast<std::uint8_t>(ip->is_v4() ? 32 : 128)};
}

template <class Range>
std::optional<Range> range(std::string_view text, char between) {
  const std::size_t at = text.find(between);
  const auto first = number(text.substr(0, at));
  const auto last = at == text.npos ? first : number(text.substr(at + 1));
  if (!first || !last) return {};
  using Number = decltype(Range::first);
  return Range{static_cast<Number>(*first), static_cast<Number>(*last)};
}

std::optional<Table> table_of(std::string_view name) {
  for (Table table : {Table::raw, Table::mangle, Table::nat, Table::filter})
    if (to_string(table) == name) return table;
  return {};
}

/// A rule from words; `bad` once a word is not one of ours.
class Reader {
 public:
  Reader(std::vector<std::string> words, Rule rule) : words_(std::move(words)), rule_(std::move(rule)) {}
  std::optional<Rule> read_iptables();
  std::optional<Rule> read_nft();

 private:
  std::string next() {
    if (at_ < words_.size()) return words_[at_++];
    bad_ = true;
    return {};
  }
  bool peek(std::string_view word) const { return at_ < words_.size() && words_[at_] == word; }
  bool take(std::string_view word) {
    if (!peek(word)) return false;
    ++at_;
    return true;
  }
  template <class T>
  T need(std::optional<T> value) {
    if (!value) bad_ = true;
    return value.value_or(T{});
  }
  void protocol(std::string_view name) {
    if (name == "tcp")
      rule_.protocol = Protocol::tcp;
    else if (name == "udp")
      rule_.protocol = Protocol::udp;
    else
      bad_ = true;
  }
  void state(std::string_view list);
  void ports(std::string_view list, char between);

  void iptables_word(const std::string& word);
  void iptables_option(const std::string& word);
  void iptables_target();
  void nft_word(const std::string& word);
  void nft_meta(const std::string& word);
  void nft_ct();
  void nft_port(const std::string& word);
  bool nft_not() { return take("!="); }

  std::vector<std::string> words_;
  std::size_t at_ = 0;
  Rule rule_;
  bool bad_ = false, negated_ = false, ended_ = false;
  std::string module_;
};

void Reader::state(std::string_view list) {
  const std::string lower = to_lower(list);
  if (lower == "invalid")
    rule_.state = ConnState::invalid;
  else if (lower == "related,established" || lower == "established,related")
    rule_.state = ConnState::related_established;
  else
    bad_ = true;
}

void Reader::ports(std::string_view list, char between) {
  rule_.ports.clear();
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    rule_.ports.push_back(need(range<PortRange>(list.substr(0, comma), between)));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
}

// iptables-save

std::optional<Rule> Reader::read_iptables() {
  while (at_ < words_.size() && !bad_) {
    const std::string word = next();
    if (word == "!") {
      negated_ = true;
      continue;
    }
    iptables_word(word);
    if (negated_) bad_ = true;  // nobody used it
  }
  if (bad_ || !ended_) return {};
  return std::move(rule_);
}

void Reader::iptables_word(const std::string& word) {
  const bool negated = std::exchange(negated_, false);
  if (word == "-s")
    rule_.source = {need(block(next())), negated};
  else if (word == "-d")
    rule_.destination = {need(block(next())), negated};
  else if (word == "--dport" || word == "--dports") {
    ports(next(), ':');
    rule_.ports_negated = negated;
  } else if (word == "--uid-owner" || word == "--gid-owner")
    rule_.owners.push_back({need(range<IdRange>(next(), '-')), word == "--gid-owner", negated});
  else if (word == "--mark" && module_ == "mark")
    rule_.mark = {need(number(next())), negated};
  else if (word == "--mark" && module_ == "connmark")
    rule_.conn_mark = {need(number(next())), negated};
  else {
    negated_ = negated;
    if (!negated) iptables_option(word);
  }
}

void Reader::iptables_option(const std::string& word) {
  if (word == "-i")
    rule_.in = next();
  else if (word == "-o")
    rule_.out = next();
  else if (word == "-p")
    protocol(next());
  else if (word == "-m")
    module_ = next();
  else if (word == "--sport")
    rule_.source_port = need(range<PortRange>(next(), ':'));
  else if (word == "--ctstate")
    state(next());
  else if (word == "-j")
    iptables_target();
  else
    bad_ = true;
}

void Reader::iptables_target() {
  ended_ = true;
  const std::string target = next();
  constexpr std::pair<std::string_view, Action> plain[] = {
      {"RETURN", Action::go_back}, {"ACCEPT", Action::accept}, {"DROP", Action::drop}, {"REDIRECT", Action::redirect},
      {"TPROXY", Action::tproxy},  {"MARK", Action::set_mark}, {"CT", Action::zone},   {"CONNMARK", Action::save_mark}};
  const auto* known = std::ranges::find(plain, target, &std::pair<std::string_view, Action>::first);
  if (known == std::end(plain)) {
    rule_.action = Action::jump;
    rule_.target = target;
    return;
  }
  rule_.action = known->second;
  const auto before_slash = [](const std::string& text) { return text.substr(0, text.find('/')); };
  while (at_ < words_.size() && !bad_) {
    const std::string word = next();
    if (word == "--to-ports" || word == "--on-port" || word == "--zone")
      rule_.value = need(number(next()));
    else if (word == "--set-xmark" || word == "--set-mark")
      rule_.value = need(number(before_slash(next())));
    else if (word == "--tproxy-mark")
      rule_.mark_set = need(number(before_slash(next())));
    else if (word == "--restore-mark")
      rule_.action = Action::restore_mark;
    else if (word == "--on-ip" || word == "--nfmask" || word == "--ctmask")
      next();  // without a meaning of their own in our rules: always all bits, or no address
    else if (word != "--save-mark")
      bad_ = true;
  }
}

// nft list table

std::optional<Rule> Reader::read_nft() {
  while (at_ < words_.size() && !bad_) nft_word(next());
  if (bad_ || !ended_) return {};
  return std::move(rule_);
}

void Reader::nft_word(const std::string& word) {
  constexpr std::pair<std::string_view, Action> verdicts[] = {
      {"return", Action::go_back}, {"accept", Action::accept}, {"drop", Action::drop}};
  if (const auto* verdict = std::ranges::find(verdicts, word, &std::pair<std::string_view, Action>::first);
      verdict != std::end(verdicts)) {
    if (rule_.action == Action::tproxy && verdict->second == Action::accept) return;
    rule_.action = verdict->second;
    ended_ = true;
  } else if (word == "iifname" || word == "oifname") {
    std::string& name = word == "iifname" ? rule_.in : rule_.out;
    name = next();
    if (name.ends_with('*')) name.back() = '+';
  } else if (word == "ip" || word == "ip6") {
    rule_.family = word == "ip" ? Family::v4 : Family::v6;
    auto& match = next() == "saddr" ? rule_.source : rule_.destination;
    const bool negated = nft_not();
    match = {need(block(next())), negated};
  } else if (word == "tcp" || word == "udp") {
    protocol(word);
    nft_port(next());
  } else if (word == "meta" || word == "skuid" || word == "skgid" || word == "mark") {
    nft_meta(word == "meta" ? next() : word);
  } else if (word == "ct") {
    nft_ct();
  } else if (word == "counter") {
    while (take("packets") || take("bytes")) next();
  } else if (word == "jump") {
    rule_.action = Action::jump;
    rule_.target = next();
    ended_ = true;
  } else if (word == "redirect" || word == "tproxy") {
    rule_.action = word == "redirect" ? Action::redirect : Action::tproxy;
    if (word == "tproxy") next();
    if (!take("to")) bad_ = true;
    const std::string port = next();
    rule_.value = need(number(port.substr(port.starts_with(':') ? 1 : 0)));
    ended_ = true;
  } else {
    bad_ = true;
  }
}

void Reader::nft_meta(const std::string& word) {
  if (word == "l4proto") {
    protocol(next());
  } else if (word == "skuid" || word == "skgid") {
    const bool negated = nft_not();
    rule_.owners.push_back({need(range<IdRange>(next(), '-')), word == "skgid", negated});
  } else if (word == "mark" && take("set")) {
    if (take("ct")) {
      if (!take("mark")) bad_ = true;
      rule_.action = Action::restore_mark;
    } else if (rule_.action == Action::tproxy) {
      rule_.mark_set = need(number(next()));
    } else {
      rule_.action = Action::set_mark;
      rule_.value = need(number(next()));
    }
    ended_ = true;
  } else if (word == "mark") {
    const bool negated = nft_not();
    rule_.mark = {need(number(next())), negated};
  } else {
    bad_ = true;
  }
}

void Reader::nft_ct() {
  const std::string word = next();
  if (word == "state") {
    state(next());
  } else if (word == "mark" && take("set")) {
    take("meta");
    if (!take("mark")) bad_ = true;
    rule_.action = Action::save_mark;
    ended_ = true;
  } else if (word == "mark") {
    const bool negated = nft_not();
    rule_.conn_mark = {need(number(next())), negated};
  } else if (word == "zone" && take("set")) {
    rule_.action = Action::zone;
    rule_.value = need(number(next()));
    ended_ = true;
  } else {
    bad_ = true;
  }
}

void Reader::nft_port(const std::string& word) {
  const bool negated = nft_not();
  std::string list;
  if (take("{"))
    while (at_ < words_.size() && !take("}")) list += next();
  else
    list = next();
  if (word == "dport") {
    ports(list, '-');
    rule_.ports_negated = negated;
  } else if (word == "sport" && !negated) {
    rule_.source_port = need(range<PortRange>(list, '-'));
  } else {
    bad_ = true;
  }
}

std::string iptables_name(std::string_view nft_chain) {
  std::string out;
  for (char c : nft_chain) out += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return out;
}

std::string place(Table table, std::string_view chain) {
  return std::string(to_string(table)) + " " + std::string(chain);
}

/// Rules of one chain, in order.
std::vector<const Rule*> in_chain(const std::vector<Rule>& rules, Table table, std::string_view chain) {
  std::vector<const Rule*> out;
  for (const auto& rule : rules)
    if (rule.table == table && rule.chain == chain) out.push_back(&rule);
  return out;
}

std::vector<const RuleInForce*> in_chain(const State& state, Table table, std::string_view chain) {
  std::vector<const RuleInForce*> out;
  for (const auto& rule : state.rules)
    if (rule.table == table && rule.chain == chain) out.push_back(&rule);
  return out;
}

void own_chain_differences(Table table, std::string_view chain, const std::vector<Rule>& want, const State& have,
                           std::vector<Difference>& out) {
  const auto wanted = in_chain(want, table, chain);
  const auto there = in_chain(have, table, chain);
  for (std::size_t i = 0; i < std::max(wanted.size(), there.size()); ++i) {
    if (i < wanted.size() && i < there.size() && there[i]->rule == *wanted[i]) continue;
    std::string text = place(table, chain) + ": rule " + std::to_string(i + 1);
    if (i < wanted.size()) text += " should be «" + rule_arguments(*wanted[i]) + "»";
    if (i < wanted.size())
      text += i < there.size() ? ", but is «" + there[i]->text + "»" : ", and is missing";
    else
      text += " should not be there: «" + there[i]->text + "»";
    out.push_back({table, std::move(text)});
    return;  // what follows is only shifted
  }
}

void shared_chain_differences(Table table, std::string_view chain, const std::vector<Rule>& want, const State& have,
                              std::vector<Difference>& out) {
  const auto wanted = in_chain(want, table, chain);
  std::size_t found = 0;
  for (const auto* rule : in_chain(have, table, chain)) {
    if (found < wanted.size() && rule->rule == *wanted[found])
      ++found;
    else if (rule->rule && rule->rule->action == Action::jump && is_istio_chain(rule->rule->target))
      out.push_back({table, place(table, chain) + ": this rule should not be here: «" + rule->text + "»"});
  }
  if (found < wanted.size())
    out.push_back({table, place(table, chain) + ": rule «" + rule_arguments(*wanted[found]) +
                              "» is missing, or not in its place"});
}

}  // namespace

State parse_iptables_save(std::string_view text, Family family) {
  State out;
  std::optional<Table> table;
  each_line(text, [&](std::string_view line) {
    if (line.starts_with('*')) table = table_of(trim(line.substr(1)));
    if (!table) return;
    if (line.starts_with(':')) {
      const auto parts = words(line.substr(1));
      if (parts.size() >= 2 && parts[1] == "-") out.chains.emplace_back(*table, parts[0]);
    }
    if (!line.starts_with("-A ")) return;
    line.remove_prefix(3);
    const std::size_t end = std::min(line.find(' '), line.size());
    RuleInForce rule{*table, std::string(line.substr(0, end)), std::string(trim(line.substr(end))), {}};
    Rule start;
    start.table = *table;
    start.chain = rule.chain;
    start.family = family;
    rule.rule = Reader(words(rule.text), std::move(start)).read_iptables();
    out.rules.push_back(std::move(rule));
  });
  return out;
}

State parse_nft_list(std::string_view text) {
  State out;
  std::optional<Table> table;
  std::string chain;
  each_line(text, [&](std::string_view line) {
    line = trim(line);
    const auto parts = words(line);
    constexpr std::string_view prefix = "istio-proxy-";
    if (parts.size() >= 3 && parts[0] == "table") {
      const std::string_view name = parts[2];
      table = parts[1] == "inet" && name.starts_with(prefix) ? table_of(name.substr(prefix.size())) : std::nullopt;
    } else if (!table || parts.empty() || parts[0] == "}" || parts[0] == "type") {
      return;
    } else if (parts[0] == "chain" && parts.size() >= 2) {
      chain = iptables_name(parts[1]);
      if (is_istio_chain(chain)) out.chains.emplace_back(*table, chain);
    } else {
      Rule start;
      start.table = *table;
      start.chain = chain;
      auto rule = Reader(parts, std::move(start)).read_nft();
      if (rule && rule->action == Action::jump) rule->target = iptables_name(rule->target);
      out.rules.push_back({*table, chain, std::string(line), std::move(rule)});
    }
  });
  return out;
}

std::vector<std::string> own_chains(const std::vector<Rule>& rules, Table table) {
  std::vector<std::string> out;
  const auto add = [&](const std::string& chain) {
    if (is_istio_chain(chain) && std::ranges::find(out, chain) == out.end()) out.push_back(chain);
  };
  for (const auto& rule : rules)
    if (rule.table == table) add(rule.chain);
  for (const auto& rule : rules)
    if (rule.table == table && rule.action == Action::jump) add(rule.target);
  return out;
}

std::vector<Difference> differences(const std::vector<Rule>& want, const State& have, bool exclusive) {
  std::vector<Difference> out;
  for (Table table : {Table::raw, Table::mangle, Table::nat}) {
    const auto chains = own_chains(want, table);
    for (const auto& chain : chains) {
      if (std::ranges::find(have.chains, std::pair(table, chain)) == have.chains.end())
        out.push_back({table, place(table, chain) + ": the chain is missing"});
      else
        own_chain_differences(table, chain, want, have, out);
    }
    for (const auto& [other, chain] : have.chains)
      if (other == table && is_istio_chain(chain) && std::ranges::find(chains, chain) == chains.end())
        out.push_back({table, place(table, chain) + ": the chain should not be there"});
    for (std::string_view chain : {"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"}) {
      if (exclusive)
        own_chain_differences(table, chain, want, have, out);
      else
        shared_chain_differences(table, chain, want, have, out);
    }
  }
  return out;
}

bool holds_our_chains(const State& state) {
  return std::ranges::any_of(state.chains, [](const auto& chain) { return is_istio_chain(chain.second); });
}

bool holds_guards(const State& state) {
  for (std::string_view chain : {"INPUT", "FORWARD", "OUTPUT"}) {
    const auto rules = in_chain(state, Table::filter, chain);
    if (rules.size() < 2 || rules[0]->text != "-p udp -j DROP" || rules[1]->text != "-p tcp -j DROP") return false;
  }
  return true;
}

}  // namespace clew
