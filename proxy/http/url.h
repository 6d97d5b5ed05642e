// Request targets and authorities, as RFC 9112 and RFC 3986 have them and as far as a proxy looks at them.
#pragma once

#include <optional>
#include <string_view>

namespace clew {

/// Every byte is printable ASCII, no space.
bool visible_ascii(std::string_view text);

/// The bytes that Envoy (nghttp2_check_authority) lets an authority have. An empty one is valid.
bool valid_authority(std::string_view authority);

/// «host:port» of a CONNECT.
bool valid_connect_target(std::string_view target);

struct AbsoluteUrl {
  std::string_view scheme, authority;  // authority without userinfo
  std::string_view path;               // with the query and fragment; empty when there is none; may begin with «?»
};
/// «scheme://authority/path». Nothing when it is not of this form or the authority is empty, or its port is not one.
std::optional<AbsoluteUrl> parse_absolute_url(std::string_view url);

/// «host», «host:80», «[::1]:80» split; port is empty when there is none.
struct HostPort {
  std::string_view host, port;
};
HostPort split_host_port(std::string_view authority);

}  // namespace clew
