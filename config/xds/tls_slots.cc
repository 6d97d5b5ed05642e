#include "config/xds/tls_slots.h"

#include "proxy/base/log.h"

#include <algorithm>

namespace clew {

namespace {

std::string map_key(TlsInterner::Side side, const std::string& key) {
  return (side == TlsInterner::Side::server ? 's' : 'c') + key;
}

std::vector<std::string> secrets_of(const TlsParams& params) {
  std::vector<std::string> names = params.certificate_secrets;
  if (params.validation && !params.validation->ca_secret.empty()) names.push_back(params.validation->ca_secret);
  return names;
}

}  // namespace

std::uint32_t TlsSlots::free_slot() {
  for (std::uint32_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].params.expired()) continue;
    by_key_.erase(map_key(slots_[i].side, slots_[i].key));
    return i;
  }
  slots_.emplace_back();
  return static_cast<std::uint32_t>(slots_.size() - 1);
}

std::shared_ptr<const TlsParams> TlsSlots::intern(Side side, const std::string& key, TlsParams params) {
  if (const auto it = by_key_.find(map_key(side, key)); it != by_key_.end())
    if (auto known = slots_[it->second].params.lock()) return known;
  const std::uint32_t index = free_slot();
  params.slot = index;
  auto shared = std::make_shared<const TlsParams>(std::move(params));
  slots_[index] = Slot{side, key, shared, secrets_of(*shared), nullptr};
  by_key_[map_key(side, key)] = index;
  if (std::string problem = make(slots_[index]); !problem.empty())
    CLEW_LOG(config, warning, "TLS context not made: {}", problem);
  changed_ = true;
  return shared;
}

std::string TlsSlots::make(Slot& slot) {
  const auto params = slot.params.lock();
  if (!params) return {};
  const auto role = slot.side == Side::server ? TlsContext::Role::server : TlsContext::Role::client;
  auto made = TlsContext::make(*params, role, find_);
  if (made.context) {
    slot.context = std::move(made.context);
    changed_ = true;
    return {};
  }
  return made.secret_missing ? std::string() : std::move(made.error);
}

std::string TlsSlots::on_secret(std::string_view name) {
  std::string problem;
  for (auto& slot : slots_) {
    if (std::find(slot.secrets.begin(), slot.secrets.end(), name) == slot.secrets.end()) continue;
    if (std::string why = make(slot); problem.empty()) problem = std::move(why);
  }
  return problem;
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
