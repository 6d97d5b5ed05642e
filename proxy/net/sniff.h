// What a connection's first bytes say, before anyone consumes them: pure functions of the bytes that are there so far.
// An answer other than need_more never changes when more bytes come. Bounds are the callers' to enforce, and tight here
// where the protocol has its own.
#pragma once

#include "proxy/base/address.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace clew {

enum class Sniffed : std::uint8_t {
  need_more,
  found,
  other,  // something else: not an error
  bad,    // it is that, but broken or too large: close
};

/// Of a TLS ClientHello (RFC 8446 4.1.2, and the older ones).
struct ClientHello {
  std::string server_name;        // as sent; empty: none
  std::vector<std::string> alpn;  // in the client's order
};
/// The longest ClientHello message looked at (Envoy: 16 KiB).
inline constexpr std::size_t max_client_hello = 16 * 1024;
/// A malformed hello is `other`, as an engine would not take it for one either; `bad`: longer than max_client_hello.
Sniffed sniff_client_hello(std::string_view bytes, ClientHello& hello);

enum class HttpProtocol : std::uint8_t { http10, http11, h2c };
/// «http/1.0», «http/1.1», «h2c»: what filter chains match.
std::string_view to_string(HttpProtocol protocol);
/// What an HTTP/2 client says first (RFC 9113 3.4).
inline constexpr std::string_view h2_preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest request line waited for.
inline constexpr std::size_t max_request_line = 8 * 1024;
/// The HTTP/2 preface, or a whole HTTP/1 request line, whatever its method. Never `bad`.
Sniffed sniff_http(std::string_view bytes, HttpProtocol& protocol);

/// A PROXY protocol header, version 1 or 2.
struct ProxyHeader {
  std::size_t size = 0;  // bytes it takes
  /// Nothing for LOCAL and UNKNOWN: the connection speaks for itself.
  std::optional<Address> source, destination;
};
/// The longest header, extensions included.
inline constexpr std::size_t max_proxy_header = 16 * 1024;
Sniffed sniff_proxy_header(std::string_view bytes, ProxyHeader& header);

}  // namespace clew
