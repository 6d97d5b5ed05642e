#include "proxy/http/path_normalize.h"

#include <algorithm>
#include <cstdint>

namespace clew {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The byte that «%XX» at `at` stands for; -1: it is no escape.
int escaped_byte(std::string_view text, std::size_t at) {
  if (at + 2 >= text.size() || text[at] != '%') return -1;
  const int high = hex_digit(text[at + 1]);
  const int low = hex_digit(text[at + 2]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool unreserved(int c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

bool needs_escape(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte <= 0x20 || byte >= 0x7f || std::string_view("\"<>^`{|}").find(c) != std::string_view::npos;
}

void append_escaped(std::string& out, char c) {
  constexpr char digits[] = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  out += '%';
  out += digits[byte >> 4];
  out += digits[byte & 15];
}

struct Split {
  std::string_view path, query;  // query with its «?»
};
Split split(std::string_view path) {
  const std::size_t mark = std::min(path.find('?'), path.size());
  return {path.substr(0, mark), path.substr(mark)};
}

/// Nothing would change: the usual case, decided in one pass.
bool is_normal(std::string_view path) {
  if (path.empty() || path.front() != '/') return false;
  for (std::size_t i = 0; i < path.size(); ++i) {
    const char c = path[i];
    if (c == '\\' || c == '%' || needs_escape(c)) return false;
    if (c == '.' && path[i - 1] == '/') return false;  // maybe a dot segment
  }
  return true;
}

}  // namespace

std::optional<std::string> normalize_path(std::string_view whole) {
  const Split parts = split(whole);
  if (is_normal(parts.path)) return std::string(whole);
  // Characters first, segments after: an encoded dot is a dot.
  std::string plain;
  for (std::size_t i = 0; i < parts.path.size(); ++i) {
    const char c = parts.path[i];
    const int byte = escaped_byte(parts.path, i);
    if (byte == 0) return std::nullopt;
    if (byte > 0) {
      if (unreserved(byte))
        plain += static_cast<char>(byte);
      else
        plain.append(parts.path.substr(i, 3));
      i += 2;
    } else if (c == '\\')
      plain += '/';
    else if (needs_escape(c))
      append_escaped(plain, c);
    else
      plain += c;
  }
  if (plain.empty() || plain.front() != '/') return std::nullopt;

  std::string out;
  std::string_view rest = plain;
  while (!rest.empty()) {
    rest.remove_prefix(1);  // its slash
    const std::size_t end = std::min(rest.find('/'), rest.size());
    const std::string_view segment = rest.substr(0, end);
    const bool last = end == rest.size();
    rest.remove_prefix(end);
    if (segment == "..") out.resize(out.empty() ? 0 : out.rfind('/'));
    if (segment == "." || segment == "..") {
      if (last) out += '/';
      continue;
    }
    out.append(1, '/').append(segment);
  }
  return out.append(parts.query);
}

std::string merge_slashes(std::string_view whole) {
  const Split parts = split(whole);
  std::string out;
  for (const char c : parts.path)
    if (c != '/' || out.empty() || out.back() != '/') out += c;
  return out.append(parts.query);
}

std::optional<std::string> unescape_slashes(std::string_view whole) {
  const Split parts = split(whole);
  std::string out;
  bool found = false;
  for (std::size_t i = 0; i < parts.path.size(); ++i) {
    const int byte = escaped_byte(parts.path, i);
    if (byte == '/' || byte == '\\') {
      out += static_cast<char>(byte);
      i += 2;
      found = true;
    } else {
      out += parts.path[i];
    }
  }
  if (!found) return std::nullopt;
  return out.append(parts.query);
}

}  // namespace clew
