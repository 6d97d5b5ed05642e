#include "config/xds/scope.h"

#include "proxy/base/strings.h"

#include <fmt/format.h>

#include <vector>

namespace clew {

void Scope::step(std::string_view name) {
  if (!path_.empty()) path_ += '.';
  path_ += name;
}

void Scope::step_index(std::size_t index) { fmt::format_to(std::back_inserter(path_), "[{}]", index); }

void Scope::step_key(std::string_view key) { fmt::format_to(std::back_inserter(path_), "[\"{}\"]", printable(key)); }

void Scope::fail(std::string_view what) {
  if (!problem_.empty()) return;
  problem_ = resource_;
  for (const std::string_view part : {std::string_view(path_), what}) {
    if (part.empty()) continue;
    if (!problem_.empty()) problem_ += ": ";
    problem_ += part;
  }
  if (!object_.empty()) problem_ += " (" + object_ + ")";
}

void Scope::fail(std::string_view field, std::string_view what) {
  const Field in(*this, field);
  fail(what);
}

std::string istio_object_name(std::string_view path) {
  // /apis/GROUP/VERSION/namespaces/NAMESPACE/KIND/NAME
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin < path.size() && parts.size() <= 7;) {
    const std::size_t end = std::min(path.find('/', begin + 1), path.size());
    parts.push_back(path.substr(begin + 1, end - begin - 1));
    begin = end;
  }
  if (parts.size() != 7 || parts[0] != "apis" || parts[3] != "namespaces") return printable(path);
  std::string kind;
  bool upper = true;
  for (const char c : parts[5]) {
    if (c == '-') {
      upper = true;
      continue;
    }
    kind += upper && c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    upper = false;
  }
  return printable(fmt::format("{} {}/{}", kind, parts[4], parts[6]));
}

std::string printable(std::string_view text, std::size_t limit) {
  std::string out;
  std::size_t end = std::min(limit, text.size());
  if (end < text.size())  // not inside a character: half of one would make a NACK unreadable
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  for (const char c : text.substr(0, end)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f)
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
    else
      out += c;
  }
  if (text.size() > limit) out += "…";
  return out;
}

}  // namespace clew
