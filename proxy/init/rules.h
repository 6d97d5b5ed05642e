// The rules, as values: what Istio's traffic capture does, independent of the tool that puts it in force.
#pragma once

#include "proxy/init/config.h"

#include <string>
#include <string_view>
#include <vector>

namespace clew {

/// Marks, in TPROXY mode, what the proxy sends to its own pod: an application that called itself.
inline constexpr std::uint32_t outbound_mark = 1338;

enum class Family : std::uint8_t { any, v4, v6 };
enum class Table : std::uint8_t { raw, mangle, nat, filter };
enum class Protocol : std::uint8_t { any, tcp, udp };
enum class ConnState : std::uint8_t { any, invalid, related_established };
enum class Backend : std::uint8_t { iptables, nftables };

enum class Action : std::uint8_t {
  jump,     // to `target`
  go_back,  // RETURN
  accept,
  drop,
  redirect,      // to local port `value`
  tproxy,        // to local port `value`, marked with `mark_set`
  set_mark,      // to `value`
  save_mark,     // packet's mark to the connection's
  restore_mark,  // and back
  zone,          // conntrack zone `value`
};

template <class T>
struct Matches {
  T value;
  bool negated = false;
  friend bool operator==(const Matches&, const Matches&) = default;
};

struct Owner {
  IdRange ids;
  bool group = false, negated = false;
  friend bool operator==(const Owner&, const Owner&) = default;
};

/// One rule: all that is set must match. Chains have the names of iptables (PREROUTING, ISTIO_OUTPUT).
struct Rule {
  Table table = Table::nat;
  std::string chain;
  Family family = Family::any;
  Protocol protocol = Protocol::any;
  std::string in, out;  // interfaces; a + at the end stands for any further letters
  std::optional<Matches<Cidr>> source, destination;
  std::optional<PortRange> source_port;
  std::vector<PortRange> ports;  // destination ports
  bool ports_negated = false;
  ConnState state = ConnState::any;
  std::optional<Matches<std::uint32_t>> mark, conn_mark;
  std::vector<Owner> owners;
  Action action = Action::go_back;
  std::string target;
  std::uint32_t value = 0, mark_set = 0;

  bool head = false;          // in a built-in chain: before the rules of others
  std::string_view why = {};  // for people; part of neither identity nor output

  /// Same place, same traffic, same end.
  friend bool operator==(const Rule& a, const Rule& b);
};

std::string_view to_string(Table table);
/// ISTIO_…: a chain that is ours alone.
bool is_istio_chain(std::string_view chain);
/// An address block without its host bits.
Cidr masked(Cidr cidr);

/// All rules in order, both families in one list; the two back ends differ in a few places, as the stock tool's do.
std::vector<Rule> make_rules(const InitConfig& config, Backend backend);
/// Those of one family, with that family set; v4 or v6.
std::vector<Rule> of_family(const std::vector<Rule>& rules, Family family);

}  // namespace clew
