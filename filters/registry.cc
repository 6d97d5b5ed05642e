#include "filters/registry.h"

#include "filters/decoders.h"

#include <span>
#include <string>

namespace clew {
namespace {

/// decode null: accepted, and nothing is done for it yet. Only for what no request's fate and no policy hangs on.
template <class Decode>
struct Entry {
  std::string_view type;
  Decode* decode;
};

constexpr Entry<DecodeHttpFilter> http_filters[] = {
    {"io.istio.http.peer_metadata.Config", decode_metadata_exchange},
    {"istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", decode_alpn},
    {"envoy.extensions.filters.http.fault.v3.HTTPFault", decode_fault},
    {"envoy.extensions.filters.http.cors.v3.Cors", decode_cors},
    // statistics
    {"stats.PluginConfig", nullptr},
    {"envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", nullptr},
    // a client that may have its answer compressed takes it plain
    {"envoy.extensions.filters.http.compressor.v3.Compressor", nullptr},
};

constexpr Entry<DecodeNetworkFilter> network_filters[] = {
    {"envoy.tcp.metadataexchange.config.MetadataExchange", decode_tcp_metadata_exchange},
    {"stats.PluginConfig", nullptr},
    {"envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy", nullptr},
};

constexpr Entry<DecodeRouteConfig> route_configs[] = {
    {"envoy.extensions.filters.http.fault.v3.HTTPFault", decode_fault_policy},
    {"envoy.extensions.filters.http.cors.v3.CorsPolicy", decode_cors_policy},
};

/// Finds the type and decodes; a type that is not there is an error that names it.
template <class T, class Decode>
Decoded<std::shared_ptr<const T>> decode(std::span<const Entry<Decode>> table, std::string_view what,
                                         std::string_view name, const google::protobuf::Message& config) {
  const std::string_view type = message_name(config);
  for (const Entry<Decode>& entry : table) {
    if (entry.type != type) continue;
    if (!entry.decode) return std::shared_ptr<const T>();
    return entry.decode(name, config);
  }
  return DecodeError{std::string(what) + " " + std::string(type) + " is not supported"};
}

class DefaultRegistry final : public FilterRegistry {
 public:
  Decoded<std::shared_ptr<const FilterFactory>> http_filter(std::string_view name,
                                                            const google::protobuf::Message& config) const override {
    return decode<FilterFactory, DecodeHttpFilter>(http_filters, "HTTP filter", name, config);
  }
  Decoded<std::shared_ptr<const NetworkFilterFactory>> network_filter(
      std::string_view name, const google::protobuf::Message& config) const override {
    return decode<NetworkFilterFactory, DecodeNetworkFilter>(network_filters, "network filter", name, config);
  }
  Decoded<std::shared_ptr<const FilterRouteConfig>> route_config(
      std::string_view name, const google::protobuf::Message& config) const override {
    return decode<FilterRouteConfig, DecodeRouteConfig>(route_configs, "filter config of a route", name, config);
  }
};

}  // namespace

const FilterRegistry& default_filter_registry() {
  static const DefaultRegistry registry;
  return registry;
}

}  // namespace clew
