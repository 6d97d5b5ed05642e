#include "proxy/init/config.h"

#include "proxy/base/strings.h"
#include "proxy/init/rules.h"

#include <algorithm>
#include <stdexcept>
#include <string_view>

namespace clew {

namespace {

constexpr std::size_t most_groups = 64;  // they become one rule, and the kernel bounds the matches of a rule

/// Flags as they were given, all as text.
struct Raw {
  std::string proxy_port = "15001", inbound_port = "15006", tunnel_port = "15008", uid, gid, mode, inbound_ports,
              inbound_excluded, excluded_interfaces, cidrs, excluded_cidrs, outbound_ports, outbound_excluded_ports,
              virtual_interfaces, mark = "1337", route_table = "133", probe_port = "15002", probe_timeout = "5s",
              network_namespace, force_binary, ignored;
  std::string destination, source, port, protocol = "tcp", owner, interface;
  bool dry_run = false, skip_apply = false, validate = false, dns = false, drop_invalid = false, dual_stack = false,
       all_dns = false, cni_mode = false, reconcile = false, cleanup = false, force_apply = false,
       native_nftables = false;
  bool explain = false, check = false, inbound = false, help = false, ignored_bool = false;
};

enum class Env : std::uint8_t { none, by_name };

/// One flag; it takes text, or is a yes or no.
struct Flag {
  std::string_view name;
  char letter;
  Env env;
  std::string_view other_env;  // a second variable, which wins over the first
  std::string Raw::* text;
  bool Raw::* yes;
  std::string_view help;
};

constexpr Flag text(std::string_view name, char letter, Env env, std::string Raw::* where, std::string_view help) {
  return {name, letter, env, {}, where, nullptr, help};
}
constexpr Flag yes(std::string_view name, char letter, Env env, bool Raw::* where, std::string_view help,
                   std::string_view other = {}) {
  return {name, letter, env, other, nullptr, where, help};
}

constexpr Flag flags[] = {
    text("envoy-port", 'p', Env::none, &Raw::proxy_port, "Outbound connections go to this port (15001)"),
    text("inbound-capture-port", 'z', Env::by_name, &Raw::inbound_port, "Inbound connections go to this port (15006)"),
    text("inbound-tunnel-port", 'e', Env::by_name, &Raw::tunnel_port, "Never redirected: the proxy's tunnel (15008)"),
    text("proxy-uid", 'u', Env::by_name, &Raw::uid, "Users whose traffic is the proxy's own (ENVOY_USER, or 1337)"),
    text("proxy-gid", 'g', Env::by_name, &Raw::gid, "Groups of the same kind (as --proxy-uid)"),
    text("istio-inbound-interception-mode", 'm', Env::by_name, &Raw::mode,
         "REDIRECT, or TPROXY: the client's address is kept"),
    text("istio-inbound-ports", 'b', Env::by_name, &Raw::inbound_ports,
         "Inbound ports to capture, * for all; none if empty"),
    text("istio-local-exclude-ports", 'd', Env::by_name, &Raw::inbound_excluded, "Inbound ports to leave out of *"),
    text("istio-exclude-interfaces", 'c', Env::by_name, &Raw::excluded_interfaces,
         "Interfaces whose traffic is left alone"),
    text("istio-service-cidr", 'i', Env::by_name, &Raw::cidrs,
         "Outbound destinations to capture, * for all; none if empty"),
    text("istio-service-exclude-cidr", 'x', Env::by_name, &Raw::excluded_cidrs, "Outbound destinations to leave out"),
    text("istio-outbound-ports", 'q', Env::by_name, &Raw::outbound_ports,
         "Outbound ports to capture wherever they lead"),
    text("istio-local-outbound-ports-exclude", 'o', Env::by_name, &Raw::outbound_excluded_ports,
         "Outbound ports to leave out"),
    text("kube-virt-interfaces", 'k', Env::by_name, &Raw::virtual_interfaces,
         "What comes in here, from a virtual machine, counts as outbound"),
    text("istio-inbound-tproxy-mark", 't', Env::by_name, &Raw::mark, "The mark that TPROXY uses (1337)"),
    text("istio-inbound-tproxy-route-table", 'r', Env::by_name, &Raw::route_table,
         "The route table that TPROXY uses (133)"),
    yes("redirect-dns", 0, Env::by_name, &Raw::dns, "DNS goes to the agent", "ISTIO_META_DNS_CAPTURE"),
    yes("capture-all-dns", 0, Env::by_name, &Raw::all_dns,
        "All DNS, not only what is meant for the servers in resolv.conf"),
    yes("drop-invalid", 0, Env::by_name, &Raw::drop_invalid, "Drop packets that belong to no connection",
        "INVALID_DROP"),
    yes("dual-stack", 0, Env::by_name, &Raw::dual_stack, "IPv6 too, whichever address comes first", "ISTIO_DUAL_STACK"),
    yes("dry-run", 'n', Env::by_name, &Raw::dry_run, "Print what would be applied, and call no tool"),
    yes("reconcile", 0, Env::by_name, &Raw::reconcile, "Replace rules of another run that differ"),
    yes("cleanup-only", 0, Env::by_name, &Raw::cleanup,
        "Remove the rules, and make none; with the flags that made them"),
    yes("force-apply", 0, Env::by_name, &Raw::force_apply, "Apply even when the rules in force are the right ones"),
    yes("native-nftables", 0, Env::by_name, &Raw::native_nftables, "Use nft, with tables of its own"),
    text("force-iptables-binary", 0, Env::by_name, &Raw::force_binary,
         "legacy or nft, instead of looking which is in use"),
    yes("skip-rule-apply", 0, Env::by_name, &Raw::skip_apply, "Apply nothing (with --run-validation)"),
    yes("run-validation", 0, Env::by_name, &Raw::validate,
        "Prove by a connection that traffic is captured; 126 if not"),
    text("iptables-probe-port", 0, Env::by_name, &Raw::probe_port, "The port that the proof connects to (15002)"),
    text("probe-timeout", 0, Env::by_name, &Raw::probe_timeout, "How long the proof may take (5s)"),
    text("network-namespace", 0, Env::by_name, &Raw::network_namespace, "Path of the network namespace to work in"),
    yes("cni-mode", 0, Env::by_name, &Raw::cni_mode,
        "On a node, for a pod's namespace: the lock of iptables-legacy is the pod's own"),
    yes("explain", 0, Env::none, &Raw::explain, "Say in words what the rules do, and apply nothing"),
    yes("check", 0, Env::none, &Raw::check, "Say whether the rules in force are complete, and apply nothing"),
    text("destination", 0, Env::none, &Raw::destination,
         "With --explain or --check: what a packet to this address meets"),
    text("port", 0, Env::none, &Raw::port, "Its destination port"),
    text("protocol", 0, Env::none, &Raw::protocol, "tcp or udp (tcp)"),
    text("owner", 0, Env::none, &Raw::owner,
         "User[:group] of the process that sends it; none of those in the rules if not given"),
    yes("inbound", 0, Env::none, &Raw::inbound, "It comes from outside"),
    text("source", 0, Env::none, &Raw::source, "Its source address"),
    text("interface", 0, Env::none, &Raw::interface, "The interface it comes in by, or leaves by"),
    yes("help", 'h', Env::none, &Raw::help, "This text"),
    // Flags of the stock agent's own log, which the injected container may have.
    yes("log_as_json", 0, Env::none, &Raw::ignored_bool, {}),
    text("log_caller", 0, Env::none, &Raw::ignored, {}),
    text("log_output_level", 0, Env::none, &Raw::ignored, {}),
    text("log_stacktrace_level", 0, Env::none, &Raw::ignored, {}),
    text("log_target", 0, Env::none, &Raw::ignored, {}),
    text("vklog", 0, Env::none, &Raw::ignored, {}),
};

std::string env_name(std::string_view flag) {
  std::string out;
  for (char c : flag) out += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c);
  return out;
}

std::optional<bool> parse_bool(std::string_view text) {
  for (std::string_view t : {"1", "t", "T", "TRUE", "true", "True"})
    if (text == t) return true;
  for (std::string_view f : {"0", "f", "F", "FALSE", "false", "False"})
    if (text == f) return false;
  return {};
}

/// What somebody wrote, short and on one line.
std::string quoted(std::string_view text) {
  constexpr std::size_t longest = 100;
  std::string out = "«";
  for (char c : text.substr(0, longest)) out += static_cast<unsigned char>(c) < ' ' ? '?' : c;
  return out + (text.size() > longest ? "…»" : "»");
}

InitError flag_error(std::string message) { return {InitExit::bad_flag, std::move(message)}; }

/// Empty on success.
std::string set(const Flag& flag, std::string_view value, std::string_view said, Raw& raw) {
  if (flag.text) {
    raw.*flag.text = value;
    return {};
  }
  const auto parsed = parse_bool(value);
  if (!parsed) return std::string(said) + " is " + quoted(value) + ", and can only be true or false";
  raw.*flag.yes = *parsed;
  return {};
}

std::optional<InitError> read_environment(const Machine& machine, Raw& raw) {
  for (const Flag& flag : flags) {
    std::vector<std::string> names;
    if (flag.env == Env::by_name) names.push_back(env_name(flag.name));
    if (!flag.other_env.empty()) names.emplace_back(flag.other_env);
    for (const auto& name : names) {
      const auto value = machine.env(name);
      if (!value || (value->empty() && flag.yes)) continue;
      if (auto problem = set(flag, *value, "the environment variable " + name, raw); !problem.empty())
        return InitError{InitExit::bad_value, std::move(problem)};
    }
  }
  return {};
}

const Flag* find_flag(std::string_view name) {
  const auto* found = std::ranges::find(flags, name, &Flag::name);
  return found == std::end(flags) ? nullptr : found;
}

const Flag* find_letter(char letter) {
  const auto* found = std::ranges::find(flags, letter, &Flag::letter);
  return found == std::end(flags) || letter == 0 ? nullptr : found;
}

/// As pflag reads them: --flag value, --flag=value, -f value, -fvalue, -f=value; a yes alone, or =true, =false.
std::optional<InitError> read_flags(const std::vector<std::string>& args, Raw& raw) {
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string_view arg = args[i];
    const bool is_long = arg.starts_with("--");
    if (arg.size() < 2 || arg[0] != '-' || arg == "--") return flag_error(quoted(arg) + " is not a flag");
    const std::size_t equals = arg.find('=');
    const std::string_view name =
        is_long ? arg.substr(2, equals == arg.npos ? arg.npos : equals - 2) : arg.substr(1, 1);
    const Flag* flag = is_long ? find_flag(name) : find_letter(arg[1]);
    const std::string said = (is_long ? "--" : "-") + std::string(name);
    if (!flag) return flag_error("there is no flag " + quoted(said));

    std::optional<std::string_view> value;
    if (is_long && equals != arg.npos) value = arg.substr(equals + 1);
    if (!is_long && arg.size() > 2) value = arg.substr(arg[2] == '=' ? 3 : 2);
    if (!value) {
      if (flag->yes)
        value = "true";
      else if (++i < args.size())
        value = args[i];
      else
        return flag_error(said + " needs a value");
    }
    if (auto problem = set(*flag, *value, said, raw); !problem.empty()) return flag_error(std::move(problem));
  }
  return {};
}

/// Words between commas; empty ones do not count.
std::vector<std::string_view> split(std::string_view list) {
  std::vector<std::string_view> out;
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    const auto word = trim(list.substr(0, comma));
    if (!word.empty()) out.push_back(word);
    list.remove_prefix(comma == list.npos ? list.size() : comma + 1);
  }
  return out;
}

/// Makes the checked value; the first error ends it.
class Checker {
 public:
  Checker(const Raw& raw, const Machine& machine) : raw_(raw), machine_(machine) {}
  InitResult<InitConfig> run();

 private:
  void fail(InitExit exit, std::string message) {
    if (!error_) error_ = InitError{exit, std::move(message)};
  }
  std::uint16_t port(std::string_view text, std::string_view flag);
  std::vector<PortRange> ports(std::string_view list, std::string_view flag);
  std::uint32_t number(std::string_view text, std::uint64_t least, std::string_view flag);
  std::vector<Cidr> cidrs(std::string_view list, std::string_view flag, bool* has_loopback = nullptr);
  std::vector<std::string> interfaces(std::string_view list, std::string_view flag);
  std::string interface(std::string_view name, std::string_view flag);
  std::vector<IdRange> ids(std::string_view list, bool group, std::string_view flag);
  IdRange id(std::string_view text, bool group, std::string_view flag);
  IpAddress address(std::string_view text, std::string_view flag);
  std::uint32_t milliseconds(std::string_view text);

  void capture();
  void owners();
  void loopback();
  void addresses();
  void dns();
  void doing();
  void packet();

  const Raw& raw_;
  const Machine& machine_;
  InitConfig out_;
  std::optional<InitError> error_;
};

std::uint16_t Checker::port(std::string_view text, std::string_view flag) {
  const auto value = parse_uint(text);
  if (!value || *value == 0 || *value > 65535)
    fail(InitExit::bad_port, quoted(text) + " in " + std::string(flag) + " is not a port from 1 to 65535");
  return static_cast<std::uint16_t>(value.value_or(0));
}

std::vector<PortRange> Checker::ports(std::string_view list, std::string_view flag) {
  std::vector<PortRange> out;
  for (auto word : split(list)) {
    const std::size_t colon = word.find(':');
    const auto first = parse_uint(word.substr(0, colon));
    const auto last = colon == word.npos ? first : parse_uint(word.substr(colon + 1));
    if (!first || !last || *first > *last || *last > 65535) {
      fail(InitExit::bad_port,
           quoted(word) + " in " + std::string(flag) + " is neither a port nor a range of ports FIRST:LAST");
      return {};
    }
    out.push_back({static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)});
  }
  return out;
}

std::uint32_t Checker::number(std::string_view text, std::uint64_t least, std::string_view flag) {
  const auto value = parse_uint(text);
  if (!value || *value < least || *value > 0xffffffff)
    fail(InitExit::bad_value, quoted(text) + " in " + std::string(flag) + " is not a number from " +
                                  std::to_string(least) + " to 4294967295");
  return static_cast<std::uint32_t>(value.value_or(0));
}

std::vector<Cidr> Checker::cidrs(std::string_view list, std::string_view flag, bool* has_loopback) {
  std::vector<Cidr> out;
  for (auto word : split(list)) {
    const auto cidr = Cidr::parse(word);
    if (!cidr || (cidr->base.is_v4() && word.find(':') != word.npos)) {
      fail(InitExit::bad_cidr,
           quoted(word) + " in " + std::string(flag) + " is not an address block such as 10.0.0.0/8 or fd00::/8");
      return {};
    }
    if (has_loopback && cidr->base.is_loopback()) *has_loopback = true;
    out.push_back(masked(*cidr));
  }
  std::ranges::stable_partition(out, [](const Cidr& cidr) { return cidr.base.is_v4(); });
  return out;
}

std::string Checker::interface(std::string_view name, std::string_view flag) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_.-@+:").find(c) != std::string_view::npos;
  };
  if (name.empty() || name.size() > 15 || !std::ranges::all_of(name, allowed) || name == "." || name == "..")
    fail(InitExit::bad_interface, quoted(name) + " in " + std::string(flag) +
                                      " is not the name of an interface (1 to 15 letters, digits and _.-@+:)");
  return std::string(name);
}

std::vector<std::string> Checker::interfaces(std::string_view list, std::string_view flag) {
  std::vector<std::string> out;
  for (auto word : split(list)) out.push_back(interface(word, flag));
  return out;
}

IdRange Checker::id(std::string_view text, bool group, std::string_view flag) {
  const std::size_t dash = text.find('-');
  const auto first = parse_uint(text.substr(0, dash));
  const auto last = dash == text.npos ? first : parse_uint(text.substr(dash + 1));
  if (first && last && *first <= *last && *last < 0xffffffff)
    return {static_cast<std::uint32_t>(*first), static_cast<std::uint32_t>(*last)};
  if (const auto found = (group ? machine_.group : machine_.user)(std::string(text))) return {*found, *found};
  fail(InitExit::bad_owner, quoted(text) + " in " + std::string(flag) + " is neither the name nor the number of a " +
                                (group ? "group" : "user"));
  return {};
}

std::vector<IdRange> Checker::ids(std::string_view list, bool group, std::string_view flag) {
  std::vector<IdRange> out;
  for (auto word : split(list)) out.push_back(id(word, group, flag));
  return out;
}

IpAddress Checker::address(std::string_view text, std::string_view flag) {
  const auto ip = IpAddress::parse(text);
  if (!ip) fail(InitExit::bad_value, quoted(text) + " in " + std::string(flag) + " is not an IP address");
  return ip.value_or(IpAddress{});
}

std::uint32_t Checker::milliseconds(std::string_view text) {
  constexpr std::pair<std::string_view, std::uint64_t> units[] = {
      {"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};
  std::uint64_t sum = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
    const auto amount = parse_uint(rest.substr(0, digits));
    rest.remove_prefix(digits);
    const auto* unit = std::ranges::find_if(units, [&](const auto& u) {
      return rest.starts_with(u.first) &&
             (rest.size() == u.first.size() || (rest[u.first.size()] >= '0' && rest[u.first.size()] <= '9'));
    });
    if (!amount || *amount > 1'000'000 || unit == std::end(units)) {
      sum = 0;
      break;
    }
    sum += *amount * unit->second;
    rest.remove_prefix(unit->first.size());
  }
  if (sum == 0 || sum > 86'400'000) {
    fail(InitExit::bad_value, quoted(text) + " in --probe-timeout is not a time such as 5s or 500ms");
    return 0;
  }
  return static_cast<std::uint32_t>(sum);
}

void Checker::capture() {
  out_.proxy_port = port(raw_.proxy_port, "--envoy-port");
  out_.inbound_port = port(raw_.inbound_port, "--inbound-capture-port");
  out_.tunnel_port = port(raw_.tunnel_port, "--inbound-tunnel-port");
  if (!raw_.mode.empty() && raw_.mode != "REDIRECT" && raw_.mode != "TPROXY")
    fail(InitExit::bad_value,
         quoted(raw_.mode) + " in --istio-inbound-interception-mode is neither REDIRECT nor TPROXY");
  out_.tproxy = raw_.mode == "TPROXY";
  out_.mark = number(raw_.mark, 1, "--istio-inbound-tproxy-mark");
  if (out_.mark == outbound_mark)
    fail(InitExit::bad_value, "the mark 1338 is that of the proxy's own connections, so TPROXY needs another");
  out_.route_table = number(raw_.route_table, 1, "--istio-inbound-tproxy-route-table");
  if (out_.route_table >= 253 && out_.route_table <= 255)
    fail(InitExit::bad_value, "the route tables 253 to 255 are the kernel's own, so TPROXY needs another");
  out_.all_inbound = trim(raw_.inbound_ports) == "*";
  if (!out_.all_inbound) out_.inbound_ports = ports(raw_.inbound_ports, "--istio-inbound-ports");
  out_.inbound_excluded = ports(raw_.inbound_excluded, "--istio-local-exclude-ports");
  out_.all_outbound = trim(raw_.cidrs) == "*";
  if (!out_.all_outbound) out_.outbound_cidrs = cidrs(raw_.cidrs, "--istio-service-cidr", &out_.outbound_has_loopback);
  out_.outbound_excluded_cidrs = cidrs(raw_.excluded_cidrs, "--istio-service-exclude-cidr");
  out_.outbound_ports = ports(raw_.outbound_ports, "--istio-outbound-ports");
  out_.outbound_excluded_ports = ports(raw_.outbound_excluded_ports, "--istio-local-outbound-ports-exclude");
  out_.excluded_interfaces = interfaces(raw_.excluded_interfaces, "--istio-exclude-interfaces");
  out_.virtual_interfaces = interfaces(raw_.virtual_interfaces, "--kube-virt-interfaces");
  out_.drop_invalid = raw_.drop_invalid;
}

void Checker::owners() {
  const std::string user = machine_.env("ENVOY_USER").value_or("istio-proxy");
  const std::string uid = raw_.uid.empty() ? std::to_string(machine_.user(user).value_or(1337)) : raw_.uid;
  out_.proxy_uids = ids(uid, false, "--proxy-uid");
  out_.proxy_gids = ids(raw_.gid.empty() ? uid : raw_.gid, true,
                        raw_.gid.empty() ? "--proxy-uid, which is the group too" : "--proxy-gid");
  if (out_.proxy_uids.empty() || out_.proxy_gids.empty())
    fail(InitExit::bad_owner, "the proxy's user or group is not named, so its own traffic would come back to it");
  const std::string include = machine_.env("ISTIO_OUTBOUND_OWNER_GROUPS").value_or("*");
  out_.all_groups = include == "*";
  out_.groups = out_.all_groups ? ids(machine_.env("ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE").value_or(""), true,
                                      "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE")
                                : ids(include, true, "ISTIO_OUTBOUND_OWNER_GROUPS");
  if (!out_.all_groups && out_.groups.size() > most_groups)
    fail(InitExit::bad_owner, "ISTIO_OUTBOUND_OWNER_GROUPS names " + std::to_string(out_.groups.size()) +
                                  " groups, and can name " + std::to_string(most_groups));
}

void Checker::loopback() {
  const std::string text = machine_.env("ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR").value_or("127.0.0.1/32");
  const auto cidr = Cidr::parse(text);
  if (!cidr || !cidr->base.is_v4() || !cidr->base.is_loopback() || cidr->prefix < 8)
    return fail(InitExit::bad_cidr,
                quoted(text) + " in ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR is not a block within 127.0.0.0/8");
  out_.loopback = masked(*cidr);
}

/// The first address that others can reach decides the family; with --dual-stack any IPv6 address does.
void Checker::addresses() {
  bool any = false;
  for (const IpAddress& ip : machine_.addresses()) {
    const bool link_local = Cidr::parse(ip.is_v4() ? "169.254.0.0/16" : "fe80::/10")->contains(ip);
    if (ip.is_loopback() || link_local) continue;
    if (!any) out_.host_is_v6 = !ip.is_v4();
    any = true;
    out_.ipv6 = !ip.is_v4();
    if (!raw_.dual_stack || out_.ipv6) break;
  }
  if (!any && !raw_.cleanup)
    fail(InitExit::no_address, "no interface has an address that others can reach, so there is no traffic to capture");
}

void Checker::dns() {
  if (!raw_.dns) return;
  out_.dns = true;
  out_.all_dns = raw_.all_dns;
  if (out_.all_dns) return;
  const auto text = machine_.resolv_conf();
  if (!text)
    return fail(InitExit::bad_value, "/etc/resolv.conf cannot be read, so --redirect-dns does not know the servers");
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = trim(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    constexpr std::string_view key = "nameserver";
    if (!line.starts_with(key) || line.size() == key.size() || (line[key.size()] != ' ' && line[key.size()] != '\t'))
      continue;
    line = trim(line.substr(key.size()));
    line = line.substr(0, line.find_first_of(" \t\r%"));  // % begins the zone of a link-local address
    if (const auto ip = IpAddress::parse(line)) out_.dns_servers.push_back(*ip);
  }
  std::ranges::stable_partition(out_.dns_servers, [](const IpAddress& ip) { return ip.is_v4(); });
  if (out_.dns_servers.empty()) {
    out_.dns = false;
    out_.warnings.emplace_back(
        "/etc/resolv.conf names no server, so --redirect-dns without --capture-all-dns captures nothing");
  }
}

void Checker::doing() {
  out_.dry_run = raw_.dry_run;
  out_.reconcile = raw_.reconcile;
  out_.cleanup = raw_.cleanup;
  out_.force_apply = raw_.force_apply;
  out_.skip_apply = raw_.skip_apply;
  out_.native_nftables = raw_.native_nftables;
  out_.cni_mode = raw_.cni_mode;
  out_.force_binary = raw_.force_binary;
  if (!raw_.force_binary.empty() && raw_.force_binary != "legacy" && raw_.force_binary != "nft")
    fail(InitExit::bad_value, quoted(raw_.force_binary) + " in --force-iptables-binary is neither legacy nor nft");
  out_.network_namespace = raw_.network_namespace;
  out_.dry_run_file = machine_.env("DRY_RUN_FILE_PATH").value_or("");
  out_.validate = raw_.validate;
  out_.probe_port = port(raw_.probe_port, "--iptables-probe-port");
  out_.probe_timeout_ms = milliseconds(raw_.probe_timeout);
  out_.explain = raw_.explain;
  out_.check = raw_.check;
  if (out_.explain && out_.check)
    fail(InitExit::bad_flag, "--explain tells what these flags do, --check what is in force: one of them at a time");
  if (out_.cleanup && (out_.explain || out_.check))
    fail(InitExit::bad_flag, "--explain and --check change nothing, so --cleanup-only does not go with them");
}

void Checker::packet() {
  if (raw_.destination.empty()) {
    if (!raw_.port.empty() || !raw_.owner.empty() || !raw_.source.empty() || !raw_.interface.empty() || raw_.inbound)
      fail(InitExit::bad_flag, "a packet is described from its --destination on");
    return;
  }
  if (!raw_.explain && !raw_.check) fail(InitExit::bad_flag, "--destination goes with --explain or --check");
  PacketQuestion out;
  out.destination = address(raw_.destination, "--destination");
  if (!raw_.source.empty()) out.source = address(raw_.source, "--source");
  if (out.source && out.source->is_v4() != out.destination.is_v4())
    fail(InitExit::bad_value, "--source and --destination are not of one family");
  if (raw_.port.empty()) fail(InitExit::bad_flag, "a packet needs its --port");
  out.port = port(raw_.port, "--port");
  if (raw_.protocol != "tcp" && raw_.protocol != "udp")
    fail(InitExit::bad_value, quoted(raw_.protocol) + " in --protocol is neither tcp nor udp");
  out.udp = raw_.protocol == "udp";
  out.inbound = raw_.inbound;
  if (!raw_.owner.empty()) {
    const std::size_t colon = raw_.owner.find(':');
    out.uid = id(std::string_view(raw_.owner).substr(0, colon), false, "--owner").first;
    if (colon != std::string::npos) out.gid = id(std::string_view(raw_.owner).substr(colon + 1), true, "--owner").first;
  }
  if (!raw_.interface.empty()) out.interface = interface(raw_.interface, "--interface");
  out_.packet = out;
}

InitResult<InitConfig> Checker::run() {
  capture();
  owners();
  loopback();
  doing();
  packet();
  if (!error_) addresses();
  if (!error_) dns();
  if (error_) return std::move(*error_);
  return std::move(out_);
}

}  // namespace

void throw_exception_from_error(const InitError& error, const boost::source_location&) {
  throw std::runtime_error(error.message);
}

InitResult<InitConfig> parse_init_config(const std::vector<std::string>& args, const Machine& machine) {
  Raw raw;
  if (auto error = read_environment(machine, raw)) return std::move(*error);
  if (auto error = read_flags(args, raw)) return std::move(*error);
  if (raw.help) {
    InitConfig out;
    out.help = true;
    return out;
  }
  return Checker(raw, machine).run();
}

std::string init_usage() {
  std::string out =
      "clew init: sends a pod's traffic to its proxy. Takes the flags and the environment of istio-iptables.\n"
      "Applies the rules, unless --explain, --check, --dry-run or --skip-rule-apply is there.\n\n";
  for (const Flag& flag : flags) {
    if (flag.help.empty()) continue;
    std::string line = "  ";
    line += flag.letter ? std::string("-") + flag.letter + ", " : "    ";
    line += "--" + std::string(flag.name);
    line.resize(std::max<std::size_t>(line.size() + 2, 46), ' ');
    line += flag.help;
    if (flag.env == Env::by_name)
      line += "  [" + env_name(flag.name) + (flag.other_env.empty() ? "" : ", " + std::string(flag.other_env)) + "]";
    out += line + "\n";
  }
  out +=
      "\nEnvironment only: ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR (127.0.0.1/32), ISTIO_OUTBOUND_OWNER_GROUPS (*),\n"
      "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE, ENVOY_USER (istio-proxy), DRY_RUN_FILE_PATH.\n"
      "Exit codes: 0 done; 1 --check: not complete; 2 flag, 3 port, 4 CIDR, 5 interface, 6 owner, 7 other value;\n"
      "8 no address, 9 no tool, 10 no kernel support, 11 no capability; 12 other rules are there and no --reconcile;\n"
      "13 a tool failed; 126 --run-validation: traffic is not captured.\n";
  return out;
}

}  // namespace clew
