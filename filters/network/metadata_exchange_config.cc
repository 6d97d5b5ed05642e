#include "filters/decoders.h"
#include "filters/network/metadata_exchange.h"

#include "contrib/envoy/extensions/filters/network/metadata_exchange/v3/metadata_exchange.pb.h"

namespace clew {

Decoded<std::shared_ptr<const NetworkFilterFactory>> decode_tcp_metadata_exchange(
    std::string_view, const google::protobuf::Message& message) {
  const auto& config = dynamic_cast<const envoy::tcp::metadataexchange::config::MetadataExchange&>(message);
  if (config.protocol().empty()) return DecodeError{"protocol: empty"};
  return make_tcp_metadata_exchange(config.protocol(),
                                    local_peer({config.additional_labels().begin(), config.additional_labels().end()}));
}

}  // namespace clew
