#include "proxy/init/tools.h"

#include "proxy/base/strings.h"
#include "proxy/init/state.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

extern char** environ;

namespace clew {

namespace {

/// A file without a name: what a program reads, or writes without anyone waiting at the other end.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content) : fd_(memfd_create("clew-init", MFD_CLOEXEC)) {
    while (!content.empty()) {
      const ssize_t wrote = write(fd_, content.data(), content.size());
      if (wrote <= 0) break;
      content.remove_prefix(static_cast<std::size_t>(wrote));
    }
    lseek(fd_, 0, SEEK_SET);
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  int fd() const { return fd_; }
  std::string content() const {
    std::string out;
    std::array<char, 4096> part;
    lseek(fd_, 0, SEEK_SET);
    for (ssize_t got; (got = read(fd_, part.data(), part.size())) > 0;)
      out.append(part.data(), static_cast<std::size_t>(got));
    return out;
  }

 private:
  int fd_;
};

std::string base_name(Family family, std::string_view kind) {
  std::string out = family == Family::v6 ? "ip6tables" : "iptables";
  if (!kind.empty()) out += "-" + std::string(kind);
  return out;
}

/// A back end that may be there.
struct Candidate {
  Iptables tool;
  ToolOutput saved;
  bool there() const { return saved.ok(); }
  bool holds_ours(Family family) const {
    if (!there()) return false;
    const State state = parse_iptables_save(saved.out, family);
    return holds_our_chains(state) || holds_guards(state);
  }
};

Candidate look_at(Family family, std::string_view kind) {
  Candidate out{{base_name(family, kind), false}, {}};
  out.saved = out.tool.save();
  if (!out.there()) return out;
  const ToolOutput version = run_tool({out.tool.base + "-save", "--version"});
  out.tool.legacy =
      version.out.find("nf_tables") == std::string::npos;  // very old ones know no --version and are legacy
  return out;
}

/// The kernel has what this back end needs: a rule that never matches (protocol 255 is reserved) goes in, and out
/// again.
ToolOutput try_rule(const Iptables& tool) {
  std::vector<std::string> argv{tool.base, "-t", "nat", "-A", "INPUT", "-p", "255", "-j", "RETURN"};
  if (tool.legacy) argv.emplace_back("--wait=30");
  ToolOutput out = run_tool(argv);
  if (out.err.find("does not exist") != std::string::npos) out.status = 1;
  if (!out.ok()) return out;
  argv[3] = "-D";
  run_tool(argv);
  return out;
}

}  // namespace

ToolOutput run_tool(const std::vector<std::string>& argv, std::string_view input) {
  const MemoryFile in(input), out({}), err({});
  std::vector<char*> words;
  for (const auto& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.fd(), 0);
  posix_spawn_file_actions_adddup2(&actions, out.fd(), 1);
  posix_spawn_file_actions_adddup2(&actions, err.fd(), 2);
  pid_t pid = 0;
  const int problem = posix_spawnp(&pid, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (problem) return {problem != ENOENT, 127, {}, std::strerror(problem)};

  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return {true, WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), out.content(), err.content()};
}

InitError tool_error(const std::string& tool, const ToolOutput& output) {
  if (!output.found) return {InitExit::no_tool, "the program " + tool + " is not installed"};
  // What a tool says is made one line; the first lines tell.
  std::string said;
  for (char c : std::string_view(output.err).substr(0, 300)) said += c == '\n' || c == '\t' ? ' ' : c;
  while (said.ends_with(' ')) said.pop_back();
  const auto has = [&](std::string_view part) { return output.err.find(part) != std::string::npos; };
  InitExit exit = InitExit::failed;
  if (has("Permission denied") || has("Operation not permitted") || has("you must be root"))
    exit = InitExit::no_capability;
  else if (has("kernel") || has("No such file or directory") || has("No chain/target/match") || has("Couldn't load") ||
           has("does not exist") || has("not supported") || has("can't initialize"))
    exit = InitExit::no_kernel;
  return {exit, tool + " ended with " + std::to_string(output.status) + (said.empty() ? "" : ": " + said)};
}

ToolOutput Iptables::save() const { return run_tool({base + "-save"}); }

ToolOutput Iptables::restore(std::string_view input, bool test) const {
  std::vector<std::string> argv{base + "-restore", "--noflush"};
  if (test) argv.emplace_back("--test");
  if (legacy) argv.emplace_back("--wait=30");  // others on this machine may hold its lock
  return run_tool(argv, input);
}

InitResult<Iptables> choose_iptables(Family family, const std::string& force) {
  if (!force.empty()) {
    const Candidate only = look_at(family, force);
    if (!only.there()) return tool_error(only.tool.base + "-save", only.saved);
    if (const ToolOutput tried = try_rule(only.tool); !tried.ok()) return tool_error(only.tool.base, tried);
    return only.tool;
  }
  const Candidate legacy = look_at(family, "legacy"), nft = look_at(family, "nft");
  for (const Candidate* one : {&legacy, &nft})
    if (one->holds_ours(family)) return one->tool;
  const bool legacy_in_use = std::ranges::count(legacy.saved.out, '\n') >= 3;
  if (legacy.there() && legacy_in_use && try_rule(legacy.tool).ok()) return legacy.tool;
  ToolOutput problem = nft.saved;
  if (nft.there() && (problem = try_rule(nft.tool)).ok()) return nft.tool;
  const Candidate plain = look_at(family, "");
  if (!plain.there())
    return nft.there() ? tool_error(nft.tool.base, problem) : tool_error(plain.tool.base, plain.saved);
  if (const ToolOutput tried = try_rule(plain.tool); !tried.ok()) return tool_error(plain.tool.base, tried);
  return plain.tool;
}

std::vector<Iptables> iptables_with_our_rules(Family family) {
  std::vector<Iptables> out;
  for (std::string_view kind : {"legacy", "nft"}) {
    const Candidate one = look_at(family, kind);
    if (one.holds_ours(family)) out.push_back(one.tool);
  }
  if (!out.empty()) return out;
  const Candidate plain = look_at(family, "");
  if (plain.holds_ours(family)) out.push_back(plain.tool);
  return out;
}

NetworkLock::NetworkLock() : fd_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  // An abstract name belongs to the network namespace, and needs no file.
  constexpr std::string_view name("\0clew-init", 10);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(name.begin(), name.end(), address.sun_path);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  for (int tries = 0; tries < 300; ++tries) {
    if (bind(fd_, reinterpret_cast<const sockaddr*>(&address), size) == 0 || errno != EADDRINUSE) return;
    usleep(100'000);
  }
}

NetworkLock::~NetworkLock() { close(fd_); }

std::optional<InitError> missing_capability(bool iptables) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return {};
  const auto has = [&](unsigned capability) { return (data[capability / 32].effective >> (capability % 32) & 1) != 0; };
  if (!has(CAP_NET_ADMIN))
    return InitError{InitExit::no_capability, "CAP_NET_ADMIN is missing, so rules can be neither read nor changed"};
  if (iptables && !has(CAP_NET_RAW))
    return InitError{InitExit::no_capability, "CAP_NET_RAW is missing, which iptables needs"};
  return {};
}

}  // namespace clew
