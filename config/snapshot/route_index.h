// Finds the first of many routes without trying each: a path can only match a route that begins with the same literal
// text. Immutable; safe from any thread.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace clew {

struct Route;

class RouteIndex {
 public:
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

  explicit RouteIndex(const std::vector<Route>& routes);
  /// The lowest index whose route holds, or none. path: without query and fragment; holds(index): does this route
  /// match?
  template <class F>
  std::uint32_t first(std::string_view path, F&& holds) const {
    std::uint32_t found = none;
    for (std::uint32_t at = longest(path); at != none; at = groups_[at].parent) {
      for (const std::uint32_t route : groups_[at].routes) {
        if (route >= found) break;
        if (holds(route)) found = route;
      }
    }
    return found;
  }

 private:
  /// Routes whose paths begin with the same text; it may be empty.
  struct Group {
    std::string prefix;
    std::vector<std::uint32_t> routes;  // ascending
    std::uint32_t parent = none;        // the group of the longest prefix of this prefix
  };
  /// The group of the longest prefix of path.
  std::uint32_t longest(std::string_view path) const;

  std::vector<Group> groups_;  // by prefix, ascending
};

}  // namespace clew
