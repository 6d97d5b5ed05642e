// The state machine of the configuration: what serves, what waits for what, what is asked for.
#include "config/xds/config_store.h"
#include "config/xds/type_urls.h"
#include "test/support/certificates.h"
#include "test/support/fake_clock.h"
#include "test/unit/config/xds/fakes.h"

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

#include <fmt/format.h>

using namespace clew;
using namespace std::chrono_literals;

namespace {

using ClusterMessage = envoy::config::cluster::v3::Cluster;
using EndpointsMessage = envoy::config::endpoint::v3::ClusterLoadAssignment;
using ListenerMessage = envoy::config::listener::v3::Listener;
using RoutesMessage = envoy::config::route::v3::RouteConfiguration;
using SecretMessage = envoy::extensions::transport_sockets::tls::v3::Secret;
using Names = std::set<std::string>;

constexpr const char* wait_for_ever = R"({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"})";

template <class Message>
Message named(const std::string& name, const std::string& rest) {
  return test::parse<Message>("{\"name\": \"" + name + "\", " + rest + "}");
}

ClusterMessage cluster(const std::string& name, const std::string& rest = R"("type": "STATIC")") {
  return named<ClusterMessage>(name, rest);
}
ClusterMessage eds(const std::string& name, const std::string& service, const std::string& rest = {}) {
  return cluster(name,
                 fmt::format(R"("type": "EDS", "eds_cluster_config": {{"eds_config": {}, "service_name": "{}"}}{})",
                             wait_for_ever, service, rest));
}
ClusterMessage dns(const std::string& name, const std::string& host) {
  return cluster(name, fmt::format(R"("type": "STRICT_DNS", "load_assignment": {{"cluster_name": "x", "endpoints": [
      {{"lb_endpoints": [{{"endpoint": {{"address": {{"socket_address": {{"address": "{}", "port_value": 80}}}}}}}}]}}]}})",
                                   host));
}
EndpointsMessage endpoints(const std::string& name, int port) {
  return test::parse<EndpointsMessage>(fmt::format(R"({{"cluster_name": "{}", "endpoints": [{{"lb_endpoints": [
      {{"endpoint": {{"address": {{"socket_address": {{"address": "10.0.0.1", "port_value": {}}}}}}}}}]}}]}})",
                                                   name, port));
}
ListenerMessage listener(const std::string& name, const std::string& table, const std::string& chain = {}) {
  return named<ListenerMessage>(name, fmt::format(R"(
      "address": {{"socket_address": {{"address": "0.0.0.0", "port_value": 1}}}},
      "filter_chains": [{{"filters": [{{"name": "m", "typed_config": {{"@type":
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "x", "rds": {{"route_config_name": "{}", "config_source": {}}}, "http_filters": [{{"name": "r",
        "typed_config": {{"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}}}]}}}}]{}}}])",
                                                  table, wait_for_ever, chain));
}
RoutesMessage routes(const std::string& name, const std::string& to) {
  return named<RoutesMessage>(name, R"("virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [
      {"match": {"prefix": "/"}, "route": {"cluster": ")" +
                                        to + "\"}}]}]");
}
RoutesMessage bad_routes(const std::string& name) {
  return named<RoutesMessage>(name, R"("virtual_hosts": [{"name": "v", "domains": []}])");
}

/// A TLS context that names a secret: «, "transport_socket": …». side: Upstream or Downstream.
std::string tls(const std::string& side, const std::string& secret, const std::string& params = {}) {
  return fmt::format(R"(, "transport_socket": {{"name": "tls", "typed_config": {{"@type":
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{}TlsContext", "common_tls_context": {{
      "tls_certificate_sds_secret_configs": [{{"name": "{}", "sds_config": {}}}]{}}}}}}})",
                     side, secret, wait_for_ever, params);
}
SecretMessage secret(const std::string& name, const TestCertificate& certificate) {
  SecretMessage out;
  out.set_name(name);
  out.mutable_tls_certificate()->mutable_certificate_chain()->set_inline_string(certificate.chain);
  out.mutable_tls_certificate()->mutable_private_key()->set_inline_string(certificate.key);
  return out;
}

const std::string& name_of(const EndpointsMessage& message) { return message.cluster_name(); }
template <class Message>
const std::string& name_of(const Message& message) {
  return message.name();
}

/// The store, and a world that notes what it is asked for.
struct Kit {
  FakeClock clock;
  test::FakeFilters filters;
  Names eds_names, rds_names, secret_names;
  std::vector<std::shared_ptr<const Cluster>> to_resolve;
  int published = 0;
  ConfigStore store{filters, clock, wants()};
  TestCa ca;

  ConfigStore::Wants wants() {
    const auto note = [](Names& into) {
      return [&into](const FetchTimeouts& wanted) {
        into.clear();
        for (const auto& [name, timeout] : wanted) into.insert(name);
      };
    };
    return {.endpoints = note(eds_names),
            .routes = note(rds_names),
            .secrets =
                [this](const std::set<SecretReference>& wanted) {
                  secret_names.clear();
                  for (const auto& reference : wanted) secret_names.insert(reference.name);
                },
            .dns = [this](const auto& clusters) { to_resolve = clusters; },
            .publish = [this](const Update&) { ++published; }};
  }

  /// One response with all of these, which are of one type.
  template <class... Messages>
  Refusals set(const Messages&... messages) {
    envoy::service::discovery::v3::DeltaDiscoveryResponse response;
    const auto add = [&](const auto& message) {
      auto* resource = response.add_resources();
      resource->set_name(name_of(message));
      resource->mutable_resource()->PackFrom(message);
      response.set_type_url(resource->resource().type_url());
    };
    (add(messages), ...);
    return store.on_response(response);
  }
  Refusals remove(std::string_view type, const std::string& name) {
    envoy::service::discovery::v3::DeltaDiscoveryResponse response;
    response.set_type_url(std::string(type));
    response.add_removed_resources(name);
    return store.on_response(response);
  }
  /// A proxy that serves: cluster a, its endpoints on port 1, listener l with table r.
  void serve() {
    store.start();
    set(eds("a", "a"));
    set(endpoints("a", 1));
    set(listener("l", "r"));
    set(routes("r", "a"));
    REQUIRE(store.initialized());
  }
  void resolve(const std::shared_ptr<const Cluster>& of, std::uint16_t port) {
    auto answer = std::make_shared<LoadAssignment>();
    if (port) {
      auto endpoint = std::make_shared<Endpoint>();
      endpoint->address = Address(*IpAddress::parse("10.0.0.1"), port);
      answer->localities.emplace_back().endpoints.push_back(std::move(endpoint));
    }
    store.on_resolved(of, std::move(answer));
  }

  const Snapshot& now() const { return *store.snapshot(); }
  /// Of the cluster's only endpoint; 0: it has none, -1: there is no such cluster.
  int port(const std::string& name) const {
    const ClusterEntry* entry = now().clusters.find(name);
    if (!entry) return -1;
    REQUIRE(entry->endpoints);
    const auto& localities = entry->endpoints->localities;
    return localities.empty() ? 0 : localities[0].endpoints[0]->address.port();
  }
  bool serves(const std::string& name) const { return now().listeners.find(name) != nullptr; }
  /// -1: there is no such table.
  int hosts(const std::string& table) const {
    const RouteTable* found = now().routes.find(table);
    return found ? static_cast<int>(found->hosts.size()) : -1;
  }
  const TlsContext* context(const std::string& name) const {
    return now().tls_context(*now().clusters.find(name)->cluster->transport_sockets.at(0).tls);
  }
};

}  // namespace

TEST_CASE("store: a start, piece by piece") {
  Kit kit;
  kit.store.start();
  kit.set(listener("l", "r"));
  kit.set(routes("r", "a"));
  CHECK(kit.rds_names == Names{"r"});
  CHECK_FALSE(kit.serves("l"));  // before the first clusters
  kit.set(eds("a", "s"), cluster("b"));
  CHECK(kit.eds_names == Names{"s"});
  CHECK(kit.port("a") == -1);
  CHECK(kit.now().clusters.find("b"));
  CHECK_FALSE(kit.store.clusters_ready());
  CHECK_FALSE(kit.serves("l"));
  kit.set(endpoints("s", 7));
  CHECK(kit.port("a") == 7);
  CHECK(kit.serves("l"));
  CHECK(kit.store.initialized());
  kit.set(listener("m", "late"));
  CHECK_FALSE(kit.serves("m"));
  CHECK(kit.store.initialized());
  kit.set(routes("late", "a"));
  CHECK(kit.serves("m"));
}

TEST_CASE("store: a refusal names resource and reason, leaves what serves, and what is beside it stands") {
  Kit kit;
  kit.serve();
  const Refusals refused = kit.set(cluster("b"), cluster("c", R"("connect_timeout": "0s")"));
  CHECK(refused.names == Names{"c"});
  CHECK(refused.detail == "cluster c: connect_timeout: must be above 0 s");
  CHECK(kit.now().clusters.find("b"));
  CHECK_FALSE(kit.now().clusters.find("c"));
  CHECK(kit.set(bad_routes("r")).names == Names{"r"});
  CHECK(kit.hosts("r") == 1);
  CHECK(kit.store.routes().find("r")->second.error);
  CHECK(kit.set(endpoints("a", 70000)).names == Names{"a"});
  CHECK(kit.port("a") == 1);
  CHECK(kit.set(routes("r", "a")).detail.empty());  // as it was: what was wrong is forgotten
  CHECK_FALSE(kit.store.routes().find("r")->second.error);
}

TEST_CASE("store: what says two things of one name says nothing; another type is refused") {
  Kit kit;
  kit.serve();
  CHECK(kit.set(cluster("a"), cluster("a")).detail == "a: is there twice in one response");
  CHECK(kit.port("a") == 1);
  envoy::service::discovery::v3::DeltaDiscoveryResponse response;
  response.set_type_url(std::string(type_url::cluster));
  auto* resource = response.add_resources();
  resource->set_name("a");
  resource->mutable_resource()->PackFrom(routes("a", "x"));
  CHECK(kit.store.on_response(response).names == Names{"a"});
  response.add_removed_resources("a");
  CHECK(kit.store.on_response(response).detail == "a: is both set and removed in one response");
  CHECK(kit.port("a") == 1);
}

TEST_CASE("store: equal bytes publish nothing") {
  Kit kit;
  kit.serve();
  const int before = kit.published;
  kit.set(eds("a", "a"));
  kit.set(endpoints("a", 1));
  kit.set(routes("r", "a"));
  kit.set(listener("l", "r"));
  CHECK(kit.published == before);
}

TEST_CASE("store: the old version serves until the new one is warm, then only its names are wanted") {
  Kit kit;
  kit.serve();
  kit.set(eds("a", "moved"));
  CHECK(kit.eds_names == Names{"a", "moved"});
  kit.set(endpoints("a", 2));
  CHECK(kit.port("a") == 2);
  kit.set(endpoints("moved", 3));
  CHECK(kit.port("a") == 3);
  CHECK(kit.eds_names == Names{"moved"});
  CHECK_FALSE(kit.store.endpoints().contains("a"));

  kit.set(listener("l", "other"));
  CHECK(kit.rds_names == Names{"other", "r"});
  kit.set(routes("other", "a"));
  CHECK(kit.rds_names == Names{"other"});
  CHECK(kit.hosts("r") == -1);
  CHECK(kit.hosts("other") == 1);

  kit.set(cluster("b", "\"type\": \"STATIC\"" + tls("Upstream", "old")));
  kit.set(secret("old", kit.ca.issue({})));
  kit.set(cluster("b", "\"type\": \"STATIC\"" + tls("Upstream", "new")));
  CHECK(kit.secret_names == Names{"new", "old"});
  kit.set(secret("new", kit.ca.issue({})));
  CHECK(kit.secret_names == Names{"new"});
}

TEST_CASE("store: a changed cluster has the endpoints of its name at once, and takes those that nobody asked for") {
  Kit kit;
  kit.serve();
  kit.set(eds("a", "a", R"(, "connect_timeout": "3s")"));
  CHECK(kit.now().clusters.find("a")->cluster->connect_timeout == std::chrono::seconds(3));
  CHECK(kit.port("a") == 1);
  CHECK(kit.eds_names == Names{"a"});
  kit.set(endpoints("a", 2));
  CHECK(kit.port("a") == 2);
  kit.remove(type_url::cluster, "a");
  kit.set(eds("a", "a"));
  CHECK(kit.port("a") == -1);  // what nothing named was forgotten
  kit.set(endpoints("a", 3));
  CHECK(kit.port("a") == 3);
}

TEST_CASE("store: clusters and listeners are removed, routes and endpoints stay while something names them") {
  Kit kit;
  kit.serve();
  kit.remove(type_url::route, "r");
  kit.remove(type_url::endpoints, "a");
  CHECK(kit.hosts("r") == 1);
  CHECK(kit.port("a") == 1);
  kit.remove(type_url::listener, "l");
  CHECK_FALSE(kit.serves("l"));
  CHECK(kit.hosts("r") == -1);
  kit.remove(type_url::cluster, "a");
  CHECK(kit.port("a") == -1);
  CHECK(kit.store.endpoints().empty());
  CHECK(kit.store.initialized());
}

TEST_CASE("store: a listener waits for a table that is said not to exist, a cluster does without endpoints") {
  Kit kit;
  kit.store.start();
  kit.set(eds("a", "a"));
  kit.remove(type_url::endpoints, "a");
  CHECK(kit.port("a") == 0);
  kit.set(listener("l", "r"));
  kit.remove(type_url::route, "r");
  CHECK_FALSE(kit.serves("l"));
}

TEST_CASE("store: what is said of a name that nothing refers to is not there for who refers to it later") {
  Kit kit;
  kit.serve();
  SECTION("endpoints that are removed after their cluster") {
    kit.remove(type_url::cluster, "a");
    kit.remove(type_url::endpoints, "a");
  }
  SECTION("endpoints that are refused") {
    kit.remove(type_url::cluster, "a");
    CHECK(kit.set(endpoints("a", 70000)).names == Names{"a"});
  }
  kit.set(eds("a", "a"));
  CHECK(kit.port("a") == -1);  // it waits
  kit.set(endpoints("a", 2));
  CHECK(kit.port("a") == 2);
  CHECK(kit.set(bad_routes("later")).names == Names{"later"});
  kit.set(listener("m", "later"));
  CHECK_FALSE(kit.serves("m"));
  kit.set(routes("later", "a"));
  CHECK(kit.serves("m"));
}

TEST_CASE("store: what went out of service drains while somebody holds it, but no longer than its connections may") {
  Kit kit;
  kit.serve();
  struct Gauges final : StatSink {
    void counter(std::string_view, std::uint64_t) override {}
    void gauge(std::string_view name, std::int64_t value) override { values[std::string(name)] = value; }
    void histogram(std::string_view, const Histogram&) override {}
    std::map<std::string, std::int64_t> values;
  };
  const auto draining = [&kit](const std::string& what) {
    Gauges gauges;
    kit.store.collect(gauges);
    return gauges.values.at("listener_manager.total_" + what + "_draining");
  };
  SnapshotPtr of_a_stream = kit.store.snapshot();
  kit.set(listener("l", "r", R"(, "name": "another chain")"));
  CHECK(draining("filter_chains") == 1);
  CHECK(draining("listeners") == 0);
  SECTION("its last holder is gone") {
    of_a_stream.reset();
    CHECK(draining("filter_chains") == 0);
    kit.remove(type_url::listener, "l");
    CHECK(draining("listeners") == 0);
  }
  SECTION("a stream goes on") {
    of_a_stream = kit.store.snapshot();
    kit.remove(type_url::listener, "l");
    CHECK(draining("listeners") == 1);
    kit.clock.advance(599s);
    CHECK(draining("listeners") == 1);
    kit.clock.advance(1s);
    CHECK(draining("listeners") == 0);
  }
}

TEST_CASE("store: a first version that is refused holds nothing back") {
  Kit kit;
  kit.store.start();
  SECTION("routes: 404 until a good version comes") {
    kit.set(cluster("a"));
    kit.set(listener("l", "good"), listener("m", "bad"));
    CHECK(kit.set(routes("good", "a"), bad_routes("bad")).names == Names{"bad"});
    CHECK(kit.hosts("good") == 1);
    CHECK(kit.hosts("bad") == 0);
    CHECK(kit.serves("m"));
    CHECK(kit.store.initialized());
    CHECK(kit.store.routes().find("bad")->second.error);
    kit.set(routes("bad", "a"));
    CHECK(kit.hosts("bad") == 1);
  }
  SECTION("endpoints: none until a good version comes") {
    kit.set(eds("a", "good"), eds("b", "bad"));
    CHECK(kit.set(endpoints("good", 1), endpoints("bad", 70000)).names == Names{"bad"});
    CHECK(kit.store.clusters_ready());
    CHECK(kit.port("a") == 1);
    CHECK(kit.port("b") == 0);
    kit.set(endpoints("bad", 2));
    CHECK(kit.port("b") == 2);
  }
  SECTION("a secret: no handshake until a good version comes") {
    kit.set(cluster("a", "\"type\": \"STATIC\"" + tls("Upstream", "own")));
    CHECK(kit.port("a") == -1);
    CHECK(kit.set(secret("own", {"no certificate", "no key"})).names == Names{"own"});
    REQUIRE(kit.now().clusters.find("a"));
    CHECK_FALSE(kit.context("a"));
    kit.set(secret("own", kit.ca.issue({})));
    CHECK(kit.context("a"));
  }
  SECTION("a response that says two things of one name") {
    kit.set(cluster("a"));
    kit.set(listener("l", "r"));
    kit.set(routes("r", "a"), routes("r", "b"));
    CHECK(kit.hosts("r") == 0);
    CHECK(kit.store.initialized());
  }
  SECTION("a new port of a proxy that serves") {
    kit.set(cluster("a"));
    kit.set(listener("l", "r"));
    kit.set(routes("r", "a"));
    kit.set(listener("l", "r"), listener("new", "bad"));
    kit.set(bad_routes("bad"));
    CHECK(kit.serves("new"));
  }
}

TEST_CASE("store: initial_fetch_timeout ends the wait once, and only where nothing came") {
  Kit kit;
  kit.store.start();
  kit.set(eds("a", "a"), cluster("b", "\"type\": \"STATIC\"" + tls("Upstream", "own")));
  kit.set(listener("l", "r"));
  kit.store.on_fetch_timeout(type_url::endpoints, "a");
  kit.store.on_fetch_timeout(type_url::secret, "own");
  kit.store.on_fetch_timeout(type_url::route, "r");
  CHECK(kit.port("a") == 0);
  CHECK(kit.now().clusters.find("b"));
  CHECK_FALSE(kit.context("b"));
  CHECK(kit.hosts("r") == 0);
  CHECK(kit.store.initialized());
  kit.set(endpoints("a", 1));
  kit.set(routes("r", "a"));
  kit.set(secret("own", kit.ca.issue({})));
  for (const auto type : {type_url::endpoints, type_url::route, type_url::secret})
    for (const char* name : {"a", "r", "own"}) kit.store.on_fetch_timeout(type, name);
  CHECK(kit.port("a") == 1);
  CHECK(kit.hosts("r") == 1);
  CHECK(kit.context("b"));
}

TEST_CASE("store: an answer of DNS is for the definition whose name was asked for") {
  Kit kit;
  kit.store.start();
  kit.set(dns("x", "a.example"));
  REQUIRE(kit.to_resolve.size() == 1);
  const auto first = kit.to_resolve[0];
  CHECK(kit.port("x") == -1);
  kit.resolve(first, 80);
  CHECK(kit.port("x") == 80);
  kit.set(dns("x", "b.example"));
  REQUIRE(kit.to_resolve.size() == 1);
  const auto second = kit.to_resolve[0];
  CHECK(second != first);
  CHECK(kit.port("x") == 80);
  CHECK(kit.now().clusters.find("x")->cluster == first);  // with its own addresses, until the new one's are there
  kit.resolve(second, 443);
  CHECK(kit.now().clusters.find("x")->cluster == second);
  CHECK(kit.port("x") == 443);
  kit.resolve(second, 0);
  CHECK(kit.port("x") == 0);
}

TEST_CASE("store: what nothing names any more is forgotten, secrets too") {
  Kit kit;
  SecretMessage fixed = secret("fixed", kit.ca.issue({}));
  REQUIRE(kit.store.add_static_secret(fixed).empty());
  kit.store.start();
  kit.set(cluster("a", "\"type\": \"STATIC\"" + tls("Upstream", "own")),
          cluster("b", "\"type\": \"STATIC\"" + tls("Upstream", "gone")));
  kit.set(secret("own", kit.ca.issue({})));
  kit.store.on_fetch_timeout(type_url::secret, "gone");
  CHECK(kit.context("a"));
  CHECK(kit.now().clusters.find("b"));
  kit.remove(type_url::cluster, "a");
  kit.remove(type_url::cluster, "b");
  CHECK(kit.secret_names.empty());
  CHECK_FALSE(kit.store.secrets().contains("own"));
  CHECK(kit.store.secrets().contains("fixed"));
  // wanted again, both are waited for again
  kit.set(cluster("a", "\"type\": \"STATIC\"" + tls("Upstream", "own")),
          cluster("b", "\"type\": \"STATIC\"" + tls("Upstream", "gone")));
  CHECK_FALSE(kit.now().clusters.find("a"));
  CHECK_FALSE(kit.now().clusters.find("b"));
  // the bootstrap's is there, and nobody is asked for it
  kit.set(cluster("c", "\"type\": \"STATIC\"" + tls("Upstream", "fixed")));
  CHECK(kit.context("c"));
  CHECK(kit.secret_names == Names{"gone", "own"});
}

TEST_CASE("store: a resource named like one of the bootstrap's is passed over, not refused") {
  Kit kit;
  REQUIRE(kit.store.add_static_cluster(cluster("xds-grpc")).empty());
  REQUIRE(kit.store.add_static_listener(listener("stats", "r")).empty());
  kit.store.start();
  const auto mine = kit.now().clusters.find("xds-grpc")->cluster;
  CHECK(kit.set(eds("xds-grpc", "x"), cluster("a")).detail.empty());
  CHECK(kit.set(listener("stats", "other"), listener("l", "r")).detail.empty());
  CHECK(kit.now().clusters.find("xds-grpc")->cluster == mine);
  CHECK(kit.now().clusters.find("a"));
  CHECK(kit.rds_names == Names{"r"});
  kit.remove(type_url::cluster, "xds-grpc");
  CHECK(kit.now().clusters.find("xds-grpc"));
}

TEST_CASE("store: a TLS context that cannot be made is refused, whether its secret is there or not") {
  Kit kit;
  kit.store.start();
  const std::string bad = R"(, "tls_params": {"ecdh_curves": ["P-256", "P-999"]})";
  const bool early = GENERATE(true, false);
  kit.set(cluster("a", "\"type\": \"STATIC\"" + tls("Upstream", "own")));
  if (early) kit.set(secret("own", kit.ca.issue({})));
  const Refusals refused = kit.set(cluster("a", "\"type\": \"STATIC\"" + tls("Upstream", "own", bad)),
                                   cluster("b", "\"type\": \"STATIC\"" + tls("Upstream", "own", bad)));
  CHECK(refused.names == Names{"a", "b"});
  CHECK(
      refused.detail.starts_with("cluster a: transport_socket.typed_config.common_tls_context: Failed to initialize "
                                 "ECDH curves P-256:P-999; cluster b: "));
  // and nobody blames the secret
  CHECK(kit.set(secret("own", kit.ca.issue({}))).detail.empty());
  CHECK(kit.context("a"));
  CHECK(kit.set(listener("l", "r", tls("Downstream", "own", bad))).names == Names{"l"});
}

TEST_CASE("store: a secret that is wrong leaves the last good one, one of another name is none") {
  Kit kit;
  kit.store.start();
  kit.set(cluster("a", "\"type\": \"STATIC\"" + tls("Upstream", "own")));
  const TestCertificate good = kit.ca.issue({}), other = kit.ca.issue({});
  kit.set(secret("own", good));
  const TlsContext* const serving = kit.context("a");
  REQUIRE(serving);
  CHECK(kit.set(secret("own", {good.chain, other.key})).detail ==
        "Failed to load private key from secret own: it does not fit the certificate");
  CHECK(kit.context("a") == serving);
  CHECK(kit.store.secrets().find("own")->second.error);
  google::protobuf::Any any;
  any.PackFrom(secret("stranger", other));
  CHECK(kit.store.on_secret("own", any, "v") == "secret own: «stranger» came instead");
  any.PackFrom(cluster("own"));
  CHECK(kit.store.on_secret("own", any, "v").ends_with("Cluster came instead"));
  CHECK_FALSE(kit.store.secrets().contains("stranger"));
  any.PackFrom(secret("own", other));
  CHECK(kit.store.on_secret("own", any, "v").empty());
  CHECK(kit.context("a") != serving);
  CHECK_FALSE(kit.store.secrets().find("own")->second.error);
}
