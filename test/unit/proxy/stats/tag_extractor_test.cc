#include "proxy/stats/tag_extractor.h"

#include <catch2/catch.hpp>

using namespace clew;

namespace {

using Labels = std::vector<std::pair<std::string, std::string>>;

TagExtractor istio() {
  TagExtractor tags;
  for (const auto& [name, regex] : std::initializer_list<std::pair<const char*, const char*>>{
           {"cluster_name", "^cluster(\\.(.+);)"},
           {"http_conn_manager_prefix", "^http\\.(((?:[_.[:digit:]\\w]*|[_\\[\\]aAbBcCdDeEfF[:digit:]\\w\\:]*));\\.)"},
           {"tcp_prefix", "^tcp\\.((.*?)\\.)\\w+?$"},
           {"response_code", "_rq(_(\\d{3}))$"},
           {"response_code_class", "_rq(_(\\dxx))$"},
           {"http_conn_manager_listener_prefix",
            "^listener(?=\\.).*?\\.http\\.(((?:[_.[:digit:]]*|[_\\[\\]aAbBcCdDeEfF[:digit:]]*))\\.)"},
           {"listener_address", "^listener\\.(((?:[_.[:digit:]]*|[_\\[\\]aAbBcCdDeEfF[:digit:]]*))\\.)"},
           {"authz_enforce_result", "rbac(\\.(allowed|denied))"},
           {"authz_dry_run_action", "(\\.istio_dry_run_(allow|deny)_)"},
           {"authz_dry_run_result", "(\\.shadow_(allowed|denied))"}})
    REQUIRE(tags.add({name, regex, {}}).empty());
  return tags;
}

}  // namespace

TEST_CASE("a broken regex is refused") {
  TagExtractor tags;
  CHECK_FALSE(tags.add({"a", "(", {}}).empty());
  CHECK_FALSE(tags.add({"a", "[[:nonsense:]]", {}}).empty());
  CHECK(tags.extract("a(b").name == "a(b");
}

TEST_CASE("a regex without groups, or one that gives up, takes nothing") {
  TagExtractor tags;
  REQUIRE(tags.add({"a", "b", {}}).empty());
  REQUIRE(tags.add({"c", "(a*)*(a*)*(a*)*b$", {}}).empty());
  const auto& extracted = tags.extract("x" + std::string(60, 'a') + "c");
  CHECK(extracted.name == "x" + std::string(60, 'a') + "c");
  CHECK(extracted.labels.empty());
}

TEST_CASE("Istio's labels") {
  TagExtractor tags = istio();
  const auto check = [&](const char* name, const char* rest, const Labels& labels) {
    const auto& extracted = tags.extract(name);
    INFO(name);
    CHECK(extracted.name == rest);
    CHECK(extracted.labels == labels);
  };
  check("cluster.outbound|80||a.b.svc;.upstream_rq_200", "cluster.upstream_rq",
        {{"cluster_name", "outbound|80||a.b.svc"}, {"response_code", "200"}});
  check("cluster.xds-grpc;.upstream_rq_2xx", "cluster.upstream_rq",
        {{"cluster_name", "xds-grpc"}, {"response_code_class", "2xx"}});
  check("http.inbound_0.0.0.0_8080;.rbac.allowed", "http.rbac",
        {{"authz_enforce_result", "allowed"}, {"http_conn_manager_prefix", "inbound_0.0.0.0_8080"}});
  check("http.inbound_0.0.0.0_8080;.rbac.istio_dry_run_allow_.shadow_denied", "http.rbac",
        {{"authz_dry_run_action", "allow"},
         {"authz_dry_run_result", "denied"},
         {"http_conn_manager_prefix", "inbound_0.0.0.0_8080"}});
  check("listener.0.0.0.0_80.downstream_cx_active", "listener.downstream_cx_active",
        {{"listener_address", "0.0.0.0_80"}});
  check("tcp.name.downstream_cx_total", "tcp.downstream_cx_total", {{"tcp_prefix", "name"}});
  check("server.live", "server.live", {});
  check("httpx.a;.b", "httpx.a;.b", {});
  check("", "", {});
}

TEST_CASE("fixed labels come first") {
  TagExtractor tags;
  REQUIRE(tags.add({"response_code", "_rq(_(\\d{3}))$", {}}).empty());
  REQUIRE(tags.add({"mesh", "", "one"}).empty());
  CHECK(tags.extract("a_rq_200").labels == Labels{{"mesh", "one"}, {"response_code", "200"}});
}

TEST_CASE("names are remembered while they are asked for, and no more than a bound of them") {
  TagExtractor tags = istio();
  tags.extract("a");
  tags.extract("b");
  tags.new_scrape();
  tags.extract("a");
  tags.new_scrape();
  CHECK(tags.remembered() == 1);
  TagExtractor many;
  for (int i = 0; i < 60'000; ++i) many.extract("name" + std::to_string(i));
  CHECK(many.remembered() == 50'000);
  CHECK(many.extract("name59999").name == "name59999");
}
