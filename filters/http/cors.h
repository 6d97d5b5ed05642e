// envoy.filters.http.cors: answers preflights and marks answers for origins that the route's policy allows. What it
// does is in the config of routes (CorsPolicy); the filter's own is empty.
#pragma once

#include "config/snapshot/matcher.h"
#include "proxy/http/filter.h"

#include <optional>
#include <string>
#include <vector>

namespace clew {

class CorsPolicy final : public FilterRouteConfig {
 public:
  std::vector<StringMatcher> allow_origin;
  std::string allow_methods, allow_headers, expose_headers, max_age;  // header values; empty: the header is not sent
  bool allow_credentials = false;
  bool allow_private_network_access = false;
  double enabled_percent = 100;
  /// A preflight of an origin that is not allowed goes upstream; otherwise it is answered without a word about CORS.
  bool forward_not_matching_preflights = true;

  bool allows(std::string_view origin) const;
};

std::shared_ptr<const FilterFactory> make_cors(std::string_view name);

}  // namespace clew
