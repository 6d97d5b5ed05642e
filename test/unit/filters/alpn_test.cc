#include "filters/http/alpn.h"

#include "test/unit/filters/stream_fixture.h"

namespace clew {
namespace {

std::shared_ptr<const FilterFactory> istio_alpn() {
  return make_alpn("istio.alpn",
                   {{"istio-http/1.0"}, {"istio-http/1.1", "istio", "http/1.1"}, {"istio-h2", "istio", "h2"}});
}

Cluster cluster(UpstreamHttpOptions::Protocol protocol) {
  Cluster out;
  out.http.protocol = protocol;
  return out;
}

TEST_CASE("alpn: by the protocol spoken upstream", "[filters]") {
  const auto factory = istio_alpn();
  StreamFixture f;
  using Protocol = UpstreamHttpOptions::Protocol;
  const auto first = [&](Protocol protocol, HttpVersion downstream) {
    f.use(cluster(protocol));
    f.stream.request.version = downstream;
    f.stream.upstream_alpn = nullptr;
    f.request(*factory);
    REQUIRE(f.stream.upstream_alpn);
    return f.stream.upstream_alpn->front();
  };
  CHECK(first(Protocol::http1, HttpVersion::http2) == "istio-http/1.1");
  CHECK(first(Protocol::http1, HttpVersion::http10) == "istio-http/1.1");
  CHECK(first(Protocol::http2, HttpVersion::http11) == "istio-h2");
  CHECK(first(Protocol::downstream, HttpVersion::http2) == "istio-h2");
  CHECK(first(Protocol::downstream, HttpVersion::http11) == "istio-http/1.1");
  CHECK(first(Protocol::downstream, HttpVersion::http10) == "istio-http/1.0");
}

TEST_CASE("alpn: not where the cluster says no, nor where there is none", "[filters]") {
  const auto factory = istio_alpn();
  Cluster plain;
  plain.alpn_override = false;
  StreamFixture f(plain);
  f.request(*factory);
  CHECK_FALSE(f.stream.upstream_alpn);
  f.target.cluster = "absent";
  f.request(*factory);
  CHECK_FALSE(f.stream.upstream_alpn);
  f.stream.cluster = nullptr;
  f.request(*factory);
  CHECK_FALSE(f.stream.upstream_alpn);
}

TEST_CASE("alpn: an empty list leaves the cluster its own", "[filters]") {
  const auto factory = make_alpn("istio.alpn", {});
  StreamFixture f;
  f.request(*factory);
  CHECK_FALSE(f.stream.upstream_alpn);
}

}  // namespace
}  // namespace clew
