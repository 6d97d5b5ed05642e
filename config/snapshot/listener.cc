#include "config/snapshot/listener.h"

#include <algorithm>

namespace clew {

namespace {

struct Matches {
  std::uint16_t port;
  bool operator()(const PortPredicate::Any&) const { return true; }
  bool operator()(const PortPredicate::Range& range) const { return port >= range.begin && port < range.end; }
  bool operator()(const PortPredicate::Or& either) const {
    return std::any_of(either.rules.begin(), either.rules.end(), [&](const auto& rule) { return rule.matches(port); });
  }
  bool operator()(const PortPredicate::And& both) const {
    return std::all_of(both.rules.begin(), both.rules.end(), [&](const auto& rule) { return rule.matches(port); });
  }
  bool operator()(const PortPredicate::Not& inverted) const { return !inverted.rule->matches(port); }
};

}  // namespace

bool PortPredicate::matches(std::uint16_t port) const { return std::visit(Matches{port}, rule); }

}  // namespace clew
