// What the iptables logic is asked to do: flags and environment of istio-iptables, read into one checked value.
//
// Nothing here touches the machine: what the machine knows (users, addresses, resolv.conf) comes in through Machine.
// Source of names, defaults and meanings: Istio 1.31, tools/istio-iptables and tools/common/config.
#pragma once

#include "proxy/base/address.h"

#include <boost/system/result.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace clew {

/// Exit codes of `clew init`. Each kind of problem has its own; 126 is the one that Istio's CNI repair looks for.
enum class InitExit : int {
  ok = 0,
  incomplete = 1,  // --check: the rules in force are not the ones these flags make
  bad_flag = 2,    // an unknown flag, or one without its value
  bad_port = 3,
  bad_cidr = 4,
  bad_interface = 5,
  bad_owner = 6,       // a user or group that does not exist, or too many
  bad_value = 7,       // any other value
  no_address = 8,      // the machine has no address, so no family to make rules for
  no_tool = 9,         // iptables, ip6tables or nft is not there
  no_kernel = 10,      // the kernel lacks a table, match or target
  no_capability = 11,  // CAP_NET_ADMIN, or CAP_NET_RAW for iptables-legacy
  drift = 12,          // rules of another run are there and --reconcile was not given
  failed = 13,         // a tool failed while it worked; what was there before is in force again
  not_captured = 126,  // --run-validation: no connection reached the test listeners
};

/// One sentence for a person, without the full stop.
struct InitError {
  InitExit exit = InitExit::failed;
  std::string message;
};
[[noreturn]] void throw_exception_from_error(const InitError& error, const boost::source_location& where);

template <class T>
using InitResult = boost::system::result<T, InitError>;

struct PortRange {
  std::uint16_t first = 0, last = 0;
  bool contains(std::uint16_t port) const { return port >= first && port <= last; }
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

struct IdRange {
  std::uint32_t first = 0, last = 0;
  bool contains(std::uint32_t id) const { return id >= first && id <= last; }
  friend bool operator==(const IdRange&, const IdRange&) = default;
};

/// A packet that someone asks about; `--explain` and `--check` say what it meets.
struct PacketQuestion {
  IpAddress destination;
  std::optional<IpAddress> source;
  std::uint16_t port = 0;
  bool udp = false;
  bool inbound = false;                   // it comes from outside; otherwise a process of this pod sends it
  std::optional<std::uint32_t> uid, gid;  // absent: some application's, none of the ids in the rules
  std::string interface;                  // empty: lo for an own address, otherwise any other
};

struct InitConfig {
  // Whose traffic goes where.
  std::uint16_t proxy_port = 15001, inbound_port = 15006, tunnel_port = 15008;
  std::vector<IdRange> proxy_uids, proxy_gids;
  bool tproxy = false;
  std::uint32_t mark = 1337, route_table = 133;

  bool all_inbound = false;
  std::vector<PortRange> inbound_ports, inbound_excluded;
  bool captures_inbound() const { return all_inbound || !inbound_ports.empty(); }

  bool all_outbound = false;
  std::vector<Cidr> outbound_cidrs, outbound_excluded_cidrs;  // without host bits, IPv4 first
  bool outbound_has_loopback = false;
  std::vector<PortRange> outbound_ports, outbound_excluded_ports;

  std::vector<std::string> excluded_interfaces, virtual_interfaces;
  Cidr loopback;
  bool all_groups = true;  // `groups` are the ones left out; otherwise the only ones captured
  std::vector<IdRange> groups;

  bool dns = false, all_dns = false;   // dns is false when there is no server whose traffic could be captured
  std::vector<IpAddress> dns_servers;  // IPv4 first
  bool drop_invalid = false;
  bool ipv6 = false;
  bool host_is_v6 = false;

  // What to do with the rules.
  bool dry_run = false, reconcile = false, cleanup = false, force_apply = false, skip_apply = false;
  bool native_nftables = false, cni_mode = false;
  std::string force_binary, network_namespace, dry_run_file;
  bool validate = false;
  std::uint16_t probe_port = 15002;
  std::uint32_t probe_timeout_ms = 5000;

  bool explain = false, check = false, help = false;
  std::optional<PacketQuestion> packet;
  std::vector<std::string> warnings;
};

/// What parsing may ask of the machine; each function only reads.
struct Machine {
  std::function<std::optional<std::string>(const std::string& name)> env;
  std::function<std::optional<std::uint32_t>(const std::string& name)> user, group;
  std::function<std::vector<IpAddress>()> addresses;        // of all interfaces, in the kernel's order
  std::function<std::optional<std::string>()> resolv_conf;  // nothing if it cannot be read
};

/// `args` without the program's name. A flag wins over the environment, the last of two over the first.
InitResult<InitConfig> parse_init_config(const std::vector<std::string>& args, const Machine& machine);

/// All flags with their environment variables, for --help.
std::string init_usage();

}  // namespace clew
