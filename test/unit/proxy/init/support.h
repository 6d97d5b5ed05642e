// A configuration to make rules from, without a machine.
#pragma once

#include "proxy/init/config.h"

namespace clew {

inline InitConfig captured() {
  InitConfig out;
  out.proxy_uids = out.proxy_gids = {{1337, 1337}};
  out.all_inbound = out.all_outbound = true;
  out.inbound_excluded = {{15090, 15090}, {15021, 15021}, {15020, 15020}};
  out.loopback = *Cidr::parse("127.0.0.1/32");
  return out;
}

/// Everything that a configuration can have, so that each kind of rule is made.
inline InitConfig everything() {
  InitConfig out = captured();
  out.ipv6 = out.tproxy = out.dns = out.drop_invalid = true;
  out.dns_servers = {*IpAddress::parse("10.96.0.10"), *IpAddress::parse("fd00::a")};
  out.excluded_interfaces = {"eth5", "net+"};
  out.virtual_interfaces = {"k6t-a", "k6t-b"};
  out.outbound_ports = {{80, 80}};
  out.outbound_excluded_ports = {{22, 22}, {8000, 8010}};
  out.outbound_excluded_cidrs = {*Cidr::parse("10.0.0.0/8"), *Cidr::parse("fd00::/8")};
  out.all_groups = false;
  out.groups = {{1000, 1000}, {2000, 2010}};
  return out;
}

}  // namespace clew
