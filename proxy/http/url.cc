#include "proxy/http/url.h"

#include "proxy/base/strings.h"

#include <algorithm>
#include <array>

namespace clew {
namespace {

constexpr auto authority_bytes = [] {
  std::array<bool, 256> allowed{};
  for (int c = 'a'; c <= 'z'; ++c)
    allowed[static_cast<std::size_t>(c)] = allowed[static_cast<std::size_t>(c - 32)] = true;
  for (int c = '0'; c <= '9'; ++c) allowed[static_cast<std::size_t>(c)] = true;
  for (char c : std::string_view("-._~!$&'()*+,;=:@[]%")) allowed[static_cast<std::size_t>(c)] = true;
  return allowed;
}();

bool valid_port(std::string_view port) {
  const auto number = parse_uint(port);
  return number && *number > 0 && *number <= 65535;
}

}  // namespace

bool visible_ascii(std::string_view text) {
  bool visible = true;  // without a branch: the compiler makes vectors of it
  for (const char c : text) visible &= static_cast<unsigned char>(c - 0x21) < 0x7f - 0x21;
  return visible;
}

bool valid_authority(std::string_view authority) {
  return std::all_of(authority.begin(), authority.end(),
                     [](char c) { return authority_bytes[static_cast<unsigned char>(c)]; });
}

HostPort split_host_port(std::string_view authority) {
  const std::size_t colon = authority.rfind(':');
  if (colon == std::string_view::npos) return {authority, {}};
  const std::size_t bracket = authority.rfind(']');
  if (bracket != std::string_view::npos && colon < bracket) return {authority, {}};
  if (bracket == std::string_view::npos && authority.find(':') != colon) return {authority, {}};  // a bare IPv6 address
  return {authority.substr(0, colon), authority.substr(colon + 1)};
}

bool valid_connect_target(std::string_view target) {
  const HostPort parts = split_host_port(target);
  return !parts.host.empty() && valid_port(parts.port) && valid_authority(target) &&
         target.find('@') == std::string_view::npos;
}

std::optional<AbsoluteUrl> parse_absolute_url(std::string_view url) {
  const std::size_t mark = url.find("://");
  if (mark == std::string_view::npos || mark == 0) return std::nullopt;
  AbsoluteUrl out;
  out.scheme = url.substr(0, mark);
  const std::string_view rest = url.substr(mark + 3);
  const std::size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  out.authority = rest.substr(0, end);
  out.path = rest.substr(end);
  if (const std::size_t at = out.authority.rfind('@'); at != std::string_view::npos)
    out.authority.remove_prefix(at + 1);
  const HostPort parts = split_host_port(out.authority);
  if (parts.host.empty()) return std::nullopt;
  if (parts.host.size() != out.authority.size() && !valid_port(parts.port)) return std::nullopt;
  return out;
}

}  // namespace clew
