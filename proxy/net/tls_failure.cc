#include "proxy/net/tls_failure.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cctype>

namespace clew {

namespace {

std::string_view or_empty(const char* text) { return text ? std::string_view(text) : std::string_view(); }

/// OpenSSL says «certificate verify failed», AWS-LC and Envoy CERTIFICATE_VERIFY_FAILED.
std::string reason_text(unsigned long error) {
  std::string reason(or_empty(ERR_reason_error_string(static_cast<unsigned>(error))));
#ifndef OPENSSL_IS_AWSLC
  for (char& c : reason) c = c == ' ' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
#endif
  return reason;
}

}  // namespace

std::string tls_failure_text(std::string_view detail) {
  std::string out;
  bool refused = false, none = false;
  while (const unsigned long error = ERR_get_error()) {
    const bool ssl = ERR_GET_LIB(static_cast<unsigned>(error)) == ERR_LIB_SSL;
    const int reason = ERR_GET_REASON(static_cast<unsigned>(error));
    refused = refused || (ssl && reason == SSL_R_CERTIFICATE_VERIFY_FAILED);
    none = none || (ssl && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE);
    if (out.empty()) out = "TLS_error:";
    out += fmt::format("|{}:{}:OPENSSL_internal:{}", error,
                       or_empty(ERR_lib_error_string(static_cast<unsigned>(error))), reason_text(error));
  }
  if (out.empty()) return out;
  if (refused && !detail.empty())
    out.append(":").append(detail);
  else if (none)
    out += ":peer did not provide required client certificate";
  return out + ":TLS_error_end";
}

}  // namespace clew
