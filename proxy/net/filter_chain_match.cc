#include "proxy/net/filter_chain_match.h"

#include "proxy/base/strings.h"

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace clew {

namespace {

using Chain = const std::shared_ptr<const FilterChain>*;

/// Values by address block; the longest one that contains an address. any: where no block was asked for.
template <class T>
class ByPrefix {
 public:
  T& at(const std::optional<Cidr>& block) {
    if (!block) return any_ ? *any_ : any_.emplace();
    return levels_[block->prefix][key(block->base, block->prefix)];
  }
  const T* find(const IpAddress& address) const {
    for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
      if (level->first > 8 * address.bytes().size()) continue;
      const auto it = level->second.find(key(address, level->first));
      if (it != level->second.end()) return &it->second;
    }
    return any();
  }
  const T* any() const { return any_ ? &*any_ : nullptr; }

 private:
  /// Family and masked bytes.
  static std::string key(const IpAddress& address, unsigned prefix) {
    std::string out(1, address.is_v4() ? '4' : '6');
    out += address.bytes();
    for (std::size_t bit = prefix; bit < 8 * address.bytes().size(); ++bit) {
      char& c = out[1 + bit / 8];
      c = static_cast<char>(c & ~(0x80 >> bit % 8));
    }
    return out;
  }
  std::map<unsigned, std::unordered_map<std::string, T>> levels_;
  std::optional<T> any_;
};

struct Ports {
  std::unordered_map<std::uint16_t, Chain> exact;
  Chain any = nullptr;
};
using Sources = ByPrefix<Ports>;
using ApplicationProtocols = StringMap<Sources>;             // "": any
using TransportProtocols = StringMap<ApplicationProtocols>;  // "": any
using ServerNames = StringMap<TransportProtocols>;           // «a.x», «.x» for «*.x», "": any
using Destinations = ByPrefix<ServerNames>;

template <class T>
const T* find(const StringMap<T>& map, std::string_view name) {
  const auto it = map.find(name);
  return it == map.end() ? nullptr : &it->second;
}

const TransportProtocols* find_server_name(const ServerNames& names, std::string_view name) {
  if (!name.empty()) {
    // «.x» is how «*.x» is kept here, not a name.
    if (const auto* exact = name.front() == '.' ? nullptr : find(names, name)) return exact;
    for (std::size_t dot = name.find('.', 1); dot != std::string_view::npos; dot = name.find('.', dot + 1))
      if (const auto* wildcard = find(names, name.substr(dot))) return wildcard;
  }
  return find(names, {});
}

const Sources* find_application(const ApplicationProtocols& protocols, const std::vector<std::string>& offered) {
  for (const std::string& name : offered)
    if (const auto* match = name.empty() ? nullptr : find(protocols, name)) return match;
  return find(protocols, {});
}

/// All of a list as keys; an empty one is the key «any».
template <class T>
std::vector<std::optional<T>> or_any(const std::vector<T>& list) {
  if (list.empty()) return {std::nullopt};
  return {list.begin(), list.end()};
}

bool matches_all(const FilterChainMatch& match) {
  return !match.destination_port && match.prefix_ranges.empty() && match.server_names.empty() &&
         match.transport_protocol.empty() && match.application_protocols.empty() &&
         match.source_prefix_ranges.empty() && match.source_ports.empty();
}

void add_sources(Sources& sources, const FilterChainMatch& match, Chain chain) {
  for (const auto& block : or_any(match.source_prefix_ranges)) {
    Ports& ports = sources.at(block);
    if (match.source_ports.empty() && !ports.any) ports.any = chain;
    for (const std::uint16_t port : match.source_ports) ports.exact.emplace(port, chain);
  }
}

void add(Destinations& destinations, const FilterChainMatch& match, Chain chain) {
  for (const auto& block : or_any(match.prefix_ranges)) {
    ServerNames& names = destinations.at(block);
    for (const auto& name : or_any(match.server_names)) {
      const std::string key = !name ? std::string() : name->rfind("*.", 0) == 0 ? name->substr(1) : *name;
      ApplicationProtocols& applications = names[key][match.transport_protocol];
      for (const auto& protocol : or_any(match.application_protocols))
        add_sources(applications[protocol.value_or("")], match, chain);
    }
  }
}

}  // namespace

struct FilterChainMatcher::Tree {
  std::unordered_map<std::uint16_t, Destinations> by_port;
  Destinations any_port;

  Chain select(const Destinations& destinations, const ConnectionInfo& connection) const {
    const ServerNames* names =
        connection.local.is_pipe() ? destinations.any() : destinations.find(connection.local.ip());
    const TransportProtocols* transports = names ? find_server_name(*names, connection.server_name) : nullptr;
    if (!transports) return nullptr;
    const ApplicationProtocols* applications = find(*transports, connection.transport_protocol);
    if (!applications) applications = find(*transports, {});
    const Sources* sources = applications ? find_application(*applications, connection.offered_alpn) : nullptr;
    if (!sources) return nullptr;
    const Ports* ports = connection.remote.is_pipe() ? sources->any() : sources->find(connection.remote.ip());
    if (!ports) return nullptr;
    const auto exact = ports->exact.find(connection.remote.port());
    return exact != ports->exact.end() ? exact->second : ports->any;
  }
};

FilterChainMatcher::FilterChainMatcher(std::shared_ptr<const Listener> listener) : listener_(std::move(listener)) {
  const auto& chains = listener_->chains;
  if (chains.empty() || (chains.size() == 1 && matches_all(chains[0]->match))) return;
  tree_ = std::make_unique<Tree>();
  for (const auto& chain : chains) {
    const auto& port = chain->match.destination_port;
    add(port ? tree_->by_port[*port] : tree_->any_port, chain->match, &chain);
  }
}

FilterChainMatcher::~FilterChainMatcher() = default;
FilterChainMatcher::FilterChainMatcher(FilterChainMatcher&&) noexcept = default;
FilterChainMatcher& FilterChainMatcher::operator=(FilterChainMatcher&&) noexcept = default;

const std::shared_ptr<const FilterChain>* FilterChainMatcher::select(const ConnectionInfo& connection) const {
  Chain chosen = nullptr;
  if (!tree_) {
    if (!listener_->chains.empty()) chosen = &listener_->chains.front();
  } else {
    const auto port = connection.local.is_pipe() ? tree_->by_port.end() : tree_->by_port.find(connection.local.port());
    chosen = tree_->select(port != tree_->by_port.end() ? port->second : tree_->any_port, connection);
  }
  if (chosen) return chosen;
  return listener_->default_chain ? &listener_->default_chain : nullptr;
}

}  // namespace clew
