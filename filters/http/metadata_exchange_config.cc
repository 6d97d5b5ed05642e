#include "filters/decoders.h"
#include "filters/http/metadata_exchange.h"

#include "contrib/envoy/extensions/filters/http/peer_metadata/v3/peer_metadata.pb.h"

namespace clew {

Decoded<std::shared_ptr<const FilterFactory>> decode_metadata_exchange(std::string_view name,
                                                                       const google::protobuf::Message& message) {
  const auto& config = dynamic_cast<const io::istio::http::peer_metadata::Config&>(message);
  MetadataExchangeOptions out;
  // Other methods have their rows in the field table: harmless ones are passed over, the rest never comes here.
  for (const auto& method : config.downstream_discovery()) out.discover_downstream |= method.has_istio_headers();
  for (const auto& method : config.upstream_discovery()) out.discover_upstream |= method.has_istio_headers();
  for (const auto& method : config.downstream_propagation()) {
    out.propagate_downstream |= method.has_istio_headers();
    out.skip_external_downstream |= method.istio_headers().skip_external_clusters();
  }
  for (const auto& method : config.upstream_propagation()) {
    out.propagate_upstream |= method.has_istio_headers();
    out.skip_external_upstream |= method.istio_headers().skip_external_clusters();
  }
  return make_metadata_exchange(
      name, out, local_peer({config.additional_labels().begin(), config.additional_labels().end()}, true));
}

}  // namespace clew
