#include "proxy/net/sniff.h"

#include <algorithm>
#include <array>

namespace clew {

namespace {

constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Registered methods alone: a client of another protocol that waits after its first word is known by it at once.
constexpr std::array<std::string_view, 35> methods{
    "GET",    "POST",   "PUT",     "DELETE",    "HEAD",      "OPTIONS", "PATCH", "CONNECT", "TRACE",  "COPY",     "LOCK",       "MKCOL",
    "MOVE",   "UNLOCK", "SEARCH",  "PROPFIND",  "PROPPATCH", "BIND",    "ACL",   "REBIND",  "UNBIND", "REPORT",   "MKACTIVITY", "CHECKOUT",
    "MERGE",  "NOTIFY", "M-SEARCH", "SUBSCRIBE", "PURGE",     "LINK",    "UNLINK", "SOURCE", "QUERY",  "MKCALENDAR", "UNSUBSCRIBE"};

/// One starts with the other.
bool agree(std::string_view a, std::string_view b) {
  const std::size_t n = std::min(a.size(), b.size());
  return a.substr(0, n) == b.substr(0, n);
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
  if (agree(bytes, preface)) {
    if (bytes.size() < preface.size()) return Sniffed::need_more;
    protocol = HttpProtocol::h2c;
    return Sniffed::found;
  }
  const std::string_view method = bytes.substr(0, bytes.find(' '));
  const bool whole = method.size() < bytes.size();
  if (std::none_of(methods.begin(), methods.end(), [&](std::string_view m) { return whole ? m == method : m.substr(0, method.size()) == method; }))
    return Sniffed::other;
  const std::string_view window = bytes.substr(0, max_request_line);
  const std::size_t end = window.find('\n');
  // No control bytes in a request line: binary protocols that begin like a method are not waited for.
  const std::string_view line = window.substr(0, end);
  const auto control = std::find_if(line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\r'; });
  if (control != line.end()) return Sniffed::other;
  if (end == std::string_view::npos) return bytes.size() < max_request_line ? Sniffed::need_more : Sniffed::other;
  std::string_view text = line;
  if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
  const std::size_t last = text.rfind(' ');
  if (last == std::string_view::npos || last <= method.size() + 1) return Sniffed::other;
  const std::string_view version = text.substr(last + 1);
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return Sniffed::other;
  protocol = version == "HTTP/1.1" ? HttpProtocol::http11 : HttpProtocol::http10;
  return Sniffed::found;
}

}  // namespace clew
