// Rules as the text of iptables-restore --noflush.
#pragma once

#include "proxy/init/rules.h"
#include "proxy/init/state.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace clew {

/// What follows «-A CHAIN», in the order in which iptables-save prints it.
std::string rule_arguments(const Rule& rule);

/// Chains and rules of one table, as text.
struct TableText {
  struct Line {
    std::string chain, arguments;
    bool head = false;  // before the rules of others in a built-in chain
    friend bool operator==(const Line&, const Line&) = default;
  };
  std::vector<std::string> chains;
  std::vector<Line> lines;
};
using RuleText = std::map<Table, TableText>;

/// `rules` of one family.
RuleText text_of(const std::vector<Rule>& rules);
/// What is ours of what is in force: our chains, what jumps to them, and in built-in chains also what equals one of
/// `ours`.
RuleText own_text(const State& state, const std::vector<Rule>& ours);

/// One input of iptables-restore --noflush that turns `have` into `want`, table by table, each in one transaction: old
/// jumps and chains out, new chains in, new jumps last. With more than one table the guard rules come first, unless
/// they are there (`guarded`), and go last: in between, everything is dropped. Empty if there is nothing to do.
std::string replace_text(const RuleText& have, const RuleText& want, bool guarded);
/// The same without any guard rule: for a rehearsal (--test), in which what one part adds is not there for the next.
std::string replace_text_unguarded(const RuleText& have, const RuleText& want);

}  // namespace clew
