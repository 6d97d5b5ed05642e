// The protocol on its streams: what is said at first, what is acknowledged, what a broken stream leaves.
#include "config/xds/ads_client.h"
#include "config/xds/type_urls.h"
#include "config/xds/xds_session.h"
#include "proxy/base/log.h"
#include "test/support/fake_grpc_server.h"
#include "test/support/test_worker.h"
#include "test/unit/config/xds/fakes.h"

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"

#include <unistd.h>

#include <cstdlib>

using namespace clew;
using namespace std::chrono_literals;

namespace {

using Request = envoy::service::discovery::v3::DeltaDiscoveryRequest;
using Response = envoy::service::discovery::v3::DeltaDiscoveryResponse;
using Names = std::set<std::string>;

/// The messages that the client has sent since the last call.
template <class Message>
std::vector<Message> sent(FakeGrpcServer& server) {
  std::vector<Message> out;
  const std::string bytes = server.sent();
  for (std::size_t at = 0; at < bytes.size();) {
    std::size_t size = 0;
    for (std::size_t i = 1; i < 5; ++i) size = size << 8 | static_cast<unsigned char>(bytes[at + i]);
    REQUIRE(out.emplace_back().ParseFromString(bytes.substr(at + 5, size)));
    at += 5 + size;
  }
  return out;
}

std::string node() {
  envoy::config::core::v3::Node node;
  node.set_id("me");
  return node.SerializeAsString();
}

Names subscribed(const Request& request) {
  return {request.resource_names_subscribe().begin(), request.resource_names_subscribe().end()};
}

struct Kit final : AdsHandler {
  TestWorker t;
  FakeGrpcServer server;
  AdsClient client{t.worker, server, {"xds-grpc", node()}, *this};
  Refusals refuse;  // the next response
  int responses = 0;
  std::vector<bool> connected;

  Refusals on_response(const Response&) override {
    ++responses;
    return std::exchange(refuse, {});
  }
  void on_connected(bool now) override { connected.push_back(now); }

  void run() {
    spawn(t.worker.loop(), client.run());
    t.poll();
  }
  std::vector<Request> requests() {
    t.poll();
    return sent<Request>(server);
  }
  /// A response about these resources, each in version v1.
  Request respond(std::string_view type, const Names& names, const std::string& nonce = "n") {
    Response response;
    response.set_type_url(std::string(type));
    response.set_nonce(nonce);
    for (const auto& name : names) {
      response.add_resources()->set_name(name);
      response.mutable_resources()->rbegin()->set_version("v1");
    }
    server.answer();
    server.message(response.SerializeAsString());
    const auto answers = requests();
    REQUIRE(answers.size() == 1);
    return answers[0];
  }
  ~Kit() override {
    client.stop();
    t.poll();
  }
};

}  // namespace

TEST_CASE("ads: the first message has the node, a type opens with what is wanted of it") {
  Kit kit;
  kit.client.watch_all(type_url::cluster);
  kit.client.set_names(type_url::endpoints, {});
  kit.client.set_names(type_url::route, {"r"});
  kit.run();
  CHECK(kit.server.path == "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources");
  auto first = kit.requests();
  REQUIRE(first.size() == 2);
  CHECK(first[0].type_url() == type_url::cluster);
  CHECK(first[0].node().id() == "me");
  CHECK(subscribed(first[0]).empty());
  CHECK(first[1].type_url() == type_url::route);
  CHECK_FALSE(first[1].has_node());
  CHECK(subscribed(first[1]) == Names{"r"});
  CHECK(kit.connected.empty());
  kit.client.set_names(type_url::route, {"r"});
  CHECK(kit.requests().empty());
  kit.client.set_names(type_url::route, {"s"});
  const auto changed = kit.requests();
  REQUIRE(changed.size() == 1);
  CHECK(subscribed(changed[0]) == Names{"s"});
  CHECK(changed[0].resource_names_unsubscribe(0) == "r");
  CHECK(changed[0].response_nonce().empty());
}

TEST_CASE("ads: each response is answered by its nonce, refusals with their reason") {
  Kit kit;
  kit.client.watch_all(type_url::cluster);
  kit.run();
  kit.requests();
  Request answer = kit.respond(type_url::cluster, {"a"}, "n1");
  CHECK(answer.response_nonce() == "n1");
  CHECK(answer.type_url() == type_url::cluster);
  CHECK_FALSE(answer.has_error_detail());
  CHECK(kit.connected == std::vector{true});
  kit.refuse = {{"b"}, std::string("b: no\nway ") + std::string(100'000, 'x')};
  answer = kit.respond(type_url::cluster, {"b"}, "n2");
  CHECK(answer.response_nonce() == "n2");
  CHECK(answer.error_detail().code() == 3);
  CHECK(answer.error_detail().message().starts_with("b: no\\x0away"));
  CHECK(answer.error_detail().message().size() < 10'000);
  answer = kit.respond("type.googleapis.com/nobody.asked", {"c"}, "n3");
  CHECK(answer.response_nonce() == "n3");
  CHECK(answer.has_error_detail());
  CHECK(kit.responses == 2);
}

TEST_CASE("ads: a control plane that sends what is refused again and again does not fill the log") {
  char path[] = "/tmp/clew_ads_test_XXXXXX";
  const int file = mkstemp(path);
  REQUIRE(file >= 0);
  REQUIRE(log::open_file(path).empty());
  {
    Kit kit;
    kit.client.watch_all(type_url::cluster);
    kit.run();
    kit.requests();
    for (int i = 0; i < 200; ++i) {
      kit.t.advance(10ms);
      kit.refuse = {{"b"}, "b: no\nway " + std::string(1'000'000, 'x')};
      CHECK(kit.respond(type_url::cluster, {"b"}).has_error_detail());
    }
  }
  REQUIRE(log::open_file("").empty());
  const auto size = lseek(file, 0, SEEK_END);
  close(file);
  unlink(path);
  CHECK(size > 1000);  // the first ones are there
  CHECK(size < 2'000'000);
}

TEST_CASE("ads: a new stream tells what is held: neither what was refused nor what is not wanted any more") {
  Kit kit;
  kit.client.watch_all(type_url::cluster);
  kit.client.set_names(type_url::route, {"r", "s"});
  kit.run();
  kit.requests();
  kit.respond(type_url::cluster, {"a"});
  kit.refuse = {{"b"}, "no"};
  kit.respond(type_url::cluster, {"b", "c"});
  kit.respond(type_url::route, {"r", "s"});
  kit.client.set_names(type_url::route, {"s"});
  kit.requests();
  kit.server.break_off();
  kit.t.poll();
  CHECK(kit.connected == std::vector{true, false});
  kit.client.set_names(type_url::route, {"s", "t"});  // goes out with the next stream
  kit.t.advance(Backoff::base);
  REQUIRE(kit.server.streams == 2);
  const auto first = kit.requests();
  REQUIRE(first.size() == 2);
  CHECK(first[0].node().id() == "me");
  const auto held = [](const Request& request) {
    Names out;
    for (const auto& [name, version] : request.initial_resource_versions()) out.insert(name + " " + version);
    return out;
  };
  CHECK(held(first[0]) == Names{"a v1", "c v1"});
  CHECK(held(first[1]) == Names{"s v1"});
  CHECK(subscribed(first[1]) == Names{"s", "t"});
}

TEST_CASE("ads: bytes that are no response end the stream, which comes back") {
  Kit kit;
  kit.client.watch_all(type_url::cluster);
  kit.run();
  kit.server.answer();
  kit.server.message("\xff\xff");
  kit.t.poll();
  CHECK(kit.responses == 0);
  CHECK(kit.connected == std::vector{true, false});
  kit.server.break_off();
  kit.t.advance(Backoff::base);
  CHECK(kit.server.streams == 2);
}

TEST_CASE("back-off: evenly below a ceiling that doubles from 500 ms to 30 s, and starts over") {
  Backoff backoff;
  const std::uint64_t most = 30'000'000'000 * 1'000 - 1;  // one below every ceiling
  for (const Duration ceiling : {Duration(500ms), Duration(1s), Duration(2s), Duration(4s), Duration(8s), Duration(16s),
                                 Duration(30s), Duration(30s)}) {
    Backoff same = backoff;
    CHECK(same.next(0) == Duration(0));
    CHECK(backoff.next(static_cast<std::uint64_t>(ceiling.count()) - 1) == ceiling - Duration(1));
  }
  backoff.reset();
  CHECK(backoff.next(most) < 500ms);
}

namespace {

struct Session {
  TestWorker t;
  FakeGrpcServer server;
  test::FakeFilters filters;
  XdsSession session;

  explicit Session(const std::string& ads)
      : session(t.worker, server, {node(), ads}, filters, [](const auto&) {}, [](const Update&) {}, nullptr) {}
  ~Session() {
    session.stop();
    t.poll();
  }
  static envoy::config::cluster::v3::Cluster cluster(const std::string& rest) {
    return test::parse<envoy::config::cluster::v3::Cluster>(R"({"name": "a", )" + rest + "}");
  }
  bool live() { return session.store().snapshot()->clusters.find("a"); }
};

}  // namespace

TEST_CASE("session: what does not come in its initial_fetch_timeout is done without") {
  Session s("xds-grpc");
  s.session.start();
  Response response;
  response.set_type_url(std::string(type_url::cluster));
  response.add_resources()->set_name("a");
  response.mutable_resources(0)->mutable_resource()->PackFrom(Session::cluster(
      R"("type": "EDS", "eds_cluster_config": {"eds_config": {"ads": {}, "initial_fetch_timeout": "2s"}})"));
  s.session.store().on_response(response);
  s.t.advance(1900ms);
  CHECK_FALSE(s.live());
  s.t.advance(200ms);
  CHECK(s.live());
}

TEST_CASE("session: a secret has a stream of its own to who serves it") {
  using SdsRequest = envoy::service::discovery::v3::DiscoveryRequest;
  Session s("");
  REQUIRE(s.session.store()
              .add_static_cluster(Session::cluster(R"("transport_socket": {"name": "tls", "typed_config": {"@type":
      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "common_tls_context": {
      "tls_certificate_sds_secret_configs": [{"name": "own", "sds_config": {"initial_fetch_timeout": "0s",
      "api_config_source": {"api_type": "GRPC", "grpc_services": [{"envoy_grpc": {"cluster_name": "sds-grpc"}}]}}}]}}})"))
              .empty());
  s.session.store().start();
  s.t.poll();
  CHECK(s.server.cluster == "sds-grpc");
  CHECK(s.server.path == "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets");
  auto requests = sent<SdsRequest>(s.server);
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].node().id() == "me");
  CHECK(requests[0].resource_names(0) == "own");
  CHECK_FALSE(s.live());
  envoy::service::discovery::v3::DiscoveryResponse response;
  response.set_nonce("n");
  response.set_version_info("v");
  response.add_resources()->PackFrom(Session::cluster("\"type\": \"STATIC\""));  // no secret
  s.server.answer();
  s.server.message(response.SerializeAsString());
  s.t.poll();
  requests = sent<SdsRequest>(s.server);
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].response_nonce() == "n");
  CHECK(requests[0].version_info().empty());
  CHECK(requests[0].error_detail().code() == 3);
  CHECK(s.live());  // without it: a refused secret holds nothing back
}
