#include "filters/network/metadata_exchange.h"

#include "proxy/base/encoding.h"
#include "test/support/memory_transport.h"
#include "test/support/test_worker.h"

#include "envoy/config/core/v3/base.pb.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>

#include <catch2/catch.hpp>

namespace clew {
namespace {

std::string node(const std::string& metadata_json) {
  envoy::config::core::v3::Node node;
  node.set_id("sidecar~10.0.0.1~a-1.shop~shop.svc");
  REQUIRE(google::protobuf::util::JsonStringToMessage(metadata_json, node.mutable_metadata()).ok());
  return node.SerializeAsString();
}

google::protobuf::Struct parsed(const std::string& serialized) {
  google::protobuf::Struct value;
  REQUIRE(value.ParseFromString(serialized));
  return value;
}

google::protobuf::Struct from_json(const std::string& json) {
  google::protobuf::Struct value;
  REQUIRE(google::protobuf::util::JsonStringToMessage(json, &value).ok());
  return value;
}

TEST_CASE("peer metadata: what is no peer is none", "[filters]") {
  CHECK_FALSE(parse_peer("\xff\xff"));
  CHECK_FALSE(parse_peer(from_json(R"({"NAME": "a\nb"})").SerializeAsString()));  // would be a line of its own in a log
  CHECK_FALSE(parse_peer(from_json(R"({"LABELS": {"app": "a\u007f"}})").SerializeAsString()));
  CHECK_FALSE(parse_peer(from_json(R"({"LABELS": {"a\rb": "c"}})").SerializeAsString()));
  CHECK_FALSE(peer_of_header("*not base64*"));
  const auto nobody = parse_peer("");  // an empty Struct
  REQUIRE(nobody);
  CHECK(nobody->name.empty());
  const auto odd =
      parse_peer(from_json(R"({"NAME": 1, "LABELS": "x", "OWNER": "s/", "WORKLOAD_NAME": "w"})").SerializeAsString());
  REQUIRE(odd);
  CHECK((odd->name.empty() && odd->labels.empty() && odd->type.empty()));
}

TEST_CASE("peer metadata: what a peer tells of itself", "[filters]") {
  const std::string owner = "kubernetes://apis/apps/v1/namespaces/shop/";
  const std::string labels =
      R"("LABELS": {"app": "a", "app.kubernetes.io/name": "qualified", "version": "v1", "team": "x",
    "service.istio.io/canonical-name": "canonical", "service.istio.io/canonical-revision": "r1"})";
  const auto peer =
      parse_peer(from_json(R"({"NAME": "a-1", "NAMESPACE": "shop", "WORKLOAD_NAME": "w", "CLUSTER_ID": "c1",
    "IDENTITY": "spiffe://x", "REGION": "r", "AVAILABILITY_ZONE": "z", "OWNER": ")" +
                           owner + R"(cronjobs/w", )" + labels + "}")
                     .SerializeAsString());
  REQUIRE(peer);
  CHECK((peer->name == "a-1" && peer->namespace_name == "shop" && peer->workload == "w" && peer->cluster == "c1"));
  CHECK((peer->identity == "spiffe://x" && peer->region == "r" && peer->zone == "z" && peer->type == "cronjob"));
  CHECK((peer->app == "qualified" && peer->version == "v1" && peer->service == "canonical" && peer->revision == "r1"));
  CHECK(peer->labels == std::map<std::string, std::string>{{"team", "x"}});
  for (const char* unknown : {"statefulsets/w", "pods/other", "pods/w/", "w"}) {
    const auto it =
        parse_peer(from_json(R"({"WORKLOAD_NAME": "w", "OWNER": ")" + owner + unknown + R"("})").SerializeAsString());
    REQUIRE(it);
    CHECK(it->type.empty());
  }
}

TEST_CASE("peer metadata: a header is parsed once, and what is remembered has a bound", "[filters]") {
  const auto header = [](const std::string& name) {
    return to_base64(from_json(R"({"NAME": ")" + name + R"("})").SerializeAsString());
  };
  const auto first = peer_of_header(header("a"));
  REQUIRE(first);
  CHECK(first->name == "a");
  CHECK(peer_of_header(header("a")) == first);
  for (int i = 0; i < 1000; ++i)
    CHECK(peer_of_header(header("p" + std::to_string(i)))->name == "p" + std::to_string(i));
  CHECK(first.use_count() == 1);  // forgotten
  const std::string large = header(std::string(8000, 'n'));
  CHECK(peer_of_header(large).use_count() == 1);  // not remembered
}

TEST_CASE("peer metadata: what is told of the node, in one order", "[filters]") {
  set_local_node(
      node(R"({"NAME": "a-1", "NAMESPACE": "shop", "WORKLOAD_NAME": "a", "CLUSTER_ID": "c1", "MESH_ID": "secret",
    "OWNER": "kubernetes://apis/apps/v1/namespaces/shop/deployments/a",
    "LABELS": {"version": "v1", "app": "a", "service.istio.io/canonical-name": "a", "service.istio.io/canonical-revision": "v1",
               "team": "x", "other": "y"}})"));
  const PeerMetadata self = local_peer({"team"});
  CHECK(self.id == "sidecar~10.0.0.1~a-1.shop~shop.svc");
  const auto expected = from_json(R"({"CLUSTER_ID": "c1", "NAME": "a-1", "NAMESPACE": "shop", "WORKLOAD_NAME": "a",
    "OWNER": "kubernetes://apis/apps/v1/namespaces/shop/deployments/a",
    "LABELS": {"app": "a", "version": "v1", "service.istio.io/canonical-name": "a", "service.istio.io/canonical-revision": "v1", "team": "x"}})");
  CHECK(google::protobuf::util::MessageDifferencer::Equals(parsed(self.metadata), expected));
  std::size_t last = 0;
  for (const char* key : {"CLUSTER_ID", "LABELS", "NAME", "NAMESPACE", "OWNER", "WORKLOAD_NAME"}) {
    const std::size_t at = self.metadata.find(key, last);
    CHECK(at != std::string::npos);
    last = at;
  }
  CHECK(local_peer({"team"}).metadata == self.metadata);
  CHECK(local_peer().metadata != self.metadata);
  CHECK(local_peer({"team"}, true).metadata == self.metadata);  // it knows no locality

  set_local_node("\xff not a node");
  CHECK(local_peer().id.empty());
}

TEST_CASE("peer metadata: HTTP tells where we are, TCP does not", "[filters]") {
  envoy::config::core::v3::Node somewhere;
  somewhere.mutable_locality()->set_region("r");
  somewhere.mutable_locality()->set_zone("z");
  set_local_node(somewhere.SerializeAsString());
  const auto http = parse_peer(local_peer({}, true).metadata), tcp = parse_peer(local_peer().metadata);
  REQUIRE((http && tcp));
  CHECK((http->region == "r" && http->zone == "z" && tcp->region.empty() && tcp->zone.empty()));
}

TEST_CASE("peer exchange: hello and back", "[filters]") {
  set_local_node(node(R"({"NAME": "a-1"})"));
  const PeerMetadata self = local_peer();
  const std::string hello = peer_exchange_hello(self);
  CHECK(hello.substr(0, 4) == "\x3d\x23\x04\x67");
  CHECK(hello.size() == 8 + static_cast<unsigned char>(hello[7]) + 256u * static_cast<unsigned char>(hello[6]));
  const auto parsed = parse_peer_exchange(std::string_view(hello).substr(8));
  REQUIRE(parsed);
  CHECK(parsed->name == "a-1");
  CHECK_FALSE(parse_peer_exchange("garbage"));
  CHECK_FALSE(parse_peer_exchange(""));
}

std::string hello_of(const std::string& name) {
  return peer_exchange_hello({"id", from_json(R"({"NAME": ")" + name + R"("})").SerializeAsString()});
}

struct Fixture {
  Fixture() {
    auto [near_end, far_end] = MemoryTransport::make();
    far = std::move(far_end);
    inner = near_end.get();
    set_local_node(node(R"({"NAME": "a-1"})"));
    hello = peer_exchange_hello(local_peer());
    wrapped = make_peer_exchange_transport(std::move(near_end), hello, [this](std::shared_ptr<const PeerWorkload> got) {
      ++told;
      peer = std::move(got);
    });
  }
  /// Reads until nothing is there: the bytes, and why it stopped.
  std::pair<std::string, Errc> read() {
    Buffer out;
    for (;;) {
      const auto n = wrapped->try_read(out, 7);
      if (!n) return {out.to_string(), n.error().code};
    }
  }
  TestWorker t;
  std::unique_ptr<MemoryTransport> far;
  MemoryTransport* inner = nullptr;
  std::unique_ptr<Transport> wrapped;
  std::string hello;
  std::shared_ptr<const PeerWorkload> peer;
  int told = 0;
};

TEST_CASE("peer exchange: both tell, then bytes are bytes", "[filters]") {
  Fixture f;
  Buffer out;
  out.append("ours");
  REQUIRE(f.wrapped->try_write(out).has_value());
  CHECK(f.far->receive() == f.hello + "ours");
  const std::string all = hello_of("them") + "theirs";
  std::string got;
  for (const char c : all) {  // one byte at a time
    f.far->send({&c, 1});
    const auto [bytes, why] = f.read();
    got += bytes;
    CHECK(why == Errc::would_block);
  }
  CHECK(got == "theirs");
  CHECK(f.told == 1);
  REQUIRE(f.peer);
  CHECK(f.peer->name == "them");
  f.far->shutdown_write();
  CHECK(f.read().second == Errc::eof);
}

TEST_CASE("peer exchange: who only listens says hello too", "[filters]") {
  Fixture f;
  CHECK(f.read().second == Errc::would_block);
  CHECK(f.far->receive() == f.hello);
}

TEST_CASE("peer exchange: a peer without it keeps its bytes", "[filters]") {
  Fixture f;
  SECTION("other bytes") {
    f.far->send("GET / HTTP/1.1\r\n\r\n");
    CHECK(f.read().first == "GET / HTTP/1.1\r\n\r\n");
  }
  SECTION("fewer than a head") {
    f.far->send("hi");
    CHECK(f.read().first.empty());
    f.far->shutdown_write();
    const auto [bytes, why] = f.read();
    CHECK(bytes == "hi");
    CHECK(why == Errc::eof);
  }
  SECTION("a message that is none") {
    f.far->send(f.hello.substr(0, 4) + std::string("\0\0\0\3", 4) + "\xff\xff\xff" + "bytes");
    CHECK(f.read().first == "bytes");
  }
  CHECK(f.told == 0);
}

TEST_CASE("peer exchange: a message without bound ends the connection", "[filters]") {
  Fixture f;
  f.far->send(f.hello.substr(0, 4) + std::string("\x7f\xff\xff\xff", 4));
  CHECK(f.read().second == Errc::out_of_memory_bound);
  CHECK(f.inner->closed());
}

TEST_CASE("peer exchange: an end inside the message gives no bytes", "[filters]") {
  Fixture f;
  f.far->send(f.hello.substr(0, 20));
  f.far->shutdown_write();
  const auto [bytes, why] = f.read();
  CHECK(bytes.empty());
  CHECK(why == Errc::eof);
}

TEST_CASE("peer exchange: only where the handshake chose it", "[filters]") {
  const auto factory = make_tcp_metadata_exchange("istio-peer-exchange", local_peer());
  const bool chosen = GENERATE(true, false);
  auto [near_end, far_end] = MemoryTransport::make();
  TlsInfo tls;
  tls.alpn = chosen ? "istio-peer-exchange" : "h2";
  near_end->set_tls(tls);
  ConnectionInfo connection;
  auto transport = factory->make()->wrap(std::move(near_end), connection);
  far_end->send(hello_of("them") + "x");
  Buffer out;
  while (transport->try_read(out, 1000)) {
  }
  CHECK((connection.exchanged_peer ? connection.exchanged_peer->name : "") == (chosen ? "them" : ""));
  CHECK((out.to_string() == "x") == chosen);
  CHECK(far_end->receive().empty() != chosen);
}

}  // namespace
}  // namespace clew
