#include "proxy/admin/admin.h"
#include "config/bootstrap/bootstrap.h"
#include "config/bootstrap/command_line.h"
#include "config/xds/json.h"
#include "config/xds/type_urls.h"
#include "proxy/admin/field_mask.h"
#include "proxy/admin/stats_page.h"
#include "proxy/base/encoding.h"
#include "proxy/base/log.h"
#include "proxy/stats/stat_snapshot.h"
#include "proxy/stats/tag_extractor.h"
#include "test/support/fake_clock.h"
#include "test/support/test_worker.h"
#include "test/unit/config/xds/fakes.h"

#include "envoy/admin/v3/config_dump.pb.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

#include <catch2/catch.hpp>

using namespace clew;

namespace {

class FakeProcess final : public Process {
 public:
  FakeProcess() {
    envoy::config::cluster::v3::Cluster cluster;
    cluster.set_name("backend");
    cluster.set_alt_stat_name("backend;");
    REQUIRE(store.add_static_cluster(cluster).empty());
    store.start();
    started_with.runtime_layers = {{"global config", {{"a.key", "1"}}}, {"admin", {}}};
  }

  ServerState state() const override { return failing ? ServerState::draining : ServerState::live; }
  Duration uptime() const override { return std::chrono::seconds(5); }
  WallTime started() const override { return {}; }
  WallTime now() const override { return {}; }
  std::string version() const override { return "x"; }
  unsigned concurrency() const override { return 2; }
  const CommandLine& command_line() const override { return line_; }
  const Bootstrap& bootstrap() const override { return started_with; }
  const ConfigStore& config() const override { return store; }
  Task<StatSnapshot> stats(StatSelection filter) override {
    StatSnapshot now(std::move(filter));
    now.counter("requests", requests);
    now.gauge("active", 3);
    now.subtract(before);
    co_return now;
  }
  TagExtractor& tags() override { return tags_; }
  Task<ClusterEndpointTotals> endpoint_stats() override { co_return ClusterEndpointTotals(); }
  void drain_listeners(const DrainRequest&) override {}
  void fail_health_check(bool on) override { failing = on; }
  void reset_counters(const StatSnapshot& now) override { before.merge(now); }
  void reopen_logs() override {}
  void quit() override {}

  FakeClock clock;
  test::FakeFilters filters;
  ConfigStore store{
      filters,
      clock,
      {[](const auto&) {}, [](const auto&) {}, [](const auto&) {}, [](const auto&) {}, [](const auto&) {}}};
  bool failing = false;
  std::uint64_t requests = 7;
  StatSnapshot before;
  Bootstrap started_with;

 private:
  CommandLine line_;
  TagExtractor tags_;
};

struct Kit {
  TestWorker test;
  FakeProcess process;
  Admin admin{process};
  AdminResponse ask(const std::string& method, const std::string& target) {
    return test.run(admin.handle(method, target));
  }
  AdminResponse get(const std::string& target) { return ask("GET", target); }
  AdminResponse post(const std::string& target) { return ask("POST", target); }
};

bool has(const AdminResponse& response, std::string_view text) { return response.body.find(text) != std::string::npos; }

}  // namespace

TEST_CASE("admin: what changes something wants a POST, what is not there is said with what is") {
  Kit kit;
  for (const char* page : {"/logging", "/drain_listeners", "/quitquitquit", "/healthcheck/fail", "/reset_counters"}) {
    const AdminResponse refused = kit.get(page);
    CHECK(refused.status == 405);
    CHECK(refused.body == "Method GET not allowed, POST required.");
  }
  CHECK(kit.get("/nothing").status == 404);
  CHECK(has(kit.get("/nothing"), "/config_dump"));
}

TEST_CASE("admin: levels of the log") {
  Kit kit;
  const LogLevel http = log::http.level(), pool = log::pool.level();
  for (const auto& [query, problem] :
       std::vector<std::pair<std::string, std::string>>{{"level=loud", "unknown logger level"},
                                                        {"nonsense=debug", "unknown logger name"},
                                                        {"http=loud", "unknown logger level"},
                                                        {"http=debug&pool=debug", "invalid number of parameters"},
                                                        {"paths=http", "empty logger name or empty logger level"},
                                                        {"paths=http:", "empty logger name or empty logger level"},
                                                        {"paths=:debug", "empty logger name or empty logger level"},
                                                        {"paths=http:debug,nonsense:info", "unknown logger name"},
                                                        {"paths=http:debug,pool:loud", "unknown logger level"}}) {
    const AdminResponse refused = kit.post("/logging?" + query);
    CHECK(refused.status == 400);
    CHECK(has(refused, "error: " + problem + "\n\nusage: "));
    CHECK(log::http.level() == http);  // not even the part before the wrong one
  }
  CHECK(has(kit.post("/logging?paths=http:debug,pool:error"), "  http: debug\n"));
  CHECK(log::pool.level() == LogLevel::error);
  CHECK(has(kit.post("/logging?http=critical"), "  http: critical\n"));
  log::http.set_level(http);
  log::pool.set_level(pool);
  CHECK(kit.post("/logging").body.starts_with("active loggers:\n  admin: "));
}

TEST_CASE("admin: masks of the configuration, inside an Any too") {
  Kit kit;
  CHECK(kit.get("/config_dump?mask=nonsense").status == 400);
  CHECK(kit.get("/config_dump?resource=nonsense").status == 404);
  CHECK(kit.get("/config_dump?resource=version_info").status == 400);
  CHECK(kit.get("/config_dump?resource=static_clusters&mask=nonsense").status == 400);
  CHECK(kit.get("/config_dump?resource=static_clusters&mask=cluster.nonsense").status == 400);
  CHECK(kit.get("/config_dump?resource=static_clusters&mask=last_updated.seconds.deeper").status == 400);
  CHECK(kit.get("/config_dump?name_regex=(").status == 400);
  const AdminResponse names = kit.get("/config_dump?resource=static_clusters&mask=cluster.name");
  CHECK(names.status == 200);
  CHECK(has(names, "\"name\": \"backend\""));
  CHECK_FALSE(has(names, "alt_stat_name"));
  CHECK_FALSE(has(names, "last_updated"));
  const AdminResponse section = kit.get("/config_dump?mask=static_clusters,dynamic_active_clusters");
  CHECK(has(section, "backend;"));
  CHECK_FALSE(has(section, "BootstrapConfigDump"));
}

TEST_CASE("admin: a mask keeps what it names") {
  envoy::admin::v3::ClustersConfigDump dump;
  dump.set_version_info("1");
  dump.add_static_clusters()->mutable_last_updated()->set_seconds(1);
  auto copy = dump;
  CHECK(trim(copy, "version_info"));
  CHECK(copy.static_clusters_size() == 0);
  CHECK(copy.version_info() == "1");
  copy = dump;
  CHECK_FALSE(trim(copy, "static_clusters.last_updated"));  // repeated: whole or not at all
  CHECK_FALSE(trim(copy, "version_info,nothing"));
  CHECK(trim(copy, ",,"));
  CHECK(copy.version_info().empty());
}

namespace {

constexpr const char* with_key = R"({"@type":
  "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": {
  "tls_certificates": [{"certificate_chain": {"inline_string": "chain"}, "private_key": {"inline_string": "KEY"},
    "password": {"inline_bytes": "S0VZ"}}]}})";

/// A cluster whose transport socket carries a key.
std::string cluster_with_key(const std::string& name, const std::string& rest = "") {
  return "{\"name\": \"" + name + "\"" + rest +
         ", \"transport_socket\": {\"name\": \"tls\", \"typed_config\": " + with_key + "}}";
}

std::string push(ConfigStore& store, std::string_view type, const google::protobuf::Message& message,
                 const std::string& name) {
  envoy::service::discovery::v3::DeltaDiscoveryResponse response;
  response.set_type_url(std::string(type));
  auto* resource = response.add_resources();
  resource->set_name(name);
  resource->mutable_resource()->PackFrom(message);
  return store.on_response(response).detail;
}

}  // namespace

TEST_CASE("admin: keys are never shown, wherever they stand") {
  using envoy::config::cluster::v3::Cluster;
  Kit kit;
  envoy::config::bootstrap::v3::Bootstrap bootstrap;
  *bootstrap.mutable_static_resources()->add_clusters() = test::parse<Cluster>(cluster_with_key("inline"));
  const auto secret = test::parse<envoy::extensions::transport_sockets::tls::v3::Secret>(
      R"({"name": "static", "tls_certificate": {"certificate_chain": {"inline_string": "chain"},
          "private_key": {"inline_string": "KEY"}}})");
  *bootstrap.mutable_static_resources()->add_secrets() = secret;
  *bootstrap.mutable_static_resources()->add_secrets() =
      test::parse<envoy::extensions::transport_sockets::tls::v3::Secret>(
          R"({"name": "tickets", "session_ticket_keys": {"keys": [{"inline_string": "KEY"}, {"filename": "KEY"}]}})");
  *bootstrap.mutable_static_resources()->add_secrets() =
      test::parse<envoy::extensions::transport_sockets::tls::v3::Secret>(
          R"({"name": "generic", "generic_secret": {"secret": {"inline_string": "KEY"}}})");
  kit.process.started_with.serialized = bootstrap.SerializeAsString();
  google::protobuf::Any update;
  update.PackFrom(secret);
  kit.process.store.on_secret("static", update, "1");
  // refused: the field before the transport socket
  REQUIRE_FALSE(push(kit.process.store, type_url::cluster,
                     test::parse<Cluster>(cluster_with_key("refused", ", \"health_checks\": [{}]")), "refused")
                    .empty());
  Cluster broken;
  broken.set_name("broken");
  broken.mutable_transport_socket()->mutable_typed_config()->set_type_url(
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext");
  broken.mutable_transport_socket()->mutable_typed_config()->set_value("\xff KEY");
  REQUIRE_FALSE(push(kit.process.store, type_url::cluster, broken, "broken").empty());
  const AdminResponse dump = kit.get("/config_dump");
  REQUIRE(dump.status == 200);
  for (const char* shown :
       {"\"inline\"", "\"static\"", "\"tickets\"", "\"generic\"", "\"refused\"", "\"broken\"", "chain"}) {
    INFO(shown);
    CHECK(has(dump, shown));
  }
  CHECK(has(dump, to_base64("[redacted]")));
  CHECK_FALSE(has(dump, "KEY"));
  CHECK_FALSE(has(dump, to_base64("KEY")));
  CHECK_FALSE(has(dump, to_base64("\xff KEY")));
  CHECK_FALSE(has(kit.get("/config_dump?resource=dynamic_warming_clusters"), "KEY"));
}

TEST_CASE("admin: a secret is waited for until it is there, or given up") {
  Kit kit;
  const auto cluster = test::parse<envoy::config::cluster::v3::Cluster>(
      R"({"name": "secure", "transport_socket": {"name": "tls", "typed_config": {"@type":
          "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": {
          "tls_certificate_sds_secret_configs": [{"name": "own", "sds_config": {"ads": {}}}]}}}})");
  REQUIRE(push(kit.process.store, type_url::cluster, cluster, "secure").empty());
  CHECK(has(kit.get("/init_dump"), "secret own"));
  CHECK(has(kit.get("/init_dump"), "cluster secure"));
  CHECK(kit.get("/init_dump?mask=listener").body == "{}\n");
  kit.process.store.on_fetch_timeout(type_url::secret, "own");
  CHECK(kit.get("/init_dump").body == "{}\n");
}

TEST_CASE("admin: a route table that was never accepted has a name and no routes") {
  Kit kit;
  const auto table = test::parse<envoy::config::route::v3::RouteConfiguration>(
      R"({"name": "9080", "virtual_hosts": [{"name": "h", "domains": ["*"], "routes": [{"match": {}}]}]})");
  REQUIRE_FALSE(push(kit.process.store, type_url::route, table, "9080").empty());
  envoy::admin::v3::RoutesConfigDump dump;
  const AdminResponse response = kit.get("/config_dump?mask=dynamic_route_configs");
  envoy::admin::v3::ConfigDump whole;
  REQUIRE(from_json(response.body, whole).has_value());
  REQUIRE(whole.configs_size() == 1);
  REQUIRE(whole.configs(0).UnpackTo(&dump));
  REQUIRE(dump.dynamic_route_configs_size() == 1);
  const auto& entry = dump.dynamic_route_configs(0);
  CHECK(entry.error_state().details().find("9080") != std::string::npos);
  envoy::config::route::v3::RouteConfiguration shown;  // istioctl changes its type without a look
  REQUIRE(entry.route_config().UnpackTo(&shown));
  CHECK(shown.name() == "9080");
  CHECK(shown.virtual_hosts_size() == 0);
}

TEST_CASE("admin: what was extracted from a name is kept from one scrape to the next") {
  Kit kit;
  CHECK(kit.get("/stats/prometheus").status == 200);
  const std::size_t remembered = kit.process.tags().remembered();
  CHECK(remembered > 0);
  CHECK(kit.get("/stats?format=prometheus").status == 200);
  CHECK(kit.process.tags().remembered() == remembered);
  CHECK(kit.get("/stats/prometheus?filter=^active$").status == 200);
  CHECK(kit.get("/stats/prometheus?filter=^active$").status == 200);
  CHECK(kit.process.tags().remembered() == 1);
}

TEST_CASE("admin: counters begin again, gauges stay") {
  Kit kit;
  CHECK(has(kit.get("/stats"), "requests: 7\n"));
  CHECK(kit.post("/reset_counters").body == "OK\n");
  CHECK(has(kit.get("/stats"), "requests: 0\n"));
  kit.process.requests = 9;
  CHECK(has(kit.get("/stats"), "requests: 2\n"));
  CHECK(has(kit.get("/stats"), "active: 3\n"));
  CHECK(kit.post("/reset_counters").status == 200);
  kit.process.requests = 10;
  CHECK(has(kit.get("/stats"), "requests: 1\n"));
}

TEST_CASE("admin: what a filter asks for is what it finds, and names that it cannot find are not made") {
  const std::vector<std::string> names{"",
                                       "a",
                                       "cluster.a|b;.upstream_rq_total",
                                       "cluster.zz.membership_total",
                                       "cluster_manager.cds.update_success",
                                       "listener_manager.lds.update_success",
                                       "listener_manager.workers_started",
                                       "server.state",
                                       "server.stats",
                                       "\xff\xff.state"};
  const auto filter_of = [](const std::string& pattern) {
    StatSelection filter;
    REQUIRE(read_stat_selection(Query("filter=" + percent_encode(pattern)), filter).empty());
    return filter;
  };
  for (const char* pattern : {"a",
                              "^a",
                              "^",
                              "^$",
                              "^*a",
                              "^?state",
                              "^server\\.state$",
                              "^(server\\.state|listener_manager\\.workers_started)$",
                              "^server|state",
                              "^(a)|state",
                              "^\\(|state",
                              "^[(]a|state",
                              "^\\Q(\\E|state",
                              "^(?i)SERVER",
                              "^(?:s|l).*e",
                              "^.*state",
                              "^cluster\\.z",
                              "^(cluster_manager\\.cds|listener_manager\\.lds)\\.(update_success|update_rejected)$",
                              "(?m)^a",
                              "^cluster\\.a\\|",
                              "^\\x{ff}",
                              "^server\\b",
                              "$^|e"}) {
    const StatSelection filter = filter_of(pattern);
    for (const std::string& name : names) {
      if (!filter.name(name) || !filter.prefix) continue;
      for (std::size_t n = 0; n <= name.size(); ++n) {
        INFO(pattern << " " << name.substr(0, n));
        CHECK(filter.prefix(name.substr(0, n)));
      }
    }
  }
  for (const char* agents : {"^(server\\.state|listener_manager\\.workers_started)",
                             "^(cluster_manager\\.cds|listener_manager\\.lds)\\.(update_success|update_rejected)$"}) {
    const StatSelection filter = filter_of(agents);
    REQUIRE(filter.prefix);
    CHECK_FALSE(filter.prefix("cluster."));
  }
  CHECK(filter_of("^cluster\\.zz").prefix("cluster.zz"));
  CHECK_FALSE(filter_of("^cluster\\.zz").prefix("cluster.a"));
}

TEST_CASE("admin: a failing health check is no readiness") {
  Kit kit;
  CHECK(kit.get("/ready").body == "LIVE\n");
  CHECK(kit.post("/healthcheck/fail").body == "OK\n");
  CHECK(kit.get("/ready").status == 503);
  CHECK(kit.get("/ready").body == "DRAINING\n");
  CHECK(kit.post("/healthcheck/ok").body == "OK\n");
  CHECK(kit.get("/ready").status == 200);
}

TEST_CASE("admin: small pages") {
  Kit kit;
  CHECK(kit.get("/init_dump").body == "{}\n");
  CHECK(kit.get("/contention").status == 200);
  const AdminResponse runtime = kit.get("/runtime");
  CHECK(has(runtime, "\"global config\",\n  \"admin\"\n ]"));
  CHECK(has(runtime, "\"final_value\": \"1\""));
  CHECK(kit.get("/stats?filter=(").status == 400);
  CHECK(kit.get("/stats?format=xml").status == 400);
  CHECK(kit.get("/stats?type=foo").status == 400);
  CHECK(kit.get("/stats?histogram_buckets=foo").status == 400);
}
