// Envoy's runtime: the static layers of the bootstrap, as dotted keys.
#pragma once

#include "config/bootstrap/bootstrap.h"
#include "config/xds/scope.h"

namespace envoy::config::bootstrap::v3 {
class Bootstrap;
}

namespace clew {

/// Fills the layers and the values of the keys that clew acts on.
void decode_runtime(const envoy::config::bootstrap::v3::Bootstrap& message, Scope& scope, Bootstrap& out);

}  // namespace clew
