// Which filter chain serves a connection: Envoy's order (destination port, longest destination prefix, server name
// exact then longest wildcard, transport protocol, application protocol, longest source prefix, source port), without
// back-tracking: what a criterion has decided, later ones do not undo.
#pragma once

#include "config/snapshot/listener.h"
#include "proxy/net/connection_info.h"

#include <memory>

namespace clew {

/// An index of one listener's chains; cheap for the usual listener with one. Immutable.
class FilterChainMatcher {
 public:
  explicit FilterChainMatcher(std::shared_ptr<const Listener> listener);
  ~FilterChainMatcher();
  FilterChainMatcher(FilterChainMatcher&&) noexcept;
  FilterChainMatcher& operator=(FilterChainMatcher&&) noexcept;

  /// Null: none, not even the default. Points into the listener, which lives as long as this.
  const std::shared_ptr<const FilterChain>* select(const ConnectionInfo& connection) const;

 private:
  struct Tree;
  std::shared_ptr<const Listener> listener_;
  std::unique_ptr<Tree> tree_;  // null: one chain that takes everything, or none
};

}  // namespace clew
