// Who we are, in the form that Istio's proxies tell each other: the parts of the node's metadata that telemetry uses,
// as a google.protobuf.Struct serialised in one way only. Sent in HTTP headers (http/metadata_exchange) and ahead of
// the bytes of TCP connections (network/metadata_exchange).
#pragma once

#include "proxy/net/peer_workload.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace clew {

struct PeerMetadata {
  std::string id;        // node id: «sidecar~10.0.0.1~pod.ns~ns.svc.cluster.local»
  std::string metadata;  // serialised Struct; empty: none
};

/// The bootstrap's node, a serialised envoy.config.core.v3.Node. Call it once, before anything is decoded or connected;
/// until then the local peer is empty.
void set_local_node(std::string_view serialized_node);
/// additional_labels: pod labels to tell beyond app, version and the canonical service's. with_locality: region and
/// zone too, which HTTP tells and TCP does not, as in Istio's filters.
PeerMetadata local_peer(const std::vector<std::string>& additional_labels = {}, bool with_locality = false);

/// Null: no Struct, or one with control characters, which would be written into logs.
std::shared_ptr<const PeerWorkload> parse_peer(std::string_view serialized_struct);
/// The same in base64, a header's value. A proxy says the same with each request: this thread remembers the last peers.
std::shared_ptr<const PeerWorkload> peer_of_header(std::string_view value);

// The TCP exchange: magic and length, big-endian 32 bits each, then an Any of a Struct with both values.
inline constexpr std::string_view peer_exchange_alpn = "istio-peer-exchange";
inline constexpr unsigned char peer_exchange_magic[4] = {0x3d, 0x23, 0x04, 0x67};
inline constexpr std::size_t peer_exchange_head = 8;

/// Magic, length and message.
std::string peer_exchange_hello(const PeerMetadata& self);
/// The message after the head; null when it is none.
std::shared_ptr<const PeerWorkload> parse_peer_exchange(std::string_view message);

}  // namespace clew
