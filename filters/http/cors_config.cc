#include "config/xds/decode_common.h"
#include "filters/decoders.h"
#include "filters/http/cors.h"

#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"

namespace clew {

Decoded<std::shared_ptr<const FilterFactory>> decode_cors(std::string_view name, const google::protobuf::Message&) {
  return make_cors(name);
}

Decoded<std::shared_ptr<const FilterRouteConfig>> decode_cors_policy(std::string_view,
                                                                     const google::protobuf::Message& message) {
  const auto& policy = dynamic_cast<const envoy::extensions::filters::http::cors::v3::CorsPolicy&>(message);
  Scope scope;
  auto out = std::make_shared<CorsPolicy>();
  for (const auto& origin : policy.allow_origin_string_match()) {
    Scope::Field field(scope, "allow_origin_string_match");
    out->allow_origin.push_back(decode_string_matcher(origin, scope));
  }
  out->allow_methods = policy.allow_methods();
  out->allow_headers = policy.allow_headers();
  out->expose_headers = policy.expose_headers();
  out->max_age = policy.max_age();
  out->allow_credentials = policy.allow_credentials().value();
  out->allow_private_network_access = policy.allow_private_network_access().value();
  if (policy.has_filter_enabled()) {
    Scope::Field field(scope, "filter_enabled");
    out->enabled_percent = decode_percent(policy.filter_enabled().default_value(), scope);
  }
  if (policy.has_forward_not_matching_preflights())
    out->forward_not_matching_preflights = policy.forward_not_matching_preflights().value();
  if (!scope.ok()) return DecodeError{scope.problem()};
  return std::shared_ptr<const FilterRouteConfig>(std::move(out));
}

}  // namespace clew
