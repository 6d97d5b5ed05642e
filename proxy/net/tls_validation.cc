// Whom we believe: the chain by the engine against the trusted bundle, then names and pins.
#include "proxy/base/encoding.h"
#include "proxy/base/log.h"
#include "proxy/net/tls_state.h"

#include <fmt/format.h>
#include <openssl/err.h>

#include <algorithm>

namespace clew {

namespace {

std::string names_text(const std::vector<SubjectAltName>& names) {
  std::string out;
  for (const SubjectAltName& name : names) {
    if (!out.empty()) out += ", ";
    out += name.value;
  }
  return out;
}

bool refuse(TlsHandshakeState& handshake, TlsHandshakeState::Refusal refusal, std::string detail) {
  handshake.refusal = refusal;
  handshake.detail = std::move(detail);
  CLEW_LOG(connection, debug, "{}", handshake.detail);
  return false;
}

TlsHandshakeState* handshake_of(const SSL* ssl) {
  return static_cast<TlsHandshakeState*>(SSL_get_ex_data(ssl, handshake_state_index()));
}

/// The store, the peer's chain and the purpose are set up already.
bool verify(X509_STORE_CTX* store_context, TlsHandshakeState* handshake) {
  if (!handshake) return false;
  const TlsContext::State& state = *handshake->context;
  bool good = true;
  if (state.identity->has_ca && X509_verify_cert(store_context) != 1) {
    const int error = X509_STORE_CTX_get_error(store_context);
    good = refuse(*handshake, TlsHandshakeState::Refusal::chain,
                  fmt::format("verify cert failed: X509_verify_cert: certificate verification error at depth {}: {}",
                              X509_STORE_CTX_get_error_depth(store_context), X509_verify_cert_error_string(error)));
    if (error == X509_V_OK) X509_STORE_CTX_set_error(store_context, X509_V_ERR_CERT_REJECTED);
  } else if (!state.accepts(X509_STORE_CTX_get0_cert(store_context), *handshake)) {
    good = false;
    X509_STORE_CTX_set_error(store_context, X509_V_ERR_CERT_REJECTED);
  }
  if (good || !state.accept_untrusted) return good;
  X509_STORE_CTX_set_error(store_context, X509_V_OK);
  *handshake = {
      handshake->context, handshake->verify_name, handshake->session_key, {}, TlsHandshakeState::Refusal::none};
  return true;
}

#ifdef OPENSSL_IS_AWSLC

struct StackFree {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_pop_free(stack, X509_free); }
  void operator()(STACK_OF(CRYPTO_BUFFER) * stack) const { sk_CRYPTO_BUFFER_pop_free(stack, CRYPTO_BUFFER_free); }
};
using StoreContextPtr = std::unique_ptr<X509_STORE_CTX, FreeWith<X509_STORE_CTX_free>>;

/// The engine's callback. It keeps certificates as bytes: parsed, they would be kilobytes for as long as the
/// connection.
ssl_verify_result_t verify_peer(SSL* ssl, std::uint8_t* alert) {
  TlsHandshakeState* const handshake = handshake_of(ssl);
  if (!handshake) return ssl_verify_invalid;
  const TlsIdentity& identity = *handshake->context->identity;
  if (!identity.verifies) return ssl_verify_ok;
  const std::unique_ptr<STACK_OF(X509), StackFree> chain(sk_X509_new_null());
  for (const std::string& der : peer_certificates(ssl)) {
    X509Ptr one = parse_der(der);
    if (!one || !sk_X509_push(chain.get(), one.get())) {
      *alert = SSL_AD_DECODE_ERROR;
      return ssl_verify_invalid;
    }
    (void)one.release();
  }
  const StoreContextPtr context(X509_STORE_CTX_new());
  if (!context ||
      !X509_STORE_CTX_init(context.get(), identity.store.get(), sk_X509_value(chain.get(), 0), chain.get()) ||
      !X509_STORE_CTX_set_default(context.get(), SSL_is_server(ssl) ? "ssl_client" : "ssl_server")) {
    *alert = SSL_AD_INTERNAL_ERROR;
    return ssl_verify_invalid;
  }
  if (!verify(context.get(), handshake)) {
    *alert = static_cast<std::uint8_t>(SSL_alert_from_verify_result(X509_STORE_CTX_get_error(context.get())));
    return ssl_verify_invalid;
  }
  ERR_clear_error();
  return ssl_verify_ok;
}

void set_client_authorities(SSL_CTX* ctx, const std::vector<X509Ptr>& certificates) {
  std::unique_ptr<STACK_OF(CRYPTO_BUFFER), StackFree> names(sk_CRYPTO_BUFFER_new_null());
  for (const X509Ptr& certificate : certificates) {
    unsigned char* der = nullptr;
    const int size = i2d_X509_NAME(X509_get_subject_name(certificate.get()), &der);
    if (size < 0) continue;
    CRYPTO_BUFFER* const name = CRYPTO_BUFFER_new(der, static_cast<std::size_t>(size), nullptr);
    OPENSSL_free(der);
    if (name && !sk_CRYPTO_BUFFER_push(names.get(), name)) CRYPTO_BUFFER_free(name);
  }
  SSL_CTX_set0_client_CAs(ctx, names.release());
}

void set_verification(TlsIdentity& identity, int mode) {
  SSL_CTX_set_custom_verify(identity.ctx.get(), mode, verify_peer);
}

#else

int verify_peer(X509_STORE_CTX* store_context, void*) {
  const auto* ssl =
      static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(store_context, SSL_get_ex_data_X509_STORE_CTX_idx()));
  return verify(store_context, handshake_of(ssl)) ? 1 : 0;
}

void set_client_authorities(SSL_CTX* ctx, const std::vector<X509Ptr>& certificates) {
  STACK_OF(X509_NAME)* const names = sk_X509_NAME_new_null();
  for (const X509Ptr& certificate : certificates)
    sk_X509_NAME_push(names, X509_NAME_dup(X509_get_subject_name(certificate.get())));
  SSL_CTX_set_client_CA_list(ctx, names);
}

void set_verification(TlsIdentity& identity, int mode) {
  SSL_CTX* const ctx = identity.ctx.get();
  SSL_CTX_set1_cert_store(ctx, identity.store.get());
  SSL_CTX_set_verify(ctx, mode, nullptr);
  if (identity.verifies) SSL_CTX_set_cert_verify_callback(ctx, verify_peer, nullptr);
}

#endif

std::string load_trust(TlsIdentity& identity, TlsContext::Role role, const std::string& pem, const std::string& what) {
  const std::vector<X509Ptr> certificates = parse_certificates(pem);
  if (certificates.empty()) return fmt::format("Failed to load trusted CA certificates from {}", what);
  X509_STORE* const store = identity.store.get();
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  for (const X509Ptr& certificate : certificates) X509_STORE_add_cert(store, certificate.get());
  ERR_clear_error();  // of duplicates
  // Which of its certificates a client may send.
  if (role == TlsContext::Role::server) set_client_authorities(identity.ctx.get(), certificates);
  identity.has_ca = true;
  return {};
}

std::string load_revocation(TlsIdentity& identity, const std::string& pem, const std::string& what) {
  const std::vector<X509CrlPtr> lists = parse_crls(pem);
  if (lists.empty()) return fmt::format("Failed to load CRL from {}", what);
  X509_STORE* const store = identity.store.get();
  for (const X509CrlPtr& list : lists) X509_STORE_add_crl(store, list.get());
  X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  ERR_clear_error();
  return {};
}

}  // namespace

std::string set_up_names(TlsContext::State& state, const TlsValidation& validation) {
  state.accept_untrusted = validation.accept_untrusted;
  state.san_matchers = validation.subject_alt_names;
  for (const std::string& hash : validation.certificate_hashes) {
    const auto raw = from_hex(hash);
    if (!raw || raw->size() != 32) return fmt::format("Invalid hex-encoded SHA-256 {}", hash);
    state.certificate_hashes.push_back(*raw);
  }
  for (const std::string& hash : validation.spki_hashes) {
    const auto raw = from_base64(hash);
    if (!raw || raw->size() != 32) return fmt::format("Invalid base64-encoded SHA-256 {}", hash);
    state.spki_hashes.push_back(*raw);
  }
  return {};
}

bool TlsContext::State::accepts(X509* leaf, TlsHandshakeState& handshake) const {
  using Refusal = TlsHandshakeState::Refusal;
  const std::vector<SubjectAltName> names = subject_alt_names(leaf);
  bool checked = identity->has_ca;
  if (!handshake.verify_name.empty()) {
    if (!names_host(names, handshake.verify_name))
      return refuse(handshake, Refusal::san,
                    fmt::format("verify cert failed: verify SAN list, expected SANs: [{}], certificate SANs: [{}]",
                                handshake.verify_name, names_text(names)));
    checked = true;
  } else if (!san_matchers.empty()) {
    const bool any = std::any_of(san_matchers.begin(), san_matchers.end(), [&names](const SanMatcher& matcher) {
      return std::any_of(names.begin(), names.end(),
                         [&matcher](const SubjectAltName& name) { return san_matches(matcher, name); });
    });
    if (!any)
      return refuse(handshake, Refusal::san,
                    fmt::format("verify cert failed: SAN matcher, certificate SANs are [{}]", names_text(names)));
    checked = true;
  }
  if (!certificate_hashes.empty() || !spki_hashes.empty()) {
    const auto has = [](const std::vector<std::string>& list, const std::string& hash) {
      return std::find(list.begin(), list.end(), hash) != list.end();
    };
    if (!has(certificate_hashes, certificate_sha256(leaf)) && !has(spki_hashes, spki_sha256(leaf)))
      return refuse(handshake, Refusal::hash, "verify cert failed: cert hash and spki");
    checked = true;
  }
  // Nothing was asked of a certificate that is to be verified: it is not.
  if (!checked) return refuse(handshake, Refusal::chain, "verify cert failed: nothing to verify it by");
  return true;
}

int verify_mode(const TlsParams& params, TlsContext::Role role) {
  // A server always shows a certificate.
  const int must = SSL_VERIFY_PEER | (role == TlsContext::Role::server ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
  if (role == TlsContext::Role::server && params.require_client_certificate) return must;
  if (!params.validation) return SSL_VERIFY_NONE;
  const TlsValidation& v = *params.validation;
  if (v.accept_untrusted) return SSL_VERIFY_PEER;
  if (!v.subject_alt_names.empty() || !v.certificate_hashes.empty() || !v.spki_hashes.empty()) return must;
  return v.ca_secret.empty() && v.inline_ca.empty() ? SSL_VERIFY_NONE : SSL_VERIFY_PEER;
}

std::string set_up_trust(TlsIdentity& identity, const TlsParams& params, TlsContext::Role role, const Secret* ca) {
  identity.store.reset(X509_STORE_new());
  if (!identity.store) return "out of memory";
  if (params.validation) {
    const TlsValidation& validation = *params.validation;
    const std::string& bundle = ca ? ca->trusted_ca : validation.inline_ca;
    const std::string what = ca ? fmt::format("secret {}", ca->name) : "<inline>";
    if (!bundle.empty())
      if (std::string error = load_trust(identity, role, bundle, what); !error.empty()) return error;
    if (!validation.crl.empty())
      if (std::string error = load_revocation(identity, validation.crl, "<inline>"); !error.empty()) return error;
    if (ca && !ca->crl.empty())
      if (std::string error = load_revocation(identity, ca->crl, what); !error.empty()) return error;
  }
  const int mode = verify_mode(params, role);
  identity.verifies = mode != SSL_VERIFY_NONE;
  set_verification(identity, mode);
  return {};
}

}  // namespace clew
