// What TLS handshakes of one configuration share: certificates, trust, parameters, resumption. Built on the control
// thread out of TlsParams and the secrets they name, then immutable but for the session cache; used by all workers. A
// rotated secret makes a new context; connections keep the one they began with, and tickets of the old one are worth
// nothing. Clients of a mesh differ in names alone (SNI, SANs, ALPN): what is large, they share; sessions never.
#pragma once

#include "config/snapshot/tls.h"
#include "proxy/base/strings.h"

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace clew {

struct TlsIdentity;  // tls_state.h

/// The identities of client contexts, by content; it keeps none alive but the last trial. One for each maker of
/// contexts, on its thread.
class TlsIdentities {
 public:
  /// Null: none is in use.
  std::shared_ptr<const TlsIdentity> find(const std::string& key) const;
  void keep(const std::string& key, const std::shared_ptr<const TlsIdentity>& identity);
  /// One that was made only to see whether it can be: thousands of clusters may come before the secrets that all name.
  void keep_trial(std::shared_ptr<const TlsIdentity> identity) { trial_ = std::move(identity); }

 private:
  std::shared_ptr<const TlsIdentity> trial_;
  StringMap<std::weak_ptr<const TlsIdentity>> by_key_;
};

class TlsContext {
 public:
  enum class Role : std::uint8_t { server, client };
  /// Null: not delivered (yet).
  using FindSecret = std::function<std::shared_ptr<const Secret>(std::string_view name)>;

  struct Made {
    std::shared_ptr<const TlsContext> context;  // null: see the others
    bool secret_missing = false;                // make it again when error's secret has come
    std::string error;                          // what is wrong, naming field or secret; never key material
  };
  /// What the configuration says by itself is judged while a secret is missing, too.
  static Made make(const TlsParams& params, Role role, const FindSecret& find, TlsIdentities& identities);

  Role role() const;

  struct State;  // tls_state.h
  const std::shared_ptr<State>& state() const { return state_; }
  explicit TlsContext(std::shared_ptr<State> state) : state_(std::move(state)) {}

 private:
  std::shared_ptr<State> state_;
};

}  // namespace clew
