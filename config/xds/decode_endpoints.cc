#include "config/xds/decode_endpoints.h"

#include "config/xds/decode.h"
#include "config/xds/decode_common.h"
#include "config/xds/endpoint_diff.h"
#include "config/xds/field_table.h"

#include "envoy/config/endpoint/v3/endpoint.pb.h"

#include <fmt/format.h>
#include <google/protobuf/arena.h>

namespace clew {

namespace core = envoy::config::core::v3;
namespace endpoint = envoy::config::endpoint::v3;

namespace {

constexpr std::uint32_t max_priority = 128;

HealthStatus decode_health(core::HealthStatus status) {
  switch (status) {
    case core::UNHEALTHY: return HealthStatus::unhealthy;
    case core::DRAINING: return HealthStatus::draining;
    case core::TIMEOUT: return HealthStatus::timeout;
    case core::DEGRADED: return HealthStatus::degraded;
    default: return HealthStatus::healthy;
  }
}

void decode_metadata(const core::Metadata& metadata, Endpoint& out) {
  const auto& spaces = metadata.filter_metadata();
  if (const auto it = spaces.find("envoy.transport_socket_match"); it != spaces.end())
    for (const auto& [key, value] : it->second.fields()) out.transport_match.emplace_back(key, value.string_value());
  out.workload = metadata_string(metadata, "istio", "workload");
}

Endpoint decode_endpoint(const endpoint::LbEndpoint& message, bool names, Scope& scope) {
  Endpoint out;
  {
    const Scope::Field in(scope, "endpoint");
    const auto& host = message.endpoint();
    const Scope::Field at(scope, "address");
    const auto& socket = host.address().socket_address();
    if (names && host.address().has_socket_address()) {
      if (socket.address().empty() || socket.address().size() > 253)
        scope.fail("socket_address.address", "is no host name");
      if (socket.port_value() > 65535)
        scope.fail("socket_address.port_value", fmt::format("{} is no port", socket.port_value()));
      out.hostname = socket.address();
      out.address = Address(IpAddress::parse(socket.address()).value_or(IpAddress()),
                            static_cast<std::uint16_t>(socket.port_value()));
    } else {
      out.hostname = host.hostname();
      out.address = decode_address(host.address(), scope);
    }
  }
  for (int i = 0; i < message.endpoint().additional_addresses_size(); ++i) {
    const Scope::Field in(scope, "endpoint.additional_addresses", static_cast<std::size_t>(i));
    out.additional_addresses.push_back(decode_address(message.endpoint().additional_addresses(i).address(), scope));
  }
  out.health = decode_health(message.health_status());
  if (message.has_load_balancing_weight()) {
    out.weight = message.load_balancing_weight().value();
    if (out.weight == 0) scope.fail("load_balancing_weight", "must be above 0");
  }
  decode_metadata(message.metadata(), out);
  return out;
}

LocalityEndpoints decode_locality(const endpoint::LocalityLbEndpoints& message, bool names, Scope& scope) {
  LocalityEndpoints out;
  out.locality = {message.locality().region(), message.locality().zone(), message.locality().sub_zone()};
  out.weight = message.load_balancing_weight().value();
  out.priority = message.priority();
  if (out.priority > max_priority) scope.fail("priority", fmt::format("{} is above {}", out.priority, max_priority));
  out.endpoints.reserve(static_cast<std::size_t>(message.lb_endpoints_size()));
  for (int i = 0; i < message.lb_endpoints_size(); ++i) {
    const Scope::Field in(scope, "lb_endpoints", static_cast<std::size_t>(i));
    out.endpoints.push_back(std::make_shared<Endpoint>(decode_endpoint(message.lb_endpoints(i), names, scope)));
  }
  return out;
}

}  // namespace

std::shared_ptr<const LoadAssignment> decode_load_assignment(const endpoint::ClusterLoadAssignment& message, bool names,
                                                             Scope& scope) {
  auto out = std::make_shared<LoadAssignment>();
  if (message.policy().has_overprovisioning_factor()) {
    out->overprovisioning_factor = message.policy().overprovisioning_factor().value();
    if (out->overprovisioning_factor == 0) scope.fail("policy.overprovisioning_factor", "must be above 0");
  }
  out->localities.reserve(static_cast<std::size_t>(message.endpoints_size()));
  for (int i = 0; i < message.endpoints_size(); ++i) {
    const Scope::Field in(scope, "endpoints", static_cast<std::size_t>(i));
    out->localities.push_back(decode_locality(message.endpoints(i), names, scope));
  }
  return out;
}

namespace {

/// Puts what was known already between what was decoded.
void merge(std::vector<LocalityEndpoints>& decoded, EndpointDiff diff) {
  for (std::size_t i = 0; i < decoded.size(); ++i) {
    auto fresh = decoded[i].endpoints.begin();
    for (EndpointPtr& endpoint : diff.localities[i])
      if (!endpoint) endpoint = std::move(*fresh++);
    decoded[i].endpoints = std::move(diff.localities[i]);
  }
}

}  // namespace

Decoded<std::shared_ptr<const LoadAssignment>> decode_endpoints(const std::string& bytes, const std::string& old_bytes,
                                                                const LoadAssignment* old) {
  google::protobuf::Arena arena;
  auto& message = *google::protobuf::Arena::CreateMessage<endpoint::ClusterLoadAssignment>(&arena);
  if (auto diff = old ? diff_endpoints(bytes, old_bytes, *old) : std::nullopt;
      diff && message.ParseFromString(diff->rest)) {
    if (auto decoded = decode_endpoints(message)) {
      auto out = std::make_shared<LoadAssignment>(**decoded);
      merge(out->localities, std::move(*diff));
      return std::shared_ptr<const LoadAssignment>(std::move(out));
    }
    // Refused: said of the whole, where indices are the sender's.
  }
  if (!message.ParseFromString(bytes)) return DecodeError{"the bytes are no " + std::string(message.GetTypeName())};
  return decode_endpoints(message);
}

Decoded<std::shared_ptr<const LoadAssignment>> decode_endpoints(const endpoint::ClusterLoadAssignment& message) {
  Scope scope("endpoints " + printable(message.cluster_name()));
  check_fields(message, scope);
  if (message.cluster_name().empty()) scope.fail("cluster_name", "is empty");
  auto out = decode_load_assignment(message, false, scope);
  if (!scope.ok()) return DecodeError{scope.problem()};
  return out;
}

}  // namespace clew
