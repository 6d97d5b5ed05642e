// TLS parameters as configured. Certificates and keys are not here: names refer to secrets, which rotate on their own.
#pragma once

#include "config/snapshot/matcher.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace clew {

/// envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher; any: URI, DNS, email and IP SANs are tried
/// (the deprecated match_subject_alt_names).
struct SanMatcher {
  enum class Type : std::uint8_t { any, dns, uri, email, ip };
  Type type = Type::any;
  StringMatcher matcher;
};

/// CertificateValidationContext, combined with the CA secret it names.
struct TlsValidation {
  std::string ca_secret;                        // secret name; empty: inline_ca
  std::string inline_ca;                        // PEM
  std::vector<SanMatcher> subject_alt_names;    // any match suffices; empty: no check
  std::vector<std::string> certificate_hashes;  // hex SHA-256, lower case, no colons
  std::vector<std::string> spki_hashes;         // base64
  std::string crl;                              // PEM
  bool accept_untrusted = false;                // trust_chain_verification ACCEPT_UNTRUSTED
};

struct TlsParams {
  enum class Version : std::uint8_t { automatic, v1_2, v1_3 };
  Version min_version = Version::automatic;
  Version max_version = Version::automatic;
  std::vector<std::string> cipher_suites;  // Envoy's (BoringSSL) names, TLS ≤ 1.2
  std::vector<std::string> ecdh_curves;
  std::vector<std::string> alpn;                                         // in order of preference
  std::vector<std::string> certificate_secrets;                          // secret names
  std::vector<std::pair<std::string, std::string>> inline_certificates;  // PEM chain, PEM key
  std::optional<TlsValidation> validation;

  // downstream
  bool require_client_certificate = false;
  // upstream
  std::string sni;
  bool auto_sni = false;  // SNI from the request's authority (HttpProtocolOptions.upstream_http_protocol_options)
  bool auto_san_validation = false;
  std::uint32_t max_session_keys = 1;

  /// Where a Snapshot keeps the context made of this (Snapshot::tls). Given by the builder, equal for equal content.
  std::uint32_t slot = 0;
};

/// A secret as SDS delivered it. Key material lives here and in the TLS contexts only; it is never dumped.
struct Secret {
  std::string name;
  std::string certificate_chain;  // PEM; empty for a validation context
  std::string private_key;        // PEM
  std::string trusted_ca;         // PEM
  std::string crl;                // PEM
};

}  // namespace clew
