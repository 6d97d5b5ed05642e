// Options of HTTP connections to upstreams.
#pragma once

#include "config/snapshot/cluster.h"
#include "config/xds/decode_tls.h"
#include "config/xds/scope.h"

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/protocol.pb.h"

namespace clew {

/// From typed_extension_protocol_options, or the deprecated fields of the cluster. automatic: what it says of TLS.
UpstreamHttpOptions decode_upstream_http(const envoy::config::cluster::v3::Cluster& message, AutoSni& automatic,
                                         Scope& scope);

/// Whether a header_key_format keeps the case of header names.
bool decode_preserve_case(const envoy::config::core::v3::Http1ProtocolOptions& message, Scope& scope);
/// A stream or connection window, RFC 9113 6.9.
std::uint32_t decode_window(std::uint32_t size, std::string_view field, Scope& scope);

}  // namespace clew
