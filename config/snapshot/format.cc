#include "config/snapshot/format.h"

#include "proxy/base/strings.h"

#include <algorithm>
#include <cstdlib>
#include <unordered_map>

namespace clew {

namespace {

using Op = FormatItem::Op;
using Instant = FormatItem::Instant;

/// What may follow an operator's name. metadata: «ns:key:key»; headers: «A?B».
enum class Parameter : std::uint8_t {
  none,
  details,
  time,
  headers,
  header,
  metadata,
  state,
  instants,
  environment,
  path,
  query,
  grpc_status
};

struct Operator {
  Op op;
  Parameter parameter = Parameter::none;
  FormatItem::Side side = FormatItem::Side::downstream;
  FormatItem::Certificate certificate{};
};

constexpr auto downstream = FormatItem::Side::downstream, upstream = FormatItem::Side::upstream;
using Part = FormatItem::Certificate::Part;

constexpr Operator of_peer(FormatItem::Side side, Part part) {
  const bool date = part == Part::valid_from || part == Part::valid_until;
  return {Op::certificate, date ? Parameter::time : Parameter::none, side, {part, false}};
}
constexpr Operator of_ours(FormatItem::Side side, Part part) {
  return {Op::certificate, Parameter::none, side, {part, true}};
}

const std::unordered_map<std::string_view, Operator>& operators() {
  static const std::unordered_map<std::string_view, Operator> table{
      {"START_TIME", {Op::start_time, Parameter::time}},
      {"EMIT_TIME", {Op::emit_time, Parameter::time}},
      {"DURATION", {Op::duration}},
      {"REQUEST_DURATION", {Op::request_duration}},
      {"REQUEST_TX_DURATION", {Op::request_tx_duration}},
      {"RESPONSE_DURATION", {Op::response_duration}},
      {"RESPONSE_TX_DURATION", {Op::response_tx_duration}},
      {"DOWNSTREAM_HANDSHAKE_DURATION", {Op::downstream_handshake_duration}},
      {"COMMON_DURATION", {Op::common_duration, Parameter::instants}},
      {"BYTES_RECEIVED", {Op::bytes_received}},
      {"BYTES_SENT", {Op::bytes_sent}},
      {"UPSTREAM_WIRE_BYTES_RECEIVED", {Op::upstream_wire_bytes_received}},
      {"UPSTREAM_WIRE_BYTES_SENT", {Op::upstream_wire_bytes_sent}},
      {"UPSTREAM_HEADER_BYTES_RECEIVED", {Op::upstream_header_bytes_received}},
      {"UPSTREAM_HEADER_BYTES_SENT", {Op::upstream_header_bytes_sent}},
      {"DOWNSTREAM_WIRE_BYTES_RECEIVED", {Op::downstream_wire_bytes_received}},
      {"DOWNSTREAM_WIRE_BYTES_SENT", {Op::downstream_wire_bytes_sent}},
      {"DOWNSTREAM_HEADER_BYTES_RECEIVED", {Op::downstream_header_bytes_received}},
      {"DOWNSTREAM_HEADER_BYTES_SENT", {Op::downstream_header_bytes_sent}},
      {"PROTOCOL", {Op::protocol}},
      {"UPSTREAM_PROTOCOL", {Op::upstream_protocol}},
      {"RESPONSE_CODE", {Op::response_code}},
      {"RESPONSE_CODE_DETAILS", {Op::response_code_details, Parameter::details}},
      {"CONNECTION_TERMINATION_DETAILS", {Op::connection_termination_details}},
      {"RESPONSE_FLAGS", {Op::response_flags}},
      {"RESPONSE_FLAGS_LONG", {Op::response_flags_long}},
      {"REQ", {Op::request_header, Parameter::headers}},
      {"RESP", {Op::response_header, Parameter::headers}},
      {"TRAILER", {Op::response_trailer, Parameter::headers}},
      {"REQ_WITHOUT_QUERY", {Op::request_header_without_query, Parameter::headers}},
      {"PATH", {Op::path, Parameter::path}},
      {"QUERY_PARAM", {Op::query_params, Parameter::query}},
      {"ROUTE_NAME", {Op::route_name}},
      {"VIRTUAL_HOST_NAME", {Op::virtual_host_name}},
      {"UPSTREAM_HOST", {Op::upstream_host}},
      {"UPSTREAM_HOST_NAME", {Op::upstream_host_name}},
      {"UPSTREAM_HOST_NAME_WITHOUT_PORT", {Op::upstream_host_name_without_port}},
      {"UPSTREAM_CLUSTER", {Op::upstream_cluster}},
      {"UPSTREAM_CLUSTER_RAW", {Op::upstream_cluster_raw}},
      {"UPSTREAM_LOCAL_ADDRESS", {Op::upstream_local_address}},
      {"UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", {Op::upstream_local_address_without_port}},
      {"UPSTREAM_LOCAL_PORT", {Op::upstream_local_port}},
      {"UPSTREAM_REMOTE_ADDRESS", {Op::upstream_remote_address}},
      {"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", {Op::upstream_remote_address_without_port}},
      {"UPSTREAM_REMOTE_PORT", {Op::upstream_remote_port}},
      {"UPSTREAM_TRANSPORT_FAILURE_REASON", {Op::upstream_transport_failure_reason}},
      {"UPSTREAM_REQUEST_ATTEMPT_COUNT", {Op::upstream_request_attempt_count}},
      {"UPSTREAM_CONNECTION_ID", {Op::upstream_connection_id}},
      {"DOWNSTREAM_LOCAL_ADDRESS", {Op::downstream_local_address}},
      {"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", {Op::downstream_local_address_without_port}},
      {"DOWNSTREAM_LOCAL_PORT", {Op::downstream_local_port}},
      {"DOWNSTREAM_REMOTE_ADDRESS", {Op::downstream_remote_address}},
      {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", {Op::downstream_remote_address_without_port}},
      {"DOWNSTREAM_REMOTE_PORT", {Op::downstream_remote_port}},
      {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS", {Op::downstream_direct_remote_address}},
      {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", {Op::downstream_direct_remote_address_without_port}},
      {"DOWNSTREAM_DIRECT_REMOTE_PORT", {Op::downstream_direct_remote_port}},
      {"DOWNSTREAM_TLS_VERSION", {Op::tls_version}},
      {"DOWNSTREAM_TLS_CIPHER", {Op::tls_cipher}},
      {"DOWNSTREAM_TLS_GROUP", {Op::tls_group}},
      {"DOWNSTREAM_TLS_SESSION_ID", {Op::tls_session_id}},
      {"DOWNSTREAM_PEER_URI_SAN", of_peer(downstream, Part::uri_sans)},
      {"DOWNSTREAM_PEER_DNS_SAN", of_peer(downstream, Part::dns_sans)},
      {"DOWNSTREAM_PEER_IP_SAN", of_peer(downstream, Part::ip_sans)},
      {"DOWNSTREAM_PEER_EMAIL_SAN", of_peer(downstream, Part::email_sans)},
      {"DOWNSTREAM_PEER_SUBJECT", of_peer(downstream, Part::subject)},
      {"DOWNSTREAM_PEER_ISSUER", of_peer(downstream, Part::issuer)},
      {"DOWNSTREAM_PEER_SERIAL", of_peer(downstream, Part::serial)},
      {"DOWNSTREAM_PEER_FINGERPRINT_256", of_peer(downstream, Part::sha256)},
      {"DOWNSTREAM_PEER_FINGERPRINT_1", of_peer(downstream, Part::sha1)},
      {"DOWNSTREAM_PEER_CHAIN_SERIALS", of_peer(downstream, Part::chain_serials)},
      {"DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256", of_peer(downstream, Part::chain_sha256)},
      {"DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1", of_peer(downstream, Part::chain_sha1)},
      {"DOWNSTREAM_PEER_CERT", of_peer(downstream, Part::pem)},
      {"DOWNSTREAM_PEER_CERT_V_START", of_peer(downstream, Part::valid_from)},
      {"DOWNSTREAM_PEER_CERT_V_END", of_peer(downstream, Part::valid_until)},
      {"DOWNSTREAM_LOCAL_URI_SAN", of_ours(downstream, Part::uri_sans)},
      {"DOWNSTREAM_LOCAL_DNS_SAN", of_ours(downstream, Part::dns_sans)},
      {"DOWNSTREAM_LOCAL_IP_SAN", of_ours(downstream, Part::ip_sans)},
      {"DOWNSTREAM_LOCAL_EMAIL_SAN", of_ours(downstream, Part::email_sans)},
      {"DOWNSTREAM_LOCAL_SUBJECT", of_ours(downstream, Part::subject)},
      {"UPSTREAM_TLS_VERSION", {Op::tls_version, Parameter::none, upstream}},
      {"UPSTREAM_TLS_CIPHER", {Op::tls_cipher, Parameter::none, upstream}},
      {"UPSTREAM_TLS_GROUP", {Op::tls_group, Parameter::none, upstream}},
      {"UPSTREAM_TLS_SESSION_ID", {Op::tls_session_id, Parameter::none, upstream}},
      {"UPSTREAM_PEER_URI_SAN", of_peer(upstream, Part::uri_sans)},
      {"UPSTREAM_PEER_DNS_SAN", of_peer(upstream, Part::dns_sans)},
      {"UPSTREAM_PEER_IP_SAN", of_peer(upstream, Part::ip_sans)},
      {"UPSTREAM_PEER_SUBJECT", of_peer(upstream, Part::subject)},
      {"UPSTREAM_PEER_ISSUER", of_peer(upstream, Part::issuer)},
      {"UPSTREAM_PEER_CERT", of_peer(upstream, Part::pem)},
      {"UPSTREAM_PEER_CERT_V_START", of_peer(upstream, Part::valid_from)},
      {"UPSTREAM_PEER_CERT_V_END", of_peer(upstream, Part::valid_until)},
      {"UPSTREAM_LOCAL_URI_SAN", of_ours(upstream, Part::uri_sans)},
      {"UPSTREAM_LOCAL_DNS_SAN", of_ours(upstream, Part::dns_sans)},
      {"UPSTREAM_LOCAL_IP_SAN", of_ours(upstream, Part::ip_sans)},
      {"DOWNSTREAM_TRANSPORT_FAILURE_REASON", {Op::downstream_transport_failure_reason}},
      {"REQUESTED_SERVER_NAME", {Op::requested_server_name}},
      {"CONNECTION_ID", {Op::connection_id}},
      {"STREAM_ID", {Op::stream_id}},
      {"TRACE_ID", {Op::trace_id}},
      {"REQUEST_HEADERS_BYTES", {Op::request_headers_bytes}},
      {"RESPONSE_HEADERS_BYTES", {Op::response_headers_bytes}},
      {"RESPONSE_TRAILERS_BYTES", {Op::response_trailers_bytes}},
      // of QUIC, of listener filters and route tables that are refused, of transports that do not tell
      {"ROUNDTRIP_DURATION", {Op::nothing}},
      {"TLS_JA3_FINGERPRINT", {Op::nothing}},
      {"TLS_JA4_FINGERPRINT", {Op::nothing}},
      {"VIRTUAL_CLUSTER_NAME", {Op::nothing}},
      {"SPAN_ID", {Op::nothing}},
      {"CUSTOM_FLAGS", {Op::empty_text}},
      {"LOCAL_REPLY_BODY", {Op::empty_text}},
      {"BYTES_RETRANSMITTED", {Op::zero}},
      {"PACKETS_RETRANSMITTED", {Op::zero}},
      {"GRPC_STATUS", {Op::grpc_status, Parameter::grpc_status}},
      {"GRPC_STATUS_NUMBER", {Op::grpc_status_number}},
      {"HOSTNAME", {Op::hostname}},
      {"ENVIRONMENT", {Op::environment, Parameter::environment}},
      {"DYNAMIC_METADATA", {Op::dynamic_metadata, Parameter::metadata}},
      {"FILTER_STATE", {Op::filter_state, Parameter::state}},
      {"UPSTREAM_FILTER_STATE", {Op::upstream_filter_state, Parameter::state}},
      {"FILTER_CHAIN_NAME", {Op::filter_chain_name}},
      {"ACCESS_LOG_TYPE", {Op::access_log_type}},
      {"UNIQUE_ID", {Op::unique_id}},
  };
  return table;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == text.npos) return parts;
    text.remove_prefix(at + 1);
  }
}

bool is_header_name(std::string_view name) { return is_token(name.starts_with(':') ? name.substr(1) : name); }

std::string parse_headers(FormatItem& item, std::string_view parameter) {
  const auto names = split(parameter, '?');
  if (names.size() > 2) return "has more than one alternative header";
  for (const std::string& name : names)
    if (!is_header_name(name)) return "has an invalid header name";
  item.text = to_lower(names[0]);
  if (names.size() == 2) item.alternative = to_lower(names[1]);
  return {};
}

std::string parse_time(FormatItem& item, std::string_view parameter) {
  item.text = parameter.empty() ? "%Y-%m-%dT%H:%M:%S.%3fZ" : std::string(parameter);
  for (std::size_t i = 0; i < item.text.size(); ++i) {
    if (item.text[i] == '\n' || item.text[i] == '\r') return "has a line break in its format";
    if (item.text[i] != '%') continue;
    i = item.text.find_first_not_of("-_0^#123456789EO", i + 1);
    if (i == item.text.npos) return "ends within a time specifier";
    if (item.text[i] == 'n') return "has a line break in its format";
  }
  return {};
}

std::string parse_instants(FormatItem& item, std::string_view parameter) {
  static const std::unordered_map<std::string_view, Instant> instants{
      {"DS_RX_BEG", Instant::request_first_byte},           {"DS_RX_END", Instant::request_last_byte},
      {"US_TX_BEG", Instant::upstream_first_byte_sent},     {"US_TX_END", Instant::upstream_last_byte_sent},
      {"US_RX_BEG", Instant::upstream_first_byte_received}, {"US_RX_END", Instant::upstream_last_byte_received},
      {"DS_TX_BEG", Instant::response_first_byte},          {"DS_TX_END", Instant::response_last_byte},
  };
  static const std::unordered_map<std::string_view, std::uint32_t> units{{"ms", 1'000'000}, {"us", 1'000}, {"ns", 1}};
  const auto parts = split(parameter, ':');
  if (parts.size() < 2 || parts.size() > 3) return "needs START:END or START:END:UNIT";
  const auto from = instants.find(parts[0]), to = instants.find(parts[1]);
  if (from == instants.end()) return "has an unknown time point " + parts[0];
  if (to == instants.end()) return "has an unknown time point " + parts[1];
  item.from = from->second;
  item.to = to->second;
  if (parts.size() == 3) {
    const auto unit = units.find(parts[2]);
    if (unit == units.end()) return "has an unknown unit " + parts[2];
    item.unit_ns = unit->second;
  }
  return {};
}

std::string parse_state(FormatItem& item, std::string_view parameter) {
  auto parts = split(parameter, ':');
  if (parts[0].empty()) return "needs a key";
  const std::string form = parts.size() > 1 && !parts[1].empty() ? parts[1] : "TYPED";
  if (form != "PLAIN" && form != "TYPED" && form != "FIELD") return "takes PLAIN, TYPED or FIELD";
  if ((form == "FIELD") != (parts.size() == 3) || parts.size() > 3) return "takes a field name with FIELD alone";
  item.text = parts[0];
  parts.erase(parts.begin());
  item.path = std::move(parts);
  return {};
}

std::string parse_path(FormatItem& item, std::string_view parameter) {
  const auto parts = split(parameter, ':');
  item.text = parts[0].empty() ? "wq" : to_lower(parts[0]);
  item.alternative = parts.size() < 2 || parts[1].empty() ? "orig_or_path" : to_lower(parts[1]);
  if (item.text != "wq" && item.text != "nq") return "takes WQ or NQ first";
  if (parts.size() > 2 ||
      (item.alternative != "orig" && item.alternative != "path" && item.alternative != "orig_or_path"))
    return "takes ORIG, PATH or ORIG_OR_PATH last";
  return {};
}

/// What is wrong with the parameter, or nothing.
std::string parse_parameter(FormatItem& item, Parameter kind, std::string_view parameter) {
  switch (kind) {
    case Parameter::none: return parameter.empty() ? "" : "takes no parameter";
    case Parameter::details:
      if (!parameter.empty() && parameter != "ALLOW_WHITESPACES") return "takes ALLOW_WHITESPACES only";
      item.text = parameter;
      return {};
    case Parameter::time: return parse_time(item, parameter);
    case Parameter::path: return parse_path(item, parameter);
    case Parameter::grpc_status:
      if (!parameter.empty() && parameter != "CAMEL_STRING" && parameter != "SNAKE_STRING" && parameter != "NUMBER")
        return "takes CAMEL_STRING, SNAKE_STRING or NUMBER";
      if (parameter == "NUMBER") item.op = Op::grpc_status_number;
      item.text = parameter;
      return {};
    default: break;
  }
  if (parameter.empty()) return "requires a parameter";
  switch (kind) {
    case Parameter::headers: return parse_headers(item, parameter);
    case Parameter::query: item.text = parameter; return {};
    case Parameter::instants: return parse_instants(item, parameter);
    case Parameter::state: return parse_state(item, parameter);
    case Parameter::environment: {
      const char* value = std::getenv(std::string(parameter).c_str());
      item.text = value ? value : "-";
      return {};
    }
    case Parameter::metadata: {
      auto parts = split(parameter, ':');
      item.text = parts[0];
      item.path.assign(parts.begin() + 1, parts.end());
      return {};
    }
    default: return {};
  }
}

bool takes_length(Parameter kind) {
  return kind == Parameter::headers || kind == Parameter::metadata || kind == Parameter::state ||
         kind == Parameter::environment || kind == Parameter::path || kind == Parameter::query;
}

/// An operator at text[0] = '%'. Returns how many characters it took; 0 with error set when it is none.
std::size_t parse_operator(std::string_view text, FormatItem& item, std::string& error) {
  const auto is_name = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'; };
  std::size_t at = 1;
  while (at < text.size() && is_name(text[at])) ++at;
  const std::string name(text.substr(1, at - 1));
  std::string_view parameter;
  std::optional<std::uint64_t> length;
  const auto malformed = [&] {
    error = "no valid operator at «" + std::string(text.substr(0, 40)) + "»";
    return std::size_t{0};
  };
  if (name.empty()) return malformed();
  if (at < text.size() && text[at] == '(') {
    const std::size_t close = text.find(')', at);
    if (close == text.npos) return malformed();
    parameter = text.substr(at + 1, close - at - 1);
    at = close + 1;
  }
  if (at < text.size() && text[at] == ':') {
    const std::size_t end = std::min(text.find('%', at), text.size());
    length = parse_uint(text.substr(at + 1, end - at - 1));
    if (!length) return malformed();
    at = end;
  }
  if (at >= text.size() || text[at] != '%') return malformed();

  const auto found = operators().find(name);
  if (found == operators().end()) {
    error = "unknown operator %" + name + "%";
    return 0;
  }
  item.op = found->second.op;
  item.side = found->second.side;
  item.certificate = found->second.certificate;
  std::string wrong = parse_parameter(item, found->second.parameter, parameter);
  if (wrong.empty() && length && !takes_length(found->second.parameter)) wrong = "takes no length";
  if (!wrong.empty()) {
    error = "%" + name + "% " + wrong;
    return 0;
  }
  if (length) item.max_length = *length;
  if (item.op == Op::environment) {
    if (item.max_length) item.text.resize(std::min(item.text.size(), *item.max_length));
    item.op = Op::literal;  // it does not change any more
  }
  return at + 1;
}

}  // namespace

ParsedFormat parse_format(std::string_view text) {
  ParsedFormat out;
  const auto literal = [&](std::string_view part) {
    if (out.items.empty() || out.items.back().op != Op::literal) out.items.emplace_back();
    out.items.back().text += part;
  };
  while (!text.empty()) {
    const std::size_t percent = text.find('%');
    if (percent != 0) {
      literal(text.substr(0, percent));
      text.remove_prefix(std::min(percent, text.size()));
      continue;
    }
    if (text.starts_with("%%")) {
      literal("%");
      text.remove_prefix(2);
      continue;
    }
    FormatItem item;
    const std::size_t taken = parse_operator(text, item, out.error);
    if (taken == 0) {
      out.items.clear();
      return out;
    }
    if (item.op == Op::literal)
      literal(item.text);
    else
      out.items.push_back(std::move(item));
    text.remove_prefix(taken);
  }
  return out;
}

}  // namespace clew
