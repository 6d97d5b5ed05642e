#include "config/snapshot/stat_filter.h"

#include <catch2/catch.hpp>

using namespace clew;

namespace {

StringMatcher pattern(StringMatcher::Kind kind, const char* text) {
  StringMatcher out;
  out.kind = kind;
  if (kind == StringMatcher::Kind::regex)
    out.regex = Regex::compile(text);
  else
    out.text = text;
  return out;
}

}  // namespace

TEST_CASE("Istio's inclusion list") {
  using Kind = StringMatcher::Kind;
  StatFilter filter{StatFilter::Mode::inclusion,
                    {pattern(Kind::prefix, "cluster_manager"), pattern(Kind::suffix, "rbac.allowed"),
                     pattern(Kind::regex, "vhost\\..*\\.route\\..*")}};
  CHECK(filter.includes("cluster_manager.cds.update_success"));
  CHECK(filter.includes("http.x;.rbac.allowed"));
  CHECK(filter.includes("vhost.a.route.b.upstream_rq_total"));
  CHECK_FALSE(filter.includes("cluster.a.upstream_rq_total"));
  CHECK_FALSE(filter.includes("x.vhost.a.route.b"));
  filter.mode = StatFilter::Mode::exclusion;
  CHECK_FALSE(filter.includes("cluster_manager.cds.update_success"));
  CHECK(filter.includes("cluster.a.upstream_rq_total"));
}

TEST_CASE("all and none look at no pattern") {
  CHECK(StatFilter{}.includes(""));
  CHECK_FALSE(StatFilter{StatFilter::Mode::none, {}}.includes("a"));
  CHECK_FALSE(StatFilter{StatFilter::Mode::inclusion, {}}.includes("a"));
}
