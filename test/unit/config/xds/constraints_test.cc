// Rules of Envoy's API, by kind, each on a message that has one. What is right breaks none: captured_test, fields_test.
#include "test/unit/config/xds/fakes.h"

#include "config/xds/constraints.h"
#include "config/xds/json.h"

namespace clew {
namespace {

std::string broken(const std::string& type, const std::string& json) {
  const auto message = new_message(type);
  REQUIRE(message);
  const auto parsed = from_json(json, *message);
  INFO((parsed ? "" : parsed.error().message));
  REQUIRE(parsed.has_value());
  const auto violation = Constraints(*message->GetDescriptor()).violated_by(*message);
  return violation ? violation->field + ": " + violation->what : "";
}

TEST_CASE("rules of Envoy's API") {
  const std::string config = "envoy.config.", cluster = config + "cluster.v3.Cluster", route = config + "route.v3.";
  struct Row {
    std::string type, json, broken;
  };
  for (const Row& row : std::vector<Row>{
           {cluster, R"({"name": ""})", "name: is empty"},
           {cluster, R"({"name": "c"})", ""},
           {cluster, R"({"name": "c", "lb_policy": 99})", "lb_policy: 99 is not known"},
           {cluster, R"({"name": "c", "connect_timeout": "0s"})", "connect_timeout: must be above 0 s"},
           {cluster, R"({"name": "c", "connect_timeout": "0.000000001s"})", ""},
           {cluster, R"({"name": "c", "dns_refresh_rate": "0.001s"})", "dns_refresh_rate: must be above 0.001 s"},
           {config + "cluster.v3.OutlierDetection", R"({"max_ejection_percent": 101})",
            "max_ejection_percent: must be at most 100"},
           {config + "cluster.v3.OutlierDetection", R"({"max_ejection_percent": 100})", ""},
           {config + "endpoint.v3.LocalityLbEndpoints", R"({"priority": 129})", "priority: must be at most 128"},
           {config + "endpoint.v3.LbEndpoint", R"({"load_balancing_weight": 0})",
            "load_balancing_weight: must be at least 1"},
           {config + "core.v3.SocketAddress", R"({"address": "x"})", "port_specifier: is not set"},
           {config + "core.v3.SocketAddress", R"({"address": "x", "port_value": 0})", ""},
           {config + "core.v3.SocketAddress", R"({"address": "x", "port_value": 65536})",
            "port_value: must be at most 65535"},
           {config + "core.v3.HeaderValue", R"({"key": "a", "value": "b\nc"})", "value: is no header's value"},
           {config + "core.v3.HeaderValue", R"({"key": "a\u0000", "value": ""})", "key: is no header's name"},
           {config + "core.v3.HeaderValue", R"({"key": "a b", "value": "ä"})", ""},  // not strict
           {route + "VirtualHost", R"({"name": "v", "domains": []})", "domains: is empty"},
           {route + "VirtualHost", R"({"name": "v", "domains": ["a"], "request_headers_to_remove": ["a\n"]})",
            "request_headers_to_remove: is no header's name"},
           {route + "Route", R"({"route": {}})", "match: is not set"},
           {route + "Route", R"({"match": {}})", "action: is not set"},
           {route + "DirectResponseAction", R"({"status": 600})", "status: must be below 600"},
           {"envoy.type.v3.Percent", R"({"value": -0.5})", "value: must be at least 0"},
           {"envoy.type.v3.Percent", R"({"value": 99.5})", ""}}) {
    INFO(row.type << " " << row.json);
    CHECK(broken(row.type, row.json) == row.broken);
  }
}

TEST_CASE("a message of which Envoy's API demands nothing") {
  CHECK(broken("google.protobuf.Struct", "{}") == "");
  CHECK(broken("envoy.admin.v3.Certificates", "{}") == "");
}

}  // namespace
}  // namespace clew
