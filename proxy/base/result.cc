#include "proxy/base/result.h"

#include <stdexcept>
#include <string>

namespace clew {

std::string_view to_string(Errc code) noexcept {
  switch (code) {
#define CLEW_CASE(name) \
  case Errc::name: return #name
    CLEW_CASE(ok);
    CLEW_CASE(would_block);
    CLEW_CASE(eof);
    CLEW_CASE(canceled);
    CLEW_CASE(internal);
    CLEW_CASE(connect_failed);
    CLEW_CASE(connect_timeout);
    CLEW_CASE(connection_reset);
    CLEW_CASE(connection_refused);
    CLEW_CASE(bind_failed);
    CLEW_CASE(idle_timeout);
    CLEW_CASE(out_of_memory_bound);
    CLEW_CASE(no_filter_chain);
    CLEW_CASE(listener_filter_timeout);
    CLEW_CASE(listener_filter_refused);
    CLEW_CASE(handshake_timeout);
    CLEW_CASE(tls_handshake_failed);
    CLEW_CASE(tls_certificate_rejected);
    CLEW_CASE(tls_san_mismatch);
    CLEW_CASE(tls_secret_missing);
    CLEW_CASE(tls_protocol);
    CLEW_CASE(http_bad_message);
    CLEW_CASE(http_headers_too_large);
    CLEW_CASE(http_too_many_headers);
    CLEW_CASE(http_bad_framing);
    CLEW_CASE(http_protocol_version);
    CLEW_CASE(http_transfer_coding);
    CLEW_CASE(http_upgrade_refused);
    CLEW_CASE(http_stream_reset);
    CLEW_CASE(http_refused_stream);
    CLEW_CASE(http_goaway);
    CLEW_CASE(http_flood);
    CLEW_CASE(request_timeout);
    CLEW_CASE(stream_idle_timeout);
    CLEW_CASE(max_stream_duration);
    CLEW_CASE(downstream_closed);
    CLEW_CASE(route_not_found);
    CLEW_CASE(cluster_not_found);
    CLEW_CASE(no_healthy_upstream);
    CLEW_CASE(upstream_overflow);
    CLEW_CASE(upstream_request_timeout);
    CLEW_CASE(upstream_per_try_timeout);
    CLEW_CASE(upstream_closed);
    CLEW_CASE(upstream_protocol_error);
    CLEW_CASE(policy_denied);
#undef CLEW_CASE
  }
  return "unknown";
}

void throw_exception_from_error(Error error, const boost::source_location& where) {
  throw std::logic_error(std::string("unchecked error ") + std::string(to_string(error.code)) + " in " +
                         where.function_name());
}

}  // namespace clew
