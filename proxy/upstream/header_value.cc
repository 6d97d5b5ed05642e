#include "proxy/upstream/header_value.h"

namespace clew {

std::string format_header_value(const TextFormat& format, const Stream&) {
  std::string out;
  for (const FormatItem& item : format)
    if (item.op == FormatItem::Op::literal) out += item.text;
  return out;
}

}  // namespace clew
