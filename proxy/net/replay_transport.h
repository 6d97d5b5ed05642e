// A transport whose first bytes were read by somebody else.
#pragma once

#include "proxy/net/transport.h"

#include <memory>

namespace clew {

/// Gives `initial` before the bytes of `below`.
std::unique_ptr<Transport> replay(std::unique_ptr<Transport> below, Buffer initial);

}  // namespace clew
