// The inside of a TlsContext, for tls_*.cc alone.
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

struct TlsContext::State {
  Role role = Role::server;
  SslCtxPtr ctx;
  std::vector<std::string> alpn;
  std::string alpn_wire;  // length-prefixed
  std::string sni;
  bool has_ca = false;
  bool accept_untrusted = false;
  std::vector<SanMatcher> san_matchers;
  std::vector<std::string> certificate_hashes, spki_hashes;  // raw SHA-256
  std::vector<std::shared_ptr<const CertificateInfo>> own, trusted;
  std::vector<X509Ptr> own_leaves;        // parallel to own
  std::unique_ptr<TlsSessions> sessions;  // clients

  /// Names and pins; the chain was judged before. Fills handshake.refusal and detail.
  bool accepts(X509* leaf, TlsHandshakeState& handshake) const;
};

/// Length-prefixed protocol names; empty when one is empty or longer than 255.
std::string alpn_wire(const std::vector<std::string>& protocols);
/// Sets certificate verification up: mode, trust, revocation. Empty: fine.
std::string set_up_validation(TlsContext::State& state, const TlsParams& params, const Secret* ca);
/// Where an SSL's TlsHandshakeState is.
int handshake_state_index();

}  // namespace clew
