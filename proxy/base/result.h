// Errors are values with a cause, named at birth. No string travels on the data path: proxy/http/local_reply.h is
// the one list that turns a cause into status, response flag, details and text.
#pragma once

#include <boost/system/result.hpp>

#include <cstdint>
#include <string_view>

namespace clew {

/// Why something ended. Grouped by where it happened; add a cause rather than reuse one that is almost right.
enum class Errc : std::uint8_t {
  ok = 0,
  would_block,  // not an error: nothing there yet, wait for readiness
  eof,          // orderly end of the byte stream
  canceled,     // the owner gave up (shutdown, drain deadline, sibling failed)
  internal,     // a broken invariant; each use is a bug to report

  // sockets
  connect_failed,
  connect_timeout,
  connection_reset,
  connection_refused,
  bind_failed,
  idle_timeout,
  out_of_memory_bound,  // a configured bound on buffered bytes was reached

  // listener, sniffing
  no_filter_chain,
  listener_filter_timeout,
  listener_filter_refused,  // first bytes that are broken or too large (PROXY header, ClientHello)
  handshake_timeout,

  // TLS
  tls_handshake_failed,
  tls_certificate_rejected,
  tls_san_mismatch,
  tls_secret_missing,
  tls_protocol,

  // HTTP codecs, downstream and upstream
  http_bad_message,
  http_headers_too_large,
  http_too_many_headers,
  http_bad_framing,  // content-length and transfer-encoding that could be read in two ways
  http_protocol_version,
  http_transfer_coding,  // a Transfer-Encoding other than chunked
  http_upgrade_refused,
  http_stream_reset,
  http_refused_stream,
  http_goaway,
  http_flood,
  request_timeout,
  stream_idle_timeout,
  max_stream_duration,
  downstream_closed,

  // routing and upstream
  route_not_found,
  cluster_not_found,
  no_healthy_upstream,
  upstream_overflow,
  upstream_request_timeout,
  upstream_per_try_timeout,
  upstream_closed,
  upstream_protocol_error,

  // policies
  policy_denied,
};

/// The cause in snake_case, for logs and tests.
std::string_view to_string(Errc code) noexcept;

struct Error {
  Errc code = Errc::internal;
  friend bool operator==(Error, Error) = default;
};

/// Of a transport: the other side ended it, in good order or not.
inline bool ended_by_peer(Errc code) {
  return code == Errc::eof || code == Errc::connection_reset || code == Errc::tls_protocol;
}

/// Only reached when a caller ignored has_value(); ends in an exception that names the cause.
[[noreturn]] void throw_exception_from_error(Error error, const boost::source_location& where);

template <class T>
using Result = boost::system::result<T, Error>;

}  // namespace clew
