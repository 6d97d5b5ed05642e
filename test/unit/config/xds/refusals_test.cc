// What cannot be done is refused, with a sentence that names resource, field and object.
#include "test/unit/config/xds/fakes.h"

#include "config/xds/decode_common.h"
#include "config/xds/scope.h"

#include "filters/registry.h"

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"

namespace clew {
namespace {

template <class T>
std::string text(const Decoded<T>& decoded) {
  return decoded ? std::string("accepted") : decoded.error().message;
}

std::string cluster(const std::string& rest) {
  test::FakeInterner tls;
  DecodeContext context{default_filter_registry(), tls};
  return text(
      decode_cluster(test::parse<envoy::config::cluster::v3::Cluster>("{\"name\": \"c\", " + rest + "}"), context));
}

std::string listener(const std::string& rest) {
  test::FakeInterner tls;
  DecodeContext context{default_filter_registry(), tls};
  return text(decode_listener(
      test::parse<envoy::config::listener::v3::Listener>(
          R"({"name": "l", "address": {"socket_address": {"address": "0.0.0.0", "port_value": 1}}, )" + rest + "}"),
      context, nullptr));
}

std::string chain(const std::string& rest) { return listener(R"("filter_chains": [{)" + rest + "}]"); }

constexpr const char* tcp = R"({"name": "t", "typed_config": {"@type":
  "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "x", "cluster": "c"}})";

std::string filter(const std::string& type, const std::string& rest) {
  return chain(R"("filters": [{"name": "f", "typed_config": {"@type": "type.googleapis.com/)" + type + "\"" + rest +
               "}}]");
}

std::string manager(const std::string& rest, const std::string& filters = {}) {
  return filter(
      "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
      R"(, "stat_prefix": "x", "http_filters": [)" + filters +
          R"({"name": "r", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}])" +
          (rest.empty() ? "" : ", ") + rest);
}

std::string table(const std::string& rest) {
  test::FakeInterner tls;
  DecodeContext context{default_filter_registry(), tls};
  return text(decode_route_table(
      test::parse<envoy::config::route::v3::RouteConfiguration>("{\"name\": \"80\", " + rest + "}"), context));
}

std::string route(const std::string& rest) {
  return table(R"("virtual_hosts": [{"name": "h", "domains": ["*"], "routes": [{)" + rest + "}]}]");
}

std::string action(const std::string& rest) { return route(R"("match": {"prefix": "/"}, "route": {)" + rest + "}"); }

std::string endpoints(const std::string& rest) {
  return text(decode_endpoints(
      test::parse<envoy::config::endpoint::v3::ClusterLoadAssignment>("{\"cluster_name\": \"c\", " + rest + "}")));
}

std::string secret(const std::string& json) {
  return text(decode_secret(test::parse<envoy::extensions::transport_sockets::tls::v3::Secret>(json)));
}

TEST_CASE("clusters") {
  CHECK(cluster("\"type\": \"STATIC\"") == "accepted");
  CHECK(cluster("\"name\": \"\"") == "cluster : name: is empty");
  CHECK(cluster("\"health_checks\": [{}]") ==
        "cluster c: health_checks: is not supported: active health checks are not done");
  CHECK(cluster("\"type\": 7") == "cluster c: type: 7 is not supported");
  CHECK(cluster("\"connect_timeout\": \"0s\"") == "cluster c: connect_timeout: must be above 0 s");
  CHECK(cluster("\"connect_timeout\": \"-1s\"") == "cluster c: connect_timeout: must be above 0 s");
  CHECK(cluster("\"type\": \"ORIGINAL_DST\"") ==
        "cluster c: lb_policy: CLUSTER_PROVIDED and type ORIGINAL_DST need each other");
  CHECK(cluster("\"type\": \"EDS\"") == "cluster c: eds_cluster_config.eds_config: must be ads");
  CHECK(cluster("\"type\": \"LOGICAL_DNS\"") ==
        "cluster c: load_assignment: a LOGICAL_DNS cluster has exactly one endpoint");
  CHECK(cluster("\"lb_policy\": \"MAGLEV\", \"maglev_lb_config\": {\"table_size\": 100}") ==
        "cluster c: maglev_lb_config.table_size: must be a prime number up to 5000011");
  CHECK(cluster("\"ring_hash_lb_config\": {\"minimum_ring_size\": 9, \"maximum_ring_size\": 8}")
            .find("ring_hash_lb_config: a ring has") != std::string::npos);
  CHECK(cluster("\"least_request_lb_config\": {\"choice_count\": 1}") ==
        "cluster c: least_request_lb_config.choice_count: must be at least 2");
  CHECK(cluster("\"outlier_detection\": {\"max_ejection_percent\": 101}") ==
        "cluster c: outlier_detection.max_ejection_percent: must be at most 100");
  CHECK(cluster("\"outlier_detection\": {\"enforcing_success_rate\": 100}") ==
        "cluster c: outlier_detection.enforcing_success_rate: 100 is not supported: endpoints are judged by "
        "consecutive failures alone");
  CHECK(cluster("\"common_lb_config\": {\"healthy_panic_threshold\": {\"value\": 101}}") ==
        "cluster c: common_lb_config.healthy_panic_threshold.value: must be at most 100");
  CHECK(cluster("\"upstream_bind_config\": {\"source_address\": {\"address\": \"127.0.0.6\", \"port_value\": 5}}") ==
        "cluster c: upstream_bind_config.source_address.port_value: must be 0: the kernel chooses");
  CHECK(cluster(R"("filters": [{"name": "x", "typed_config": {"@type": "type.googleapis.com/stats.PluginConfig"}}])") ==
        "cluster c: filters[0]: «x» is not supported upstream");
  CHECK(
      cluster(
          R"("transport_socket": {"name": "x", "typed_config": {"@type": "type.googleapis.com/stats.PluginConfig"}})") ==
      "cluster c: transport_socket.typed_config: type stats.PluginConfig is not supported here");
  CHECK(cluster(R"("transport_socket": {"name": "tls"})") == "cluster c: transport_socket.typed_config: is missing");
  CHECK(cluster(
            R"("typed_extension_protocol_options": {"other": {"@type": "type.googleapis.com/stats.PluginConfig"}})") ==
        "cluster c: typed_extension_protocol_options: «other» is not supported");
  CHECK(cluster(R"("http_protocol_options": {}, "http2_protocol_options": {})") ==
        "cluster c: protocol_selection: options of both protocols are there: it must be USE_DOWNSTREAM_PROTOCOL");
  CHECK(cluster("\"outlier_detection\": {\"max_ejection_time\": \"1s\"}") ==
        "cluster c: outlier_detection.max_ejection_time: must be at least base_ejection_time");
  CHECK(cluster("\"outlier_detection\": {\"base_ejection_time\": \"400s\"}") == "accepted");
  CHECK(cluster("\"connect_timeout\": \"9223372037s\"") == "cluster c: connect_timeout: 9223372037 s are too long");
  CHECK(cluster("\"cleanup_interval\": \"-1s\"") ==
        "cluster c: cleanup_interval: -1.000000000 s is no duration that can be waited");
  const auto told = [](const std::string& config) {
    return cluster(R"("transport_socket": {"name": "x", "typed_config": {"@type": "type.googleapis.com/)"
                   R"(envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", )" +
                   config +
                   R"(, "transport_socket": {"name": "raw_buffer", "typed_config": {"@type": "type.googleapis.com/)" +
                   R"(envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}}})");
  };
  const std::string in = "cluster c: transport_socket.typed_config.config.";
  CHECK(told(R"("config": {})") == "accepted");
  CHECK(told(R"("config": {"version": "V2", "added_tlvs": [{"type": 255, "value": "eA=="}]})") == "accepted");
  CHECK(told(R"("config": {"version": 7})") == in + "version: 7 is not supported");
  CHECK(told(R"("config": {"added_tlvs": [{"type": 1, "value": "eA=="}]})") ==
        in + "added_tlvs: version 1 has no extensions");
  CHECK(told(R"("config": {"pass_through_tlvs": {"match_type": "INCLUDE_ALL"}})") ==
        in + "pass_through_tlvs: is not supported: extensions of a client's header are passed over");
  const std::string long_one = R"("config": {"version": "V2", "added_tlvs": [{"type": 1, "value": ")";
  CHECK(told(long_one + std::string(4 * 65496 / 3, 'A') + "\"}]}") == "accepted");
  CHECK(told(long_one + std::string(4 * 65499 / 3, 'A') + "\"}]}") == in + "added_tlvs: are longer than 65499 bytes");
  CHECK(cluster(R"("http2_protocol_options": {"initial_stream_window_size": 1})") ==
        "cluster c: http2_protocol_options.initial_stream_window_size: must be at least 65535");
}

TEST_CASE("a refused cluster names the DestinationRule behind it") {
  CHECK(cluster(R"("lb_subset_config": {}, "metadata": {"filter_metadata": {"istio":
      {"config": "/apis/networking.istio.io/v1/namespaces/shop/destination-rule/cart"}}})") ==
        "cluster c: lb_subset_config: is not supported: endpoints are not divided into subsets by metadata "
        "(DestinationRule shop/cart)");
}

TEST_CASE("TLS contexts") {
  const auto upstream = [](const std::string& rest) {
    return cluster(R"("transport_socket": {"name": "tls", "typed_config": {"@type":
        "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": {)" +
                   rest + "}}}");
  };
  const std::string at = "cluster c: transport_socket.typed_config.common_tls_context";
  CHECK(upstream("") == "accepted");
  CHECK(
      upstream(
          R"("tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_2"})") ==
      at + ".tls_params: the least version is above the greatest");
  CHECK(upstream(R"("tls_params": {"tls_minimum_protocol_version": "TLSv1_0"})") ==
        at + ".tls_params.tls_minimum_protocol_version: TLSv1_0 is not supported: TLS 1.2 is the least");
  CHECK(upstream(R"("tls_params": {"cipher_suites": ["[A|B]"]})") ==
        at + ".tls_params.cipher_suites: «[A|B]» is no single name");
  CHECK(upstream(R"("alpn_protocols": [""])") == at + ".alpn_protocols: «» is no protocol");
  CHECK(upstream(R"("validation_context": {"match_subject_alt_names": [{"exact": "a"}]})") ==
        at + ": names or a CRL are to be checked, but there is no CA to trust");
  CHECK(upstream(R"("validation_context": {"verify_certificate_hash": ["xyz"]})") ==
        at + ".validation_context.verify_certificate_hash: must have at least 64 characters");
  CHECK(
      upstream(
          R"("tls_certificate_sds_secret_configs": [{"name": "x", "sds_config": {"api_config_source": {"api_type": "GRPC"}}}])") ==
      at + ".tls_certificate_sds_secret_configs[0].sds_config.api_config_source.grpc_services: must be one envoy_grpc "
           "service with a cluster_name");
  CHECK(upstream(R"("key_log": {})") == at + ".key_log: is not supported: session keys are never written down");
  const auto downstream = [](const std::string& rest) {
    return chain(std::string(R"("filters": [)") + tcp +
                 R"(], "transport_socket": {"name": "tls", "typed_config": {"@type":
        "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", )" +
                 rest + "}}");
  };
  CHECK(downstream(R"("common_tls_context": {})") ==
        "listener l: filter_chains[0].transport_socket.typed_config.common_tls_context: has no certificate");
  CHECK(
      downstream(
          R"("require_client_certificate": true, "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": "d"}]})") ==
      "listener l: filter_chains[0].transport_socket.typed_config.require_client_certificate: is set, but nothing says "
      "whom to trust");
}

TEST_CASE("secrets") {
  CHECK(secret(R"({"name": "s"})") == "secret s: is neither a certificate nor a validation context");
  CHECK(secret(R"({"name": "s", "generic_secret": {}})") ==
        "secret s: generic_secret: is not supported: nothing asks for one");
  CHECK(secret(R"({"name": "s", "validation_context": {}})") == "secret s: validation_context.trusted_ca: is empty");
  CHECK(secret(R"({"name": "s", "tls_certificate": {"certificate_chain": {"inline_string": "c"}}})") ==
        "secret s: tls_certificate.private_key: has no content that is supported");
  CHECK(secret(R"({"name": "s", "validation_context": {"trusted_ca": {"filename": "/nonexistent"}}})") ==
        "secret s: validation_context.trusted_ca.filename: /nonexistent: No such file or directory");
}

TEST_CASE("endpoints") {
  CHECK(endpoints("\"endpoints\": []") == "accepted");
  CHECK(endpoints(R"("endpoints": [{"lb_endpoints": [{"endpoint": {}}]}])") ==
        "endpoints c: endpoints[0].lb_endpoints[0].endpoint.address: is neither a socket_address nor a pipe");
  CHECK(
      endpoints(
          R"("endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "a.b", "port_value": 1}}}}]}])") ==
      "endpoints c: endpoints[0].lb_endpoints[0].endpoint.address.socket_address.address: «a.b» is no IP address");
  CHECK(endpoints(R"("endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"envoy_internal_address": {}}}}]}])")
            .find("there are no internal listeners") != std::string::npos);
  CHECK(endpoints(R"("endpoints": [{"priority": 129}])") == "endpoints c: endpoints[0].priority: must be at most 128");
  CHECK(endpoints(R"("policy": {"drop_overloads": [{}]})") == "endpoints c: policy.drop_overloads: is not supported");
  CHECK(endpoints(R"("endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": ")" +
                  std::string(200, 'x') + R"("}}}}]}])")
            .find("is longer than a socket path can be") != std::string::npos);
}

TEST_CASE("listeners and chains") {
  CHECK(listener("\"bind_to_port\": true") == "listener l: filter_chains: is empty");
  CHECK(chain(std::string("\"filters\": [") + tcp + "]") == "accepted");
  CHECK(chain("\"filters\": []") == "listener l: filter_chains[0].filters: is empty");
  CHECK(chain(std::string("\"filters\": [") + tcp + ", " + tcp + "]") ==
        "listener l: filter_chains[0].filters[0]: t: a chain ends with http_connection_manager or tcp_proxy, and there "
        "alone");
  CHECK(filter("envoy.extensions.filters.network.wasm.v3.Wasm", "") ==
        "listener l: filter_chains[0].filters[0].typed_config: type envoy.extensions.filters.network.wasm.v3.Wasm is "
        "not supported");
  CHECK(filter("stats.PluginConfig", "") ==
        "listener l: filter_chains[0].filters[0]: f: a chain ends with http_connection_manager or tcp_proxy, and there "
        "alone");
  CHECK(listener(std::string(R"("filter_chains": [{"name": "a", "filters": [)") + tcp + R"(]}, {"filters": [)" + tcp +
                 "]}]") == "listener l: filter_chains[1].filter_chain_match: is the same as that of chain «a»");
  const auto chains = [](const std::string& one, const std::string& two) {
    return listener(R"("filter_chains": [{"name": "a", "filter_chain_match": {)" + one + R"(}, "filters": [)" + tcp +
                    R"(]}, {"filter_chain_match": {)" + two + R"(}, "filters": [)" + tcp + "]}]");
  };
  const std::string alike = "listener l: filter_chains[1].filter_chain_match: is the same as that of chain «a»";
  CHECK(chains(R"("application_protocols": ["a", "b"])", R"("application_protocols": ["c", "b"])") == alike);
  CHECK(chains(R"("server_names": ["a"], "destination_port": 1)",
               R"("server_names": ["b", "a"], "destination_port": 1)") == alike);
  CHECK(chains(R"("application_protocols": ["a", ""])", R"("transport_protocol": "")") == alike);
  CHECK(chains(R"("server_names": ["a"], "destination_port": 1)", R"("server_names": ["a"], "destination_port": 2)") ==
        "accepted");
  CHECK(chains(R"("server_names": ["a"], "source_ports": [1])", R"("server_names": ["a"])") == "accepted");
  CHECK(chains(R"("application_protocols": ["a"])", R"("transport_protocol": "tls")") == "accepted");
  CHECK(chains(R"("application_protocols": ["a", "a"])", R"("destination_port": 1)") ==
        "listener l: filter_chains[0].filter_chain_match: says the same twice");
  CHECK(chain(R"("filter_chain_match": {"server_names": ["a*.b"]})").find("«a*.b» is neither a name nor *.NAME") !=
        std::string::npos);
  CHECK(chain(R"("filter_chain_match": {"destination_port": 65536})") ==
        "listener l: filter_chains[0].filter_chain_match.destination_port: must be at most 65535");
  CHECK(chain(R"("filter_chain_match": {"transport_protocol": "quic"})").find("«quic» is not supported") !=
        std::string::npos);
  CHECK(chain(R"("filter_chain_match": {"prefix_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 33}]})") ==
        "listener l: filter_chains[0].filter_chain_match.prefix_ranges[0].address_prefix: /33 is no prefix of it");
  CHECK(listener(
            R"("listener_filters": [{"name": "x", "filter_disabled": {"destination_port_range": {"start": 5, "end": 5}},
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"}}])") ==
        "listener l: listener_filters[0].filter_disabled.destination_port_range: [5, 5) is no range of ports");
  CHECK(listener("\"internal_listener\": {}") ==
        "listener l: internal_listener: is not supported: there are no internal listeners");
}

TEST_CASE("a refused chain names the object behind it") {
  CHECK(chain(R"("use_proxy_proto": true, "metadata": {"filter_metadata": {"istio":
      {"config": "/apis/networking.istio.io/v1/namespaces/a/virtual-service/b"}}})") ==
        "listener l: filter_chains[0].use_proxy_proto: is not supported: the listener filter proxy_protocol does it "
        "(VirtualService a/b)");
}

TEST_CASE("connection managers") {
  CHECK(manager(R"("rds": {"config_source": {"ads": {}}, "route_config_name": "80"})") == "accepted");
  const std::string at = "listener l: filter_chains[0].filters[0].typed_config";
  CHECK(manager("") == at + ".route_specifier: is not set");
  const std::string rds = R"("rds": {"config_source": {"ads": {}}, "route_config_name": "80"}, )";
  CHECK(manager(rds + R"("max_request_headers_kb": 9000)") == at + ".max_request_headers_kb: must be at most 8192");
  CHECK(manager(rds + R"("codec_type": "HTTP3")") == at + ".codec_type: HTTP3 is not supported: there is no HTTP/3");
  CHECK(manager(rds + R"("upgrade_configs": [{"upgrade_type": "CONNECT"}])") ==
        at + ".upgrade_configs[0].upgrade_type: CONNECT is not supported: CONNECT is not served");
  CHECK(manager(rds + R"("server_name": "a\r\nb")") == at + ".server_name: is no header's value");
  CHECK(manager(rds + R"("local_reply_config": {})") ==
        at + ".local_reply_config: is not supported: local replies have Envoy's texts");
  CHECK(manager(R"("rds": {"config_source": {"path": "x"}, "route_config_name": "80"})") ==
        at + ".rds.config_source.path: is not supported: resources come over gRPC");
  CHECK(
      manager(
          R"("rds": {"config_source": {"ads": {}}, "route_config_name": "80"})",
          R"({"name": "r", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}},)") ==
      at + ".http_filters[0]: the router must be the last filter");
  const auto with_filter = [&](const std::string& config) {
    return manager(R"("rds": {"config_source": {"ads": {}}, "route_config_name": "80"})",
                   R"({"name": "x", "typed_config": )" + config + "},");
  };
  CHECK(with_filter(R"({"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC", "rules": {}})") ==
        at + ".http_filters[0].typed_config: type envoy.extensions.filters.http.rbac.v3.RBAC is not supported");
  CHECK(
      with_filter(
          R"({"@type": "type.googleapis.com/udpa.type.v1.TypedStruct", "type_url": "type.googleapis.com/no.such.Type"})") ==
      at + ".http_filters[0].typed_config: type type.googleapis.com/no.such.Type is not supported");
  CHECK(with_filter(R"({"@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
                        "type_url": "type.googleapis.com/io.istio.http.peer_metadata.Config", "value": {"no_such_field": 1}})")
            .starts_with(at + ".http_filters[0].typed_config: "));
}

TEST_CASE("an Any of a type that is not linked in is refused by its name") {
  envoy::config::listener::v3::Listener message;
  message.set_name("l");
  message.mutable_address()->mutable_socket_address()->set_address("0.0.0.0");
  message.mutable_address()->mutable_socket_address()->set_port_value(1);
  auto* config = message.add_filter_chains()->add_filters()->mutable_typed_config();
  config->set_type_url("type.googleapis.com/acme.Magic");
  config->set_value("\x01\xff");
  test::FakeInterner tls;
  DecodeContext context{default_filter_registry(), tls};
  CHECK(text(decode_listener(message, context, nullptr)) ==
        "listener l: filter_chains[0].filters[0].typed_config: type type.googleapis.com/acme.Magic is not supported");
  config->set_type_url("type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy");
  CHECK(text(decode_listener(message, context, nullptr)) ==
        "listener l: filter_chains[0].filters[0].typed_config: the bytes are no "
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy");
}

TEST_CASE("routes") {
  CHECK(action("\"cluster\": \"c\"") == "accepted");
  const std::string at = "route 80: virtual_hosts[0].routes[0]";
  CHECK(table(R"("virtual_hosts": [{"name": "a", "domains": ["x"]}, {"name": "b", "domains": ["X"]}])")
            .find("is there twice") != std::string::npos);
  CHECK(table(R"("virtual_hosts": [{"name": "a"}])") == "route 80: virtual_hosts[0].domains: is empty");
  CHECK(table(R"("virtual_hosts": [{"name": "a", "domains": ["a*b"]}])")
            .find("neither a name nor one with a * at an end") != std::string::npos);
  CHECK(table(R"("validate_clusters": true)") ==
        "route 80: validate_clusters: true is not supported: a route may name a cluster that is not there: 503");
  CHECK(route(R"("match": {"prefix": "/"})") == at + ".action: is not set");
  CHECK(route(R"("match": {}, "route": {"cluster": "c"})") == at + ".match.path_specifier: is not set");
  CHECK(
      route(R"("match": {"safe_regex": {"regex": "("}}, "route": {"cluster": "c"})").find("is no regular expression") !=
      std::string::npos);
  CHECK(route(R"("match": {"path_separated_prefix": "/a/"}, "route": {"cluster": "c"})").find("does not match") !=
        std::string::npos);
  CHECK(
      route(
          R"("match": {"prefix": "/", "headers": [{"name": "a b", "present_match": true}]}, "route": {"cluster": "c"})") ==
      at + ".match.headers[0].name: «a b» is no header name");
  CHECK(action("\"cluster\": \"\"") == at + ".route.cluster: is empty");
  CHECK(action("\"cluster_header\": \"x\"") ==
        at + ".route.cluster_header: is not supported: the cluster is named in the route");
  CHECK(action(R"("weighted_clusters": {"clusters": [{"name": "a", "weight": 0}]})") ==
        at + ".route.weighted_clusters: the weights add up to 0, which must be from 1 to 4294967295");
  CHECK(
      action(R"("weighted_clusters": {"clusters": [{"name": "a", "weight": 4294967295}, {"name": "b", "weight": 1}]})")
          .find("4294967296") != std::string::npos);
  CHECK(action(R"("cluster": "c", "regex_rewrite": {"pattern": {"regex": "a"}, "substitution": "\\3"})")
            .starts_with(at + ".route.regex_rewrite.substitution: "));
  // What ends a header or a request line ends up in neither.
  for (const char* end : {"\\r", "\\n", "\\u0000"}) {
    const std::string value = "\"a" + std::string(end) + "b\"";
    CHECK_THAT(action("\"cluster\": \"c\", \"prefix_rewrite\": " + value),
               Catch::StartsWith(at + ".route.prefix_rewrite: "));
    CHECK_THAT(action("\"cluster\": \"c\", \"host_rewrite_literal\": " + value),
               Catch::StartsWith(at + ".route.host_rewrite_literal: "));
    CHECK_THAT(action(R"("cluster": "c", "regex_rewrite": {"pattern": {"regex": "a"}, "substitution": )" + value + "}"),
               Catch::StartsWith(at + ".route.regex_rewrite.substitution: "));
    CHECK_THAT(action(R"("weighted_clusters": {"clusters": [{"name": "a", "weight": 1, "host_rewrite_literal": )" +
                      value + "}]}"),
               Catch::Contains(".weighted_clusters.clusters[0]"));
    CHECK_THAT(action(R"("cluster": "c", "hash_policy": [{"cookie": {"name": "a", "path": )" + value + "}}]"),
               Catch::StartsWith(at + ".route.hash_policy[0].cookie.path: "));
  }
  CHECK(action(R"("cluster": "c", "retry_policy": {"retry_priority": {}})").find("retry_priority: is not supported") !=
        std::string::npos);
  CHECK(action(
            R"("cluster": "c", "retry_policy": {"retry_back_off": {"base_interval": "1s", "max_interval": "0.5s"}})") ==
        at + ".route.retry_policy.retry_back_off.max_interval: is below base_interval");
  CHECK(action(R"("cluster": "c", "hash_policy": [{"connection_properties": {}}])") ==
        at + ".route.hash_policy[0].connection_properties: names no property");
  CHECK(action(R"("cluster": "c", "hash_policy": [{"cookie": {"name": "a;b"}}])") ==
        at + ".route.hash_policy[0].cookie.name: is no cookie name");
  CHECK(route(R"("match": {"prefix": "/"}, "redirect": {"port_redirect": 70000})") ==
        at + ".redirect.port_redirect: 70000 is no port");
  CHECK(route(R"("match": {"prefix": "/"}, "redirect": {"host_redirect": "a\nb"})") ==
        at + ".redirect.host_redirect: is no header's value");
  CHECK(route(R"("match": {"prefix": "/"}, "direct_response": {"status": 99})") ==
        at + ".direct_response.status: must be at least 200");
  CHECK(route(R"("match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": ")" +
              std::string(5000, 'x') + "\"}}") == at + ".direct_response.body: is larger than 4096 bytes");
  CHECK(
      route(
          R"("match": {"prefix": "/"}, "route": {"cluster": "c"}, "request_headers_to_add": [{"header": {"key": ":path", "value": "x"}}])")
          .find("«:path» is part of the request line") != std::string::npos);
  CHECK(
      route(
          R"("match": {"prefix": "/"}, "route": {"cluster": "c"}, "request_headers_to_add": [{"header": {"key": "a", "value": "%NO_SUCH%"}}])")
          .find("NO_SUCH") != std::string::npos);
}

TEST_CASE("a bad log format is named on one line") {
  CHECK(listener(R"("access_log": [{"name": "f", "typed_config": {"@type":
      "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": "/x", "format": "%NO\n%"}}])")
            .find("\\x0a") != std::string::npos);
}

TEST_CASE("a refused route names the VirtualService behind it") {
  CHECK(route(R"("match": {"connect_matcher": {}}, "route": {"cluster": "c"}, "metadata": {"filter_metadata": {"istio":
      {"config": "/apis/networking.istio.io/v1/namespaces/a/virtual-service/b"}}})") ==
        "route 80: virtual_hosts[0].routes[0].match.connect_matcher: is not supported: CONNECT is not served "
        "(VirtualService a/b)");
}

TEST_CASE("paths and names from outside cannot break a line or grow without end") {
  CHECK(printable("a\nb\x7f") == "a\\x0ab\\x7f");
  CHECK(printable(std::string(300, 'x')).size() == 203);
  CHECK(printable("aé", 2) == "a…");
  CHECK(istio_object_name("/apis/networking.istio.io/v1/namespaces/shop/virtual-service/cart") ==
        "VirtualService shop/cart");
  CHECK(istio_object_name("something/else") == "something/else");
  CHECK(istio_object_name("") == "");
}

}  // namespace
}  // namespace clew
