#include "config/snapshot/route.h"

#include <algorithm>
#include <array>
#include <functional>

namespace clew {

namespace {

constexpr std::size_t routes_worth_an_index = 8;

using Wildcards = std::vector<std::pair<std::size_t, StringMap<std::uint32_t>>>;

StringMap<std::uint32_t>& of_length(Wildcards& wildcards, std::size_t length) {
  for (auto& [size, map] : wildcards)
    if (size == length) return map;
  return wildcards.emplace_back(length, StringMap<std::uint32_t>()).second;
}

std::string_view without_port(std::string_view host) {
  const std::size_t colon = host.rfind(':');
  if (colon == host.npos) return host;
  const std::size_t bracket = host.rfind(']');
  return bracket == host.npos || bracket < colon ? host.substr(0, colon) : host;
}

}  // namespace

std::uint32_t parse_retry_on(std::string_view words) {
  using P = RetryOn;
  static constexpr std::array<std::pair<std::string_view, std::uint32_t>, 16> known{{
      {"5xx", P::on_5xx},
      {"gateway-error", P::gateway_error},
      {"reset", P::reset},
      {"reset-before-request", P::reset_before_request},
      {"connect-failure", P::connect_failure},
      {"refused-stream", P::refused_stream},
      {"retriable-4xx", P::retriable_4xx},
      {"retriable-status-codes", P::retriable_status_codes},
      {"retriable-headers", P::retriable_headers},
      {"envoy-ratelimited", P::envoy_ratelimited},
      {"cancelled", P::grpc_cancelled},
      {"deadline-exceeded", P::grpc_deadline_exceeded},
      {"internal", P::grpc_internal},
      {"resource-exhausted", P::grpc_resource_exhausted},
      {"unavailable", P::grpc_unavailable},
      {"http3-post-connect-failure", P::http3_post_connect_failure},
  }};
  std::uint32_t on = 0;
  while (!words.empty()) {
    const std::size_t comma = std::min(words.find(','), words.size());
    const std::string_view word = trim(words.substr(0, comma));
    words.remove_prefix(std::min(comma + 1, words.size()));
    for (const auto& [name, bit] : known)
      if (word == name) on |= bit;
  }
  return on;
}

std::optional<std::string> RouteTable::finish() {
  exact_.clear();
  suffix_.clear();
  prefix_.clear();
  any_.reset();
  for (std::uint32_t i = 0; i < hosts.size(); ++i) {
    for (const std::string& domain : hosts[i].domains) {
      const std::string name = to_lower(domain);
      bool fresh = true;
      if (name == "*") {
        fresh = !any_;
        any_ = i;
      } else if (name.starts_with('*')) {
        fresh = of_length(suffix_, name.size() - 1).emplace(name.substr(1), i).second;
      } else if (name.ends_with('*')) {
        fresh = of_length(prefix_, name.size() - 1).emplace(name.substr(0, name.size() - 1), i).second;
      } else {
        fresh = exact_.emplace(name, i).second;
      }
      if (!fresh) return domain;
    }
  }
  for (VirtualHost& host : hosts)
    host.index = host.routes.size() < routes_worth_an_index ? nullptr : std::make_shared<RouteIndex>(host.routes);
  const auto longest_first = [](const auto& a, const auto& b) { return a.first > b.first; };
  std::sort(suffix_.begin(), suffix_.end(), longest_first);
  std::sort(prefix_.begin(), prefix_.end(), longest_first);
  return {};
}

const VirtualHost* RouteTable::find_host(std::string_view authority) const {
  if (!authority.data() && !(exact_.empty() && suffix_.empty() && prefix_.empty())) return nullptr;
  std::string_view host = ignore_port_in_host ? without_port(authority) : authority;
  std::string lowered;
  if (std::any_of(host.begin(), host.end(), [](char c) { return c >= 'A' && c <= 'Z'; }))
    host = lowered = to_lower(host);
  if (const auto it = exact_.find(host); it != exact_.end()) return &hosts[it->second];
  for (const auto& [length, names] : suffix_) {
    if (length >= host.size()) continue;  // the star stands for something
    if (const auto it = names.find(host.substr(host.size() - length)); it != names.end()) return &hosts[it->second];
  }
  for (const auto& [length, names] : prefix_) {
    if (length >= host.size()) continue;
    if (const auto it = names.find(host.substr(0, length)); it != names.end()) return &hosts[it->second];
  }
  return any_ ? &hosts[*any_] : nullptr;
}

}  // namespace clew
