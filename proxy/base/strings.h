// Small ASCII helpers for protocol text; none of them looks at the locale.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace clew {

constexpr char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }
bool equals_ignore_case(std::string_view a, std::string_view b);
std::string to_lower(std::string_view text);
/// RFC 9110's token: a method, a header's name.
bool is_token(std::string_view text);
/// Without leading and trailing spaces and tabs.
std::string_view trim(std::string_view text);
/// Decimal digits only, no sign, no overflow.
std::optional<std::uint64_t> parse_uint(std::string_view text);

/// For maps looked up by string_view without making a string.
struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
};
template <class T>
using StringMap = std::unordered_map<std::string, T, StringHash, std::equal_to<>>;

}  // namespace clew
