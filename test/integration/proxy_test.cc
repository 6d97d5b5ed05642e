// What xDS says, what the proxy answers, and what a client on a socket sees of it.
#include "config/xds/type_urls.h"
#include "test/integration/fixture.h"

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"

#include "config/xds/json.h"

#include <catch2/catch.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

using namespace clew;
using namespace clew::test;

namespace {

template <class Message>
Message from_text(const std::string& json) {
  Message message;
  auto parsed = from_json(json, message);
  if (!parsed) throw std::runtime_error(parsed.error().message);
  return message;
}

auto cluster(const std::string& name) {
  return from_text<envoy::config::cluster::v3::Cluster>(fmt::format(
      R"({{"name": "{0}", "type": "EDS", "connect_timeout": "1s",
           "eds_cluster_config": {{"eds_config": {{"ads": {{}}, "resource_api_version": "V3"}}, "service_name": "{0}"}}}})",
      name));
}

auto endpoints(const std::string& name, std::uint16_t port) {
  return from_text<envoy::config::endpoint::v3::ClusterLoadAssignment>(fmt::format(
      R"({{"cluster_name": "{}", "endpoints": [{{"lb_endpoints": [{{"endpoint": {{"address": {{"socket_address":
           {{"address": "127.0.0.1", "port_value": {}}}}}}}}}]}}]}})",
      name, port));
}

auto route(const std::string& name, const std::string& cluster_name) {
  return from_text<envoy::config::route::v3::RouteConfiguration>(fmt::format(
      R"({{"name": "{}", "virtual_hosts": [{{"name": "v", "domains": ["*"], "routes": [
           {{"name": "default", "match": {{"prefix": "/"}}, "route": {{"cluster": "{}", "timeout": "0s"}}}}]}}]}})",
      name, cluster_name));
}

auto listener(const std::string& name, std::uint16_t port, const std::string& filter = {}) {
  return from_text<envoy::config::listener::v3::Listener>(fmt::format(
      R"({{"name": "{0}", "address": {{"socket_address": {{"address": "127.0.0.1", "port_value": {1}}}}},
           "filter_chains": [{{"filters": [{{"name": "envoy.filters.network.http_connection_manager", "typed_config": {{
             "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
             "stat_prefix": "test",
             "rds": {{"route_config_name": "r", "config_source": {{"ads": {{}}, "resource_api_version": "V3"}}}},
             "http_filters": [{2} {{"name": "envoy.filters.http.router", "typed_config": {{
               "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}}}]}}}}]}}]}})",
      name, port, filter));
}

bool accepted(const DeltaRequest& request) { return !request.has_error_detail(); }

/// One service behind one listener, up and answering.
void serve_app(Mesh& mesh, const EchoApp& app) {
  mesh.set(cluster("app"));
  mesh.set(endpoints("app", app.port()));
  mesh.set(route("r", "app"));
  mesh.set(listener("l", mesh.listener_port()));
  mesh.wait([&] { return get(mesh.listener_port(), "/ready").starts_with("HTTP/1.1 200"); });
}

}  // namespace

TEST_CASE("the admin interface's address is written where it is asked for") {
  Mesh mesh;
  std::ifstream file(mesh.admin_address_path());
  CHECK(std::string(std::istreambuf_iterator<char>(file), {}) == fmt::format("127.0.0.1:{}", mesh.admin_port()));
}

TEST_CASE("resources arrive in any order and a request goes through") {
  EchoApp app;
  Mesh mesh;
  serve_app(mesh, app);
  const std::string answer = get(mesh.listener_port(), "/hello?x=1");
  CHECK(answer.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(answer.find("GET /hello?x=1 HTTP/1.1\r\n") != std::string::npos);
  CHECK(answer.find("x-request-id: ") != std::string::npos);
  CHECK(mesh.admin("/ready").find("LIVE") != std::string::npos);
}

TEST_CASE("the first message alone carries the node, subscriptions and acknowledgements are apart") {
  EchoApp app;
  Mesh mesh;
  serve_app(mesh, app);
  const auto requests = mesh.ads([](AdsServer& server) { return server.requests(); });
  REQUIRE(!requests.empty());
  CHECK(requests.front().node().id() == "sidecar~10.0.0.1~test.default~default.svc.cluster.local");
  for (std::size_t i = 1; i < requests.size(); ++i) CHECK(!requests[i].has_node());
  for (const auto& request : requests)
    if (!request.response_nonce().empty())
      CHECK(request.resource_names_subscribe_size() + request.resource_names_unsubscribe_size() == 0);
}

TEST_CASE("a refused listener is named, the others and the old version stand") {
  EchoApp app;
  Mesh mesh;
  serve_app(mesh, app);
  mesh.set(listener("l", mesh.listener_port(), R"({"name": "envoy.filters.http.lua", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"}},)"));
  const auto nack =
      mesh.wait_answer(std::string(type_url::listener), [](const auto& r) { return r.has_error_detail(); });
  CHECK(nack.error_detail().message().find("l") != std::string::npos);
  CHECK(nack.error_detail().message().find("lua") != std::string::npos);
  CHECK(get(mesh.listener_port(), "/").starts_with("HTTP/1.1 200"));
  CHECK(mesh.stat("listener_manager.lds.update_rejected") == 1);
  CHECK(mesh.admin("/config_dump").find("error_state") != std::string::npos);
}

TEST_CASE("a stream that ends is opened again with what is held, traffic goes on") {
  EchoApp app;
  Mesh mesh;
  serve_app(mesh, app);
  const auto before = mesh.ads([](AdsServer& server) { return server.requests().size(); });
  mesh.ads([](AdsServer& server) { server.end_stream(); });
  CHECK(get(mesh.listener_port(), "/").starts_with("HTTP/1.1 200"));
  mesh.wait([&] { return mesh.ads([](AdsServer& server) { return server.streams(); }) == 2; });
  mesh.wait([&] { return mesh.ads([](AdsServer& server) { return server.requests().size(); }) > before + 1; });
  const auto requests = mesh.ads([](AdsServer& server) { return server.requests(); });
  CHECK(requests[before].has_node());
  CHECK(requests[before].type_url() == type_url::cluster);
  CHECK(requests[before].initial_resource_versions().contains("app"));
}

TEST_CASE("a route to a cluster that is absent is 503 with the cause, a removed one comes back") {
  EchoApp app;
  Mesh mesh;
  serve_app(mesh, app);
  mesh.set(route("r", "nobody"));
  mesh.wait([&] { return get(mesh.listener_port(), "/").starts_with("HTTP/1.1 503"); });
  mesh.set(route("r", "app"));
  mesh.wait([&] { return get(mesh.listener_port(), "/").starts_with("HTTP/1.1 200"); });
}

TEST_CASE("endpoints move without a lost request") {
  EchoApp first, second;
  Mesh mesh;
  serve_app(mesh, first);
  mesh.set(endpoints("app", second.port()));
  mesh.wait([&] {
    const std::string answer = get(mesh.listener_port(), "/");
    CHECK(answer.starts_with("HTTP/1.1 200"));
    return second.requests() > 0;
  });
}

TEST_CASE("an empty cluster answers at once: no healthy upstream") {
  EchoApp app;
  Mesh mesh;
  serve_app(mesh, app);
  auto none = from_text<envoy::config::endpoint::v3::ClusterLoadAssignment>(R"({"cluster_name": "app"})");
  mesh.set(none);
  mesh.wait([&] { return get(mesh.listener_port(), "/").find("no healthy upstream") != std::string::npos; });
}

TEST_CASE("a removed listener stops listening") {
  EchoApp app;
  Mesh mesh;
  serve_app(mesh, app);
  mesh.ads([](AdsServer& server) { server.remove(std::string(type_url::listener), "l"); });
  mesh.wait([&] { return get(mesh.listener_port(), "/").empty(); });
}

TEST_CASE("a response that says two things of one name is refused whole") {
  EchoApp app;
  Mesh mesh;
  serve_app(mesh, app);
  DeltaResponse response;
  response.set_type_url(std::string(type_url::cluster));
  const auto add = [&](const std::string& name) {
    auto* resource = response.add_resources();
    resource->set_name(name);
    resource->mutable_resource()->set_type_url(std::string(type_url::cluster));
    resource->mutable_resource()->set_value(cluster(name).SerializeAsString());
  };
  SECTION("twice") {
    add("other");
    add("twice");
    add("twice");
  }
  SECTION("set and removed") {
    add("twice");
    response.add_removed_resources("twice");
    response.add_removed_resources("app");
  }
  mesh.ads([&](AdsServer& server) { server.send(response); });
  const auto nack =
      mesh.wait_answer(std::string(type_url::cluster), [](const auto& r) { return r.has_error_detail(); });
  CHECK(nack.error_detail().message().find("twice") != std::string::npos);
  CHECK(get(mesh.listener_port(), "/").starts_with("HTTP/1.1 200"));
  CHECK(mesh.admin("/clusters").find("other::") == std::string::npos);
}

TEST_CASE("a connection whose listener is gone finds its routes until it ends") {
  EchoApp app;
  Mesh mesh;
  serve_app(mesh, app);
  // Two requests, the second one held back by its sender until the listener is gone.
  Socket client(mesh.listener_port());
  client.send("GET /first HTTP/1.1\r\nHost: server\r\n\r\n");
  CHECK(client.receive_until("\r\n\r\nGET /first").starts_with("HTTP/1.1 200"));
  mesh.ads([](AdsServer& server) { server.remove(std::string(type_url::listener), "l"); });
  mesh.wait([&] { return get(mesh.listener_port(), "/").empty(); });
  client.send("GET /second HTTP/1.1\r\nHost: server\r\n\r\n");
  const std::string second = client.receive_until("\r\n\r\nGET /second");
  CHECK(second.find("HTTP/1.1 200") != std::string::npos);
  CHECK(second.find("connection: close") != std::string::npos);
}

TEST_CASE("routes and endpoints that serve are kept when the server says that it has none") {
  EchoApp app;
  Mesh mesh;
  serve_app(mesh, app);
  for (const auto& [type, name] : {std::pair{type_url::route, "r"}, {type_url::endpoints, "app"}}) {
    const std::string url(type);
    const auto before = mesh.wait_answer(url, accepted).response_nonce();
    mesh.ads([&](AdsServer& server) { server.remove(url, name); });
    mesh.wait_answer(url, [&](const auto& answer) { return answer.response_nonce() != before; });
    CHECK(get(mesh.listener_port(), "/").starts_with("HTTP/1.1 200"));
  }
}

TEST_CASE("what does not come in its initial_fetch_timeout is done without") {
  EchoApp app;
  Mesh mesh;
  serve_app(mesh, app);
  for (const auto type : {type_url::endpoints, type_url::route})
    mesh.ads([&](AdsServer& server) { server.hold(std::string(type), true); });
  auto silent = cluster("silent");
  silent.mutable_eds_cluster_config()->mutable_eds_config()->mutable_initial_fetch_timeout()->set_nanos(1'000'000);
  mesh.set(silent);
  mesh.wait([&] { return mesh.admin("/clusters").find("silent::") != std::string::npos; });
  mesh.set(from_text<envoy::config::listener::v3::Listener>([] {
    std::string json = to_json(listener("late", free_port()), {.pretty = false});
    const std::string name = "\"route_config_name\":\"r\"";
    return json.replace(json.find(name), name.size(), "\"route_config_name\":\"none\"")
        .replace(json.find("\"ads\":{}"), 8, "\"ads\":{},\"initial_fetch_timeout\":\"0.001s\"");
  }()));
  mesh.wait([&] { return mesh.stat("listener_manager.total_listeners_active") == 2; });
  CHECK(get(mesh.listener_port(), "/").starts_with("HTTP/1.1 200"));
}

TEST_CASE("a listener whose log cannot be opened is refused") {
  EchoApp app;
  Mesh mesh;
  serve_app(mesh, app);
  auto logging = listener("logging", free_port());
  auto* log = logging.add_access_log();
  log->set_name("file");
  log->mutable_typed_config()->set_type_url(
      "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog");
  log->mutable_typed_config()->set_value("\x0a\x0c/no/such/log");  // path
  mesh.set(logging);
  const auto nack =
      mesh.wait_answer(std::string(type_url::listener), [](const auto& r) { return r.has_error_detail(); });
  CHECK(nack.error_detail().message().find("unable to open file '/no/such/log'") != std::string::npos);
}

TEST_CASE("accepted updates are acknowledged with their nonce") {
  EchoApp app;
  Mesh mesh;
  serve_app(mesh, app);
  const auto ack = mesh.wait_answer(std::string(type_url::endpoints), accepted);
  CHECK(!ack.response_nonce().empty());
}

TEST_CASE("admin serves so many connections at once, the next one waits for its turn") {
  Mesh mesh;
  std::vector<int> idle;
  for (int i = 0; i < 64; ++i) {
    idle.push_back(connect_to(mesh.admin_port()));
    REQUIRE(idle.back() >= 0);
  }
  auto answer = std::async(std::launch::async, [&] { return mesh.admin("/ready"); });
  // That it does not come cannot be waited for; that it comes when one leaves can.
  CHECK(answer.wait_for(std::chrono::milliseconds(200)) == std::future_status::timeout);
  ::close(idle.back());
  idle.pop_back();
  CHECK(answer.get().find("HTTP/1.1 ") == 0);
  for (const int fd : idle) ::close(fd);
}
