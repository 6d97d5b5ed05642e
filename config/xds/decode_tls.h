// TLS contexts of listeners and clusters, and secrets.
#pragma once

#include "config/xds/decode.h"
#include "config/xds/scope.h"

#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/core/v3/config_source.pb.h"

namespace clew {

/// A downstream transport socket. Null: plain text (raw_buffer).
std::shared_ptr<const TlsParams> decode_server_socket(const envoy::config::core::v3::TransportSocket& message,
                                                      DecodeContext& context, Scope& scope);

/// What a cluster's HttpProtocolOptions say of its TLS.
struct AutoSni {
  bool sni = false, san_validation = false;
};
/// An upstream transport socket. Null: plain text (raw_buffer).
std::shared_ptr<const TlsParams> decode_client_socket(const envoy::config::core::v3::TransportSocket& message,
                                                      AutoSni automatic, DecodeContext& context, Scope& scope);

/// A cluster's transport socket: TLS or none, with a PROXY header before it where it asks for one.
TransportSocketMatch decode_upstream_socket(const envoy::config::core::v3::TransportSocket& message, AutoSni automatic,
                                            DecodeContext& context, Scope& scope);

/// Where a resource comes from must be the ADS stream.
void require_ads(const envoy::config::core::v3::ConfigSource& source, Scope& scope);
/// initial_fetch_timeout; 0: for ever.
Duration decode_fetch_timeout(const envoy::config::core::v3::ConfigSource& source, Scope& scope);

}  // namespace clew
