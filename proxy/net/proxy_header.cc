#include "proxy/net/proxy_header.h"

#include "proxy/base/strings.h"
#include "proxy/net/sniff.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace clew {

namespace {

constexpr std::string_view signature_1 = "PROXY ";
constexpr std::string_view signature_2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t max_line = 107;

std::uint8_t byte(std::string_view bytes, std::size_t at) { return static_cast<std::uint8_t>(bytes[at]); }
std::size_t word(std::string_view bytes, std::size_t at) { return byte(bytes, at) * 256u + byte(bytes, at + 1); }

std::optional<std::uint16_t> parse_port(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  const auto port = parse_uint(text);
  if (!port || *port > 65535) return std::nullopt;
  return static_cast<std::uint16_t>(*port);
}

/// «TCP4 1.2.3.4 5.6.7.8 1000 80» without its line end.
bool parse_line(std::string_view line, ProxyHeader& header) {
  if (line == "UNKNOWN" || line.substr(0, 8) == "UNKNOWN ") return true;
  std::array<std::string_view, 5> parts;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const std::size_t space = line.find(' ');
    if ((space == std::string_view::npos) != (i + 1 == parts.size())) return false;
    parts[i] = line.substr(0, space);
    line.remove_prefix(std::min(line.size(), parts[i].size() + 1));
  }
  const bool v4 = parts[0] == "TCP4";
  if (!v4 && parts[0] != "TCP6") return false;
  const auto source = IpAddress::parse(parts[1]), destination = IpAddress::parse(parts[2]);
  const auto source_port = parse_port(parts[3]), destination_port = parse_port(parts[4]);
  if (!source || !destination || !source_port || !destination_port) return false;
  // A mapped address is written as IPv6 and kept as IPv4.
  const auto fits = [v4](std::string_view text) { return (text.find(':') == std::string_view::npos) == v4; };
  if (!fits(parts[1]) || !fits(parts[2])) return false;
  header.source = Address(*source, *source_port);
  header.destination = Address(*destination, *destination_port);
  return true;
}

IpAddress ip_at(std::string_view bytes, std::size_t at, bool v4) {
  if (v4)
    return IpAddress::v4(std::uint32_t{byte(bytes, at)} << 24 | std::uint32_t{byte(bytes, at + 1)} << 16 |
                         std::uint32_t{byte(bytes, at + 2)} << 8 | byte(bytes, at + 3));
  std::array<std::uint8_t, 16> v6;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), 16, v6.begin());
  return IpAddress::v6(v6);
}

Sniffed sniff_binary(std::string_view bytes, ProxyHeader& header) {
  if (bytes.size() < 16) return Sniffed::need_more;
  const std::uint8_t command = byte(bytes, 12), family = byte(bytes, 13);
  const std::size_t length = word(bytes, 14);
  if (command >> 4 != 2 || (command & 15) > 1 || 16 + length > max_proxy_header) return Sniffed::bad;
  const bool local = (command & 15) == 0;
  const std::size_t ip_size = family == 0x11 ? 4 : 16;  // TCP over IPv4, over IPv6
  const std::size_t addresses = 2 * ip_size + 4;
  if (!local && ((family != 0x11 && family != 0x21) || length < addresses)) return Sniffed::bad;
  if (bytes.size() < 16 + length) return Sniffed::need_more;
  header.size = 16 + length;
  if (local) return Sniffed::found;
  for (std::size_t at = 16 + addresses; at < header.size;) {  // extensions: passed over, but they must add up
    if (at + 3 > header.size || at + 3 + word(bytes, at + 1) > header.size) return Sniffed::bad;
    at += 3 + word(bytes, at + 1);
  }
  const auto port = [&](std::size_t i) { return static_cast<std::uint16_t>(word(bytes, 16 + 2 * ip_size + 2 * i)); };
  header.source = Address(ip_at(bytes, 16, ip_size == 4), port(0));
  header.destination = Address(ip_at(bytes, 16 + ip_size, ip_size == 4), port(1));
  return Sniffed::found;
}

void append_word(std::string& out, std::size_t value) {
  out += static_cast<char>(value >> 8 & 0xff);
  out += static_cast<char>(value & 0xff);
}

}  // namespace

std::string make_proxy_header(const ProxyProtocol& protocol, const ConnectionInfo& downstream) {
  const Address &source = downstream.remote, &destination = downstream.local;
  const bool v4 = source.ip().is_v4();
  // A connection of our own has no client: its addresses were never filled in.
  const bool local = source == Address() || source.is_pipe() || destination.is_pipe() || destination.ip().is_v4() != v4;
  if (protocol.version == ProxyProtocol::Version::v1) {
    if (local) return "PROXY UNKNOWN\r\n";
    return fmt::format("PROXY TCP{} {} {} {} {}\r\n", v4 ? 4 : 6, source.ip().to_string(), destination.ip().to_string(),
                       source.port(), destination.port());
  }
  std::string out(signature_2);
  out += local ? '\x20' : '\x21';
  if (local) return out.append(3, '\0');
  out += v4 ? '\x11' : '\x21';  // TCP over IPv4, over IPv6
  append_word(out, 2 * source.ip().bytes().size() + 4 + protocol.extensions.size());
  out += source.ip().bytes();
  out += destination.ip().bytes();
  append_word(out, source.port());
  append_word(out, destination.port());
  return out += protocol.extensions;
}

Sniffed sniff_proxy_header(std::string_view bytes, ProxyHeader& header) {
  header = {};
  const auto begins = [bytes](std::string_view signature) {
    const std::size_t n = std::min(bytes.size(), signature.size());
    return bytes.substr(0, n) == signature.substr(0, n);
  };
  if (begins(signature_2)) return bytes.size() < signature_2.size() ? Sniffed::need_more : sniff_binary(bytes, header);
  if (!begins(signature_1)) return Sniffed::other;
  const std::string_view window = bytes.substr(0, max_line);
  const std::size_t end = window.find("\r\n");
  if (end == std::string_view::npos) return bytes.size() < max_line ? Sniffed::need_more : Sniffed::bad;
  header.size = end + 2;
  return parse_line(window.substr(signature_1.size(), end - signature_1.size()), header) ? Sniffed::found
                                                                                         : Sniffed::bad;
}

}  // namespace clew
