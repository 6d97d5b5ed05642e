#include "filters/registry.h"

#include "contrib/envoy/extensions/filters/http/alpn/v3/alpn.pb.h"
#include "contrib/envoy/extensions/filters/http/istio_stats/v3/istio_stats.pb.h"
#include "contrib/envoy/extensions/filters/http/peer_metadata/v3/peer_metadata.pb.h"
#include "contrib/envoy/extensions/filters/network/metadata_exchange/v3/metadata_exchange.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "envoy/extensions/filters/http/grpc_stats/v3/config.pb.h"
#include "envoy/extensions/filters/http/jwt_authn/v3/config.pb.h"
#include "envoy/extensions/filters/http/lua/v3/lua.pb.h"
#include "envoy/extensions/filters/http/rbac/v3/rbac.pb.h"
#include "envoy/extensions/filters/network/mongo_proxy/v3/mongo_proxy.pb.h"
#include "test/unit/filters/stream_fixture.h"

namespace clew {
namespace {

const FilterRegistry& registry() { return default_filter_registry(); }

TEST_CASE("registry: the filters of a default install", "[filters]") {
  io::istio::http::peer_metadata::Config exchange;
  exchange.add_upstream_propagation()->mutable_istio_headers()->set_skip_external_clusters(true);
  const auto mx = registry().http_filter("istio.metadata_exchange", exchange);
  REQUIRE(mx.has_value());
  REQUIRE(*mx);
  CHECK((*mx)->name() == "istio.metadata_exchange");
  StreamFixture f;
  f.request(**mx);
  CHECK(f.stream.request.headers.size() == 2);

  using Alpn = istio::envoy::config::filter::http::alpn::v2alpha1::FilterConfig;
  Alpn alpn;
  auto* entry = alpn.add_alpn_override();
  entry->set_upstream_protocol(Alpn::HTTP11);
  entry->add_alpn_override("istio-http/1.1");
  const auto made = registry().http_filter("istio.alpn", alpn);
  REQUIRE(made.has_value());
  f.request(**made);
  REQUIRE(f.stream.upstream_alpn);
  CHECK(*f.stream.upstream_alpn == std::vector<std::string>{"istio-http/1.1"});

  envoy::tcp::metadataexchange::config::MetadataExchange tcp;
  CHECK(registry().network_filter("istio.metadata_exchange", tcp).error().message == "protocol: empty");
  tcp.set_protocol("istio-peer-exchange");
  const auto exchange_made = registry().network_filter("istio.metadata_exchange", tcp);
  CHECK((exchange_made.has_value() && *exchange_made));
}

TEST_CASE("registry: faults and CORS come with routes", "[filters]") {
  envoy::extensions::filters::http::fault::v3::HTTPFault fault;
  REQUIRE(registry().http_filter("fault", fault).has_value());
  fault.mutable_abort()->set_http_status(1000);
  CHECK(registry().route_config("fault", fault).error().message == "abort.http_status: must be 200 to 599");
  fault.mutable_abort()->set_http_status(503);
  fault.mutable_abort()->mutable_percentage()->set_numerator(100);
  StreamFixture f;
  Route route;
  const auto config = registry().route_config("fault", fault);
  REQUIRE(config.has_value());
  route.filter_config.emplace("fault", *config);
  f.stream.route = &route;
  const auto factory = registry().http_filter("fault", envoy::extensions::filters::http::fault::v3::HTTPFault());
  REQUIRE(factory.has_value());
  CHECK((*factory)->make(f.stream));

  envoy::extensions::filters::http::cors::v3::CorsPolicy cors;
  cors.add_allow_origin_string_match()->mutable_safe_regex()->set_regex("(");
  CHECK_FALSE(registry().route_config("cors", cors).has_value());
  cors.clear_allow_origin_string_match();
  CHECK(registry().route_config("cors", cors).has_value());
  CHECK(registry().http_filter("cors", envoy::extensions::filters::http::cors::v3::Cors()).has_value());
}

TEST_CASE("registry: accepted, nothing to do", "[filters]") {
  const auto accepted = [](const google::protobuf::Message& config) {
    const auto made = registry().http_filter("x", config);
    return made.has_value() && !*made;
  };
  CHECK(accepted(stats::PluginConfig()));
  CHECK(accepted(envoy::extensions::filters::http::grpc_stats::v3::FilterConfig()));
  CHECK(registry().network_filter("istio.stats", stats::PluginConfig()).has_value());
  CHECK(registry()
            .network_filter("mongo", envoy::extensions::filters::network::mongo_proxy::v3::MongoProxy())
            .has_value());
}

TEST_CASE("registry: what is not enforced is refused by name", "[filters]") {
  const auto refusal = [](const google::protobuf::Message& config) {
    return registry().http_filter("x", config).error().message;
  };
  CHECK(refusal(envoy::extensions::filters::http::rbac::v3::RBAC()) ==
        "HTTP filter envoy.extensions.filters.http.rbac.v3.RBAC is not supported");
  CHECK_FALSE(
      registry().http_filter("x", envoy::extensions::filters::http::jwt_authn::v3::JwtAuthentication()).has_value());
  CHECK_FALSE(registry().http_filter("x", envoy::extensions::filters::http::lua::v3::Lua()).has_value());
  CHECK_FALSE(registry().network_filter("x", envoy::extensions::filters::http::lua::v3::Lua()).has_value());
  CHECK_FALSE(registry().route_config("x", envoy::extensions::filters::http::lua::v3::LuaPerRoute()).has_value());
}

}  // namespace
}  // namespace clew
