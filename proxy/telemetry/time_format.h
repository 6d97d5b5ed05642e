// Calendar time as START_TIME(…) writes it: strftime in UTC, with %s, %f, %1f…%9f, %E3S and %Ez as Envoy has them.
#pragma once

#include "proxy/base/clock.h"

#include <string>
#include <string_view>

namespace clew {

/// Rendered once a second for each format and thread; in between only the fraction is written.
void append_time(std::string& out, std::string_view format, WallTime time);

}  // namespace clew
