// The number by which consistent hashing sends a request: envoy.config.route.v3.RouteAction.HashPolicy.
#pragma once

#include "config/snapshot/route.h"
#include "proxy/http/message.h"
#include "proxy/net/connection_info.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace clew {

/// What policies, rings and tables are made of, as Envoy's.
std::uint64_t xxh64(std::string_view text, std::uint64_t seed = 0);

struct RequestHash {
  std::optional<std::uint64_t> value;    // nothing: no policy found what it looks at
  std::vector<std::string> set_cookies;  // Set-Cookie values that the response must carry: cookies made here
};
/// remote: who asked (Stream::remote); cookies are made of the connection, whoever asks on it.
RequestHash hash_request(const std::vector<HashPolicy>& policies, const RequestHead& request,
                         const ConnectionInfo& connection, const Address& remote);

/// By the client's address, without its port.
std::uint64_t hash_source_ip(const Address& remote);

}  // namespace clew
