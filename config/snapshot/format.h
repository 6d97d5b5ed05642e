// Envoy's command operators («%REQ(:METHOD)%»), parsed once into a flat list; proxy/telemetry/formatter.h evaluates it.
// Used by access logs and by header values of routes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace clew {

/// One operator or a literal.
struct FormatItem {
  enum class Op : std::uint8_t {
    literal,
    start_time,
    emit_time,
    duration,
    request_duration,
    request_tx_duration,
    response_duration,
    response_tx_duration,
    downstream_handshake_duration,
    common_duration,
    bytes_received,
    bytes_sent,
    upstream_wire_bytes_received,
    upstream_wire_bytes_sent,
    upstream_header_bytes_received,
    upstream_header_bytes_sent,
    downstream_wire_bytes_received,
    downstream_wire_bytes_sent,
    downstream_header_bytes_received,
    downstream_header_bytes_sent,
    protocol,
    upstream_protocol,
    response_code,
    response_code_details,
    connection_termination_details,
    response_flags,
    response_flags_long,
    request_header,
    response_header,
    response_trailer,
    request_header_without_query,
    path,
    query_params,
    route_name,
    virtual_host_name,
    upstream_host,
    upstream_host_name,
    upstream_cluster,
    upstream_cluster_raw,
    upstream_local_address,
    upstream_local_address_without_port,
    upstream_local_port,
    upstream_remote_address,
    upstream_remote_address_without_port,
    upstream_remote_port,
    upstream_transport_failure_reason,
    upstream_request_attempt_count,
    upstream_connection_id,
    upstream_tls_version,
    upstream_tls_cipher,
    upstream_peer_subject,
    upstream_peer_issuer,
    upstream_peer_uri_san,
    upstream_local_uri_san,
    downstream_local_address,
    downstream_local_address_without_port,
    downstream_local_port,
    downstream_remote_address,
    downstream_remote_address_without_port,
    downstream_remote_port,
    downstream_direct_remote_address,
    downstream_direct_remote_address_without_port,
    downstream_direct_remote_port,
    downstream_tls_version,
    downstream_tls_cipher,
    downstream_peer_uri_san,
    downstream_peer_dns_san,
    downstream_local_uri_san,
    downstream_peer_subject,
    downstream_local_subject,
    downstream_peer_issuer,
    downstream_peer_serial,
    downstream_peer_fingerprint_256,
    downstream_peer_cert_v_start,
    downstream_peer_cert_v_end,
    downstream_tls_session_id,
    downstream_transport_failure_reason,
    requested_server_name,
    connection_id,
    stream_id,
    trace_id,
    grpc_status,
    grpc_status_number,
    hostname,
    environment,
    dynamic_metadata,
    cluster_metadata,
    route_metadata,
    filter_state,
    filter_chain_name,
    access_log_type,
    unique_id
  };
  /// What COMMON_DURATION measures between.
  enum class Instant : std::uint8_t {
    request_first_byte,
    request_last_byte,
    upstream_first_byte_sent,
    upstream_last_byte_sent,
    upstream_first_byte_received,
    upstream_last_byte_received,
    response_first_byte,
    response_last_byte
  };
  Op op = Op::literal;
  /// Literal text; header name (lower case); time format (never empty); query parameter; metadata namespace, filter
  /// state key; environment value; PATH: «wq» or «nq»; RESPONSE_CODE_DETAILS: not empty when white space stays.
  std::string text;
  std::string alternative;  // REQ(A?B): header used when the first is absent; PATH: «orig», «path», «orig_or_path»
  std::vector<std::string> path;          // metadata path
  std::optional<std::size_t> max_length;  // «:Z» truncation
  Instant from = Instant::request_first_byte, to = Instant::response_last_byte;
  std::uint32_t unit_ns = 1'000'000;  // of COMMON_DURATION
};

using TextFormat = std::vector<FormatItem>;

/// Parses a format string. On failure the second member says what is wrong, naming the operator.
/// «%%» is a percent sign. Operators that clew does not know are an error, so that they are refused by name.
struct ParsedFormat {
  TextFormat items;
  std::string error;  // empty: fine
};
ParsedFormat parse_format(std::string_view text);

/// A JSON log line: an ordered tree whose leaves are formats. Keys are sorted as Envoy sorts them.
struct JsonFormat {
  struct Member;
  struct Node;
  using Object = std::vector<Member>;
  struct Node {
    std::variant<TextFormat, Object, std::vector<Node>, double, bool, std::nullptr_t> value;
  };
  struct Member {
    std::string key;
    Node node;
  };
  Object root;
  bool omit_empty_values = false;
};

}  // namespace clew
