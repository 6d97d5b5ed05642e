// The text of a header that configuration adds: the one place where routes meet the log formatter.
#pragma once

#include "config/snapshot/format.h"

#include <string>

namespace clew {

struct Stream;

/// Commands evaluated for this stream; what is unknown gives nothing, as Envoy's headers do (and not «-», as its logs).
std::string format_header_value(const TextFormat& format, const Stream& stream);

}  // namespace clew
