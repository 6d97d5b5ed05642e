#include "config/xds/decode.h"
#include "config/xds/decode_access_log.h"
#include "config/xds/decode_common.h"
#include "config/xds/decode_terminal.h"
#include "config/xds/decode_tls.h"
#include "config/xds/field_table.h"
#include "config/xds/filter_registry.h"
#include "config/xds/json.h"

#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb.h"
#include "envoy/extensions/filters/listener/original_src/v3/original_src.pb.h"
#include "envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <map>

namespace clew {

namespace listener = envoy::config::listener::v3;
namespace network = envoy::extensions::filters::network;
using Message = listener::Listener;

namespace {

constexpr int max_depth = 16;
constexpr std::uint32_t min_buffer = 4096, max_buffer = 64 * 1024 * 1024;

std::array<std::uint64_t, 2> content_hash(const google::protobuf::Message& message) {
  const std::string bytes = stable_bytes(message);
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return {hash.low64, hash.high64};
}

std::uint16_t decode_port(std::uint32_t port, std::string_view field, Scope& scope) {
  if (port > 65535) scope.fail(field, fmt::format("{} is no port", port));
  return static_cast<std::uint16_t>(port);
}

FilterChainMatch decode_match(const listener::FilterChainMatch& message, Scope& scope) {
  const Scope::Field in(scope, "filter_chain_match");
  FilterChainMatch out;
  if (message.has_destination_port())
    out.destination_port = decode_port(message.destination_port().value(), "destination_port", scope);
  const auto ranges = [&](const auto& messages, std::string_view field, std::vector<Cidr>& into) {
    for (int i = 0; i < messages.size(); ++i) {
      const Scope::Field at(scope, field, static_cast<std::size_t>(i));
      into.push_back(decode_cidr(messages[i], scope));
    }
  };
  ranges(message.prefix_ranges(), "prefix_ranges", out.prefix_ranges);
  ranges(message.source_prefix_ranges(), "source_prefix_ranges", out.source_prefix_ranges);
  for (const std::uint32_t port : message.source_ports())
    out.source_ports.push_back(decode_port(port, "source_ports", scope));
  for (const auto& name : message.server_names()) {
    if (name.empty() || name.find('*', 1) != std::string::npos || (name[0] == '*' && !name.starts_with("*.")))
      scope.fail("server_names", fmt::format("«{}» is neither a name nor *.NAME", printable(name)));
    out.server_names.push_back(to_lower(name));
  }
  out.transport_protocol = message.transport_protocol();
  if (!out.transport_protocol.empty() && out.transport_protocol != "tls" && out.transport_protocol != "raw_buffer")
    scope.fail("transport_protocol", fmt::format("«{}» is not supported", printable(out.transport_protocol)));
  out.application_protocols.assign(message.application_protocols().begin(), message.application_protocols().end());
  return out;
}

/// The last filter of a chain. False: it is none that ends one.
bool decode_terminal(const google::protobuf::Message& config, DecodeContext& context, Scope& scope, FilterChain& out) {
  if (const auto* manager = dynamic_cast<const network::http_connection_manager::v3::HttpConnectionManager*>(&config)) {
    const Scope::Field in(scope, "typed_config");
    out.terminal = decode_http_connection_manager(*manager, context, scope);
    return true;
  }
  if (const auto* proxy = dynamic_cast<const network::tcp_proxy::v3::TcpProxy*>(&config)) {
    const Scope::Field in(scope, "typed_config");
    out.terminal = decode_tcp_proxy(*proxy, scope);
    return true;
  }
  return false;
}

void decode_filters(const listener::FilterChain& message, DecodeContext& context, Scope& scope, FilterChain& out) {
  const int count = message.filters_size();
  if (count == 0) scope.fail("filters", "is empty");
  for (int i = 0; i < count && scope.ok(); ++i) {
    const Scope::Field in(scope, "filters", static_cast<std::size_t>(i));
    const auto& filter = message.filters(i);
    auto config = unpack(filter.typed_config());
    if (!config) {
      scope.fail(config.error().message);
    } else if (decode_terminal(**config, context, scope, out) != (i + 1 == count)) {
      scope.fail(fmt::format("{}: a chain ends with http_connection_manager or tcp_proxy, and there alone",
                             printable(filter.name())));
    } else if (i + 1 < count) {
      auto made = context.filters.network_filter(filter.name(), **config);
      if (!made)
        scope.fail(fmt::format("{}: {}", printable(filter.name()), made.error().message));
      else if (*made)
        out.network_filters.push_back(std::move(*made));
    }
  }
}

std::shared_ptr<const FilterChain> decode_chain(const listener::FilterChain& message, DecodeContext& context,
                                                const Listener* previous, Scope& scope) {
  auto out = std::make_shared<FilterChain>();
  const Scope::Object object(scope, metadata_object(message.metadata()));
  out->name = message.name();
  out->content = content_hash(message);
  out->match = decode_match(message.filter_chain_match(), scope);
  if (message.has_transport_socket()) {
    const Scope::Field in(scope, "transport_socket");
    out->tls = decode_server_socket(message.transport_socket(), context, scope);
  }
  if (message.has_transport_socket_connect_timeout()) {
    const Scope::Field in(scope, "transport_socket_connect_timeout");
    out->transport_socket_connect_timeout = decode_duration(message.transport_socket_connect_timeout(), scope);
  }
  decode_filters(message, context, scope, *out);
  if (previous) {
    // Decoded all the same: that is how its secrets and routes are known.
    for (const auto& chain : previous->chains)
      if (chain->content == out->content) return chain;
    if (previous->default_chain && previous->default_chain->content == out->content) return previous->default_chain;
  }
  return out;
}

/// Whether a criterion of two chains, or of one that says nothing of it, takes the same value.
template <class T>
bool meet(const std::vector<T>& a, const std::vector<T>& b) {
  const auto any = [](const std::vector<T>& list) {
    if constexpr (std::is_same_v<T, std::string>)
      if (std::find(list.begin(), list.end(), "") != list.end()) return true;
    return list.empty();
  };
  return (any(a) && any(b)) || std::find_first_of(a.begin(), a.end(), b.begin(), b.end()) != a.end();
}

template <class T>
bool repeats(const std::vector<T>& list) {
  for (auto it = list.begin(); it != list.end(); ++it)
    if (std::find(list.begin(), it, *it) != it) return true;
  return false;
}

/// Envoy refuses chains that some connection could not tell apart. Only chains of one port and server name are
/// compared: there may be many.
class ChainMatches {
 public:
  void add(const FilterChain& chain, Scope& scope) {
    const FilterChainMatch& match = chain.match;
    const Scope::Field in(scope, "filter_chain_match");
    if (repeats(match.prefix_ranges) || repeats(match.server_names) || repeats(match.application_protocols) ||
        repeats(match.source_prefix_ranges) || repeats(match.source_ports))
      scope.fail("says the same twice");
    std::vector<std::string> names = match.server_names;
    if (names.empty()) names.emplace_back();
    for (const std::string& name : names) {
      auto& others = chains_[{match.destination_port, name}];
      for (const FilterChain* other : others)
        if (overlap(match, other->match))
          scope.fail(fmt::format("is the same as that of chain «{}»", printable(other->name)));
      others.push_back(&chain);
    }
  }

 private:
  static bool overlap(const FilterChainMatch& a, const FilterChainMatch& b) {
    return a.transport_protocol == b.transport_protocol && meet(a.prefix_ranges, b.prefix_ranges) &&
           meet(a.application_protocols, b.application_protocols) &&
           meet(a.source_prefix_ranges, b.source_prefix_ranges) && meet(a.source_ports, b.source_ports);
  }
  std::map<std::pair<std::optional<std::uint16_t>, std::string>, std::vector<const FilterChain*>> chains_;
};

void decode_chains(const Message& message, DecodeContext& context, const Listener* previous, Scope& scope,
                   Listener& out) {
  ChainMatches matches;
  out.chains.reserve(static_cast<std::size_t>(message.filter_chains_size()));
  for (int i = 0; i < message.filter_chains_size() && scope.ok(); ++i) {
    const Scope::Field in(scope, "filter_chains", static_cast<std::size_t>(i));
    const auto& chain = message.filter_chains(i);
    out.chains.push_back(decode_chain(chain, context, previous, scope));
    if (scope.ok()) matches.add(*out.chains.back(), scope);
  }
  if (message.has_default_filter_chain()) {
    const Scope::Field in(scope, "default_filter_chain");
    out.default_chain = decode_chain(message.default_filter_chain(), context, previous, scope);
  }
  if (out.chains.empty() && !out.default_chain) scope.fail("filter_chains", "is empty");
}

PortPredicate decode_predicate(const listener::ListenerFilterChainMatchPredicate& message, int depth, Scope& scope) {
  using Predicate = listener::ListenerFilterChainMatchPredicate;
  if (depth > max_depth) {
    scope.fail("is nested too deep");
    return {};
  }
  const auto list = [&](const Predicate::MatchSet& set) {
    std::vector<PortPredicate> out;
    if (set.rules_size() < 2) scope.fail("needs two rules or more");
    for (int i = 0; i < set.rules_size(); ++i) {
      const Scope::Field in(scope, "rules", static_cast<std::size_t>(i));
      out.push_back(decode_predicate(set.rules(i), depth + 1, scope));
    }
    return out;
  };
  switch (message.rule_case()) {
    case Predicate::kOrMatch: {
      const Scope::Field in(scope, "or_match");
      return {PortPredicate::Or{list(message.or_match())}};
    }
    case Predicate::kAndMatch: {
      const Scope::Field in(scope, "and_match");
      return {PortPredicate::And{list(message.and_match())}};
    }
    case Predicate::kNotMatch: {
      const Scope::Field in(scope, "not_match");
      return {PortPredicate::Not{
          std::make_shared<const PortPredicate>(decode_predicate(message.not_match(), depth + 1, scope))}};
    }
    case Predicate::kAnyMatch: return {PortPredicate::Any{}};
    case Predicate::kDestinationPortRange: {
      const Scope::Field in(scope, "destination_port_range");
      const auto& range = message.destination_port_range();
      if (range.start() < 0 || range.end() > 65536 || range.start() >= range.end())
        scope.fail(fmt::format("[{}, {}) is no range of ports", range.start(), range.end()));
      return {PortPredicate::Range{static_cast<std::uint32_t>(range.start()), static_cast<std::uint32_t>(range.end())}};
    }
    default: scope.fail("says nothing"); return {};
  }
}

ListenerFilter decode_listener_filter(const listener::ListenerFilter& message, Scope& scope) {
  namespace filters = envoy::extensions::filters::listener;
  using Kind = ListenerFilter::Kind;
  ListenerFilter out;
  auto config = unpack(message.typed_config());
  if (!config) {
    scope.fail(fmt::format("{}: {}", printable(message.name()), config.error().message));
    return out;
  }
  if (dynamic_cast<const filters::original_dst::v3::OriginalDst*>(config->get())) {
    out.kind = Kind::original_dst;
  } else if (const auto* source = dynamic_cast<const filters::original_src::v3::OriginalSrc*>(config->get())) {
    out.kind = Kind::original_src;
    out.mark = source->mark();
  } else if (dynamic_cast<const filters::tls_inspector::v3::TlsInspector*>(config->get())) {
    out.kind = Kind::tls_inspector;
  } else if (dynamic_cast<const filters::http_inspector::v3::HttpInspector*>(config->get())) {
    out.kind = Kind::http_inspector;
  } else if (const auto* proxy = dynamic_cast<const filters::proxy_protocol::v3::ProxyProtocol*>(config->get())) {
    out.kind = Kind::proxy_protocol;
    out.proxy_protocol_optional = proxy->allow_requests_without_proxy_protocol();
  } else {
    scope.fail(fmt::format("{}: type {} is not supported here", printable(message.name()), (*config)->GetTypeName()));
  }
  if (message.has_filter_disabled()) {
    const Scope::Field in(scope, "filter_disabled");
    out.disabled = decode_predicate(message.filter_disabled(), 0, scope);
  }
  return out;
}

void decode_addresses(const Message& message, Scope& scope, Listener& out) {
  {
    const Scope::Field in(scope, "address");
    out.address = decode_address(message.address(), scope);
  }
  for (int i = 0; i < message.additional_addresses_size(); ++i) {
    const Scope::Field in(scope, "additional_addresses", static_cast<std::size_t>(i));
    const Scope::Field at(scope, "address");
    out.additional_addresses.push_back(decode_address(message.additional_addresses(i).address(), scope));
  }
}

void decode_settings(const Message& message, Scope& scope, Listener& out) {
  if (message.has_listener_filters_timeout()) {
    const Scope::Field in(scope, "listener_filters_timeout");
    out.listener_filters_timeout = decode_duration(message.listener_filters_timeout(), scope);
  }
  out.continue_on_listener_filters_timeout = message.continue_on_listener_filters_timeout();
  out.bind_to_port = message.has_bind_to_port()                   ? message.bind_to_port().value()
                     : message.deprecated_v1().has_bind_to_port() ? message.deprecated_v1().bind_to_port().value()
                                                                  : true;
  out.use_original_dst = message.use_original_dst().value();
  out.transparent = message.transparent().value();
  out.ignore_global_connection_limit = message.ignore_global_conn_limit();
  out.direction = message.traffic_direction() == envoy::config::core::v3::INBOUND    ? TrafficDirection::inbound
                  : message.traffic_direction() == envoy::config::core::v3::OUTBOUND ? TrafficDirection::outbound
                                                                                     : TrafficDirection::unspecified;
  if (message.has_per_connection_buffer_limit_bytes())
    out.connection_buffer_limit =
        std::clamp(message.per_connection_buffer_limit_bytes().value(), min_buffer, max_buffer);
}

}  // namespace

Decoded<std::shared_ptr<const Listener>> decode_listener(const Message& message, DecodeContext& context,
                                                         const Listener* previous) {
  Scope scope("listener " + printable(message.name()));
  check_fields(message, scope);
  const Scope::Object object(scope, metadata_object(message.metadata()));
  auto out = std::make_shared<Listener>();
  out->name = message.name();
  if (message.name().empty()) scope.fail("name", "is empty");
  decode_addresses(message, scope, *out);
  decode_settings(message, scope, *out);
  for (int i = 0; i < message.listener_filters_size(); ++i) {
    const Scope::Field in(scope, "listener_filters", static_cast<std::size_t>(i));
    out->listener_filters.push_back(decode_listener_filter(message.listener_filters(i), scope));
  }
  out->access_logs = decode_access_logs(message.access_log(), "access_log", scope);
  decode_chains(message, context, previous, scope, *out);
  out->istio_config = metadata_string(message.metadata(), "istio", "config");
  out->added_via_api = context.added_via_api;
  if (!scope.ok()) return DecodeError{scope.problem()};
  return std::shared_ptr<const Listener>(std::move(out));
}

}  // namespace clew
