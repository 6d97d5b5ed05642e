// One function for each filter that has a config of its own: from the message to what makes filters. Named here for the
// table in registry.cc; each lives in the filter's *_config.cc.
#pragma once

#include "config/xds/decode.h"

namespace google::protobuf {
class Message;
}

namespace clew {

using DecodeHttpFilter = Decoded<std::shared_ptr<const FilterFactory>>(std::string_view name,
                                                                       const google::protobuf::Message& config);
using DecodeNetworkFilter = Decoded<std::shared_ptr<const NetworkFilterFactory>>(
    std::string_view name, const google::protobuf::Message& config);
using DecodeRouteConfig = Decoded<std::shared_ptr<const FilterRouteConfig>>(std::string_view name,
                                                                            const google::protobuf::Message& config);

DecodeHttpFilter decode_metadata_exchange, decode_alpn, decode_fault, decode_cors;
DecodeNetworkFilter decode_tcp_metadata_exchange;
DecodeRouteConfig decode_fault_policy, decode_cors_policy;

/// The full name of a message's type.
std::string_view message_name(const google::protobuf::Message& message);

}  // namespace clew
