// What is known of a connection once it is accepted and, where asked for, authenticated. Filled by the listener, read
// by filters, policies, logs and metrics. Owned by the connection's coroutine.
#pragma once

#include "config/snapshot/listener.h"
#include "proxy/base/address.h"
#include "proxy/base/clock.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace clew {

struct PeerWorkload;

/// A certificate's names as XFCC, RBAC, logs and metrics read them. Shared by the connections of a peer where cached.
struct CertificateInfo {
  std::vector<std::string> uri_sans, dns_sans, ip_sans, email_sans;
  std::string subject, issuer;  // RFC 2253, as Envoy prints them
  std::string serial;           // hex
  std::string sha256, sha1;     // hex, lower case
  /// Of a peer: the same of all that it sent, itself first.
  std::vector<std::string> chain_serials, chain_sha256, chain_sha1;
  std::string pem_urlencoded, chain_urlencoded;
  WallTime valid_from{}, valid_until{};
};

/// What a handshake agreed upon. Whoever needs it for longer than the transport shares it.
struct TlsInfo : std::enable_shared_from_this<TlsInfo> {
  std::string version;  // «TLSv1.3»
  std::string cipher;   // Envoy's name
  std::string alpn;     // negotiated; empty: none
  std::string sni;
  std::string group;  // of the key agreement, «X25519»; empty: there was none
  std::string session_id;
  bool resumed = false;
  std::shared_ptr<const CertificateInfo> peer;  // null: the peer sent none
  std::shared_ptr<const CertificateInfo> local;
};

/// original_src: upstream sockets have the client's own address as their source (IP_TRANSPARENT, needs NET_ADMIN).
struct OriginalSource {
  IpAddress address;
  std::uint32_t mark = 0;  // SO_MARK; 0: none
  friend bool operator==(const OriginalSource&, const OriginalSource&) = default;
};

struct ConnectionInfo {
  std::uint64_t id = 0;
  Address remote;         // the peer, after PROXY protocol
  Address direct_remote;  // the socket's peer
  Address local;          // the address the client dialled (original destination when restored)
  bool local_restored = false;
  std::optional<OriginalSource> original_source;       // nothing: upstream sockets take their own
  std::string server_name;                             // SNI that was sniffed or negotiated
  std::vector<std::string> offered_alpn;               // by the client's hello, or «http/1.1» / «h2c» by http_inspector
  std::string_view transport_protocol = "raw_buffer";  // «tls» when a ClientHello was seen
  std::shared_ptr<const Listener> listener;
  std::shared_ptr<const FilterChain> chain;
  /// The routes that the chain had when its listener went: its last requests find their way when nobody refers to the
  /// table any more. Null before.
  std::shared_ptr<const RouteTable> last_routes;
  const TlsInfo* tls = nullptr;  // of the downstream transport; null: plain text
  TimePoint start{};
  WallTime start_wall{};
  Duration handshake_time{0};
  std::string transport_failure_reason;  // why the TLS handshake failed; for %DOWNSTREAM_TRANSPORT_FAILURE_REASON%
  std::shared_ptr<const PeerWorkload> exchanged_peer;  // by istio-peer-exchange; null: it said nothing
};

}  // namespace clew
