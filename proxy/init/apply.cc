#include "proxy/init/apply.h"

#include "proxy/init/iptables_restore.h"
#include "proxy/init/netlink.h"
#include "proxy/init/nftables.h"
#include "proxy/init/tools.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

namespace clew {

namespace {

/// One family under one back end of iptables.
struct Side {
  Family family;
  Iptables tool;
  std::vector<Rule> want;
  State have;
  std::vector<Difference> different;
  bool guarded = false;  // a run was killed while this family changed
};

std::vector<Family> families(const InitConfig& config) {
  if (config.ipv6) return {Family::v4, Family::v6};
  return {Family::v4};
}

/// All that this configuration can have put into built-in chains, in either mode.
std::vector<Rule> possible_rules(InitConfig config, Family family) {
  config.ipv6 = true;
  std::vector<Rule> out = of_family(make_rules(config, Backend::iptables), family);
  config.tproxy = !config.tproxy;
  for (auto& rule : of_family(make_rules(config, Backend::iptables), family)) out.push_back(std::move(rule));
  return out;
}

InitResult<Side> read_side(const InitConfig& config, Family family, Iptables tool) {
  Side out{family, std::move(tool), {}, {}, {}};
  if (!config.cleanup) out.want = of_family(make_rules(config, Backend::iptables), family);
  const ToolOutput saved = out.tool.save();
  if (!saved.ok()) return tool_error(out.tool.base + "-save", saved);
  out.have = parse_iptables_save(saved.out, family);
  out.different = differences(out.want, out.have, false);
  out.guarded = holds_guards(out.have);
  return out;
}

InitResult<std::vector<Side>> read_sides(const InitConfig& config) {
  std::vector<Side> out;
  const auto add = [&](Family family, const Iptables& tool) -> std::optional<InitError> {
    auto side = read_side(config, family, tool);
    if (!side) return side.error();
    out.push_back(std::move(*side));
    return {};
  };
  if (config.cleanup && config.force_binary.empty()) {
    for (Family family : {Family::v4, Family::v6})
      for (const auto& tool : iptables_with_our_rules(family))
        if (auto error = add(family, tool)) return std::move(*error);
    return out;
  }
  for (Family family : families(config)) {
    auto tool = choose_iptables(family, config.force_binary);
    if (!tool) return tool.error();
    if (auto error = add(family, *tool)) return std::move(*error);
  }
  return out;
}

RuleText only(RuleText text, const std::set<Table>& tables) {
  std::erase_if(text, [&](const auto& entry) { return !tables.contains(entry.first); });
  return text;
}

std::set<Table> tables_to_change(const InitConfig& config, const Side& side) {
  std::set<Table> out;
  for (const auto& difference : side.different) out.insert(difference.table);
  if (config.force_apply || config.cleanup) out = {Table::raw, Table::mangle, Table::nat};
  return out;
}

/// Puts back what `side` had; what it has now is read again.
void roll_back(const InitConfig& config, const Side& side) {
  if (side.guarded) return;  // what was there is half of something: the guard rules stay instead
  const ToolOutput saved = side.tool.save();
  if (!saved.ok()) return;
  const State now = parse_iptables_save(saved.out, side.family);
  const auto ours = possible_rules(config, side.family);
  const auto tables = tables_to_change(config, side);
  side.tool.restore(
      replace_text(only(own_text(now, ours), tables), only(own_text(side.have, ours), tables), holds_guards(now)));
}

/// Routes and the address that the rules need; they do nothing without marks, so they come first.
class Routes {
 public:
  std::optional<InitError> add(const InitConfig& config) {
    for (const RouteFact& fact : route_facts(config)) {
      const int problem = add_fact(fact);
      if (problem == EEXIST) continue;
      if (problem) {
        undo();
        const bool right = problem == EPERM || problem == EACCES;
        return InitError{right ? InitExit::no_capability : InitExit::no_kernel,
                         "«" + to_string(fact) + "» failed: " + std::strerror(problem)};
      }
      added_.push_back(fact);
    }
    return {};
  }
  void undo() {
    for (const auto& fact : added_) remove_fact(fact);
    added_.clear();
  }
  bool changed() const { return !added_.empty(); }

 private:
  std::vector<RouteFact> added_;
};

void remove_routes(InitConfig config) {
  config.ipv6 = config.tproxy = config.all_inbound = true;
  for (const RouteFact& fact : route_facts(config))
    if (holds_fact(fact)) remove_fact(fact);
}

std::optional<InitError> drift(const InitConfig& config, const std::vector<Side>& sides) {
  if (config.reconcile || config.force_apply || config.cleanup) return {};
  for (const Side& side : sides) {
    if (side.different.empty() || side.guarded || !holds_our_chains(side.have)) continue;
    return InitError{InitExit::drift, side.tool.base + " holds rules of another run that differ (" +
                                          side.different.front().text + "); --reconcile replaces them"};
  }
  return {};
}

InitResult<std::string> apply_iptables(const InitConfig& config) {
  auto sides = read_sides(config);
  if (!sides) return sides.error();
  if (auto error = drift(config, *sides)) return std::move(*error);

  std::vector<std::string> inputs;
  for (const Side& side : *sides) {
    const auto tables = tables_to_change(config, side);
    const RuleText have = only(own_text(side.have, possible_rules(config, side.family)), tables),
                   want = only(text_of(side.want), tables);
    inputs.push_back(replace_text(have, want, side.guarded));
    const std::string rehearsal = replace_text_unguarded(have, want);
    if (rehearsal.empty()) continue;
    if (const ToolOutput tried = side.tool.restore(rehearsal, true); !tried.ok())
      return tool_error(side.tool.base + "-restore", tried);
  }

  Routes routes;
  if (!config.cleanup)
    if (auto error = routes.add(config)) return std::move(*error);
  std::string done;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].empty()) continue;
    const Side& side = (*sides)[i];
    if (const ToolOutput output = side.tool.restore(inputs[i]); !output.ok()) {
      for (std::size_t back = 0; back <= i; ++back)
        if (!inputs[back].empty()) roll_back(config, (*sides)[back]);
      routes.undo();
      InitError error = tool_error(side.tool.base + "-restore", output);
      error.message += side.guarded ? "; the rules of the run that was killed before still drop all traffic"
                                    : "; nothing was changed";
      return error;
    }
    done += (done.empty() ? "" : " and ") + side.tool.base;
  }
  if (config.cleanup) {
    remove_routes(config);
    return done.empty() ? std::string("there was nothing to remove") : "removed all rules from " + done;
  }
  if (!done.empty()) return "applied the rules with " + done;
  return std::string(routes.changed() ? "the rules were in force; added the routes they need"
                                      : "the rules are in force already; changed nothing");
}

InitResult<State> read_nft() {
  std::string listed;
  for (Table table : nft_tables) {
    const ToolOutput output = run_tool({"nft", "list", "table", "inet", nft_table_name(table)});
    if (!output.found) return tool_error("nft", output);
    if (output.ok()) listed += output.out;  // otherwise the table is not there
  }
  return parse_nft_list(listed);
}

InitResult<std::string> apply_nft(const InitConfig& config) {
  const auto state = read_nft();
  if (!state) return state.error();
  const auto want = config.cleanup ? std::vector<Rule>() : make_rules(config, Backend::nftables);
  const bool change = config.force_apply || config.cleanup || !differences(want, *state, true).empty();

  Routes routes;
  if (!config.cleanup)
    if (auto error = routes.add(config)) return std::move(*error);
  if (change) {
    if (const ToolOutput output = run_tool({"nft", "-f", "-"}, nft_script(want)); !output.ok()) {
      routes.undo();
      InitError error = tool_error("nft", output);
      error.message += "; nothing was changed";
      return error;
    }
  }
  if (config.cleanup) {
    remove_routes(config);
    return std::string("removed all rules from nft");
  }
  return std::string(change ? "applied the rules with nft" : "the rules are in force already; changed nothing");
}

std::vector<std::string> texts(const std::vector<Difference>& differences) {
  std::vector<std::string> out;
  for (const auto& difference : differences) out.push_back(difference.text);
  return out;
}

}  // namespace

InitResult<std::string> apply(const InitConfig& config) {
  if (auto error = missing_capability(!config.native_nftables)) return std::move(*error);
  const NetworkLock lock;
  return config.native_nftables ? apply_nft(config) : apply_iptables(config);
}

InitResult<std::vector<InForce>> look(const InitConfig& config) {
  if (auto error = missing_capability(!config.native_nftables)) return std::move(*error);
  std::vector<InForce> out;
  if (config.native_nftables) {
    const auto state = read_nft();
    if (!state) return state.error();
    out.push_back(
        {Family::any, "nft", *state, texts(differences(make_rules(config, Backend::nftables), *state, true))});
  } else {
    auto sides = read_sides(config);
    if (!sides) return sides.error();
    for (Side& side : *sides) {
      out.push_back({side.family, side.tool.base, std::move(side.have), texts(side.different)});
      if (side.guarded)
        out.back().differences.emplace_back(
            "filter: a run was killed, and its guard rules drop all traffic; run clew init again");
    }
  }
  for (const RouteFact& fact : route_facts(config))
    if (!holds_fact(fact)) out.front().differences.push_back("«" + to_string(fact) + "» is missing");
  return out;
}

std::string dry_run_text(const InitConfig& config) {
  std::string out;
  if (!config.cleanup)
    for (const RouteFact& fact : route_facts(config)) out += to_string(fact) + "\n";
  if (config.native_nftables) {
    out += "nft -f - <<END\n" +
           nft_script(config.cleanup ? std::vector<Rule>() : make_rules(config, Backend::nftables)) + "END\n";
    return out;
  }
  for (Family family : families(config)) {
    const RuleText rules = text_of(of_family(make_rules(config, Backend::iptables), family));
    out += std::string(family == Family::v6 ? "ip6tables" : "iptables") + "-restore --noflush <<END\n" +
           (config.cleanup ? replace_text(rules, {}, false) : replace_text({}, rules, false)) + "END\n";
  }
  return out;
}

}  // namespace clew
