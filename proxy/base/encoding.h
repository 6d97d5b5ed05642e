// Bytes as text and back: hex, base64, percent coding, UUIDs. Nothing here allocates beyond its result.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace clew {

/// Lower case.
std::string to_hex(std::string_view bytes);
/// Either case; nothing on an odd length or another character.
std::optional<std::string> from_hex(std::string_view text);

/// RFC 4648: the standard alphabet is padded, the URL one is not.
enum class Base64 : std::uint8_t { standard, url };
std::string to_base64(std::string_view bytes, Base64 alphabet = Base64::standard);
/// One alphabet only, padding optional, no white space; nothing on anything else, non-zero left-over bits included.
std::optional<std::string> from_base64(std::string_view text, Base64 alphabet = Base64::standard);

/// Escapes everything but RFC 3986's unreserved characters, and those in `keep`.
std::string percent_encode(std::string_view bytes, std::string_view keep = {});
/// Nothing on a broken escape.
std::optional<std::string> percent_decode(std::string_view text);

/// The inside of a JSON string, always UTF-8: text that is not is taken for Latin-1, as Envoy does.
void append_json_escaped(std::string& out, std::string_view text);

/// A version 4 UUID of 128 random bits, 122 of which are kept.
std::array<char, 36> uuid_v4(std::uint64_t high, std::uint64_t low);

}  // namespace clew
