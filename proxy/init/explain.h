// Rules in words, and what a packet meets: both read the same rules that are applied.
#pragma once

#include "proxy/init/rules.h"
#include "proxy/init/state.h"

#include <string>
#include <vector>

namespace clew {

/// All rules, chain by chain in the order in which traffic meets them, numbered, with what they do and why.
std::string explain(const std::vector<Rule>& rules);
/// One rule: «TCP to port 53 of user 1337: goes to port 15053 of this pod».
std::string explain_rule(const Rule& rule);

struct Packet {
  Family family = Family::v4;
  Protocol protocol = Protocol::tcp;
  IpAddress source, destination;
  std::uint16_t source_port = 0, port = 0;
  std::optional<std::uint32_t> uid, gid;  // of the sending process; absent: ids that no rule names
  std::string in, out;                    // interfaces; one of them is empty when the packet comes in, or starts here
  std::uint32_t mark = 0;
};

/// The question as a packet; `own` are the addresses of this machine.
Packet make_packet(const PacketQuestion& question, const std::vector<IpAddress>& own);

struct Encounter {
  enum class End : std::uint8_t { untouched, redirected, tproxied, dropped };
  End end = End::untouched;
  std::uint16_t port = 0;          // where it was sent to
  std::vector<std::string> steps;  // the rules it met, in words
  std::string text() const;
};

/// What the first packet of a new connection meets. A rule in force that is none of ours and that we cannot read counts
/// as not matching, and is named among the steps.
Encounter meet(const std::vector<RuleInForce>& rules, Packet packet);
std::vector<RuleInForce> as_in_force(const std::vector<Rule>& rules);

}  // namespace clew
