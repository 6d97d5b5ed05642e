#include "config/xds/tls_slots.h"

#include "proxy/base/log.h"
#include "proxy/net/certificate.h"

#include <algorithm>

namespace clew {

namespace {

std::string map_key(TlsInterner::Side side, const std::string& key) {
  return sha256((side == TlsInterner::Side::server ? 's' : 'c') + key);
}

bool names_secret(const TlsParams& params, std::string_view name) {
  const auto& certificates = params.certificate_secrets;
  return std::find(certificates.begin(), certificates.end(), name) != certificates.end() ||
         (params.validation && params.validation->ca_secret == name);
}

}  // namespace

std::uint32_t TlsSlots::free_slot() {
  if (free_.empty() && slots_.size() >= sweep_at_) sweep();
  if (free_.empty()) {
    slots_.emplace_back();
    return static_cast<std::uint32_t>(slots_.size() - 1);
  }
  const std::uint32_t index = free_.back();
  free_.pop_back();
  return index;
}

/// Frees slots whose parameters nobody holds any more, each time the number in use has doubled: amortized.
void TlsSlots::sweep() {
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].key || !slots_[i].params.expired()) continue;
    by_key_.erase(by_key_.find(*slots_[i].key));
    slots_[i] = Slot();
    free_.push_back(i);
  }
  sweep_at_ = std::max<std::size_t>(64, 2 * (slots_.size() - free_.size()));
}

Decoded<std::shared_ptr<const TlsParams>> TlsSlots::intern(Side side, const std::string& key, TlsParams params) {
  const std::string digest = map_key(side, key);
  const auto entry = by_key_.find(digest);
  if (entry != by_key_.end())
    if (auto known = slots_[entry->second].params.lock()) return known;
  TlsContext::Made made = make(params, side);
  if (!made.context && !made.secret_missing) return DecodeError{std::move(made.error)};
  // What was equal and is forgotten leaves its slot to the new one.
  const std::uint32_t index = entry != by_key_.end() ? entry->second : free_slot();
  params.slot = index;
  auto shared = std::make_shared<const TlsParams>(std::move(params));
  const std::string* const own_key = &by_key_.insert_or_assign(digest, index).first->first;
  slots_[index] = Slot{side, own_key, shared, std::move(made.context)};
  changed_ = true;
  return shared;
}

TlsContext::Made TlsSlots::make(const TlsParams& params, Side side) {
  const auto role = side == Side::server ? TlsContext::Role::server : TlsContext::Role::client;
  return TlsContext::make(params, role, find_, identities_);
}

void TlsSlots::on_secret(std::string_view name) {
  for (auto& slot : slots_) {
    const auto params = slot.params.lock();
    if (!params || !names_secret(*params, name)) continue;
    TlsContext::Made made = make(*params, slot.side);
    if (made.context) {
      slot.context = std::move(made.context);
      changed_ = true;
    } else if (!made.secret_missing) {
      CLEW_LOG(secret, warning, "secret {} does not fit where it is named: {}", name, made.error);
    }
  }
}

std::string TlsSlots::check(const std::shared_ptr<const Secret>& secret) {
  TlsParams params;
  if (secret->certificate_chain.empty())
    params.validation.emplace().ca_secret = secret->name;
  else
    params.certificate_secrets = {secret->name};
  TlsIdentities none;
  return TlsContext::make(params, TlsContext::Role::client, [&](std::string_view) { return secret; }, none).error;
}

std::shared_ptr<const TlsContexts> TlsSlots::contexts() {
  if (!changed_) return contexts_;
  changed_ = false;
  auto next = std::make_shared<TlsContexts>();
  next->reserve(slots_.size());
  for (const auto& slot : slots_) next->push_back(slot.context);
  contexts_ = std::move(next);
  return contexts_;
}

}  // namespace clew
