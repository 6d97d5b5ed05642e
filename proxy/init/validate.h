// The proof that traffic is captured, for nodes where something else (the CNI plugin) made the rules.
#pragma once

#include "proxy/init/config.h"

#include <optional>

namespace clew {

/// Listens where the proxy will and connects to 127.0.0.6 (or ::6), once a second, until a connection arrives whose
/// original destination is the probe port, or the time is over. Runs as the proxy's user, as the rules demand.
std::optional<InitError> prove_capture(const InitConfig& config);

}  // namespace clew
