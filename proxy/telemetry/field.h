// The value of one operator, as text, as a number or as JSON; never allocated for itself.
#pragma once

#include "proxy/telemetry/formatter.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace clew {

struct FieldValue {
  enum class Kind : std::uint8_t { none, text, number, json } kind = Kind::none;
  std::string_view text;  // or JSON; lives in the context, the item or the scratch string
  std::int64_t number = 0;

  FieldValue() = default;
  explicit FieldValue(std::string_view value) : kind(Kind::text), text(value) {}
  static FieldValue of(std::int64_t value) {
    FieldValue out;
    out.kind = Kind::number;
    out.number = value;
    return out;
  }
};

/// scratch is overwritten when the text has to be made.
FieldValue field_value(const FormatItem& item, const FormatContext& context, std::string& scratch);

}  // namespace clew
