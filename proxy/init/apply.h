// Puts rules in force, and looks what is in force: the one place of `clew init` that changes anything.
#pragma once

#include "proxy/init/config.h"
#include "proxy/init/rules.h"
#include "proxy/init/state.h"

#include <string>
#include <vector>

namespace clew {

/// Makes the rules of this configuration the ones in force, or with `cleanup` removes them; one sentence on what was
/// done.
///
/// Each table changes in one transaction. When more than one changes, guard rules drop everything meanwhile; a run that
/// was killed leaves them, and the next one completes the work. When a tool refuses, what was there before is in force
/// again.
InitResult<std::string> apply(const InitConfig& config);

/// What is in force for one family; nftables has both in one.
struct InForce {
  Family family = Family::any;
  std::string where;  // iptables-nft, …, or nft
  State state;
  std::vector<std::string> differences;  // empty: complete
};
/// Reads and compares; changes nothing (which back end iptables has is found out with a rule that never matches).
InitResult<std::vector<InForce>> look(const InitConfig& config);

/// What `apply` would give to which program: for --dry-run.
std::string dry_run_text(const InitConfig& config);

}  // namespace clew
