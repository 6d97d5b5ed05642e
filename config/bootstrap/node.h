// The node of the bootstrap: who we say we are.
#pragma once

#include "config/bootstrap/bootstrap.h"
#include "config/xds/scope.h"

namespace envoy::config::core::v3 {
class Node;
}

namespace clew {

/// Adds what the command line says of it and the user agent: name, version, extensions. The rest stays as it is.
void complete_node(const CommandLine& options, envoy::config::core::v3::Node& node);

NodeInfo decode_node(const envoy::config::core::v3::Node& node, Scope& scope);

}  // namespace clew
