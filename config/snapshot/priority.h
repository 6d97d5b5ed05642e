// envoy.config.core.v3.RoutingPriority: which circuit breakers of a cluster, and with them which connections, the
// requests of a route use.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

namespace clew {

enum class Priority : std::uint8_t { standard, high };

/// With the names that statistics have for them.
constexpr std::array<std::pair<Priority, std::string_view>, 2> all_priorities{
    {{Priority::standard, "default"}, {Priority::high, "high"}}};

/// One of each.
template <class T>
class PerPriority {
 public:
  T& operator[](Priority priority) { return values_[static_cast<std::size_t>(priority)]; }
  const T& operator[](Priority priority) const { return values_[static_cast<std::size_t>(priority)]; }

 private:
  std::array<T, all_priorities.size()> values_;
};

}  // namespace clew
