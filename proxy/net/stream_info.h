// The record of one stream (an HTTP request, or a TCP connection): filled along the way, read once at its end by access
// logs, metrics and traces.
#pragma once

#include "proxy/base/address.h"
#include "proxy/base/clock.h"
#include "proxy/base/recycled.h"

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace clew {

struct ConnectionInfo;
struct Cluster;
struct Endpoint;
struct PeerWorkload;
struct Route;
struct TlsInfo;
struct VirtualHost;

/// envoy.data.accesslog.v3.ResponseFlags; a stream may have several.
enum class ResponseFlag : std::uint8_t {
  failed_local_health_check,
  no_healthy_upstream,
  upstream_request_timeout,
  local_reset,
  upstream_remote_reset,
  upstream_connection_failure,
  upstream_connection_termination,
  upstream_overflow,
  no_route_found,
  delay_injected,
  fault_injected,
  rate_limited,
  unauthorized_external_service,
  rate_limit_service_error,
  downstream_connection_termination,
  upstream_retry_limit_exceeded,
  stream_idle_timeout,
  invalid_envoy_request_headers,
  downstream_protocol_error,
  upstream_max_stream_duration_reached,
  response_from_cache_filter,
  no_filter_config_found,
  duration_timeout,
  upstream_protocol_error,
  no_cluster_found,
  overload_manager,
  dns_resolution_failed,
  drop_overload,
  downstream_remote_reset,
  unconditional_drop_overload,
};
/// «UH», «NR», …
std::string_view short_name(ResponseFlag flag);
/// «NoHealthyUpstream», …
std::string_view long_name(ResponseFlag flag);

class ResponseFlags {
 public:
  void set(ResponseFlag flag) {
    if (has(flag)) return;
    bits_ |= 1u << static_cast<std::uint32_t>(flag);
    if (count_ < order_.size()) order_[count_++] = flag;
  }
  bool has(ResponseFlag flag) const { return (bits_ >> static_cast<std::uint32_t>(flag)) & 1u; }
  bool empty() const { return bits_ == 0; }
  /// «URX,UF» in the order in which they were set, as Envoy prints them; or «-».
  void append_to(std::string& out, bool long_names = false) const;
  std::string to_string() const;
  std::string to_long_string() const;

 private:
  std::uint32_t bits_ = 0;
  std::array<ResponseFlag, 7> order_{};  // no path sets more than five
  std::uint8_t count_ = 0;
};

struct StreamInfo : Recycled {
  const ConnectionInfo* connection = nullptr;
  WallTime start_wall{};
  TimePoint start{};
  // instants relative to start; nothing: not reached
  std::optional<Duration> request_complete, upstream_first_byte_sent, upstream_last_byte_sent,
      upstream_first_byte_received, upstream_last_byte_received, response_first_byte_sent, complete;

  std::string_view protocol;        // «HTTP/1.1», «HTTP/2», «HTTP/1.0»; empty for TCP
  std::uint32_t response_code = 0;  // 0: none was sent
  ResponseFlags flags;
  std::string response_code_details;  // «via_upstream», …
  std::string connection_termination_details;
  std::string upstream_transport_failure_reason;
  std::uint64_t bytes_received = 0;                                    // body bytes (TCP: all bytes) from downstream
  std::uint64_t bytes_sent = 0;                                        // body bytes to downstream
  std::uint64_t upstream_bytes_sent = 0, upstream_bytes_received = 0;  // on the wire, when known

  std::string route_name, virtual_host_name;  // route_name empty: «-»
  std::shared_ptr<const Cluster> cluster;     // the last one chosen
  std::string upstream_cluster;               // name, also when absent from the snapshot
  std::optional<Address> upstream_remote, upstream_local;
  std::shared_ptr<const Endpoint> upstream_endpoint;  // the last one
  std::string_view upstream_protocol;
  std::uint64_t upstream_connection_id = 0;     // 0: none
  std::shared_ptr<const TlsInfo> upstream_tls;  // null: plain text
  std::uint32_t attempts = 0;
  std::string request_id, trace_id;
  // by istio.metadata_exchange; null: none. TCP's downstream one is the connection's (ConnectionInfo::exchanged_peer).
  std::shared_ptr<const PeerWorkload> downstream_peer, upstream_peer;
};

/// The record of a connection as a whole, made when there is something to say: HTTP has one for each stream, and most
/// of its connections are idle.
class ConnectionRecord {
 public:
  explicit ConnectionRecord(const ConnectionInfo& connection) : connection_(connection) {}
  StreamInfo& get();

 private:
  const ConnectionInfo& connection_;
  std::unique_ptr<StreamInfo> info_;
};

}  // namespace clew
