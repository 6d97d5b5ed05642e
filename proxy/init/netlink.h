// The few routing facts that TPROXY and IPv6 need, by rtnetlink: the stock image has no `ip` program to rely on.
#pragma once

#include "proxy/base/address.h"
#include "proxy/init/rules.h"

#include <cstdint>
#include <string>
#include <vector>

namespace clew {

/// One of: packets with `mark` are looked up in route table `table`; everything in route table `table` is local;
/// the loopback interface has address ::6.
struct RouteFact {
  enum class Kind : std::uint8_t { rule, local_default, loopback_address };
  Kind kind = Kind::rule;
  Family family = Family::v4;
  std::uint32_t mark = 0, table = 0;
};

/// What the rules of this configuration need.
std::vector<RouteFact> route_facts(const InitConfig& config);
std::string to_string(const RouteFact& fact);

/// All three return an errno, 0 for success; adding what is there is EEXIST, removing what is not there some error.
int add_fact(const RouteFact& fact);
int remove_fact(const RouteFact& fact);
bool holds_fact(const RouteFact& fact);

/// Addresses of all interfaces, in the kernel's order: IPv4 first.
std::vector<IpAddress> interface_addresses();

}  // namespace clew
