// COMPATIBILITY.md, printed from the field table (target clew_compatibility).
#pragma once

#include <string>

namespace clew {

std::string compatibility_markdown();

}  // namespace clew
