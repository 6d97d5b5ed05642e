// X.509 certificates: PEM in, names and digests out. Used by TLS contexts, transports and admin.
#pragma once

#include "config/snapshot/tls.h"
#include "proxy/net/connection_info.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace clew {

template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using X509Ptr = std::unique_ptr<X509, FreeWith<X509_free>>;
using X509StorePtr = std::unique_ptr<X509_STORE, FreeWith<X509_STORE_free>>;
using X509CrlPtr = std::unique_ptr<X509_CRL, FreeWith<X509_CRL_free>>;
using PrivateKeyPtr = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using BioPtr = std::unique_ptr<BIO, FreeWith<BIO_free>>;

/// Every certificate (CRL) of a PEM text, in order; other kinds of blocks are skipped. Empty when a block is broken.
std::vector<X509Ptr> parse_certificates(std::string_view pem);
std::vector<X509CrlPtr> parse_crls(std::string_view pem);
/// Null when it is none, or encrypted.
PrivateKeyPtr parse_private_key(std::string_view pem);

struct SubjectAltName {
  SanMatcher::Type type;  // never any
  std::string value;      // IP addresses as text
};
std::vector<SubjectAltName> subject_alt_names(X509* certificate);

/// Null when it is none.
X509Ptr parse_der(std::string_view der);

/// Everything that logs, policies and XFCC read. chain: the peer's certificates, leaf first.
std::shared_ptr<const CertificateInfo> describe_certificate(X509* certificate, std::span<const X509Ptr> chain = {});
/// The same of a peer's chain (DER, leaf first), made once per thread and chain while somebody holds it: peers of a
/// mesh come back. Null: it sent none.
std::shared_ptr<const CertificateInfo> describe_peer(std::span<const std::string> chain);

/// Raw.
std::string sha256(std::string_view bytes);
/// SHA-256 of the DER, raw.
std::string certificate_sha256(X509* certificate);
/// SHA-256 of the SubjectPublicKeyInfo, raw.
std::string spki_sha256(X509* certificate);

/// Whether a name fits one in a certificate, where «*» may stand in the first label (RFC 6125 6.4.3, as Envoy does it).
bool dns_name_matches(std::string_view name, std::string_view pattern);
/// Exact matchers of DNS names accept a certificate's wildcard; all others compare texts.
bool san_matches(const SanMatcher& matcher, const SubjectAltName& name);
/// A name to reach a host by, against all of a certificate's names.
bool names_host(const std::vector<SubjectAltName>& names, std::string_view host);

}  // namespace clew
