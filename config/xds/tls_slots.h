// The TLS contexts of a snapshot: one slot for each distinct configuration, made again when a secret that it names
// rotates, so that a rotation rebuilds no listener and no cluster. Slots are reused once nothing refers to their
// parameters. Control thread only.
#pragma once

#include "config/snapshot/snapshot.h"
#include "config/xds/decode.h"
#include "proxy/net/tls_context.h"

#include <memory>
#include <string>
#include <vector>

namespace clew {

class TlsSlots final : public TlsInterner {
 public:
  /// find: the secret of a name, or null while it has not arrived.
  explicit TlsSlots(TlsContext::FindSecret find) : find_(std::move(find)) {}

  Decoded<std::shared_ptr<const TlsParams>> intern(Side side, const std::string& key, TlsParams params) override;
  /// A secret arrived or changed: makes the contexts that name it. Where that fails, the old context stays, if there is
  /// one.
  void on_secret(std::string_view name);
  /// Why no context can be made of this secret, whoever names it; empty: nothing is wrong.
  static std::string check(const std::shared_ptr<const Secret>& secret);
  /// All contexts by slot; the same pointer until something changed. Makes those that became possible since.
  std::shared_ptr<const TlsContexts> contexts();

 private:
  struct Slot {
    Side side = Side::client;
    const std::string* key = nullptr;  // in by_key_; null: free
    std::weak_ptr<const TlsParams> params;
    std::shared_ptr<const TlsContext> context;
  };
  std::uint32_t free_slot();
  void sweep();
  TlsContext::Made make(const TlsParams& params, Side side);

  TlsContext::FindSecret find_;
  TlsIdentities identities_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::size_t sweep_at_ = 64;
  StringMap<std::uint32_t> by_key_;  // by digest
  std::shared_ptr<const TlsContexts> contexts_ = std::make_shared<TlsContexts>();
  bool changed_ = false;
};

}  // namespace clew
