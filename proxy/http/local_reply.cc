#include "proxy/http/local_reply.h"

#include "proxy/http/h1_codec.h"

#include <fmt/format.h>

namespace clew {
namespace {

using Flag = ResponseFlag;

LocalReply make(std::uint32_t status, std::string_view body, std::string_view details, std::optional<Flag> flag = {},
                std::optional<std::uint32_t> grpc = {}) {
  LocalReply reply;
  reply.status = status;
  reply.body = body;
  reply.details = details;
  reply.flag = flag;
  reply.grpc_status = grpc;
  return reply;
}

LocalReply protocol_error(std::uint32_t status, std::string_view details) {
  return make(status, reason_phrase(status), details, Flag::downstream_protocol_error);
}

}  // namespace

LocalReply local_reply(Errc cause, bool request_complete) {
  const std::uint32_t late = request_complete ? 504 : 408;
  constexpr std::uint32_t deadline_exceeded = 4;
  switch (cause) {
    case Errc::http_bad_message:
    case Errc::http_bad_framing: return protocol_error(400, "http1.codec_error");
    case Errc::http_transfer_coding: return protocol_error(501, "http1.invalid_transfer_encoding");
    case Errc::http_protocol_version: return protocol_error(426, "low_version");
    case Errc::http_headers_too_large: return protocol_error(431, "http1.headers_too_large");
    case Errc::http_too_many_headers: return protocol_error(431, "http1.too_many_headers");
    case Errc::http_upgrade_refused: return make(403, "", "upgrade_failed");
    case Errc::request_timeout: return make(late, "request timeout", "request_overall_timeout");
    case Errc::stream_idle_timeout:
      return make(late, "stream timeout", "stream_idle_timeout", Flag::stream_idle_timeout);
    case Errc::max_stream_duration:
      return make(late, "downstream duration timeout", "max_duration_timeout", Flag::duration_timeout,
                  deadline_exceeded);
    case Errc::http_stream_reset: return make(0, "", "http2.remote_reset", Flag::downstream_remote_reset);
    case Errc::upstream_protocol_error:
      return make(502, "", "upstream_reset_after_response_started{protocol_error}", Flag::upstream_protocol_error);
    case Errc::downstream_closed:
      return make(0, "", "downstream_remote_disconnect", Flag::downstream_connection_termination);
    case Errc::route_not_found: return make(404, "", "route_not_found", Flag::no_route_found);
    case Errc::cluster_not_found: return make(503, "", "cluster_not_found", Flag::no_cluster_found);
    case Errc::no_healthy_upstream:
      return make(503, "no healthy upstream", "no_healthy_upstream", Flag::no_healthy_upstream);
    case Errc::out_of_memory_bound: return make(413, "Payload Too Large", "request_payload_too_large");
    case Errc::policy_denied: return make(403, "", "policy_denied", Flag::unauthorized_external_service);
    default: return make(503, "", fmt::format("internal_error{{{}}}", to_string(cause)), Flag::local_reset);
  }
}

std::uint32_t grpc_status_of(std::uint32_t http_status) {
  switch (http_status) {
    case 400: return 13;  // INTERNAL
    case 401: return 16;  // UNAUTHENTICATED
    case 403: return 7;   // PERMISSION_DENIED
    case 404: return 12;  // UNIMPLEMENTED
    case 429:
    case 502:
    case 503:
    case 504: return 14;  // UNAVAILABLE
    default: return 2;    // UNKNOWN
  }
}

bool is_grpc_request(const RequestHead& request) {
  constexpr std::string_view grpc = "application/grpc";
  const std::string_view type = request.headers.get(HeaderId::content_type).value_or("");
  return type.starts_with(grpc) && (type.size() == grpc.size() || type[grpc.size()] == '+');
}

std::string percent_encode_grpc_message(std::string_view message) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && c != '%') {
      out += c;
    } else {
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

BodyPtr apply_local_reply(Stream& stream, const LocalReply& reply) {
  if (reply.flag) stream.info.flags.set(*reply.flag);
  if (!reply.details.empty()) stream.info.response_code_details = reply.details;
  ResponseHead& head = stream.response;
  head.headers.clear();
  head.original_names.clear();
  head.status = reply.status;
  head.upgraded = false;
  head.content_length.reset();
  head.end_stream = true;
  HeaderMap& headers = head.headers;
  if (stream.is_grpc) {
    head.status = 200;
    headers.add(HeaderId::content_type, "application/grpc");
    headers.add(HeaderId::grpc_status,
                fmt::format_int(reply.grpc_status.value_or(grpc_status_of(reply.status))).c_str());
    if (!reply.body.empty()) headers.add(HeaderId::grpc_message, percent_encode_grpc_message(reply.body));
    for (const auto& [name, value] : reply.headers)
      if (name != "content-type" && name != "content-length") headers.add(name, value);
    return nullptr;
  }
  if (!reply.body.empty()) {
    bool typed = false;
    for (const auto& header : reply.headers) typed |= header.first == "content-type";
    headers.add(HeaderId::content_length, fmt::format_int(reply.body.size()).c_str());
    if (!typed) headers.add(HeaderId::content_type, "text/plain");
  }
  for (const auto& [name, value] : reply.headers)
    if (name != "content-length") headers.add(name, value);
  if (reply.body.empty()) return nullptr;
  head.content_length = reply.body.size();
  if (stream.request.method == "HEAD") return nullptr;
  head.end_stream = false;
  return make_body(reply.body);
}

}  // namespace clew
