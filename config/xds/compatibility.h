// COMPATIBILITY.md, printed from the field table (target clew_compatibility).
#pragma once

#include <string>
#include <string_view>

namespace clew {

std::string compatibility_markdown();
/// Its part about what no field says.
std::string_view http_differences();

}  // namespace clew
