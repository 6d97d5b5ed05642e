#include "proxy/init/command.h"

#include "proxy/init/apply.h"
#include "proxy/init/explain.h"
#include "proxy/init/netlink.h"
#include "proxy/init/validate.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

namespace clew {

namespace {

Machine this_machine() {
  Machine out;
  out.env = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (!value) return {};
    return value;
  };
  out.user = [](const std::string& name) -> std::optional<std::uint32_t> {
    const passwd* found = getpwnam(name.c_str());
    if (!found) return {};
    return found->pw_uid;
  };
  out.group = [](const std::string& name) -> std::optional<std::uint32_t> {
    const group* found = getgrnam(name.c_str());
    if (!found) return {};
    return found->gr_gid;
  };
  out.addresses = interface_addresses;
  out.resolv_conf = []() -> std::optional<std::string> {
    std::ifstream file("/etc/resolv.conf", std::ios::binary);
    if (!file) return {};
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  return out;
}

int fail(const InitError& error) {
  std::fprintf(stderr, "clew init: %s\n", error.message.c_str());
  return static_cast<int>(error.exit);
}

int done() { return static_cast<int>(InitExit::ok); }

/// The namespace must be entered before addresses are looked at; the flag may be written in two ways.
std::string namespace_of(const std::vector<std::string>& args, const Machine& machine) {
  constexpr std::string_view flag = "--network-namespace";
  std::string out = machine.env("NETWORK_NAMESPACE").value_or("");
  for (std::size_t i = 0; i < args.size(); ++i) {
    if (args[i] == flag && i + 1 < args.size()) out = args[i + 1];
    if (args[i].starts_with(std::string(flag) + "=")) out = args[i].substr(flag.size() + 1);
  }
  return out;
}

std::optional<InitError> enter_namespace(const std::string& path) {
  if (path.empty()) return {};
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool entered = fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
  const int problem = errno;
  if (fd >= 0) close(fd);
  if (entered) return {};
  return InitError{problem == EPERM ? InitExit::no_capability : InitExit::bad_value,
                   "the network namespace «" + path + "» cannot be entered: " + std::strerror(problem)};
}

void say(const Encounter& encounter) {
  for (const auto& step : encounter.steps) std::printf("  %s\n", step.c_str());
  std::printf("  → %s\n", encounter.text().c_str());
}

int explain_command(const InitConfig& config) {
  const auto rules = make_rules(config, config.native_nftables ? Backend::nftables : Backend::iptables);
  if (config.packet) {
    say(meet(as_in_force(rules), make_packet(*config.packet, interface_addresses())));
    return done();
  }
  std::printf("%s", explain(rules).c_str());
  if (!config.ipv6) std::printf("IPv6 is left alone: this pod's address is IPv4, and --dual-stack is not there.\n");
  for (const RouteFact& fact : route_facts(config)) std::printf("Also: %s\n", to_string(fact).c_str());
  return done();
}

int check_command(const InitConfig& config) {
  const auto sides = look(config);
  if (!sides) return fail(sides.error());
  if (config.packet) {
    const Family family = config.packet->destination.is_v4() ? Family::v4 : Family::v6;
    const auto side = std::ranges::find_if(
        *sides, [&](const InForce& one) { return one.family == Family::any || one.family == family; });
    say(meet(side == sides->end() ? std::vector<RuleInForce>() : side->state.rules,
             make_packet(*config.packet, interface_addresses())));
    return done();
  }
  bool complete = true;
  for (const InForce& side : *sides) {
    std::printf("%s: %s\n", side.where.c_str(),
                side.differences.empty() ? "the rules in force are complete"
                                         : "the rules in force are not those of these flags");
    for (const auto& difference : side.differences) std::printf("  %s\n", difference.c_str());
    complete = complete && side.differences.empty();
  }
  return static_cast<int>(complete ? InitExit::ok : InitExit::incomplete);
}

int dry_run_command(const InitConfig& config) {
  const std::string text = dry_run_text(config);
  std::printf("%s", text.c_str());
  if (config.dry_run_file.empty()) return done();
  std::ofstream file(config.dry_run_file, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) return fail({InitExit::failed, "DRY_RUN_FILE_PATH «" + config.dry_run_file + "» cannot be written"});
  return done();
}

int apply_command(const InitConfig& config) {
  if (!config.skip_apply) {
    const auto applied = apply(config);
    if (!applied) return fail(applied.error());
    std::printf("clew init: %s\n", applied->c_str());
  }
  if (!config.validate) return done();
  if (auto error = prove_capture(config)) return fail(*error);
  std::printf("clew init: a connection was captured, so the rules are in force\n");
  return done();
}

}  // namespace

int run_init(int argc, char** argv) {
  const std::vector<std::string> args(argv + std::min(argc, 1), argv + argc);
  const Machine machine = this_machine();
  if (auto error = enter_namespace(namespace_of(args, machine))) return fail(*error);
  const auto config = parse_init_config(args, machine);
  if (!config) return fail(config.error());
  if (config->help) {
    std::printf("%s", init_usage().c_str());
    return done();
  }
  for (const auto& warning : config->warnings) std::fprintf(stderr, "clew init: %s\n", warning.c_str());
  // On a node, the lock of iptables-legacy would be shared with everything else that works there.
  if (config->cni_mode && !config->network_namespace.empty())
    setenv("XTABLES_LOCKFILE", config->network_namespace.c_str(), 1);
  if (config->explain) return explain_command(*config);
  if (config->check) return check_command(*config);
  if (config->dry_run) return dry_run_command(*config);
  return apply_command(*config);
}

}  // namespace clew
