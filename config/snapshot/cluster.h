// Clusters and their endpoints. envoy.config.cluster.v3.Cluster, envoy.config.endpoint.v3.ClusterLoadAssignment.
#pragma once

#include "config/snapshot/matcher.h"
#include "config/snapshot/priority.h"
#include "config/snapshot/tls.h"
#include "proxy/base/address.h"
#include "proxy/base/clock.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace clew {

struct Locality {
  std::string region, zone, sub_zone;
  friend bool operator==(const Locality&, const Locality&) = default;
};

enum class HealthStatus : std::uint8_t { healthy, unhealthy, draining, timeout, degraded };

/// One endpoint. Text of metadata that data path and telemetry read is picked out at decoding.
struct Endpoint {
  Address address;
  std::vector<Address> additional_addresses;  // happy eyeballs, RFC 8305
  std::string hostname;
  HealthStatus health = HealthStatus::healthy;
  std::uint32_t weight = 1;
  /// filter_metadata["envoy.transport_socket_match"], string values: {tlsMode: istio}.
  std::vector<std::pair<std::string, std::string>> transport_match;
  /// filter_metadata.istio.workload: «NAME;NAMESPACE;CANONICAL;REVISION;CLUSTER».
  std::string workload;
};

/// Shared between versions of an assignment; the same pointer means nothing changed.
using EndpointPtr = std::shared_ptr<const Endpoint>;

struct LocalityEndpoints {
  Locality locality;
  std::uint32_t weight = 0;    // 0: not set
  std::uint32_t priority = 0;  // 0 is the highest
  std::vector<EndpointPtr> endpoints;
};

/// What EDS, or a cluster's own load_assignment, says of one cluster. Shared; the same pointer means nothing changed.
struct LoadAssignment {
  std::vector<LocalityEndpoints> localities;
  std::uint32_t overprovisioning_factor = 140;  // percent
};

struct CircuitBreakerThresholds {
  std::uint32_t max_connections = 1024;
  std::uint32_t max_pending_requests = 1024;
  std::uint32_t max_requests = 1024;
  std::uint32_t max_retries = 3;
  struct RetryBudget {
    double percent = 20;
    std::uint32_t min_concurrency = 3;
  };
  std::optional<RetryBudget> retry_budget;
  bool track_remaining = false;  // tell how much is left, in remaining_*
};

struct OutlierDetection {
  std::uint32_t consecutive_5xx = 5;
  std::uint32_t enforcing_consecutive_5xx = 100;  // percent
  std::uint32_t consecutive_gateway_failure = 5;
  std::uint32_t enforcing_consecutive_gateway_failure = 0;
  std::uint32_t consecutive_local_origin_failure = 5;
  std::uint32_t enforcing_consecutive_local_origin_failure = 100;
  bool split_external_local_origin_errors = false;
  Duration interval = std::chrono::seconds(10);
  Duration base_ejection_time = std::chrono::seconds(30);
  Duration max_ejection_time = std::chrono::seconds(300);
  std::uint32_t max_ejection_percent = 10;
};

struct TcpKeepalive {
  std::optional<std::uint32_t> probes, time_s, interval_s;
};

/// envoy.extensions.upstreams.http.v3.HttpProtocolOptions, or the deprecated fields of the cluster. Absent: HTTP/1.1.
struct UpstreamHttpOptions {
  enum class Protocol : std::uint8_t { http1, http2, downstream } protocol = Protocol::http1;
  bool preserve_header_case = false;
  std::uint32_t max_concurrent_streams = 1024;  // our own bound on what we open on one connection
  std::uint32_t initial_stream_window = 256 * 1024;
  std::uint32_t initial_connection_window = 1024 * 1024;
  std::optional<Duration> idle_timeout;  // nothing: 1 h (Envoy)
  std::optional<Duration> max_connection_duration;
  std::uint32_t max_requests_per_connection = 0;  // 0: no limit
  std::optional<Duration> keepalive_interval, keepalive_timeout;
  bool accept_http_10 = false;
};

/// envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport: the upstream is told whose
/// connection it serves, before anything else.
struct ProxyProtocol {
  enum class Version : std::uint8_t { v1, v2 } version = Version::v1;
  std::string extensions;  // added_tlvs as they go on the wire; of v2 alone
  /// What the two bytes of a v2 header's length leave to the extensions, whatever the addresses.
  static constexpr std::size_t max_extensions = 65535 - 36;
};

/// A transport socket and the endpoint metadata that selects it; an empty match matches every endpoint.
struct TransportSocketMatch {
  std::string name;
  std::vector<std::pair<std::string, std::string>> match;
  std::shared_ptr<const TlsParams> tls;  // null: raw_buffer
  std::optional<ProxyProtocol> proxy_protocol = {};
};

struct Cluster {
  enum class Type : std::uint8_t { static_, strict_dns, logical_dns, eds, original_dst };
  enum class LbPolicy : std::uint8_t { round_robin, least_request, random, ring_hash, maglev, cluster_provided };
  enum class DnsFamily : std::uint8_t { automatic, v4_only, v6_only, v4_preferred, all };

  std::string name;
  std::string alt_stat_name;  // istiod ends it with «;»; empty: name
  Type type = Type::static_;
  std::string eds_service_name;  // for type eds: what to ask EDS for
  LbPolicy lb_policy = LbPolicy::round_robin;
  std::uint32_t least_request_choice_count = 2;
  std::uint64_t ring_min_size = 1024, ring_max_size = 8 * 1024 * 1024, maglev_table_size = 65537;
  double healthy_panic_threshold = 50;  // percent; 0 disables
  bool locality_weighted = false;
  Duration connect_timeout = std::chrono::seconds(5);
  PerPriority<CircuitBreakerThresholds> circuit_breakers;
  std::optional<OutlierDetection> outlier_detection;
  std::optional<TcpKeepalive> tcp_keepalive;
  /// upstream_bind_config.source_address, and extra_source_addresses; the one of the endpoint's family is used.
  std::vector<IpAddress> source_addresses;
  UpstreamHttpOptions http;
  std::vector<TransportSocketMatch> transport_sockets;  // first match wins; none: raw_buffer. A cluster-wide
                                                        // transport_socket is the last with an empty match
  std::shared_ptr<const LoadAssignment>
      inline_endpoints;  // static and DNS clusters (DNS: unresolved names in hostname)
  std::optional<std::uint16_t> original_dst_port_override;
  // DNS
  DnsFamily dns_family = DnsFamily::automatic;
  Duration dns_refresh_rate = std::chrono::seconds(5);
  bool respect_dns_ttl = false;
  /// Istio's metadata.filter_metadata.istio, as telemetry and istio.alpn read it.
  std::string istio_service_host, istio_service_name, istio_service_namespace, istio_config;
  bool alpn_override = true;               // false when istio.alpn_override = "false"
  bool disable_metadata_exchange = false;  // disable_mx
  bool external = false;                   // external: metadata exchange skips it where its config says so
  bool tcp_metadata_exchange = false;      // istio.metadata_exchange is among the upstream filters
  bool added_via_api = false;
};

}  // namespace clew
