// The rules in force, read from what iptables-save or `nft list table` printed, and what they lack.
#pragma once

#include "proxy/init/rules.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace clew {

struct RuleInForce {
  Table table = Table::nat;
  std::string chain;
  std::string text;          // iptables: its arguments after «-A CHAIN», as the tool printed them
  std::optional<Rule> rule;  // nothing if it uses what no rule of ours does
};

struct State {
  std::vector<std::pair<Table, std::string>> chains;  // those of users, thus ours among them
  std::vector<RuleInForce> rules;
};

/// Tables other than raw, mangle, nat and filter are left out.
State parse_iptables_save(std::string_view text, Family family);
/// Of the tables istio-proxy-…; chain names are turned into those of iptables.
State parse_nft_list(std::string_view text);

struct Difference {
  Table table;
  std::string text;
};

/// What is missing or too much. In chains of our own, order and number count. In built-in chains our rules must be
/// there in order, whatever stands between them, unless `exclusive`: those chains are ours too.
std::vector<Difference> differences(const std::vector<Rule>& want, const State& have, bool exclusive);

/// The names of our own chains in one table: those that hold rules, and those that are jumped to.
std::vector<std::string> own_chains(const std::vector<Rule>& rules, Table table);

/// A chain of ours is there.
bool holds_our_chains(const State& state);
/// The rules that drop everything while tables change; they stay when a run is killed.
bool holds_guards(const State& state);

}  // namespace clew
