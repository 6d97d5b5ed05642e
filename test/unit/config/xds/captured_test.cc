// Everything that a stock istiod sends in a default install is accepted, with the filters that clew has.
#include "test/unit/config/xds/fakes.h"

#include "filters/registry.h"

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"

#include <fstream>

namespace clew {
namespace {

using test::FakeInterner;

struct Captured {
  std::map<std::string, std::shared_ptr<const Cluster>> clusters;
  std::map<std::string, std::shared_ptr<const Listener>> listeners;
  std::map<std::string, std::shared_ptr<const RouteTable>> routes;
  std::map<std::string, std::shared_ptr<const LoadAssignment>> endpoints;
  std::set<SecretReference> secrets;
  FetchTimeouts rds_names;
  std::vector<std::string> refusals;
  FakeInterner tls;
};

template <class T>
void keep(Captured& all, const std::string& name, Decoded<std::shared_ptr<const T>> value,
          std::map<std::string, std::shared_ptr<const T>>& into) {
  if (value)
    into.emplace(name, *value);  // the server's stands where both have one
  else
    all.refusals.push_back(value.error().message);
}

template <class Message>
bool is(const google::protobuf::Any& any, Message& message) {
  return any.UnpackTo(&message);
}

void decode_line(const std::string& line, Captured& all) {
  const auto any = test::parse<google::protobuf::Any>(line);
  DecodeContext context{default_filter_registry(), all.tls};
  envoy::config::cluster::v3::Cluster cluster;
  envoy::config::listener::v3::Listener listener;
  envoy::config::route::v3::RouteConfiguration route;
  envoy::config::endpoint::v3::ClusterLoadAssignment endpoints;
  if (is(any, cluster))
    keep(all, cluster.name(), decode_cluster(cluster, context), all.clusters);
  else if (is(any, listener))
    keep(all, listener.name(), decode_listener(listener, context, nullptr), all.listeners);
  else if (is(any, route))
    keep(all, route.name(), decode_route_table(route, context), all.routes);
  else if (is(any, endpoints))
    keep(all, endpoints.cluster_name(), decode_endpoints(endpoints), all.endpoints);
  else
    FAIL("unexpected " << any.type_url());
  all.secrets.merge(context.needs.secrets);
  all.rds_names.merge(context.needs.rds_names);
}

Captured decode_all() {
  Captured all;
  for (const char* name : {"server.jsonl", "client.jsonl"}) {
    std::ifstream in(std::string(CLEW_TEST_DATA) + "/istiod/" + name);
    REQUIRE(in);
    for (std::string line; std::getline(in, line);) decode_line(line, all);
  }
  return all;
}

TEST_CASE("a default install of Istio is accepted whole") {
  const Captured all = decode_all();
  for (const auto& refusal : all.refusals) UNSCOPED_INFO(refusal);
  CHECK(all.refusals.empty());
  CHECK(all.clusters.size() == 14);
  CHECK(all.listeners.size() >= 10);
  CHECK(all.routes.size() >= 4);
  CHECK(all.endpoints.size() >= 11);
}

TEST_CASE("its clusters say what istiod meant") {
  const Captured all = decode_all();
  const auto& http = *all.clusters.at("outbound|8080||server.default.svc.cluster.local");
  CHECK(http.type == Cluster::Type::eds);
  CHECK(http.eds_service_name == http.name);
  CHECK(http.alt_stat_name == "outbound|8080||server.default.svc.cluster.local;");
  CHECK(http.connect_timeout == std::chrono::seconds(10));
  CHECK(http.lb_policy == Cluster::LbPolicy::least_request);
  CHECK(http.circuit_breakers[Priority::standard].max_connections == 4294967295u);
  CHECK(http.istio_service_name == "server");
  CHECK(http.tcp_metadata_exchange);
  REQUIRE(http.transport_sockets.size() == 2);
  const auto& mutual = http.transport_sockets[0];
  CHECK(mutual.match == std::vector<std::pair<std::string, std::string>>{{"tlsMode", "istio"}});
  REQUIRE(mutual.tls);
  CHECK(mutual.tls->sni == "outbound_.8080_._.server.default.svc.cluster.local");
  CHECK(mutual.tls->alpn == std::vector<std::string>{"istio-peer-exchange", "istio"});
  CHECK(mutual.tls->min_version == TlsParams::Version::v1_2);
  CHECK(mutual.tls->certificate_secrets == std::vector<std::string>{"default"});
  REQUIRE(mutual.tls->validation);
  CHECK(mutual.tls->validation->ca_secret == "ROOTCA");
  REQUIRE(mutual.tls->validation->subject_alt_names.size() == 1);
  CHECK(mutual.tls->validation->subject_alt_names[0].matcher.text == "spiffe://cluster.local/ns/default/sa/server");
  CHECK_FALSE(http.transport_sockets[1].tls);

  const auto& inbound = *all.clusters.at("inbound|8080||");
  CHECK(inbound.type == Cluster::Type::original_dst);
  REQUIRE(inbound.source_addresses.size() == 1);
  CHECK(inbound.source_addresses[0].to_string() == "127.0.0.6");
  CHECK(all.clusters.at("PassthroughCluster")->http.protocol == UpstreamHttpOptions::Protocol::downstream);
  CHECK(all.clusters.at("BlackHoleCluster")->inline_endpoints->localities.empty());
}

TEST_CASE("its secrets come from the agent and are waited for") {
  const Captured all = decode_all();
  CHECK(all.secrets ==
        std::set<SecretReference>{{"ROOTCA", "sds-grpc", Duration(0)}, {"default", "sds-grpc", Duration(0)}});
}

TEST_CASE("its inbound listener has the chains of PERMISSIVE mode") {
  const Captured all = decode_all();
  const auto& inbound = *all.listeners.at("virtualInbound");
  CHECK(inbound.bind_to_port);
  CHECK(inbound.direction == TrafficDirection::inbound);
  CHECK(inbound.address.port() == 15006);
  CHECK(inbound.listener_filters.size() == 3);
  std::size_t mutual = 0, http = 0;
  for (const auto& chain : inbound.chains) {
    if (chain->tls) {
      ++mutual;
      CHECK(chain->tls->require_client_certificate);
      CHECK(chain->tls->validation->subject_alt_names.at(0).matcher.kind == StringMatcher::Kind::prefix);
    }
    if (const auto* manager = std::get_if<std::shared_ptr<const HttpConnectionManager>>(&chain->terminal)) {
      ++http;
      CHECK((*manager)->inline_routes);
      CHECK((*manager)->forward_client_cert == HttpConnectionManager::ForwardClientCert::append_forward);
      CHECK((*manager)->stream_idle_timeout == Duration::zero());
      CHECK((*manager)->filters.size() >= 1);
      CHECK((*manager)->access_logs.size() == 1);
    }
  }
  CHECK(mutual >= 4);
  CHECK(http >= 4);
  const auto& outbound = *all.listeners.at("virtualOutbound");
  CHECK(outbound.use_original_dst);
  CHECK_FALSE(all.listeners.at("0.0.0.0_8080")->bind_to_port);
}

TEST_CASE("its routes time out and retry as istiod says") {
  const Captured all = decode_all();
  CHECK(all.rds_names.contains("8080"));
  const RouteTable& table = *all.routes.at("8080");
  const VirtualHost* host = table.find_host("server.default.svc.cluster.local:8080");
  REQUIRE(host);
  CHECK(host->include_request_attempt_count);
  const auto& forward = std::get<ForwardAction>(host->routes.at(0).action);
  CHECK(forward.clusters.at(0).cluster == "outbound|8080||server.default.svc.cluster.local");
  CHECK(forward.timeout == Duration::zero());
  REQUIRE(forward.retry);
  CHECK(forward.retry->num_retries == 2);
  CHECK(forward.retry->previous_hosts);
  CHECK(forward.retry->host_selection_attempts == 5);
  const VirtualHost* any = table.find_host("elsewhere.example");
  REQUIRE(any);
  CHECK(std::get<ForwardAction>(any->routes.at(0).action).clusters.at(0).cluster == "PassthroughCluster");
}

TEST_CASE("equal contexts are one, and a chain that did not change is the same object") {
  Captured all = decode_all();
  CHECK(all.tls.size() < 20);
  std::ifstream in(std::string(CLEW_TEST_DATA) + "/istiod/server.jsonl");
  envoy::config::listener::v3::Listener message;
  for (std::string line; std::getline(in, line) && message.name() != "virtualInbound";)
    test::parse<google::protobuf::Any>(line).UnpackTo(&message);
  REQUIRE(message.name() == "virtualInbound");
  FakeInterner tls;
  DecodeContext first{default_filter_registry(), tls};
  const auto before = decode_listener(message, first, nullptr);
  REQUIRE(before.has_value());
  message.mutable_filter_chains(1)->set_name("another");
  DecodeContext second{default_filter_registry(), tls};
  const auto after = decode_listener(message, second, before->get());
  REQUIRE(after.has_value());
  REQUIRE((*after)->chains.size() == (*before)->chains.size());
  for (std::size_t i = 0; i < (*after)->chains.size(); ++i)
    CHECK(((*after)->chains[i] == (*before)->chains[i]) == (i != 1));
  CHECK(first.needs.secrets == second.needs.secrets);
  CHECK(first.needs.rds_names == second.needs.rds_names);
}

}  // namespace
}  // namespace clew
