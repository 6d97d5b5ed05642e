#include "config/xds/json.h"

#include "test/unit/config/xds/fakes.h"

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"

namespace clew {
namespace {

using envoy::config::cluster::v3::Cluster;

TEST_CASE("names as in the .proto, enums as words, durations as text, defaults left out") {
  Cluster cluster;
  cluster.set_name("c");
  cluster.set_type(Cluster::STRICT_DNS);
  cluster.mutable_connect_timeout()->set_seconds(10);
  cluster.mutable_ring_hash_lb_config()->mutable_minimum_ring_size()->set_value(7);
  CHECK(
      to_json(cluster) ==
      "{\n \"name\": \"c\",\n \"type\": \"STRICT_DNS\",\n \"connect_timeout\": \"10s\",\n \"ring_hash_lb_config\": {\n"
      "  \"minimum_ring_size\": \"7\"\n }\n}\n");
  CHECK(to_json(cluster, {.pretty = false}) ==
        R"({"name":"c","type":"STRICT_DNS","connect_timeout":"10s","ring_hash_lb_config":{"minimum_ring_size":"7"}})");
}

TEST_CASE("an Any that cannot be read is shown as bytes, and the rest around it") {
  envoy::config::listener::v3::Listener listener;
  listener.set_name("l");
  auto* outer = listener.add_filter_chains()->add_filters()->mutable_typed_config();
  outer->set_type_url("type.googleapis.com/acme.Magic");
  outer->set_value("\x01\xff");
  const std::string json = to_json(listener, {.pretty = false});
  CHECK(json.find("\"name\":\"l\"") != std::string::npos);
  CHECK(json.find("acme.Magic") != std::string::npos);
  CHECK(json.find("\"Af8=\"") != std::string::npos);
  // one Any inside another, the inner one unknown
  envoy::config::listener::v3::Filter inner;
  inner.mutable_typed_config()->set_type_url("no/slash/acme.Magic");
  outer->PackFrom(inner);
  CHECK(to_json(listener, {.pretty = false}).find("acme.Magic") != std::string::npos);
}

TEST_CASE("TypedStruct of both kinds becomes the message that it names") {
  for (const char* kind : {"udpa.type.v1.TypedStruct", "xds.type.v3.TypedStruct"}) {
    const auto any = test::parse<google::protobuf::Any>(
        std::string(R"({"@type": "type.googleapis.com/)") + kind +
        R"(", "type_url": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "value": {"name": "x", "altStatName": "y"}})");
    const auto message = unpack(any);
    REQUIRE(message.has_value());
    const auto* cluster = dynamic_cast<const Cluster*>(message->get());
    REQUIRE(cluster);
    CHECK(cluster->alt_stat_name() == "y");
    // Dumps show what came.
    CHECK(to_json(any, {.pretty = false}).find(kind) != std::string::npos);
  }
}

TEST_CASE("types by URL") {
  CHECK(find_message("type.googleapis.com/envoy.config.cluster.v3.Cluster"));
  CHECK(find_message("envoy.config.cluster.v3.Cluster"));
  CHECK_FALSE(find_message("type.googleapis.com/no.such.Type"));
  CHECK_FALSE(new_message(""));
  for (const char* type : {"stats.PluginConfig", "io.istio.http.peer_metadata.Config",
                           "envoy.tcp.metadataexchange.config.MetadataExchange",
                           "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", "envoy.admin.v3.ConfigDump"})
    CHECK(new_message(type));
}

TEST_CASE("a JSON that does not fit says where") {
  Cluster cluster;
  const auto bad = from_json(R"({"load_assignment": {"endpoints": [{"priority": "high"}]}})", cluster);
  REQUIRE_FALSE(bad.has_value());
  CHECK(bad.error().message.starts_with("load_assignment.endpoints[0].priority: "));
  CHECK_FALSE(from_json("{", cluster).has_value());
  CHECK_FALSE(from_json(R"({"unknown": 1})", cluster).has_value());
  CHECK(from_json(R"({"unknown": 1, "name": "n"})", cluster, {.ignore_unknown_fields = true}).has_value());
}

}  // namespace
}  // namespace clew
