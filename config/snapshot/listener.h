// Listeners, filter chains and what stands at their ends. envoy.config.listener.v3, HttpConnectionManager, TcpProxy.
#pragma once

#include "config/snapshot/access_log.h"
#include "config/snapshot/route.h"
#include "config/snapshot/tls.h"
#include "proxy/base/address.h"
#include "proxy/base/clock.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace clew {

class FilterFactory;         // proxy/http/filter.h: an HTTP filter with its config, makes one instance a stream
class NetworkFilterFactory;  // proxy/net/network_filter.h: the same for connections

/// envoy.config.core.v3.TrafficDirection
enum class TrafficDirection : std::uint8_t { unspecified, inbound, outbound };

/// HttpConnectionManager, without its route table when that comes by RDS.
struct HttpConnectionManager {
  std::string stat_prefix;
  enum class Codec : std::uint8_t { automatic, http1, http2 } codec = Codec::automatic;
  std::shared_ptr<const RouteTable> inline_routes;
  std::string rds_name;  // when inline_routes is null
  std::vector<std::shared_ptr<const FilterFactory>>
      filters;  // in request order; the router is the chain's end, not one of them

  std::string server_name = "envoy";
  enum class ServerHeader : std::uint8_t {
    overwrite,
    append_if_absent,
    pass_through
  } server_header = ServerHeader::overwrite;
  bool use_remote_address = false;
  bool skip_xff_append = false;
  std::uint32_t xff_num_trusted_hops = 0;
  std::vector<Cidr> internal_cidrs;  // empty: nobody is internal (Envoy since 1.36)
  bool generate_request_id = true;
  bool preserve_external_request_id = false;
  bool always_set_request_id_in_response = false;
  enum class ForwardClientCert : std::uint8_t {
    sanitize,
    forward_only,
    append_forward,
    sanitize_set,
    always_forward_only
  };
  ForwardClientCert forward_client_cert = ForwardClientCert::sanitize;
  struct {
    bool subject = false, cert = false, chain = false, dns = false, uri = false;
  } client_cert_details;
  bool normalize_path = false;
  bool merge_slashes = false;
  bool reject_path_with_fragment = true;  // false: the fragment is cut
  enum class EscapedSlashes : std::uint8_t { keep_unchanged, reject, unescape_and_redirect, unescape_and_forward };
  EscapedSlashes escaped_slashes = EscapedSlashes::keep_unchanged;
  enum class StripPort : std::uint8_t { none, matching, any } strip_port = StripPort::none;
  bool strip_trailing_host_dot = false;
  std::vector<std::string> upgrades;  // lower case: «websocket»
  bool proxy_100_continue = false;
  bool append_x_forwarded_port = false;
  std::string via;
  bool suppress_envoy_headers = false;  // Router.suppress_envoy_headers

  std::optional<Duration> idle_timeout;  // nothing: 1 h; 0: none
  std::optional<Duration> max_connection_duration;
  std::optional<Duration> max_stream_duration;
  Duration stream_idle_timeout = std::chrono::minutes(5);  // 0: none
  Duration request_timeout{0};
  Duration request_headers_timeout{0};
  Duration drain_timeout = std::chrono::seconds(5);
  std::uint32_t max_requests_per_connection = 0;
  std::uint32_t max_headers_kb = 60;
  std::uint32_t max_headers_count = 100;
  enum class Underscores : std::uint8_t {
    allow,
    reject_request,
    drop_header
  } headers_with_underscores = Underscores::allow;

  // HTTP/1
  bool accept_http_10 = false;
  std::string default_host_for_http_10;
  bool preserve_header_case = false;
  bool allow_absolute_url = true;
  // HTTP/2
  std::uint32_t max_concurrent_streams = 1024;
  std::uint32_t initial_stream_window = 256 * 1024;
  std::uint32_t initial_connection_window = 1024 * 1024;

  AccessLogs access_logs;
  /// tracing is configured: sampling decides the trace bits of x-request-id (Istio emits it without a provider too).
  struct Tracing {
    double client_sampling = 100, random_sampling = 100, overall_sampling = 100;  // percent
  };
  std::optional<Tracing> tracing;
};

struct TcpProxy {
  std::string stat_prefix;
  struct Target {
    std::string cluster;
    std::uint32_t weight = 1;
  };
  std::vector<Target> clusters;
  std::optional<Duration> idle_timeout;  // nothing: 1 h; 0: none
  std::optional<Duration> max_connection_duration;
  bool hash_source_ip = false;
  std::uint32_t max_connect_attempts = 1;
  AccessLogs access_logs;
};

struct FilterChainMatch {
  std::optional<std::uint16_t> destination_port;
  std::vector<Cidr> prefix_ranges;
  std::vector<std::string> server_names;  // lower case, «*.x» for wildcards
  std::string transport_protocol;         // «tls», «raw_buffer» or empty
  std::vector<std::string> application_protocols;
  std::vector<Cidr> source_prefix_ranges;
  std::vector<std::uint16_t> source_ports;
};

struct FilterChain {
  std::string name;
  FilterChainMatch match;
  std::shared_ptr<const TlsParams> tls;                                      // null: raw_buffer
  Duration transport_socket_connect_timeout{0};                              // 0: none
  std::vector<std::shared_ptr<const NetworkFilterFactory>> network_filters;  // before the end of the chain, in order
  std::variant<std::shared_ptr<const HttpConnectionManager>, std::shared_ptr<const TcpProxy>> terminal;
  std::array<std::uint64_t, 2>
      content{};  // hash of the message it was made of: equal chains of an update are recognised by it
};

/// envoy.config.listener.v3.ListenerFilterChainMatchPredicate on the restored destination port.
struct PortPredicate {
  struct Range {
    std::uint32_t begin, end;  // [begin, end)
  };
  struct Any {};
  struct Or {
    std::vector<PortPredicate> rules;
  };
  struct And {
    std::vector<PortPredicate> rules;
  };
  struct Not {
    std::shared_ptr<const PortPredicate> rule;
  };
  std::variant<Any, Range, Or, And, Not> rule;
  bool matches(std::uint16_t port) const;
};

struct ListenerFilter {
  enum class Kind : std::uint8_t {
    original_dst,
    original_src,
    tls_inspector,
    http_inspector,
    proxy_protocol
  } kind = Kind::original_dst;
  std::optional<PortPredicate> disabled;
  bool proxy_protocol_optional = false;  // allow_requests_without_proxy_protocol
  std::uint32_t mark = 0;                // original_src
};

struct Listener {
  std::string name;
  Address address;
  std::vector<Address> additional_addresses;
  std::vector<std::shared_ptr<const FilterChain>> chains;  // equal chains are the same pointer across updates
  std::shared_ptr<const FilterChain> default_chain;        // may be null
  std::vector<ListenerFilter> listener_filters;
  Duration listener_filters_timeout = std::chrono::seconds(15);  // 0: none
  bool continue_on_listener_filters_timeout = false;
  bool bind_to_port = true;
  bool use_original_dst = false;
  bool transparent = false;
  bool ignore_global_connection_limit = false;
  TrafficDirection direction = TrafficDirection::unspecified;
  std::uint32_t connection_buffer_limit = 1024 * 1024;
  AccessLogs access_logs;  // connections that found no chain, mostly
  std::string istio_config;
  bool added_via_api = false;
};

}  // namespace clew
