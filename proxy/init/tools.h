// The programs that `clew init` runs, and which iptables it is to use.
#pragma once

#include "proxy/init/config.h"
#include "proxy/init/rules.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace clew {

struct ToolOutput {
  bool found = true;  // the program is there
  int status = 0;     // exit code, or 128 + signal
  std::string out, err;
  bool ok() const { return found && status == 0; }
};

/// Runs a program found in PATH to its end; `input` is its standard input.
ToolOutput run_tool(const std::vector<std::string>& argv, std::string_view input = {});

/// The sentence for a failure of `tool`, and the kind it is: kernel, capability, or any other.
InitError tool_error(const std::string& tool, const ToolOutput& output);

/// One back end of iptables for one family: BASE, BASE-save, BASE-restore.
struct Iptables {
  std::string base;
  bool legacy = false;
  ToolOutput save() const;
  /// `test`: reads it and applies nothing.
  ToolOutput restore(std::string_view input, bool test = false) const;
};

/// The back end to use: the one forced; the one that holds rules of ours; then as the stock tool chooses: legacy if it
/// has any table, else nft, else the plain name. `family` is v4 or v6.
InitResult<Iptables> choose_iptables(Family family, const std::string& force);
/// All back ends that are there and hold rules of ours, or the guard rules of a run that was killed.
std::vector<Iptables> iptables_with_our_rules(Family family);

/// One `clew init` at a time in a network namespace, so that what another has just applied is not taken for leftovers.
/// Waits for up to 30 s, then goes on without: a process of the pod may hold the name. The kernel frees it however we
/// end.
class NetworkLock {
 public:
  NetworkLock();
  ~NetworkLock();
  NetworkLock(const NetworkLock&) = delete;
  NetworkLock& operator=(const NetworkLock&) = delete;

 private:
  int fd_;
};

/// May change the network of this namespace, with iptables or without.
std::optional<InitError> missing_capability(bool iptables);

}  // namespace clew
