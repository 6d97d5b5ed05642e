#include "proxy/net/tls_context.h"

#include "proxy/net/tls_state.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace clew {

namespace {

// Envoy's, in its order.
#ifdef OPENSSL_IS_AWSLC
constexpr const char* default_ciphers =
    "[ECDHE-ECDSA-AES128-GCM-SHA256|ECDHE-ECDSA-CHACHA20-POLY1305]:[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-"
    "POLY1305]:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
#else
constexpr const char* default_ciphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-"
    "POLY1305:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
#endif
constexpr const char* default_curves = "X25519:P-256";
/// A resumed session is authenticated by the handshake that began it: not for days.
constexpr long session_seconds = 3600;

int protocol(TlsParams::Version version, int automatic) {
  switch (version) {
    case TlsParams::Version::automatic: return automatic;
    case TlsParams::Version::v1_2: return TLS1_2_VERSION;
    case TlsParams::Version::v1_3: return TLS1_3_VERSION;
  }
  return automatic;
}

std::string join(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) {
    if (!out.empty()) out += ':';
    out += name;
  }
  return out;
}

std::string set_parameters(SSL_CTX* ctx, const TlsParams& params) {
  const int low = protocol(params.min_version, TLS1_2_VERSION), high = protocol(params.max_version, TLS1_3_VERSION);
  if (low > high || !SSL_CTX_set_min_proto_version(ctx, static_cast<std::uint16_t>(low)) ||
      !SSL_CTX_set_max_proto_version(ctx, static_cast<std::uint16_t>(high)))
    return "Invalid TLS protocol versions";
  std::string ciphers = params.cipher_suites.empty() ? default_ciphers : join(params.cipher_suites);
#ifdef OPENSSL_IS_AWSLC
  const bool good = SSL_CTX_set_strict_cipher_list(ctx, ciphers.c_str());
#else
  // No groups of equal preference here: [A|B] is A, then B. Unknown names would be skipped, so each is tried alone.
  std::erase_if(ciphers, [](char c) { return c == '[' || c == ']'; });
  std::replace(ciphers.begin(), ciphers.end(), '|', ':');
  bool good = true;
  for (std::size_t at = 0; good && at <= ciphers.size();) {
    const std::size_t end = std::min(ciphers.find(':', at), ciphers.size());
    good = SSL_CTX_set_cipher_list(ctx, ciphers.substr(at, end - at).c_str());
    at = end + 1;
  }
  good = good && SSL_CTX_set_cipher_list(ctx, ciphers.c_str()) &&
         SSL_CTX_set_ciphersuites(
             ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");  // Envoy's order
#endif
  ERR_clear_error();
  if (!good) return fmt::format("Failed to initialize cipher suites {}", ciphers);
  const std::string curves = params.ecdh_curves.empty() ? default_curves : join(params.ecdh_curves);
  if (!SSL_CTX_set1_curves_list(ctx, curves.c_str())) {
    ERR_clear_error();
    return fmt::format("Failed to initialize ECDH curves {}", curves);
  }
  return {};
}

/// A certificate with its issuers, and its key, into the engine's slot of that type.
bool use_certificate(SSL_CTX* ctx, const std::vector<X509Ptr>& chain, EVP_PKEY* key) {
#ifdef OPENSSL_IS_AWSLC
  std::vector<std::unique_ptr<CRYPTO_BUFFER, FreeWith<CRYPTO_BUFFER_free>>> owned;
  std::vector<CRYPTO_BUFFER*> buffers;
  for (const X509Ptr& certificate : chain) {
    unsigned char* der = nullptr;
    const int size = i2d_X509(certificate.get(), &der);
    if (size < 0) return false;
    owned.emplace_back(CRYPTO_BUFFER_new(der, static_cast<std::size_t>(size), nullptr));
    OPENSSL_free(der);
    buffers.push_back(owned.back().get());
  }
  return SSL_CTX_set_chain_and_key(ctx, buffers.data(), buffers.size(), key, nullptr) == 1;
#else
  bool good = SSL_CTX_use_certificate(ctx, chain.front().get()) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1;
  for (std::size_t i = 1; good && i < chain.size(); ++i) good = SSL_CTX_add1_chain_cert(ctx, chain[i].get()) == 1;
  return good;
#endif
}

/// A context without anything.
SSL_CTX* new_context([[maybe_unused]] bool server) {
#ifdef OPENSSL_IS_AWSLC
  // Certificates stay bytes, of which the process has one copy each (the pool outlives all that refers to it: it
  // stays).
  static CRYPTO_BUFFER_POOL* const pool = CRYPTO_BUFFER_POOL_new();
  SSL_CTX* const ctx = SSL_CTX_new(TLS_with_buffers_method());
  if (ctx) SSL_CTX_set0_buffer_pool(ctx, pool);
  return ctx;
#else
  return SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
#endif
}

/// what: for errors, «secret NAME» or «<inline>».
std::string add_certificate(TlsIdentity& identity, const std::string& chain_pem, const std::string& key_pem,
                            const std::string& what) {
  SSL_CTX* ctx = identity.ctx.get();
  std::vector<X509Ptr> chain = parse_certificates(chain_pem);
  if (chain.empty()) return fmt::format("Failed to load certificate chain from {}", what);
  const PrivateKeyPtr key = parse_private_key(key_pem);
  if (!key) return fmt::format("Failed to load private key from {}", what);
  const int type = EVP_PKEY_id(key.get());
  if (type == EVP_PKEY_RSA && EVP_PKEY_bits(key.get()) < 2048)
    return fmt::format(
        "Failed to load certificate chain from {}, only RSA certificates with 2048-bit or larger keys are supported",
        what);
  for (const X509Ptr& other : identity.own_leaves) {
    // One slot a key type: a second one would silently replace the first.
    if (EVP_PKEY_id(X509_get0_pubkey(other.get())) == type)
      return fmt::format(
          "Failed to load certificate chain from {}, at most one certificate of a given type may be specified", what);
  }
  const bool good =
      X509_check_private_key(chain.front().get(), key.get()) == 1 && use_certificate(ctx, chain, key.get());
  ERR_clear_error();
  if (!good) return fmt::format("Failed to load private key from {}: it does not fit the certificate", what);
  identity.own.push_back(describe_certificate(chain.front().get()));
  identity.own_leaves.push_back(std::move(chain.front()));
  return {};
}

/// Ours in our order; nothing in common: no ALPN at all, and the codec looks at the bytes.
int select_alpn(SSL* ssl, const unsigned char** out, unsigned char* out_size, const unsigned char* offered,
                unsigned size, void*) {
  const auto* handshake = static_cast<TlsHandshakeState*>(SSL_get_ex_data(ssl, handshake_state_index()));
  if (!handshake) return SSL_TLSEXT_ERR_NOACK;
  for (const std::string& name : handshake->context->alpn) {
    for (unsigned at = 0; at < size; at += 1u + offered[at]) {
      if (offered[at] != name.size() || at + 1u + offered[at] > size) continue;
      if (std::memcmp(offered + at + 1, name.data(), name.size()) != 0) continue;
      *out = offered + at + 1;
      *out_size = offered[at];
      return SSL_TLSEXT_ERR_OK;
    }
  }
  return SSL_TLSEXT_ERR_NOACK;
}

int keep_session(SSL* ssl, SSL_SESSION* session) {
  const auto* handshake = static_cast<TlsHandshakeState*>(SSL_get_ex_data(ssl, handshake_state_index()));
  if (!handshake || !handshake->context->sessions) return 0;
  handshake->context->sessions->put(handshake->session_key, SslSessionPtr(session));
  return 1;  // it is ours
}

void set_sessions(SSL_CTX* ctx, TlsContext::Role role, bool enabled) {
  SSL_CTX_set_timeout(ctx, session_seconds);
#ifdef OPENSSL_IS_AWSLC
  SSL_CTX_set_session_psk_dhe_timeout(ctx, session_seconds);
#endif
  if (role == TlsContext::Role::client) {
    SSL_CTX_set_session_cache_mode(ctx,
                                   enabled ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
    if (enabled) SSL_CTX_sess_set_new_cb(ctx, keep_session);
    return;
  }
  // Tickets only, whose key dies with the context. The id makes engines agree to resume where clients are verified.
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ctx, 1);
  std::array<unsigned char, 16> id;
  RAND_bytes(id.data(), id.size());
  SSL_CTX_set_session_id_context(ctx, id.data(), id.size());
}

/// The secrets that a configuration names.
struct Secrets {
  std::vector<std::shared_ptr<const Secret>> certificates;
  std::shared_ptr<const Secret> ca;  // null: none is named
};

/// Returns the name of the first that is not there, or nothing.
std::string find_secrets(const TlsParams& params, const TlsContext::FindSecret& find, Secrets& out) {
  for (const std::string& name : params.certificate_secrets) {
    out.certificates.push_back(find(name));
    if (!out.certificates.back() || out.certificates.back()->certificate_chain.empty()) return name;
  }
  if (!params.validation || params.validation->ca_secret.empty()) return {};
  out.ca = find(params.validation->ca_secret);
  return !out.ca || out.ca->trusted_ca.empty() ? params.validation->ca_secret : std::string();
}

std::string load_certificates(TlsIdentity& identity, const TlsParams& params, const Secrets& secrets) {
  std::string error;
  for (const auto& secret : secrets.certificates) {
    error = add_certificate(identity, secret->certificate_chain, secret->private_key, "secret " + secret->name);
    if (!error.empty()) return error;
  }
  for (const auto& [chain, key] : params.inline_certificates) {
    error = add_certificate(identity, chain, key, "<inline>");
    if (!error.empty()) return error;
  }
  return error;
}

/// Returns why it cannot be made.
std::string make_identity(TlsIdentity& identity, const TlsParams& params, TlsContext::Role role,
                          const Secrets& secrets) {
  const bool server = role == TlsContext::Role::server;
  identity.ctx.reset(new_context(server));
  SSL_CTX* ctx = identity.ctx.get();
  if (!ctx) return "out of memory";
  SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(
      ctx,
      SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_ENABLE_PARTIAL_WRITE |
          SSL_MODE_NO_AUTO_CHAIN);  // we send the chain that was configured, not what could be added from the trusted
  SSL_CTX_set_max_cert_list(ctx, 100 * 1024);  // what a peer's chain may weigh
  if (server) SSL_CTX_set_alpn_select_cb(ctx, select_alpn, nullptr);
  set_sessions(ctx, role, params.max_session_keys > 0);
  if (std::string error = set_parameters(ctx, params); !error.empty()) return error;
  if (std::string error = load_certificates(identity, params, secrets); !error.empty()) return error;
  if (server && identity.own.empty() && params.certificate_secrets.empty())
    return "Server TlsCertificates must have a certificate specified";
  identity.secrets = secrets.certificates;
  identity.secrets.push_back(secrets.ca);
  return set_up_trust(identity, params, role, secrets.ca.get());
}

/// Equal for client configurations of which make_identity() makes the same. A secret is named by its address: while
/// an identity lives, so do the secrets it was made of, and a rotated one is another.
std::string identity_key(const TlsParams& params, const Secrets& secrets) {
  std::string key =
      fmt::format("{} {} {} {} {} {}", static_cast<int>(params.min_version), static_cast<int>(params.max_version),
                  verify_mode(params, TlsContext::Role::client), params.max_session_keys > 0,
                  secrets.certificates.size(), params.inline_certificates.size());
  const auto add = [&key](std::string_view text) { key.append(fmt::format(" {}:", text.size())).append(text); };
  const auto add_secret = [&](const std::shared_ptr<const Secret>& secret) {
    add(fmt::format("{}", fmt::ptr(secret)));
  };
  add(join(params.cipher_suites));
  add(join(params.ecdh_curves));
  for (const auto& secret : secrets.certificates) add_secret(secret);
  for (const auto& [chain, private_key] : params.inline_certificates) {
    add(chain);
    add(private_key);
  }
  add_secret(secrets.ca);
  if (params.validation) {
    add(params.validation->inline_ca);
    add(params.validation->crl);
  }
  return sha256(key);
}

}  // namespace

int handshake_state_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

std::string alpn_wire(const std::vector<std::string>& protocols) {
  std::string out;
  for (const std::string& name : protocols) {
    if (name.empty() || name.size() > 255) return {};
    out += static_cast<char>(name.size());
    out += name;
  }
  return out;
}

void TlsSessions::put(const std::string& key, SslSessionPtr session) {
  const std::lock_guard lock(mutex_);
  if (sessions_.size() >= max_keys && !sessions_.contains(key)) sessions_.clear();
  auto& list = sessions_[key];
  list.push_back(std::move(session));
  if (list.size() > max_each_) list.pop_front();
}

SslSessionPtr TlsSessions::take(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto it = sessions_.find(key);
  if (it == sessions_.end()) return nullptr;
  SslSessionPtr session = std::move(it->second.back());
  it->second.pop_back();
  if (it->second.empty()) sessions_.erase(it);
  return session;
}

std::shared_ptr<const TlsIdentity> TlsIdentities::find(const std::string& key) const {
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? nullptr : it->second.lock();
}

void TlsIdentities::keep(const std::string& key, const std::shared_ptr<const TlsIdentity>& identity) {
  std::erase_if(by_key_, [](const auto& entry) { return entry.second.expired(); });
  by_key_[key] = identity;
}

TlsContext::Made TlsContext::make(const TlsParams& params, Role role, const FindSecret& find,
                                  TlsIdentities& identities) {
  const auto refused = [](std::string why) { return Made{nullptr, false, std::move(why)}; };
  auto state = std::make_shared<State>();
  state->role = role;
  state->sni = params.sni;
  state->alpn_wire = alpn_wire(params.alpn);
  if (!params.alpn.empty() && state->alpn_wire.empty()) return refused("Invalid ALPN protocol string");
  if (params.validation)
    if (std::string error = set_up_names(*state, *params.validation); !error.empty()) return refused(std::move(error));

  Secrets secrets;
  const std::string missing = find_secrets(params, find, secrets);
  if (!missing.empty()) secrets = {};
  // A server has one of its own: its tickets are good wherever their key is.
  const std::string key = role == Role::client ? identity_key(params, secrets) : std::string();
  if (role == Role::client) {
    state->sessions = std::make_unique<TlsSessions>(params.max_session_keys);
    state->identity = identities.find(key);
  } else {
    state->alpn = params.alpn;
  }
  if (!state->identity) {
    auto identity = std::make_shared<TlsIdentity>();
    if (std::string error = make_identity(*identity, params, role, secrets); !error.empty())
      return refused(std::move(error));
    state->identity = std::move(identity);
    if (role == Role::client) identities.keep(key, state->identity);
  }
  const bool trusts = state->identity->has_ca || (params.validation && !params.validation->ca_secret.empty());
  if (params.auto_san_validation && role == Role::client && !trusts)
    return refused("'auto_sni_san_validation' was configured without configuring a trusted CA");
  if (!missing.empty()) {
    identities.keep_trial(state->identity);
    return {nullptr, true, fmt::format("secret {} is not there", missing)};
  }
  return {std::make_shared<const TlsContext>(std::move(state)), false, {}};
}

TlsContext::Role TlsContext::role() const { return state_->role; }

}  // namespace clew
