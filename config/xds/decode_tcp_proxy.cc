#include "config/xds/decode_access_log.h"
#include "config/xds/decode_common.h"
#include "config/xds/decode_terminal.h"

#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"

#include <fmt/format.h>

namespace clew {

using Message = envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy;

namespace {

constexpr std::uint64_t max_total_weight = 0xffffffff;
constexpr std::uint32_t max_attempts = 100;

void decode_targets(const Message& message, Scope& scope, TcpProxy& out) {
  if (!message.has_weighted_clusters()) {
    if (message.cluster().empty()) scope.fail("cluster", "is empty");
    out.clusters.push_back({message.cluster(), 1});
    return;
  }
  const Scope::Field in(scope, "weighted_clusters");
  std::uint64_t total = 0;
  for (int i = 0; i < message.weighted_clusters().clusters_size(); ++i) {
    const Scope::Field at(scope, "clusters", static_cast<std::size_t>(i));
    const auto& entry = message.weighted_clusters().clusters(i);
    if (entry.name().empty()) scope.fail("name", "is empty");
    if (entry.weight() == 0) scope.fail("weight", "must be above 0");
    out.clusters.push_back({entry.name(), entry.weight()});
    total += entry.weight();
  }
  if (total == 0 || total > max_total_weight)
    scope.fail(fmt::format("the weights add up to {}, which must be from 1 to {}", total, max_total_weight));
}

}  // namespace

std::shared_ptr<const TcpProxy> decode_tcp_proxy(const Message& message, Scope& scope) {
  auto out = std::make_shared<TcpProxy>();
  out->stat_prefix = message.stat_prefix();
  if (message.stat_prefix().empty()) scope.fail("stat_prefix", "is empty");
  decode_targets(message, scope, *out);
  if (message.has_idle_timeout()) {
    const Scope::Field in(scope, "idle_timeout");
    out->idle_timeout = decode_duration(message.idle_timeout(), scope);
  }
  if (message.has_max_downstream_connection_duration()) {
    const Scope::Field in(scope, "max_downstream_connection_duration");
    out->max_connection_duration = decode_duration(message.max_downstream_connection_duration(), scope);
    if (*out->max_connection_duration < std::chrono::milliseconds(1)) scope.fail("must be 1 ms or more");
  }
  if (message.hash_policy_size() > 1) scope.fail("hash_policy", "has more than one entry");
  out->hash_source_ip = message.hash_policy_size() == 1 && message.hash_policy(0).has_source_ip();
  if (message.has_max_connect_attempts()) {
    out->max_connect_attempts = message.max_connect_attempts().value();
    if (out->max_connect_attempts == 0 || out->max_connect_attempts > max_attempts)
      scope.fail("max_connect_attempts", fmt::format("must be from 1 to {}", max_attempts));
  }
  out->access_logs = decode_access_logs(message.access_log(), "access_log", scope);
  return out;
}

}  // namespace clew
