#include "proxy/http/request_policy.h"

#include "proxy/http/client_cert_header.h"
#include "proxy/http/local_reply.h"
#include "proxy/http/path_normalize.h"
#include "proxy/http/server_connection.h"
#include "proxy/http/url.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

namespace clew {
namespace {

LocalReply rejected(std::uint32_t status, std::string_view details) {
  LocalReply reply;
  reply.status = status;
  reply.details = details;
  return reply;
}

/// Host and path in the one form that everything behind sees.
std::optional<LocalReply> canonical_path(Stream& stream) {
  RequestHead& request = stream.request;
  const HttpConnectionManager& hcm = stream.hcm;
  if (request.method == "CONNECT" && request.path.empty()) return std::nullopt;
  const auto count = [&stream](Counter HttpServerStats::* counter) {
    if (stream.http_stats) (stream.http_stats->*counter).add();
  };
  const auto not_normal = [&count] {
    count(&HttpServerStats::downstream_rq_failed_path_normalization);
    return rejected(400, "path_normalization_failed");
  };
  if (request.path.empty() || request.path.front() != '/') {
    count(&HttpServerStats::downstream_rq_non_relative_path);
    return rejected(404, "absolute_path_rejected");
  }
  if (const std::size_t fragment = request.path.find('#'); fragment != std::string_view::npos) {
    if (hcm.reject_path_with_fragment) return not_normal();
    request.path = request.path.substr(0, fragment);
  }
  using EscapedSlashes = HttpConnectionManager::EscapedSlashes;
  bool redirect = false;
  if (hcm.escaped_slashes != EscapedSlashes::keep_unchanged) {
    if (const std::optional<std::string> unescaped = unescape_slashes(request.path)) {
      if (hcm.escaped_slashes == EscapedSlashes::reject) return not_normal();
      redirect = hcm.escaped_slashes == EscapedSlashes::unescape_and_redirect;
      request.path = stream.arena.copy(*unescaped);
    }
  }
  if (hcm.normalize_path) {
    const std::optional<std::string> normal = normalize_path(request.path);
    if (!normal) return not_normal();
    if (*normal != request.path) request.path = stream.arena.copy(*normal);
  }
  if (hcm.merge_slashes && request.path.find("//") != std::string_view::npos)
    request.path = stream.arena.copy(merge_slashes(request.path));
  if (!redirect) return std::nullopt;
  count(&HttpServerStats::downstream_rq_redirected_with_normalized_path);
  LocalReply reply = rejected(307, "path_normalization_failed");
  reply.headers.emplace_back("location", std::string(request.path));
  return reply;
}

void canonical_host(Stream& stream) {
  using StripPort = HttpConnectionManager::StripPort;
  RequestHead& request = stream.request;
  const HttpConnectionManager& hcm = stream.hcm;
  HostPort parts = split_host_port(request.authority);
  const bool strip = hcm.strip_port == StripPort::any ||
                     (hcm.strip_port == StripPort::matching &&
                      parts.port == std::string_view(fmt::format_int(stream.connection.local.port()).c_str()));
  if (strip && !parts.port.empty()) request.authority = parts.host;
  if (hcm.strip_trailing_host_dot) {
    parts = split_host_port(request.authority);
    if (parts.host.size() > 1 && parts.host.back() == '.') {
      parts.host.remove_suffix(1);
      request.authority = parts.port.empty() ? parts.host : stream.arena.concat(parts.host, ":", parts.port);
    }
  }
}

struct ForwardedFor {
  std::optional<IpAddress> address;
  bool single = false;  // it is the only one
};

/// The address `hops` from the right, if it is one.
ForwardedFor forwarded_for(const HeaderMap& headers, std::uint32_t hops) {
  std::string_view list = headers.get_all("x-forwarded-for").value_or("");
  for (std::uint32_t i = 0; i < hops; ++i) {
    const std::size_t comma = list.rfind(',');
    if (comma == std::string_view::npos) return {};
    list = list.substr(0, comma);
  }
  const std::size_t comma = list.rfind(',');
  const std::string_view last = trim(comma == std::string_view::npos ? list : list.substr(comma + 1));
  return {IpAddress::parse(last), comma == std::string_view::npos && hops == 0};
}

/// Since Envoy 1.36 nobody is internal who is not said to be.
bool is_internal(const HttpConnectionManager& hcm, const Address& address) {
  if (address.is_pipe()) return false;
  return std::any_of(hcm.internal_cidrs.begin(), hcm.internal_cidrs.end(),
                     [&](const Cidr& cidr) { return cidr.contains(address.ip()); });
}

/// Who asked, by the connection or by what trusted proxies say; the forwarding headers follow from it.
void forwarding_headers(Stream& stream) {
  HeaderMap& headers = stream.request.headers;
  const HttpConnectionManager& hcm = stream.hcm;
  const Address& peer = stream.connection.remote;
  const std::string_view scheme = stream.connection.tls ? "https" : "http";
  stream.remote = peer;
  bool trusted = false;  // the address may make the request internal
  if (hcm.use_remote_address) {
    trusted = !headers.has(HeaderId::x_forwarded_for);
    if (hcm.xff_num_trusted_hops > 0) {
      const ForwardedFor said = forwarded_for(headers, hcm.xff_num_trusted_hops - 1);
      if (said.address) stream.remote = Address(*said.address, 0);
    }
    if (!hcm.skip_xff_append && !peer.is_pipe()) {
      if (const auto all = headers.get_all("x-forwarded-for")) headers.set(HeaderId::x_forwarded_for, *all);
      headers.append(HeaderId::x_forwarded_for, peer.ip().to_string());
    }
    if (hcm.xff_num_trusted_hops == 0) headers.remove(HeaderId::x_forwarded_proto);
    if (hcm.xff_num_trusted_hops == 0 && hcm.append_x_forwarded_port) headers.remove(HeaderId::x_forwarded_port);
  } else {
    const ForwardedFor said = forwarded_for(headers, hcm.xff_num_trusted_hops);
    trusted = said.address && said.single;
    if (said.address) stream.remote = Address(*said.address, 0);
  }
  if (!headers.has(HeaderId::x_forwarded_proto)) headers.add(HeaderId::x_forwarded_proto, scheme);
  if (hcm.append_x_forwarded_port && !headers.has(HeaderId::x_forwarded_port) && !stream.connection.local.is_pipe())
    headers.add(HeaderId::x_forwarded_port, fmt::format_int(stream.connection.local.port()).c_str());
  if (stream.request.scheme.empty()) {
    const std::string_view said = *headers.get(HeaderId::x_forwarded_proto);
    stream.request.scheme = said == "http" || said == "https" ? stream.arena.copy(said) : scheme;
  }
  stream.internal = trusted && is_internal(hcm, stream.remote);
}

/// What only a peer inside may say. edge: the first proxy of ours that sees the request.
void sanitize(HeaderMap& headers, bool internal, bool edge) {
  if (internal) {
    headers.set(HeaderId::x_envoy_internal, "true");
    return;
  }
  headers.remove_if([edge](const HeaderMap::Field& field) {
    switch (field.id) {
      case HeaderId::x_envoy_decorator_operation:
      case HeaderId::x_envoy_downstream_service_cluster:
      case HeaderId::x_envoy_downstream_service_node:
      case HeaderId::x_envoy_original_path: return edge;
      case HeaderId::x_envoy_internal:
      case HeaderId::x_envoy_retry_on:
      case HeaderId::x_envoy_retry_grpc_on:
      case HeaderId::x_envoy_retriable_status_codes:
      case HeaderId::x_envoy_retriable_header_names:
      case HeaderId::x_envoy_max_retries:
      case HeaderId::x_envoy_upstream_alt_stat_name:
      case HeaderId::x_envoy_upstream_rq_timeout_ms:
      case HeaderId::x_envoy_upstream_rq_per_try_timeout_ms:
      case HeaderId::x_envoy_upstream_rq_timeout_alt_response:
      case HeaderId::x_envoy_expected_rq_timeout_ms:
      case HeaderId::x_envoy_force_trace:
      case HeaderId::x_envoy_ip_tags:
      case HeaderId::x_envoy_original_url:
      case HeaderId::x_envoy_hedge_on_per_try_timeout: return true;
      default: return false;
    }
  });
}

// Istio's request ids are UUIDs whose version digit says why the request is traced (pack_trace_reason).
constexpr std::size_t uuid_length = 36, trace_digit = 14;

void set_trace_digit(Stream& stream, char digit) {
  HeaderMap& headers = stream.request.headers;
  std::string id(headers.get(HeaderId::x_request_id).value_or(""));
  if (id.size() != uuid_length || id[trace_digit] == digit) return;
  id[trace_digit] = digit;
  headers.set(HeaderId::x_request_id, id);
}

std::string random_uuid(Worker& worker) {
  const std::uint64_t a = worker.random();
  const std::uint64_t b = worker.random();
  return fmt::format("{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}", a >> 32, a >> 16 & 0xffff, a & 0xfff,
                     (b >> 48 & 0x3fff) | 0x8000, b & 0xffffffffffff);
}

void request_id(Stream& stream, bool edge) {
  HeaderMap& headers = stream.request.headers;
  const HttpConnectionManager& hcm = stream.hcm;
  const bool has = headers.has(HeaderId::x_request_id);
  if (hcm.generate_request_id) {
    if (!has || (edge && !hcm.preserve_external_request_id))
      headers.set(HeaderId::x_request_id, random_uuid(stream.worker));
    else if (edge)
      set_trace_digit(stream, '4');  // kept, but not for the client to have itself traced by
  }
  const std::string_view id = headers.get(HeaderId::x_request_id).value_or("");
  if (hcm.tracing && id.size() == uuid_length) {
    std::uint64_t number = 0;
    bool valid = true;
    for (const char c : id.substr(0, 8)) {
      const std::size_t digit = std::string_view("0123456789abcdef").find(ascii_lower(c));
      valid &= digit != std::string_view::npos;
      number = number * 16 + (digit & 15);
    }
    if (valid) {
      const auto drawn = [&](double percent) { return static_cast<double>(number % 10000) < percent * 100; };
      const char before = id[trace_digit];
      const bool traced = before == '9' || before == 'a' || before == 'b';
      if (!traced) {
        if (headers.has(HeaderId::x_client_trace_id) && drawn(hcm.tracing->client_sampling))
          set_trace_digit(stream, 'b');
        else if (headers.has(HeaderId::x_envoy_force_trace))
          set_trace_digit(stream, 'a');
        else if (drawn(hcm.tracing->random_sampling))
          set_trace_digit(stream, '9');
      }
      if (!drawn(hcm.tracing->overall_sampling)) set_trace_digit(stream, '4');
    }
  }
  stream.info.request_id = headers.get(HeaderId::x_request_id).value_or("");
}

}  // namespace

std::optional<LocalReply> prepare_request(Stream& stream) {
  RequestHead& request = stream.request;
  HeaderMap& headers = request.headers;
  const HttpConnectionManager& hcm = stream.hcm;
  stream.is_grpc = is_grpc_request(request);
  if (!request.authority.data()) return rejected(400, "missing_host_header");
  if (std::optional<LocalReply> reply = canonical_path(stream)) return reply;
  canonical_host(stream);
  headers.remove(HeaderId::x_envoy_internal);
  forwarding_headers(stream);
  const bool edge = !stream.internal && hcm.use_remote_address;
  sanitize(headers, stream.internal, edge);
  if (!hcm.via.empty()) headers.append(HeaderId::via, hcm.via, ", ");
  if (edge && !stream.remote.is_pipe()) headers.set(HeaderId::x_envoy_external_address, stream.remote.ip().to_string());
  request_id(stream, edge);
  forward_client_cert(headers, hcm, stream.connection.tls);
  return std::nullopt;
}

void prepare_response(Stream& stream) {
  using ServerHeader = HttpConnectionManager::ServerHeader;
  const HttpConnectionManager& hcm = stream.hcm;
  HeaderMap& headers = stream.response.headers;
  headers.remove_if([](const HeaderMap::Field& field) { return hop_by_hop(field.id); });
  const std::optional<std::string_view> id = stream.request.headers.get(HeaderId::x_request_id);
  if (id && (hcm.always_set_request_id_in_response || stream.request.headers.has(HeaderId::x_envoy_force_trace)))
    headers.set(HeaderId::x_request_id, *id);
  if (!hcm.via.empty()) headers.append(HeaderId::via, hcm.via, ", ");
  if (!headers.has(HeaderId::date)) headers.add(HeaderId::date, http_date(stream.worker.clock().wall()));
  const bool has_server = headers.has(HeaderId::server);
  if (hcm.server_header == ServerHeader::overwrite ||
      (hcm.server_header == ServerHeader::append_if_absent && !has_server))
    headers.set(HeaderId::server, hcm.server_name);
}

std::string_view http_date(WallTime now) {
  static constexpr std::string_view days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::string_view months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  thread_local std::time_t last = -1;
  thread_local std::string text;
  const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  if (seconds != last) {
    std::tm t{};
    gmtime_r(&seconds, &t);
    text = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", days[t.tm_wday], t.tm_mday, months[t.tm_mon],
                       t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
    last = seconds;
  }
  return text;
}

}  // namespace clew
