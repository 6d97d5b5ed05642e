// Istio's TCP metadata exchange: where the handshake chose istio-peer-exchange, each side sends who it is ahead of its
// bytes. A peer that does not is taken for one without metadata, and its bytes pass.
#pragma once

#include "filters/peer_metadata.h"
#include "proxy/net/network_filter.h"
#include "proxy/net/transport.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace clew {

/// What the peer said, once, before its first byte is delivered. Not called when it said nothing.
using OnPeerMetadata = std::function<void(std::shared_ptr<const PeerWorkload>)>;

/// The listener's side. protocol: the ALPN name that asks for the exchange.
std::shared_ptr<const NetworkFilterFactory> make_tcp_metadata_exchange(std::string protocol, const PeerMetadata& self);

/// The cluster's side (Cluster::tcp_metadata_exchange): the same transport when the handshake chose something else.
std::unique_ptr<Transport> wrap_upstream_metadata_exchange(std::unique_ptr<Transport> upstream, OnPeerMetadata on_peer);

/// hello: peer_exchange_hello() of ours, sent ahead of everything.
std::unique_ptr<Transport> make_peer_exchange_transport(std::unique_ptr<Transport> inner, std::string_view hello,
                                                        OnPeerMetadata on_peer);

}  // namespace clew
