#include "proxy/net/sniff.h"

#include "proxy/base/strings.h"

#include <algorithm>

namespace clew {

namespace {

constexpr std::size_t max_method = 64;

/// One starts with the other.
bool agree(std::string_view a, std::string_view b) {
  const std::size_t n = std::min(a.size(), b.size());
  return a.substr(0, n) == b.substr(0, n);
}

/// RFC 9110 5.6.2
bool is_token_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

/// Whether these bytes may be a request target: a path, «*», a URL, or anything after CONNECT. whole: no more of it
/// comes.
bool may_be_target(std::string_view target, bool whole, std::string_view method) {
  if (target.empty() || target.front() == '/' || target.front() == '*' || method == "CONNECT") return true;
  const auto scheme_end =
      std::find_if(target.begin(), target.end(), [](char c) { return ascii_lower(c) < 'a' || ascii_lower(c) > 'z'; });
  const std::string_view rest = target.substr(static_cast<std::size_t>(scheme_end - target.begin()));
  return rest.size() < target.size() && (whole ? rest.starts_with("://") : agree(rest, "://"));
}

}  // namespace

std::string_view to_string(HttpProtocol protocol) {
  switch (protocol) {
    case HttpProtocol::http10: return "http/1.0";
    case HttpProtocol::http11: return "http/1.1";
    case HttpProtocol::h2c: return "h2c";
  }
  return {};
}

Sniffed sniff_http(std::string_view bytes, HttpProtocol& protocol) {
  if (agree(bytes, h2_preface)) {
    if (bytes.size() < h2_preface.size()) return Sniffed::need_more;
    protocol = HttpProtocol::h2c;
    return Sniffed::found;
  }
  // As Envoy: any token may be a method, so that the codec answers what it does not know. What cannot become a request
  // line is known at its first wrong byte: a client of another protocol is not waited for.
  const std::string_view window = bytes.substr(0, max_request_line);
  const std::size_t end = window.find('\n');
  std::string_view line = window.substr(0, end);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  const std::string_view method = line.substr(0, line.find(' '));
  if (method == "PRI") return Sniffed::other;  // a preface that went wrong
  if (method.size() > max_method || !std::all_of(method.begin(), method.end(), is_token_char)) return Sniffed::other;
  const std::string_view after = line.substr(std::min(method.size() + 1, line.size()));
  const std::string_view target = after.substr(0, after.find(' '));
  const bool target_ended = target.size() < after.size();
  if ((method.empty() && !line.empty()) || (!after.empty() && target.empty())) return Sniffed::other;
  if (!may_be_target(target, target_ended, method)) return Sniffed::other;
  if (std::any_of(target.begin(), target.end(),
                  [](char c) { return c == '\0' || static_cast<unsigned char>(c) >= 0x80; }))
    return Sniffed::other;
  const std::string_view version = target_ended ? after.substr(target.size() + 1) : std::string_view();
  if (!agree(version, "HTTP/1.1") && !agree(version, "HTTP/1.0")) return Sniffed::other;
  if (end == std::string_view::npos) return bytes.size() < max_request_line ? Sniffed::need_more : Sniffed::other;
  if (version.size() != 8) return Sniffed::other;
  protocol = version == "HTTP/1.1" ? HttpProtocol::http11 : HttpProtocol::http10;
  return Sniffed::found;
}

}  // namespace clew
