#include "config/xds/endpoint_diff.h"
#include "config/xds/decode.h"
#include "test/unit/config/xds/print.h"

#include "envoy/config/endpoint/v3/endpoint.pb.h"

#include <catch2/catch.hpp>

#include <random>

using namespace clew;
using envoy::config::endpoint::v3::ClusterLoadAssignment;

namespace {

/// One locality for each list; an endpoint's number is its address.
ClusterLoadAssignment assignment(std::initializer_list<std::vector<int>> localities) {
  ClusterLoadAssignment out;
  out.set_cluster_name("c");
  out.mutable_policy()->mutable_overprovisioning_factor()->set_value(150);
  for (const auto& numbers : localities) {
    auto* locality = out.add_endpoints();
    locality->mutable_locality()->set_zone(std::to_string(out.endpoints_size()));
    locality->mutable_load_balancing_weight()->set_value(3);
    for (const int n : numbers) {
      auto* socket = locality->add_lb_endpoints()->mutable_endpoint()->mutable_address()->mutable_socket_address();
      socket->set_address("10.0." + std::to_string(n / 256) + "." + std::to_string(n % 256));
      socket->set_port_value(80);
    }
  }
  return out;
}

/// The next version, decoded with what it shares; the same as decoded alone.
std::shared_ptr<const LoadAssignment> next(const ClusterLoadAssignment& message, const ClusterLoadAssignment& before,
                                           const LoadAssignment& old) {
  const auto decoded = decode_endpoints(message.SerializeAsString(), before.SerializeAsString(), &old);
  const auto alone = decode_endpoints(message);
  REQUIRE(decoded.has_value());
  REQUIRE(test::print(**decoded) == test::print(**alone));
  return *decoded;
}

}  // namespace

TEST_CASE("endpoints with the same bytes are the same objects, wherever they moved to") {
  const auto before = assignment({{1, 2, 3}, {4, 5}});
  const auto old = *decode_endpoints(before);
  const auto now = next(assignment({{3, 9, 1}, {}, {2, 4}}), before, *old);
  const auto& was = old->localities;
  REQUIRE(now->localities.size() == 3);
  CHECK(now->localities[0].endpoints[0] == was[0].endpoints[2]);
  CHECK(now->localities[0].endpoints[2] == was[0].endpoints[0]);
  CHECK(now->localities[2].endpoints == std::vector<EndpointPtr>{was[0].endpoints[1], was[1].endpoints[0]});
  CHECK(next(before, before, *old)->localities[1].endpoints == was[1].endpoints);
}

TEST_CASE("an endpoint that says something else is another") {
  const auto before = assignment({{1, 2}});
  const auto old = *decode_endpoints(before);
  auto message = before;
  message.mutable_endpoints(0)->mutable_lb_endpoints(0)->mutable_load_balancing_weight()->set_value(9);
  message.mutable_endpoints(0)->set_priority(1);
  const auto now = next(message, before, *old);
  CHECK(now->localities[0].priority == 1);
  CHECK(now->localities[0].endpoints[0]->weight == 9);
  CHECK(now->localities[0].endpoints[1] == old->localities[0].endpoints[1]);
}

TEST_CASE("what is refused is said of the whole message") {
  const auto before = assignment({{1, 2, 3}});
  const auto old = *decode_endpoints(before);
  auto message = assignment({{1, 2, 3}});
  message.mutable_endpoints(0)->add_lb_endpoints()->mutable_load_balancing_weight()->set_value(0);
  const auto refused = decode_endpoints(message.SerializeAsString(), before.SerializeAsString(), old.get());
  REQUIRE(refused.has_error());
  CHECK(refused.error().message == decode_endpoints(message).error().message);
  CHECK(refused.error().message.find("endpoints[0].lb_endpoints[3]") != std::string::npos);
  message = before;
  message.GetReflection()->MutableUnknownFields(&message)->AddVarint(4095, 1);
  CHECK(decode_endpoints(message.SerializeAsString(), before.SerializeAsString(), old.get()).has_error());
}

TEST_CASE("broken bytes are no diff") {
  const auto before = assignment({{1, 2, 3}});
  const auto old = *decode_endpoints(before);
  const std::string bytes = before.SerializeAsString();
  for (std::size_t cut = 1; cut < bytes.size(); ++cut) {
    const std::string broken = bytes.substr(0, cut);
    ClusterLoadAssignment message;
    const auto decoded = decode_endpoints(broken, bytes, old.get());
    if (!message.ParseFromString(broken))
      CHECK(decoded.has_error());
    else
      CHECK(decoded.has_value() == decode_endpoints(message).has_value());
  }
  CHECK_FALSE(diff_endpoints(bytes, "", *old));  // not what it was decoded from
}

TEST_CASE("any sequence of versions means what each means alone") {
  std::mt19937 random(5);
  auto before = assignment({{}, {}});
  auto old = *decode_endpoints(before);
  for (int round = 0; round < 200; ++round) {
    std::vector<int> lists[2];
    for (auto& list : lists)
      for (int n = static_cast<int>(random() % 12); n > 0; --n) list.push_back(static_cast<int>(random() % 16));
    const auto message = assignment({lists[0], lists[1]});
    old = next(message, before, *old);
    before = message;
  }
}
