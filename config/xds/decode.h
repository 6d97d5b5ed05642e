// From xDS messages to snapshot values: each resource alone, accepted whole or refused with a sentence that names
// resource, field and object. Pure: no I/O, no state but what the context interns. Control thread only.
#pragma once

#include "config/snapshot/cluster.h"
#include "config/snapshot/listener.h"
#include "config/snapshot/route.h"
#include "config/snapshot/tls.h"

#include <boost/system/result.hpp>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace envoy::config::cluster::v3 {
class Cluster;
}
namespace envoy::config::endpoint::v3 {
class ClusterLoadAssignment;
}
namespace envoy::config::listener::v3 {
class Listener;
}
namespace envoy::config::route::v3 {
class RouteConfiguration;
}
namespace envoy::extensions::transport_sockets::tls::v3 {
class Secret;
}

namespace clew {

class FilterRegistry;  // config/xds/filter_registry.h

/// Why a resource was refused: «listener virtualInbound: filter_chains[2].filters[0]: type … is not supported
/// (VirtualService a/b)».
struct DecodeError {
  std::string message;
};
[[noreturn]] void throw_exception_from_error(const DecodeError& error, const boost::source_location& where);
template <class T>
using Decoded = boost::system::result<T, DecodeError>;

/// A secret that a TLS context names, and who delivers it.
struct SecretReference {
  std::string name;
  std::string sds_cluster;    // the gRPC cluster to ask (sds-grpc); empty: ADS
  Duration fetch_timeout{0};  // initial_fetch_timeout: then what needs it goes live without; 0: it waits for ever
  friend auto operator<=>(const SecretReference&, const SecretReference&) = default;
};

/// Names of resources that another one needs, with their initial_fetch_timeout as above.
using FetchTimeouts = std::map<std::string, Duration>;

/// Gives each distinct TLS context a slot in Snapshot::tls (config/xds/tls_slots.h).
class TlsInterner {
 public:
  enum class Side : std::uint8_t { server, client };
  virtual ~TlsInterner() = default;
  /// key: the serialized Upstream/DownstreamTlsContext; equal keys give the same pointer. Refused is what no context
  /// can be made of; a secret that has not come yet is no reason.
  virtual Decoded<std::shared_ptr<const TlsParams>> intern(Side side, const std::string& key, TlsParams params) = 0;
};

/// What must be there before a resource is warm.
struct Needs {
  std::set<SecretReference> secrets;
  FetchTimeouts rds_names;
  Duration eds_timeout{0};  // of a cluster of type EDS
  friend bool operator==(const Needs&, const Needs&) = default;
};

/// What decoding needs, and what it finds out on the way. One for each resource.
struct DecodeContext {
  const FilterRegistry& filters;
  TlsInterner& tls;
  bool added_via_api = true;  // false for the bootstrap's static resources

  Needs needs{};  // found
  /// The last retry policy and its bytes: istiod sends the same with every route.
  std::shared_ptr<const RetryPolicy> retry{};
  std::string retry_bytes{};
};

Decoded<std::shared_ptr<const Cluster>> decode_cluster(const envoy::config::cluster::v3::Cluster& message,
                                                       DecodeContext& context);
Decoded<std::shared_ptr<const LoadAssignment>> decode_endpoints(
    const envoy::config::endpoint::v3::ClusterLoadAssignment& message);
/// The same of a serialized ClusterLoadAssignment; endpoints whose bytes were there in old_bytes, which made `old` (or
/// null), are shared with it.
Decoded<std::shared_ptr<const LoadAssignment>> decode_endpoints(const std::string& bytes, const std::string& old_bytes,
                                                                const LoadAssignment* old);
/// previous: the listener being replaced, or null; its chains whose bytes are equal are shared.
Decoded<std::shared_ptr<const Listener>> decode_listener(const envoy::config::listener::v3::Listener& message,
                                                         DecodeContext& context, const Listener* previous);
Decoded<std::shared_ptr<const RouteTable>> decode_route_table(
    const envoy::config::route::v3::RouteConfiguration& message, DecodeContext& context);
Decoded<std::shared_ptr<const Secret>> decode_secret(
    const envoy::extensions::transport_sockets::tls::v3::Secret& message);

}  // namespace clew
