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
    upstream_host_name_without_port,
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
    downstream_local_address,
    downstream_local_address_without_port,
    downstream_local_port,
    downstream_remote_address,
    downstream_remote_address_without_port,
    downstream_remote_port,
    downstream_direct_remote_address,
    downstream_direct_remote_address_without_port,
    downstream_direct_remote_port,
    tls_version,  // these of `side`
    tls_cipher,
    tls_group,
    tls_session_id,
    certificate,
    downstream_transport_failure_reason,
    request_headers_bytes,
    response_headers_bytes,
    response_trailers_bytes,
    requested_server_name,
    connection_id,
    stream_id,
    trace_id,
    nothing,     // what no connection or request here has
    empty_text,  // the same where Envoy prints no dash
    zero,
    grpc_status,
    grpc_status_number,
    hostname,
    environment,
    dynamic_metadata,
    filter_state,
    upstream_filter_state,
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
  enum class Side : std::uint8_t { downstream, upstream };
  /// What of a certificate.
  struct Certificate {
    enum class Part : std::uint8_t {
      uri_sans,
      dns_sans,
      ip_sans,
      email_sans,
      subject,
      issuer,
      serial,
      sha256,
      sha1,
      chain_serials,
      chain_sha256,
      chain_sha1,
      pem,  // URL-encoded
      valid_from,
      valid_until
    };
    Part part = Part::uri_sans;
    bool local = false;  // ours; else the peer's
  };
  Op op = Op::literal;
  Side side = Side::downstream;
  Certificate certificate;
  /// Literal text; header name (lower case); time format (never empty); query parameter; metadata namespace, filter
  /// state key; environment value; PATH: «wq» or «nq»; RESPONSE_CODE_DETAILS: not empty when white space stays.
  std::string text;
  std::string alternative;  // REQ(A?B): header used when the first is absent; PATH: «orig», «path», «orig_or_path»
  std::vector<std::string> path;          // metadata path; filter state: «PLAIN», «TYPED» or «FIELD» and its name
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
