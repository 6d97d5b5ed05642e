// The inside of a TlsContext, for tls_*.cc and the floor of the benchmark.
#pragma once

#include "proxy/net/certificate.h"
#include "proxy/net/tls_context.h"

#include <openssl/ssl.h>

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace clew {

using SslCtxPtr = std::unique_ptr<SSL_CTX, FreeWith<SSL_CTX_free>>;
using SslPtr = std::unique_ptr<SSL, FreeWith<SSL_free>>;
using SslSessionPtr = std::unique_ptr<SSL_SESSION, FreeWith<SSL_SESSION_free>>;

/// Sessions a client may resume, by what was verified and whom it reached. Shared by the workers, hence the lock: once
/// a handshake, next to some hundred microseconds of arithmetic.
class TlsSessions {
 public:
  explicit TlsSessions(std::size_t max_each) : max_each_(max_each) {}
  bool enabled() const { return max_each_ > 0; }
  void put(const std::string& key, SslSessionPtr session);
  /// The newest; it is forgotten, as a ticket is good for one use (RFC 8446 C.4).
  SslSessionPtr take(const std::string& key);

 private:
  static constexpr std::size_t max_keys = 1024;
  const std::size_t max_each_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::deque<SslSessionPtr>> sessions_;
};

/// What a handshake's callbacks find through its SSL.
struct TlsHandshakeState {
  const TlsContext::State* context = nullptr;
  std::string verify_name;  // client: the host the certificate must name instead of the configured matchers
  std::string session_key;
  std::string detail;  // why the certificate was refused
  enum class Refusal : std::uint8_t { none, chain, san, hash } refusal = Refusal::none;
};

/// An SSL_CTX with our certificates and whom we trust: what does not differ between the clusters of a mesh.
struct TlsIdentity {
  SslCtxPtr ctx;
  X509StorePtr store;     // whom we trust
  bool verifies = false;  // a peer's certificate, if there is one
  bool has_ca = false;
  std::vector<std::shared_ptr<const CertificateInfo>> own;
  std::vector<X509Ptr> own_leaves;                     // parallel to own
  std::vector<std::shared_ptr<const Secret>> secrets;  // what it was made of
};

struct TlsContext::State {
  Role role = Role::server;
  std::shared_ptr<const TlsIdentity> identity;
  std::vector<std::string> alpn;
  std::string alpn_wire;  // length-prefixed
  std::string sni;
  bool accept_untrusted = false;
  std::vector<SanMatcher> san_matchers;
  std::vector<std::string> certificate_hashes, spki_hashes;  // raw SHA-256
  std::unique_ptr<TlsSessions> sessions;                     // clients

  /// Names and pins; the chain was judged before. Fills handshake.refusal and detail.
  bool accepts(X509* leaf, TlsHandshakeState& handshake) const;
};

/// Length-prefixed protocol names; empty when one is empty or longer than 255.
std::string alpn_wire(const std::vector<std::string>& protocols);
/// Certificate verification in two halves. Names and pins, of one context; empty: fine.
std::string set_up_names(TlsContext::State& state, const TlsValidation& validation);
/// Mode, trust and revocation; ca may be null. Empty: fine.
std::string set_up_trust(TlsIdentity& identity, const TlsParams& params, TlsContext::Role role, const Secret* ca);
/// SSL_VERIFY_* of a configuration.
int verify_mode(const TlsParams& params, TlsContext::Role role);
/// What the peer sent, DER, leaf first; a resumed session has it of the handshake that began it.
std::vector<std::string> peer_certificates(const SSL* ssl);
/// Where an SSL's TlsHandshakeState is.
int handshake_state_index();

}  // namespace clew
