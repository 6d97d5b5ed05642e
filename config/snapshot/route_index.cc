#include "config/snapshot/route_index.h"

#include "config/snapshot/route.h"

#include <algorithm>
#include <map>

namespace clew {

namespace {

/// What every path that matches begins with.
std::string literal_prefix(const PathMatch& match) {
  switch (match.kind) {
    case PathMatch::Kind::prefix:
    case PathMatch::Kind::exact:
    case PathMatch::Kind::separated_prefix: return match.case_sensitive ? match.text : std::string();
    case PathMatch::Kind::regex: return match.regex ? match.regex->required_prefix() : std::string();
    case PathMatch::Kind::connect: break;  // any path
  }
  return {};
}

}  // namespace

RouteIndex::RouteIndex(const std::vector<Route>& routes) {
  std::map<std::string, std::vector<std::uint32_t>> by_prefix;
  for (std::uint32_t i = 0; i < routes.size(); ++i) by_prefix[literal_prefix(routes[i].path)].push_back(i);
  groups_.reserve(by_prefix.size());
  for (auto& [prefix, indices] : by_prefix) {
    const std::uint32_t parent = longest(prefix);  // among the groups so far, and a prefix sorts before what it begins
    groups_.push_back({prefix, std::move(indices), parent});
  }
}

std::uint32_t RouteIndex::longest(std::string_view path) const {
  const auto after = std::upper_bound(groups_.begin(), groups_.end(), path,
                                      [](std::string_view text, const Group& group) { return text < group.prefix; });
  if (after == groups_.begin()) return none;
  // Whatever is a prefix of path is one of the group before it, too: it sorts between the two.
  auto at = static_cast<std::uint32_t>(after - groups_.begin() - 1);
  while (at != none && !path.starts_with(groups_[at].prefix)) at = groups_[at].parent;
  return at;
}

}  // namespace clew
