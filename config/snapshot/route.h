// Routes as values with their index. envoy.config.route.v3. The matching functions live in proxy/http/route_match.h.
#pragma once

#include "config/snapshot/format.h"
#include "config/snapshot/matcher.h"
#include "config/snapshot/priority.h"
#include "config/snapshot/route_index.h"
#include "proxy/base/clock.h"
#include "proxy/base/strings.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace clew {

class FilterRouteConfig;  // proxy/http/filter.h: what one filter made of its typed_per_filter_config

/// A header to add; the value may hold command operators.
struct HeaderToAdd {
  enum class Action : std::uint8_t {
    append_if_exists_or_add,
    add_if_absent,
    overwrite_if_exists_or_add,
    overwrite_if_exists
  };
  std::string name;  // lower case
  TextFormat value;
  Action action = Action::append_if_exists_or_add;
  bool keep_empty = false;
};

struct HeaderMutations {
  std::vector<HeaderToAdd> request_add, response_add;
  std::vector<std::string> request_remove, response_remove;  // lower case
};
using HeaderMutationsPtr = std::shared_ptr<const HeaderMutations>;  // null: none

/// Bits of RetryPolicy::on.
struct RetryOn {
  enum : std::uint32_t {
    on_5xx = 1u << 0,
    gateway_error = 1u << 1,
    reset = 1u << 2,
    reset_before_request = 1u << 3,
    connect_failure = 1u << 4,
    refused_stream = 1u << 5,
    retriable_4xx = 1u << 6,
    retriable_status_codes = 1u << 7,
    retriable_headers = 1u << 8,
    envoy_ratelimited = 1u << 9,
    grpc_cancelled = 1u << 10,
    grpc_deadline_exceeded = 1u << 11,
    grpc_internal = 1u << 12,
    grpc_resource_exhausted = 1u << 13,
    grpc_unavailable = 1u << 14,
    http3_post_connect_failure = 1u << 15,
  };
};

struct RetryPolicy {
  using On = RetryOn;
  std::uint32_t on = 0;
  std::uint32_t num_retries = 1;
  Duration per_try_timeout{0};  // 0: the route's timeout bounds each try
  Duration per_try_idle_timeout{0};
  std::vector<std::uint32_t> retriable_status_codes;
  std::vector<HeaderMatcher> retriable_headers;
  Duration base_interval = std::chrono::milliseconds(25);
  Duration max_interval = std::chrono::milliseconds(250);
  bool previous_hosts = false;  // retry_host_predicate previous_hosts
  std::uint32_t host_selection_attempts = 1;
};

/// The retry_on words of a policy or of x-envoy-retry-on / x-envoy-retry-grpc-on; unknown words are ignored, as Envoy
/// does.
std::uint32_t parse_retry_on(std::string_view words);

struct HashPolicy {
  struct Header {
    std::string name;
  };
  struct Cookie {
    std::string name;
    std::optional<Duration> ttl;
    std::string path;
    std::vector<std::pair<std::string, std::string>> attributes;
  };
  struct SourceIp {};
  struct QueryParameter {
    std::string name;
  };
  std::variant<Header, Cookie, SourceIp, QueryParameter> source;
  bool terminal = false;
};

struct WeightedCluster {
  std::string cluster;
  std::uint32_t weight = 0;
  HeaderMutationsPtr headers;
  std::string host_rewrite;
};

struct ForwardAction {
  std::vector<WeightedCluster> clusters;  // one entry: plain cluster
  std::uint64_t total_weight = 0;
  std::uint32_t cluster_not_found_status = 503;
  Priority priority = Priority::standard;
  std::optional<Duration> timeout;  // nothing: 15 s; 0: none
  std::optional<Duration> idle_timeout;
  std::optional<Duration> max_stream_duration;
  std::optional<Duration> grpc_timeout_max;  // set: honour grpc-timeout; 0: uncapped
  std::shared_ptr<const RetryPolicy> retry;
  std::string prefix_rewrite;
  std::optional<Regex> regex_rewrite;
  std::string regex_substitution;
  std::string host_rewrite;
  bool append_x_forwarded_host = false;
  std::vector<HashPolicy> hash;
  std::vector<std::string> upgrades;  // lower case; empty: the connection manager's
};

struct RedirectAction {
  std::string scheme, host, path, prefix_rewrite;
  bool https = false;
  std::optional<std::uint16_t> port;
  std::uint32_t status = 301;
  bool strip_query = false;
};

struct DirectResponse {
  std::uint32_t status = 200;
  std::string body;
};

struct PathMatch {
  enum class Kind : std::uint8_t { prefix, exact, regex, separated_prefix, connect } kind = Kind::prefix;
  std::string text;
  std::optional<Regex> regex;
  bool case_sensitive = true;
};

struct Route {
  std::string name;
  PathMatch path;
  std::vector<HeaderMatcher> headers;
  std::vector<QueryParameterMatcher> query;
  std::variant<ForwardAction, RedirectAction, DirectResponse> action;
  HeaderMutationsPtr header_mutations;
  std::string decorator_operation;
  std::string istio_config;  // metadata.filter_metadata.istio.config: the object it came from
  /// By filter name; only filters that clew knows.
  StringMap<std::shared_ptr<const FilterRouteConfig>> filter_config;
};

struct VirtualHost {
  std::string name;
  std::vector<std::string> domains;
  std::vector<Route> routes;                // first match wins
  std::shared_ptr<const RouteIndex> index;  // of many routes; null: each is tried. RouteTable::finish() makes it
  HeaderMutationsPtr header_mutations;
  bool include_request_attempt_count = false;
  enum class RequireTls : std::uint8_t { none, external_only, all } require_tls = RequireTls::none;
  std::shared_ptr<const RetryPolicy> retry;
  StringMap<std::shared_ptr<const FilterRouteConfig>> filter_config;
};

/// A RouteConfiguration with its indices, built once by finish().
struct RouteTable {
  std::string name;
  std::vector<VirtualHost> hosts;
  HeaderMutationsPtr header_mutations;
  bool ignore_port_in_host = false;
  StringMap<std::shared_ptr<const FilterRouteConfig>> filter_config;

  /// Builds the index below and those of the hosts. Returns the first domain that appears twice, or nothing.
  std::optional<std::string> finish();
  /// Envoy's order: exact, longest suffix wildcard «*.x», longest prefix wildcard «x.*», «*»; case-insensitive.
  /// authority as received. Null: no host.
  const VirtualHost* find_host(std::string_view authority) const;

 private:
  StringMap<std::uint32_t> exact_;
  // by length, longest first
  std::vector<std::pair<std::size_t, StringMap<std::uint32_t>>> suffix_, prefix_;
  std::optional<std::uint32_t> any_;
};

}  // namespace clew
