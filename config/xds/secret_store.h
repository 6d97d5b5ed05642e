// Secrets by name, and the TLS contexts made of them. A secret is judged by itself: one that is good serves whoever can
// use it, one that is not leaves the last good one in service. Control thread only.
#pragma once

#include "config/xds/resource.h"
#include "config/xds/tls_slots.h"

#include <memory>
#include <set>
#include <string>

namespace google::protobuf {
class Any;
}

namespace clew {

class SecretStore {
 public:
  explicit SecretStore(const Clock& clock);
  SecretStore(const SecretStore&) = delete;

  /// One that was asked for under this name. Returns why it was refused, or nothing.
  std::string accept(const std::string& name, const google::protobuf::Any& resource, const std::string& version);
  /// One of the bootstrap's, which stays. The same.
  std::string add_static(const envoy::extensions::transport_sockets::tls::v3::Secret& message);
  /// It is not to be had for now: what names it goes live all the same, and refuses handshakes until it comes. False:
  /// it is there, or was given up before.
  bool do_without(const std::string& name);
  /// All that are named now; the others are forgotten, keys and all.
  void want(std::set<SecretReference> secrets);

  /// Those that have to be delivered: what is wanted and is not the bootstrap's.
  const std::set<SecretReference>& wanted() const { return wanted_; }
  /// Each of them is there, or given up.
  bool settled(const std::set<SecretReference>& secrets) const;
  bool settled(const SecretReference& secret) const { return find(secret.name) || given_up_.contains(secret.name); }
  const StringMap<Record<Secret>>& records() const { return records_; }
  TlsInterner& interner() { return tls_; }
  std::shared_ptr<const TlsContexts> contexts() { return tls_.contexts(); }

 private:
  std::shared_ptr<const Secret> find(std::string_view name) const;

  const Clock& clock_;
  StringMap<Record<Secret>> records_;
  std::set<std::string, std::less<>> static_, given_up_;
  std::set<SecretReference> wanted_;
  TlsSlots tls_;
};

}  // namespace clew
