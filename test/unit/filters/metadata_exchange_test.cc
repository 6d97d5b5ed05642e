#include "filters/http/metadata_exchange.h"

#include "proxy/base/encoding.h"
#include "test/unit/filters/stream_fixture.h"

namespace clew {
namespace {

constexpr HeaderId id = HeaderId::x_envoy_peer_metadata_id;
constexpr HeaderId metadata = HeaderId::x_envoy_peer_metadata;

/// {NAME: name} as a header has it.
std::string told(std::string_view name) {
  const auto sized = [](char tag, const std::string& bytes) {
    return std::string{tag, static_cast<char>(bytes.size())} + bytes;
  };
  return to_base64(sized(0x0a, sized(0x0a, "NAME") + sized(0x12, sized(0x1a, std::string(name)))));
}

const PeerMetadata self{"sidecar~10.0.0.1~a.ns~ns.svc", "STRUCT"};

std::shared_ptr<const FilterFactory> inbound() {
  MetadataExchangeOptions options;
  options.discover_downstream = options.propagate_downstream = true;
  return make_metadata_exchange("istio.metadata_exchange", options, self);
}
std::shared_ptr<const FilterFactory> outbound() {
  MetadataExchangeOptions options;
  options.discover_upstream = options.propagate_upstream = options.skip_external_upstream = true;
  return make_metadata_exchange("istio.metadata_exchange", options, self);
}

TEST_CASE("metadata exchange: the server's side takes what came and answers in kind", "[filters]") {
  const auto factory = inbound();
  StreamFixture f;
  f.stream.request.headers.add(id, "peer");
  f.stream.request.headers.add(metadata, told("them"));
  auto filter = f.request(*factory);
  REQUIRE(f.stream.info.downstream_peer);
  CHECK(f.stream.info.downstream_peer->name == "them");
  CHECK_FALSE(f.stream.request.headers.has(id));  // the application never sees it
  CHECK_FALSE(f.stream.request.headers.has(metadata));
  filter->on_response(f.stream);
  CHECK(f.stream.response.headers.get(id) == self.id);
  CHECK(f.stream.response.headers.get(metadata) == to_base64(self.metadata));
}

TEST_CASE("metadata exchange: nothing is told to who told nothing", "[filters]") {
  const auto factory = inbound();
  StreamFixture f;
  auto filter = f.request(*factory);
  filter->on_response(f.stream);
  CHECK(f.stream.response.headers.size() == 0);
  CHECK_FALSE(f.stream.info.downstream_peer);
}

TEST_CASE("metadata exchange: bad metadata is dropped, not passed on", "[filters]") {
  const auto factory = inbound();
  StreamFixture f;
  f.stream.request.headers.add(id, "peer");
  f.stream.request.headers.add(metadata, "*not base64*");
  f.request(*factory);
  CHECK_FALSE(f.stream.info.downstream_peer);
  CHECK(f.stream.request.headers.size() == 0);
}

TEST_CASE("metadata exchange: the client's side tells and takes", "[filters]") {
  const auto factory = outbound();
  StreamFixture f;
  f.stream.request.headers.add(id, "forged by the application");
  auto filter = f.request(*factory);
  CHECK(f.stream.request.headers.get(id) == self.id);
  CHECK(f.stream.request.headers.get(metadata) == to_base64(self.metadata));
  CHECK_FALSE(f.stream.info.downstream_peer);
  f.stream.response.headers.add(id, "server");
  f.stream.response.headers.add(metadata, told("server"));
  filter->on_response(f.stream);
  REQUIRE(f.stream.info.upstream_peer);
  CHECK(f.stream.info.upstream_peer->name == "server");
  CHECK(f.stream.response.headers.size() == 0);
}

TEST_CASE("metadata exchange: not with clusters outside", "[filters]") {
  const auto factory = outbound();
  Cluster cluster;
  SECTION("external") { cluster.external = true; }
  SECTION("disable_mx") { cluster.disable_metadata_exchange = true; }
  SECTION("passthrough") { cluster.name = "PassthroughCluster"; }
  StreamFixture f(cluster);
  f.request(*factory);
  CHECK(f.stream.request.headers.size() == 0);
}

}  // namespace
}  // namespace clew
