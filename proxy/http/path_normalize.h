// One form for every spelling of a path, so that routes, policies, logs and upstreams see the same one. Envoy's
// normalize_path, merge_slashes and path_with_escaped_slashes_action. Pure; only the part before «?» is looked at.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace clew {

/// RFC 3986 6.2.2 as Envoy's URL library does it: «\» becomes «/», dot segments go (encoded dots too), unreserved
/// characters are decoded, characters that need it are encoded. Nothing: it cannot be normalized («%00», no leading
/// slash).
std::optional<std::string> normalize_path(std::string_view path);

std::string merge_slashes(std::string_view path);

/// «%2F» and «%5C» decoded; nothing when there was none.
std::optional<std::string> unescape_slashes(std::string_view path);

}  // namespace clew
