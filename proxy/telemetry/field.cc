#include "proxy/telemetry/field.h"

#include "config/snapshot/cluster.h"
#include "proxy/base/encoding.h"
#include "proxy/base/strings.h"
#include "proxy/http/local_reply.h"
#include "proxy/http/message.h"
#include "proxy/http/url.h"
#include "proxy/net/connection_info.h"
#include "proxy/telemetry/peer_field.h"
#include "proxy/telemetry/time_format.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace clew {

namespace {

using Op = FormatItem::Op;
using Optional = std::optional<Duration>;

FieldValue text(std::string_view value) { return value.empty() ? FieldValue() : FieldValue(value); }

FieldValue number(std::uint64_t value) { return FieldValue::of(static_cast<std::int64_t>(value)); }

FieldValue milliseconds(const Optional& value) {
  return value ? FieldValue::of(std::chrono::duration_cast<std::chrono::milliseconds>(*value).count()) : FieldValue();
}

/// Envoy keeps such texts in one word.
FieldValue one_word(std::string_view value, std::string& scratch) {
  constexpr std::string_view space = " \t\n\v\f\r";
  if (value.find_first_of(space) == value.npos) return text(value);
  scratch = value;
  for (char& c : scratch)
    if (space.find(c) != space.npos) c = '_';
  return FieldValue(scratch);
}

/// A certificate's names, of whatever bytes its maker took: they do not end a line of the log.
FieldValue joined(const std::vector<std::string>& values, std::string& scratch) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; };
  if (values.size() == 1 && std::none_of(values[0].begin(), values[0].end(), control)) return text(values[0]);
  scratch.clear();
  for (const std::string& value : values) {
    if (!scratch.empty()) scratch += ',';
    scratch += value;
  }
  std::replace_if(scratch.begin(), scratch.end(), control, '_');
  return text(scratch);
}

FieldValue address(const Address& value, std::string& scratch) {
  scratch.clear();
  value.append_to(scratch);
  return FieldValue(scratch);
}

FieldValue without_port(const Address& value, std::string& scratch) {
  if (value.is_pipe()) return FieldValue(value.path());
  scratch.clear();
  value.ip().append_to(scratch);
  return FieldValue(scratch);
}

FieldValue port(const Address& value) { return value.is_pipe() ? FieldValue() : number(value.port()); }

std::optional<std::string_view> request_header(const RequestHead* head, std::string_view name) {
  if (!head || name.empty()) return {};
  const auto pseudo = [](std::string_view value) { return value.empty() ? std::nullopt : std::optional(value); };
  if (name == ":method") return pseudo(head->method);
  if (name == ":path") return pseudo(head->path);
  if (name == ":authority" || name == "host") return pseudo(head->authority);
  if (name == ":scheme") return pseudo(head->scheme);
  return head->headers.get(name);
}

std::optional<std::string_view> header(const HeaderMap* headers, std::string_view name) {
  return headers && !name.empty() ? headers->get(name) : std::nullopt;
}

FieldValue first_of(std::optional<std::string_view> value, std::optional<std::string_view> alternative) {
  if (!value) value = alternative;
  return value ? FieldValue(*value) : FieldValue();
}

FieldValue response_header(const FormatItem& item, const FormatContext& context, std::string& scratch) {
  if (item.text == ":status") {
    if (context.info.response_code == 0) return {};
    scratch = std::to_string(context.info.response_code);
    return FieldValue(scratch);
  }
  const HeaderMap* headers = context.response ? &context.response->headers : nullptr;
  return first_of(header(headers, item.text), header(headers, item.alternative));
}

/// Names and values, as Envoy counts a header map with its pseudo-headers.
std::size_t byte_size(const HeaderMap& headers) {
  std::size_t size = 0;
  for (const HeaderMap::Field& field : headers.fields()) size += field.name.size() + field.value.size();
  return size;
}

std::size_t byte_size(const RequestHead& head) {
  std::size_t size = byte_size(head.headers);
  for (const auto& [name, value] : {std::pair<std::string_view, std::string_view>(":method", head.method),
                                    {":path", head.path},
                                    {":authority", head.authority},
                                    {":scheme", head.scheme}})
    if (!value.empty()) size += name.size() + value.size();
  return size;
}

std::size_t byte_size(const ResponseHead& head) {
  return head.status == 0 ? 0 : byte_size(head.headers) + std::string_view(":status").size() + 3;
}

FieldValue path(const FormatItem& item, const FormatContext& context) {
  const auto original = request_header(context.request, "x-envoy-original-path");
  const auto current = request_header(context.request, ":path");
  FieldValue value = item.alternative == "orig"   ? first_of(original, {})
                     : item.alternative == "path" ? first_of(current, {})
                                                  : first_of(original, current);
  if (item.text == "nq") value.text = value.text.substr(0, value.text.find('?'));
  return value;
}

FieldValue query_parameter(const FormatItem& item, const FormatContext& context) {
  std::string_view rest = request_header(context.request, ":path").value_or("");
  const std::size_t mark = rest.find('?');
  if (mark == rest.npos) return {};
  for (rest.remove_prefix(mark + 1); !rest.empty();) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    const std::size_t equals = std::min(pair.find('='), pair.size());
    if (pair.substr(0, equals) == item.text) return FieldValue(pair.substr(std::min(equals + 1, pair.size())));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return {};
}

Optional instant(FormatItem::Instant which, const StreamInfo& info) {
  using I = FormatItem::Instant;
  switch (which) {
    case I::request_first_byte: return Duration::zero();
    case I::request_last_byte: return info.request_complete;
    case I::upstream_first_byte_sent: return info.upstream_first_byte_sent;
    case I::upstream_last_byte_sent: return info.upstream_last_byte_sent;
    case I::upstream_first_byte_received: return info.upstream_first_byte_received;
    case I::upstream_last_byte_received: return info.upstream_last_byte_received;
    case I::response_first_byte: return info.response_first_byte_sent;
    case I::response_last_byte: return info.complete;
  }
  return {};
}

FieldValue between(const FormatItem& item, const StreamInfo& info) {
  const Optional from = instant(item.from, info), to = instant(item.to, info);
  return from && to && *to >= *from ? FieldValue::of((*to - *from).count() / item.unit_ns) : FieldValue();
}

/// RFC status codes by number, as Envoy and gRPC spell them.
constexpr std::array<std::pair<std::string_view, std::string_view>, 17> grpc_names{
    {{"OK", "OK"},
     {"Canceled", "CANCELLED"},
     {"Unknown", "UNKNOWN"},
     {"InvalidArgument", "INVALID_ARGUMENT"},
     {"DeadlineExceeded", "DEADLINE_EXCEEDED"},
     {"NotFound", "NOT_FOUND"},
     {"AlreadyExists", "ALREADY_EXISTS"},
     {"PermissionDenied", "PERMISSION_DENIED"},
     {"ResourceExhausted", "RESOURCE_EXHAUSTED"},
     {"FailedPrecondition", "FAILED_PRECONDITION"},
     {"Aborted", "ABORTED"},
     {"OutOfRange", "OUT_OF_RANGE"},
     {"Unimplemented", "UNIMPLEMENTED"},
     {"Internal", "INTERNAL"},
     {"Unavailable", "UNAVAILABLE"},
     {"DataLoss", "DATA_LOSS"},
     {"Unauthenticated", "UNAUTHENTICATED"}}};

std::optional<std::uint64_t> grpc_status(const FormatContext& context) {
  if (!context.request || !is_grpc_request(*context.request)) return {};
  auto value = header(context.trailers, "grpc-status");
  if (!value && context.response) value = context.response->headers.get("grpc-status");
  if (value) return parse_uint(*value);
  if (context.info.response_code == 0) return {};
  return grpc_status_of(context.info.response_code);
}

FieldValue grpc_status_text(const FormatItem& item, const FormatContext& context, std::string& scratch) {
  const auto status = grpc_status(context);
  if (!status) return {};
  if (*status < grpc_names.size())
    return FieldValue(item.text == "SNAKE_STRING" ? grpc_names[*status].second : grpc_names[*status].first);
  scratch = std::to_string(*status);
  return FieldValue(scratch);
}

FieldValue server_name(std::string_view name, std::string& scratch) {
  scratch = name;
  for (char& c : scratch)
    if (!((ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
          c == '_'))
      c = '_';
  return text(scratch);
}

FieldValue cluster_name(const StreamInfo& info, bool raw) {
  if (info.cluster)
    return text(raw || info.cluster->alt_stat_name.empty() ? info.cluster->name : info.cluster->alt_stat_name);
  return info.flags.has(ResponseFlag::no_cluster_found) ? FieldValue() : text(info.upstream_cluster);
}

std::string_view host_name() {
  static const std::string name = [] {
    char buffer[256] = {};
    return std::string(gethostname(buffer, sizeof buffer - 1) == 0 ? buffer : "-");
  }();
  return name;
}

FieldValue unique_id(std::string& scratch) {
  std::array<std::uint64_t, 2> bits{};
  if (getrandom(bits.data(), sizeof bits, 0) != sizeof bits) return {};
  const auto id = uuid_v4(bits[0], bits[1]);
  scratch.assign(id.begin(), id.end());
  return FieldValue(scratch);
}

FieldValue certificate_field(const FormatItem& item, const TlsInfo& tls, std::string& scratch) {
  using Part = FormatItem::Certificate::Part;
  const CertificateInfo* const certificate = item.certificate.local ? tls.local.get() : tls.peer.get();
  if (!certificate) return {};
  switch (item.certificate.part) {
    case Part::uri_sans: return joined(certificate->uri_sans, scratch);
    case Part::dns_sans: return joined(certificate->dns_sans, scratch);
    case Part::ip_sans: return joined(certificate->ip_sans, scratch);
    case Part::email_sans: return joined(certificate->email_sans, scratch);
    case Part::subject: return text(certificate->subject);
    case Part::issuer: return text(certificate->issuer);
    case Part::serial: return text(certificate->serial);
    case Part::sha256: return text(certificate->sha256);
    case Part::sha1: return text(certificate->sha1);
    case Part::chain_serials: return joined(certificate->chain_serials, scratch);
    case Part::chain_sha256: return joined(certificate->chain_sha256, scratch);
    case Part::chain_sha1: return joined(certificate->chain_sha1, scratch);
    case Part::pem: return text(certificate->pem_urlencoded);
    case Part::valid_from:
    case Part::valid_until:
      scratch.clear();
      append_time(scratch, item.text,
                  item.certificate.part == Part::valid_from ? certificate->valid_from : certificate->valid_until);
      return FieldValue(scratch);
  }
  return {};
}

FieldValue tls_field(const FormatItem& item, const FormatContext& context, std::string& scratch) {
  const TlsInfo* const tls = item.side == FormatItem::Side::upstream ? context.info.upstream_tls.get()
                             : context.connection                    ? context.connection->tls
                                                                     : nullptr;
  if (!tls) return {};
  switch (item.op) {
    case Op::tls_version: return text(tls->version);
    case Op::tls_cipher: return text(tls->cipher);
    case Op::tls_group: return text(tls->group);
    case Op::tls_session_id: return text(tls->session_id);
    default: return certificate_field(item, *tls, scratch);
  }
}

/// The name that its address was found by, where there is one.
FieldValue host_name_of(const StreamInfo& info, bool with_port, std::string& scratch) {
  const std::string_view name = info.upstream_endpoint ? std::string_view(info.upstream_endpoint->hostname) : "";
  if (!name.empty()) return FieldValue(with_port ? name : split_host_port(name).host);
  if (!info.upstream_remote) return {};
  return with_port ? address(*info.upstream_remote, scratch) : without_port(*info.upstream_remote, scratch);
}

FieldValue upstream_field(const FormatItem& item, const StreamInfo& info, std::string& scratch) {
  switch (item.op) {
    case Op::upstream_host_name: return host_name_of(info, true, scratch);
    case Op::upstream_host_name_without_port: return host_name_of(info, false, scratch);
    case Op::upstream_host:
    case Op::upstream_remote_address:
      return info.upstream_remote ? address(*info.upstream_remote, scratch) : FieldValue();
    case Op::upstream_remote_address_without_port:
      return info.upstream_remote ? without_port(*info.upstream_remote, scratch) : FieldValue();
    case Op::upstream_remote_port: return info.upstream_remote ? port(*info.upstream_remote) : FieldValue();
    case Op::upstream_local_address: return info.upstream_local ? address(*info.upstream_local, scratch) : FieldValue();
    case Op::upstream_local_address_without_port:
      return info.upstream_local ? without_port(*info.upstream_local, scratch) : FieldValue();
    case Op::upstream_local_port: return info.upstream_local ? port(*info.upstream_local) : FieldValue();
    case Op::upstream_cluster: return cluster_name(info, false);
    case Op::upstream_cluster_raw: return cluster_name(info, true);
    case Op::upstream_transport_failure_reason: return one_word(info.upstream_transport_failure_reason, scratch);
    case Op::upstream_request_attempt_count: return number(info.attempts);
    case Op::upstream_connection_id: return number(info.upstream_connection_id);
    case Op::upstream_protocol: return text(info.upstream_protocol);
    case Op::upstream_wire_bytes_received: return number(info.upstream_bytes_received);
    case Op::upstream_wire_bytes_sent: return number(info.upstream_bytes_sent);
    default: return {};  // not recorded
  }
}

FieldValue connection_field(const FormatItem& item, const ConnectionInfo& connection, std::string& scratch) {
  switch (item.op) {
    case Op::downstream_local_address: return address(connection.local, scratch);
    case Op::downstream_local_address_without_port: return without_port(connection.local, scratch);
    case Op::downstream_local_port: return port(connection.local);
    case Op::downstream_remote_address: return address(connection.remote, scratch);
    case Op::downstream_remote_address_without_port: return without_port(connection.remote, scratch);
    case Op::downstream_remote_port: return port(connection.remote);
    case Op::downstream_direct_remote_address: return address(connection.direct_remote, scratch);
    case Op::downstream_direct_remote_address_without_port: return without_port(connection.direct_remote, scratch);
    case Op::downstream_direct_remote_port: return port(connection.direct_remote);
    case Op::requested_server_name: return server_name(connection.server_name, scratch);
    case Op::connection_id: return number(connection.id);
    case Op::filter_chain_name: return connection.chain ? text(connection.chain->name) : FieldValue();
    case Op::downstream_handshake_duration:
      return connection.tls ? milliseconds(connection.handshake_time) : FieldValue();
    case Op::downstream_transport_failure_reason: return one_word(connection.transport_failure_reason, scratch);
    default: break;
  }
  return {};
}

FieldValue value_of(const FormatItem& item, const FormatContext& context, std::string& scratch) {
  const StreamInfo& info = context.info;
  switch (item.op) {
    case Op::literal: return FieldValue(item.text);
    case Op::start_time:
    case Op::emit_time:
      scratch.clear();
      append_time(scratch, item.text, item.op == Op::start_time ? info.start_wall : context.wall);
      return FieldValue(scratch);
    case Op::duration: return milliseconds(info.complete ? *info.complete : context.now - info.start);
    case Op::request_duration: return milliseconds(info.request_complete);
    case Op::request_tx_duration: return milliseconds(info.upstream_last_byte_sent);
    case Op::response_duration: return milliseconds(info.upstream_first_byte_received);
    case Op::response_tx_duration:
      if (!info.complete || !info.upstream_first_byte_received) return {};
      return milliseconds(*info.complete - *info.upstream_first_byte_received);
    case Op::common_duration: return between(item, info);
    case Op::bytes_received: return number(info.bytes_received);
    case Op::bytes_sent: return number(info.bytes_sent);
    case Op::protocol: return text(info.protocol);
    case Op::response_code: return number(info.response_code);
    case Op::response_code_details:
      return item.text.empty() ? one_word(info.response_code_details, scratch) : text(info.response_code_details);
    case Op::connection_termination_details: return text(info.connection_termination_details);
    case Op::response_flags:
    case Op::response_flags_long:
      scratch.clear();
      info.flags.append_to(scratch, item.op == Op::response_flags_long);
      return FieldValue(scratch);
    case Op::request_header:
      return first_of(request_header(context.request, item.text), request_header(context.request, item.alternative));
    case Op::request_header_without_query: {
      FieldValue value =
          first_of(request_header(context.request, item.text), request_header(context.request, item.alternative));
      value.text = value.text.substr(0, value.text.find('?'));
      return value;
    }
    case Op::response_header: return response_header(item, context, scratch);
    case Op::response_trailer:
      return first_of(header(context.trailers, item.text), header(context.trailers, item.alternative));
    case Op::path: return path(item, context);
    case Op::query_params: return query_parameter(item, context);
    case Op::route_name: return text(info.route_name);
    case Op::virtual_host_name: return text(info.virtual_host_name);
    case Op::stream_id: return text(info.request_id);
    case Op::trace_id: return text(info.trace_id);
    case Op::grpc_status: return grpc_status_text(item, context, scratch);
    case Op::grpc_status_number: {
      const auto status = grpc_status(context);
      return status ? number(*status) : FieldValue();
    }
    case Op::hostname: return FieldValue(host_name());
    case Op::access_log_type: return FieldValue(context.log_type);
    case Op::filter_state:
    case Op::upstream_filter_state: return peer_field(item, context, scratch);
    case Op::unique_id: return unique_id(scratch);
    case Op::tls_version:
    case Op::tls_cipher:
    case Op::tls_group:
    case Op::tls_session_id:
    case Op::certificate: return tls_field(item, context, scratch);
    case Op::request_headers_bytes: return number(context.request ? byte_size(*context.request) : 0);
    case Op::response_headers_bytes: return number(context.response ? byte_size(*context.response) : 0);
    case Op::response_trailers_bytes: return number(context.trailers ? byte_size(*context.trailers) : 0);
    case Op::nothing: return {};
    case Op::empty_text: return FieldValue(std::string_view());
    case Op::zero: return number(0);
    default: break;
  }
  if (context.connection)
    if (const FieldValue value = connection_field(item, *context.connection, scratch);
        value.kind != FieldValue::Kind::none)
      return value;
  return upstream_field(item, info, scratch);
}

}  // namespace

FieldValue field_value(const FormatItem& item, const FormatContext& context, std::string& scratch) {
  FieldValue value = value_of(item, context, scratch);
  if (item.max_length && value.kind == FieldValue::Kind::text) value.text = value.text.substr(0, *item.max_length);
  return value;
}

}  // namespace clew
