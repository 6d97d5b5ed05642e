#include "config/xds/secret_store.h"

#include "config/xds/accept.h"
#include "config/xds/scope.h"
#include "config/xds/type_urls.h"

#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"

#include <google/protobuf/any.pb.h>

#include <algorithm>

namespace clew {

using SecretMessage = envoy::extensions::transport_sockets::tls::v3::Secret;

namespace {

/// Why it cannot be used, or nothing.
std::string decode(const SecretMessage& message, Accepted<Secret>& into) {
  auto decoded = decode_secret(message);
  if (!decoded) return decoded.error().message;
  into.value = std::move(*decoded);
  return TlsSlots::check(into.value);
}

}  // namespace

SecretStore::SecretStore(const Clock& clock)
    : clock_(clock), tls_([this](std::string_view name) { return find(name); }) {}

std::string SecretStore::accept(const std::string& name, const google::protobuf::Any& resource,
                                const std::string& version) {
  if (resource.type_url() != type_url::secret)
    return "secret " + name + ": a " + printable(resource.type_url()) + " came instead";
  Record<Secret>& record = records_[name];
  std::string problem = clew::accept(record, resource.value(), version, clock_.wall(), [&](Accepted<Secret>& into) {
    const Parsed<SecretMessage> message(into.bytes);
    if (!message) return message.problem();
    if ((*message).name() != name) return "secret " + name + ": «" + printable((*message).name()) + "» came instead";
    return decode(*message, into);
  });
  if (!record.warming) return problem;  // refused, or known
  record.active = std::move(record.warming);
  given_up_.erase(name);
  tls_.on_secret(name);
  return problem;
}

std::string SecretStore::add_static(const SecretMessage& message) {
  Accepted<Secret> accepted{message.SerializeAsString(), {}, clock_.wall(), nullptr};
  if (std::string problem = decode(message, accepted); !problem.empty()) return problem;
  records_[message.name()].active = std::make_unique<Accepted<Secret>>(std::move(accepted));
  static_.insert(message.name());
  return {};
}

bool SecretStore::do_without(const std::string& name) { return !find(name) && given_up_.insert(name).second; }

void SecretStore::want(std::set<SecretReference> secrets) {
  std::erase_if(secrets, [&](const SecretReference& reference) { return static_.contains(reference.name); });
  wanted_ = std::move(secrets);
  std::set<std::string_view> names(static_.begin(), static_.end());
  for (const auto& reference : wanted_) names.insert(reference.name);
  std::erase_if(records_, [&](const auto& entry) { return !names.contains(entry.first); });
  std::erase_if(given_up_, [&](const std::string& name) { return !names.contains(name); });
}

bool SecretStore::settled(const std::set<SecretReference>& secrets) const {
  return std::all_of(secrets.begin(), secrets.end(), [this](const SecretReference& secret) { return settled(secret); });
}

std::shared_ptr<const Secret> SecretStore::find(std::string_view name) const {
  const auto it = records_.find(name);
  return it == records_.end() || !it->second.active ? nullptr : it->second.active->value;
}

}  // namespace clew
