// What stands at the end of a filter chain: HTTP connection manager or TCP proxy.
#pragma once

#include "config/snapshot/listener.h"
#include "config/xds/decode.h"
#include "config/xds/scope.h"

namespace envoy::extensions::filters::network::http_connection_manager::v3 {
class HttpConnectionManager;
}
namespace envoy::extensions::filters::network::tcp_proxy::v3 {
class TcpProxy;
}

namespace clew {

std::shared_ptr<const HttpConnectionManager> decode_http_connection_manager(
    const envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager& message,
    DecodeContext& context, Scope& scope);

std::shared_ptr<const TcpProxy> decode_tcp_proxy(
    const envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy& message, Scope& scope);

}  // namespace clew
