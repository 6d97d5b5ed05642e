// The engine's error queue in the words that Envoy puts into logs and replies.
#pragma once

#include <string>
#include <string_view>

namespace clew {

/// Empties this thread's error queue. «TLS_error:|NUMBER:SSL routines:OPENSSL_internal:REASON[:detail]:TLS_error_end»;
/// empty when there is none. detail is added where a certificate was refused.
std::string tls_failure_text(std::string_view detail);

}  // namespace clew
