#include "config/bootstrap/bootstrap.h"
#include "config/bootstrap/command_line.h"

#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fmt/format.h>

#include <fstream>
#include <iterator>

namespace clew {
namespace {

Decoded<Bootstrap> parse(std::string file, std::string override_yaml = {}, bool allow_unknown = true) {
  CommandLine options;
  options.allow_unknown_static_fields = allow_unknown;
  return parse_bootstrap({"envoy.json", std::move(file), std::move(override_yaml)}, options);
}

std::string problem(const std::string& file) {
  const auto result = parse(file);
  return result ? std::string("accepted") : result.error().message;
}

std::string captured(const char* name) {
  std::ifstream in(std::string(CLEW_TEST_DATA) + "/istiod/" + name);
  REQUIRE(in);
  return {std::istreambuf_iterator<char>(in), {}};
}

envoy::config::core::v3::Node node_of(const Bootstrap& bootstrap) {
  envoy::config::core::v3::Node sent;
  REQUIRE(sent.ParseFromString(bootstrap.node.serialized));
  return sent;
}

/// «1, 2, …», so many.
std::string many(int numbers) {
  std::string out = "1";
  for (int i = 2; i <= numbers; ++i) out += fmt::format(", {}", i);
  return out;
}

constexpr const char* node = R"("node": {"id": "sidecar~1.2.3.4~a.b~b.svc", "cluster": "a.b"})";
std::string with(const std::string& rest) { return std::string("{") + node + ", " + rest + "}"; }

TEST_CASE("what a stock agent writes is accepted without a warning") {
  for (const char* file : {"client-bootstrap.json", "server-bootstrap.json"}) {
    const auto bootstrap = parse(captured(file), {}, false);
    INFO((bootstrap ? std::string() : bootstrap.error().message));
    REQUIRE(bootstrap.has_value());
    CHECK(bootstrap->warnings.empty());
    CHECK(bootstrap->node.id.starts_with("sidecar~10.244.0."));
    CHECK(bootstrap->admin_address->to_string() == "127.0.0.1:15000");
    REQUIRE(bootstrap->ads);
    CHECK(bootstrap->ads->cluster == "xds-grpc");
    CHECK(bootstrap->ads->delta);
    CHECK(bootstrap->stats.tags.size() == 16);
    CHECK(bootstrap->stats.matching == StatsConfig::Matching::inclusion);
    CHECK(bootstrap->stats.patterns.size() > 10);
    CHECK(bootstrap->log_pattern == "%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t");
    CHECK(bootstrap->regex_max_program_size == 32768);
    CHECK_FALSE(bootstrap->reject_path_with_fragment);
    CHECK(bootstrap->max_downstream_connections == 2147483647);
  }
}

TEST_CASE("the node is sent as it stands, with the user agent that tools look for") {
  const auto bootstrap = parse(captured("client-bootstrap.json"));
  REQUIRE(bootstrap.has_value());
  const auto sent = node_of(*bootstrap);
  CHECK(sent.metadata().fields().at("ISTIO_VERSION").string_value() == "1.31.0");
  CHECK(sent.user_agent_name() == "envoy");
  CHECK(sent.has_user_agent_build_version());
  CHECK(sent.extensions_size() > 20);
  envoy::config::bootstrap::v3::Bootstrap dumped;
  REQUIRE(dumped.ParseFromString(bootstrap->serialized));
  CHECK(dumped.node().user_agent_name() == "envoy");
  CHECK(dumped.static_resources().clusters_size() == 4);
  CHECK(dumped.static_resources().listeners_size() == 2);
}

TEST_CASE("YAML says the same as JSON, in either spelling of names") {
  const auto json =
      parse(with(R"("admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 15000}}},
                                 "layeredRuntime": {"layers": [{"name": "a", "staticLayer": {}}]})"));
  const auto yaml = parse(
      "node:\n  id: \"sidecar~1.2.3.4~a.b~b.svc\"\n  cluster: a.b\n"
      "admin:\n  address: {socketAddress: {address: 127.0.0.1, portValue: 15000}}\nlayered_runtime: "
      "{layers: [{name: a, static_layer: {}}]}\n");
  REQUIRE(json.has_value());
  REQUIRE(yaml.has_value());
  CHECK(yaml->serialized == json->serialized);
}

TEST_CASE("YAML: quoted scalars stay text, anchors are followed within a bound") {
  const auto yaml =
      parse("node: {id: &x \"1\", cluster: *x, metadata: {A: \"true\", B: true, C: 1.5, D: \"x: y\", E: ~}}\n");
  REQUIRE(yaml.has_value());
  const auto sent = node_of(*yaml);
  CHECK(sent.cluster() == "1");
  const auto& fields = sent.metadata().fields();
  CHECK(fields.at("A").string_value() == "true");
  CHECK(fields.at("B").bool_value());
  CHECK(fields.at("C").number_value() == 1.5);
  CHECK(fields.at("D").string_value() == "x: y");
  CHECK(fields.at("E").has_null_value());

  std::string laughs = "node:\n  id: x\n  metadata:\n    a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n";
  for (int i = 1; i < 10; ++i) {
    laughs += fmt::format("    a{}: &a{} [", i, i);
    for (int k = 0; k < 10; ++k) laughs += fmt::format("*a{},", i - 1);
    laughs += "]\n";
  }
  CHECK(problem(laughs).find("becomes larger than 64 MiB") != std::string::npos);
  CHECK(problem(std::string(5000, '[')).starts_with("envoy.json: "));
}

TEST_CASE("--config-yaml is merged: scalars overwrite, lists grow") {
  const auto merged = parse(with(R"("stats_config": {"stats_tags": [{"tag_name": "a", "regex": "(a(b))."}]})"),
                            R"({"node": {"cluster": "other"},
                                "stats_config": {"stats_tags": [{"tag_name": "c", "regex": "(c(d))."}]}})");
  REQUIRE(merged.has_value());
  CHECK(node_of(*merged).cluster() == "other");
  CHECK(merged->node.id == "sidecar~1.2.3.4~a.b~b.svc");
  REQUIRE(merged->stats.tags.size() == 2);
  CHECK(merged->stats.tags[1].name == "c");

  const auto alone = parse({}, "{node: {id: x}}");
  REQUIRE(alone.has_value());
  CHECK(alone->node.id == "x");
  CHECK_FALSE(parse({}, "{node: {id: ").has_value());
}

TEST_CASE("unknown fields are tolerated where the command line says so, and named") {
  const std::string text = with(R"("brand_new": {"x": 1})");
  const auto tolerated = parse(text);
  REQUIRE(tolerated.has_value());
  REQUIRE(tolerated->warnings.size() == 1);
  CHECK(tolerated->warnings[0].find("brand_new") != std::string::npos);
  const auto refused = parse(text, {}, false);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().message.find("brand_new") != std::string::npos);
}

TEST_CASE("what is wrong is said in one sentence with its place") {
  const std::pair<std::string, std::string> cases[] = {
      {"", "envoy.json: is empty"},
      {"{\"node\": ", "envoy.json: "},
      {"[1, 2]", "envoy.json: "},
      {"node: {id: [}", "envoy.json: line 1, column "},
      {"{}", "bootstrap: node.id: is empty, and --service-node is not given"},
      {R"({"node": {"id": 7}})", "envoy.json: node.id: "},
      {with(R"("admin": {"address": {"socket_address": {"address": "nowhere", "port_value": 1}}})"),
       "bootstrap: admin.address.socket_address.address: «nowhere» is no IP address"},
      {with(R"("admin": {"address": {"socket_address": {"address": "1.2.3.4", "port_value": 99999}}})"),
       "bootstrap: admin.address.socket_address.port_value: must be at most 65535"},
      {with(R"("dynamic_resources": {"lds_config": {"path": "x"}})"),
       "bootstrap: dynamic_resources.lds_config.path: is not supported"},
      {with(R"("dynamic_resources": {"lds_config": {"ads": {}}})"),
       "bootstrap: dynamic_resources.ads_config: is missing"},
      {with(R"("dynamic_resources": {"ads_config": {"api_type": "REST"}})"),
       "bootstrap: dynamic_resources.ads_config.api_type: REST is not supported"},
      {with(R"("dynamic_resources": {"ads_config": {"api_type": "GRPC"}})"),
       "bootstrap: dynamic_resources.ads_config.grpc_services: must be one envoy_grpc service with a cluster_name"},
      {with(
           R"("dynamic_resources": {"ads_config": {"api_type": "GRPC", "grpc_services": [{"envoy_grpc": {"cluster_name": "x"}}]}})"),
       "bootstrap: dynamic_resources.ads_config.grpc_services[0].envoy_grpc.cluster_name: «x» is not among "
       "static_resources.clusters"},
      {with(R"("stats_config": {"stats_tags": [{"tag_name": "a", "regex": "(a(b"}]})"),
       "bootstrap: stats_config.stats_tags[0].regex: "},
      {with(R"("stats_config": {"stats_tags": [{"tag_name": "a", "regex": "ab"}]})"),
       "bootstrap: stats_config.stats_tags[0].regex: has no group"},
      {with(
           R"("stats_config": {"stats_matcher": {"inclusion_list": {"patterns": [{"prefix": "a"}, {"safe_regex": {"regex": "("}}]}}})"),
       "bootstrap: stats_config.stats_matcher.inclusion_list.patterns[1].safe_regex.regex: «(» is no regular "
       "expression"},
      {with(R"("stats_config": {"histogram_bucket_settings": [{"match": {"prefix": "x"}, "buckets": [0, 1]}]})"),
       "bootstrap: stats_config.histogram_bucket_settings[0].buckets: must be above 0"},
      {with(R"("stats_flush_interval": "0s")"), "bootstrap: stats_flush_interval: must be at least 0.001 s"},
      {with(R"("stats_config": {"histogram_bucket_settings": [{"match": {"prefix": "x"}, "buckets": ["NaN", 1]}]})"),
       "bootstrap: stats_config.histogram_bucket_settings[0].buckets: must be"},
      {with(R"("stats_config": {"histogram_bucket_settings": [{"match": {"prefix": "x"}}]})"),
       "bootstrap: stats_config.histogram_bucket_settings[0].buckets: must be"},
      {with(R"("stats_config": {"histogram_bucket_settings": [{"match": {"prefix": "x"}, "buckets": [)" + many(600) +
            R"(]}, {"match": {"prefix": "y"}, "buckets": [)" + many(401) + "]}]}"),
       "bootstrap: stats_config.histogram_bucket_settings[1].buckets: must be"},
      {with(R"("stats_config": {"use_all_default_tags": true})"),
       "bootstrap: stats_config.use_all_default_tags: true is not supported: Envoy's own tags are never extracted"},
      {with(R"("layered_runtime": {"layers": [{"name": "a", "rtds_layer": {}}]})"),
       "bootstrap: layered_runtime.layers[0].rtds_layer: is not supported: only static layers are read"},
      {with(
           R"("layered_runtime": {"layers": [{"name": "a", "static_layer": {"re2.max_program_size.error_level": "lots"}}]})"),
       "bootstrap: layered_runtime: re2.max_program_size.error_level: «lots» is no number"},
      {with(R"("application_log_config": {"log_format": {"json_format": {"m": "%v"}}})"),
       "bootstrap: application_log_config.log_format.json_format: «m»: %v would break the JSON, write %j"},
      {with(R"("overload_manager": {"resource_monitors": [{"name": "x", "typed_config":
              {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {}}}]})"),
       "bootstrap: overload_manager.resource_monitors[0].typed_config: type google.protobuf.Struct is not supported"},
      {with(R"("hds_config": {})"), "bootstrap: hds_config: is not supported: active health checks are not done"},
  };
  for (const auto& [text, expected] : cases) {
    INFO(text);
    const std::string got = problem(text);
    INFO(got);
    CHECK(got.substr(0, expected.size()) == expected);
    CHECK(got.find('\n') == std::string::npos);
  }
}

TEST_CASE("a JSON log format becomes a pattern, keys in order") {
  const auto bootstrap = parse(with(R"("application_log_config": {"log_format": {"json_format":
      {"msg": "%j", "level": "%l", "quote\"": "a\"b"}}})"));
  REQUIRE(bootstrap.has_value());
  CHECK(bootstrap->log_pattern == R"({"level":"%l","msg":"%j","quote\"":"a\"b"})");
}

TEST_CASE("runtime keys are flat, and the last layer wins") {
  const auto bootstrap = parse(with(R"("layered_runtime": {"layers": [
      {"name": "one", "static_layer": {"re2": {"max_program_size": {"error_level": 100}}, "flag": true, "n": 2.5}},
      {"name": "two", "static_layer": {"flag": false, "overload.global_downstream_max_connections": "17"}},
      {"name": "admin", "admin_layer": {}}]})"));
  REQUIRE(bootstrap.has_value());
  CHECK(bootstrap->runtime_layers.size() == 3);
  CHECK(bootstrap->regex_max_program_size == 100);
  CHECK(*bootstrap->runtime("flag") == "false");
  CHECK(*bootstrap->runtime("n") == "2.5");
  CHECK_FALSE(bootstrap->runtime("absent"));
  CHECK(bootstrap->max_downstream_connections == 17);
}

TEST_CASE("the overload manager's limit of connections, in either form of Any") {
  const auto limit = [](const char* config) {
    const auto bootstrap = parse(with(
        std::string(R"("overload_manager": {"resource_monitors": [{"name": "c", "typed_config": )") + config + "}]}"));
    return bootstrap ? std::to_string(bootstrap->max_downstream_connections) : bootstrap.error().message;
  };
  CHECK(
      limit(
          R"({"@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                  "max_active_downstream_connections": 5})") == "5");
  CHECK(
      limit(
          R"({"@type": "type.googleapis.com/udpa.type.v1.TypedStruct", "value": {"max_active_downstream_connections": 6}, "type_url":
                  "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"})") ==
      "6");
  CHECK(
      limit(
          R"({"@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"})") ==
      "bootstrap: overload_manager.resource_monitors[0].max_active_downstream_connections: must be above 0");
}

TEST_CASE("what nothing comes of is accepted with a warning") {
  const auto bootstrap =
      parse(with(R"("stats_sinks": [{"name": "envoy.stat_sinks.statsd"}], "deferred_stat_options": {})"));
  REQUIRE(bootstrap.has_value());
  REQUIRE(bootstrap->warnings.size() == 1);
  CHECK(bootstrap->warnings[0] == "stats_sinks: statistics are served, not pushed");
}

TEST_CASE("flags fill what the node leaves empty") {
  CommandLine options;
  options.service_node = "n";
  options.service_cluster = "c";
  options.service_zone = "z";
  const auto bootstrap = parse_bootstrap({"x", "{}", {}}, options);
  REQUIRE(bootstrap.has_value());
  CHECK(bootstrap->node.id == "n");
  CHECK(node_of(*bootstrap).cluster() == "c");
  CHECK(node_of(*bootstrap).locality().zone() == "z");
}

TEST_CASE("a file that is not there is named") {
  CommandLine options;
  options.config_path = "/nonexistent/envoy.json";
  const auto bootstrap = load_bootstrap(options);
  REQUIRE_FALSE(bootstrap.has_value());
  CHECK(bootstrap.error().message == "/nonexistent/envoy.json: No such file or directory");
  options.config_path = "/";
  CHECK_FALSE(load_bootstrap(options).has_value());
}

TEST_CASE("a file that is too large, or nested too deeply, is refused") {
  char path[] = "/tmp/clew_bootstrap_XXXXXX";
  REQUIRE(close(mkstemp(path)) == 0);
  REQUIRE(truncate(path, 16 * 1024 * 1024 + 1) == 0);
  CommandLine options;
  options.config_path = path;
  const auto bootstrap = load_bootstrap(options);
  CHECK(unlink(path) == 0);
  REQUIRE_FALSE(bootstrap.has_value());
  CHECK(bootstrap.error().message.find("is larger than 16777216 bytes") != std::string::npos);

  std::string deep = "node: {id: x, metadata: {a: ";
  for (int i = 0; i < 120; ++i) deep += "{a: ";
  CHECK(problem(deep + "1" + std::string(122, '}')).find("is nested more than 100 levels deep") != std::string::npos);
}

}  // namespace
}  // namespace clew
