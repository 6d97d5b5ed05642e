#include "proxy/stats/render.h"
#include "proxy/stats/histogram_buckets.h"

#include <catch2/catch.hpp>

using namespace clew;

namespace {

StatSnapshot sample(StatPredicate included = {}) {
  StatSnapshot snapshot(StatSelection{std::move(included), {}});
  snapshot.counter("cluster.a;.upstream_rq_200", 3);
  snapshot.counter("cluster.a;.upstream_rq_503", 0);
  snapshot.counter("cluster-x", 1);
  snapshot.gauge("server.state", 0);
  snapshot.gauge("a.version", static_cast<std::int64_t>(15274230365318697128u));
  snapshot.text("cluster_manager.cds.version_text", "v\"1\n");
  Histogram histogram;
  histogram.record(3);
  histogram.record(7);
  snapshot.histogram("cluster.a;.upstream_cx_connect_ms", histogram);
  snapshot.histogram("cluster.a;.empty", Histogram());
  return snapshot;
}

TagExtractor tags() {
  TagExtractor out;
  REQUIRE(out.add({"cluster_name", "^cluster(\\.(.+);)", {}}).empty());
  REQUIRE(out.add({"response_code", "_rq(_(\\d{3}))$", {}}).empty());
  return out;
}

}  // namespace

TEST_CASE("nothing renders as nothing") {
  TagExtractor none;
  CHECK(stats_text({}, {}).empty());
  CHECK(stats_json({}, {}) == "{\"stats\":[]}");
  CHECK(stats_prometheus({}, {}, none).empty());
}

TEST_CASE("text: texts, then numbers, then histograms, by name") {
  CHECK(stats_text(sample(), {}) ==
        "cluster_manager.cds.version_text: \"v\"1\n\"\n"
        "a.version: 15274230365318697128\n"
        "cluster.a;.upstream_rq_200: 3\n"
        "cluster.a;.upstream_rq_503: 0\n"
        "cluster-x: 1\n"
        "server.state: 0\n"
        "cluster.a;.empty: No recorded values\n"
        "cluster.a;.upstream_cx_connect_ms: P0(nan,1) P25(nan,3) P50(nan,5) P75(nan,7.5) P90(nan,9) P95(nan,9.5) "
        "P99(nan,9.9) "
        "P99.5(nan,9.95) P99.9(nan,9.99) P100(nan,10)\n");
}

TEST_CASE("histograms have the buckets that are configured for their name") {
  const auto begins = [](std::string text) {
    return [text = std::move(text)](std::string_view name) { return name.starts_with(text); };
  };
  set_histogram_buckets({{begins("cluster.a;.upstream"), {4, 6.5, 50}},
                         {begins("cluster."), {7}},  // the first that matches counts
                         {begins("istio"), {1}}});
  StatSnapshot snapshot = sample();
  Histogram histogram;
  for (const double value : {1., 4., 4.5, 7., 51., 4e6}) histogram.record(value);
  snapshot.merge([&] {
    StatSnapshot more;
    more.histogram("cluster.a;.upstream_cx_connect_ms", histogram);
    more.histogram("cluster.b;.x", histogram);
    more.histogram("other", histogram);
    const std::pair<std::string_view, std::string_view> label{"reporter", "source"};
    more.labelled_histogram("istiocustom.h", {&label, 1}, histogram);
    return more;
  }());
  StatQuery query;
  query.kind = StatSnapshot::Kind::histogram;
  query.buckets = StatQuery::Buckets::cumulative;
  TagExtractor extractor = tags();
  const std::string text = stats_text(snapshot, query), prometheus = stats_prometheus(snapshot, {}, extractor);
  query.buckets = StatQuery::Buckets::disjoint;
  const std::string disjoint = stats_text(snapshot, query);
  set_histogram_buckets({});
  CHECK_THAT(text, Catch::Contains("cluster.a;.upstream_cx_connect_ms: B4(0,3) B6.5(0,4) B50(0,6)\n"));
  CHECK_THAT(text, Catch::Contains("cluster.a;.empty: B7(0,0)\n"));
  CHECK_THAT(text, Catch::Contains("cluster.b;.x: B7(0,4)\n"));
  CHECK_THAT(text, Catch::Contains("other: B0.5(0,0) B1(0,1) B5(0,3) B10(0,4) B25(0,4) B50(0,4) B100(0,5) "));
  CHECK_THAT(text, Catch::Contains(" B3.6e+06(0,5)\n"));
  CHECK_THAT(text, Catch::Contains("istiocustom.h.reporter.source: B1(0,1)\n"));
  CHECK_THAT(disjoint, Catch::Contains("cluster.a;.upstream_cx_connect_ms: B4(0,3) B6.5(0,1) B50(0,2)\n"));
  CHECK_THAT(prometheus,
             Catch::Contains("envoy_cluster_upstream_cx_connect_ms_bucket{cluster_name=\"a\",le=\"6.5\"} 4\n"
                             "envoy_cluster_upstream_cx_connect_ms_bucket{cluster_name=\"a\",le=\"50\"} 6\n"
                             "envoy_cluster_upstream_cx_connect_ms_bucket{cluster_name=\"a\",le=\"+Inf\"} 8\n"));
  CHECK_THAT(prometheus, Catch::Contains("h_bucket{reporter=\"source\",le=\"1\"} 1\n"));
}

TEST_CASE("only what was used, only what the filter and the kind let pass") {
  StatQuery query;
  query.used_only = true;
  const StatSnapshot some =
      sample([](std::string_view name) { return name.find("upstream") != name.npos || name == "server.state"; });
  CHECK_THAT(stats_text(some, query),
             Catch::StartsWith("cluster.a;.upstream_rq_200: 3\nserver.state: 0\ncluster.a;.upstream_cx"));
  query.kind = StatSnapshot::Kind::counter;
  CHECK(stats_text(some, query) == "cluster.a;.upstream_rq_200: 3\n");
}

TEST_CASE("histograms by bucket") {
  StatQuery query;
  query.kind = StatSnapshot::Kind::histogram;
  query.used_only = true;
  query.buckets = StatQuery::Buckets::cumulative;
  CHECK_THAT(stats_text(sample(), query),
             Catch::StartsWith("cluster.a;.upstream_cx_connect_ms: B0.5(0,0) B1(0,0) B5(0,1) B10(0,2) B25(0,2)"));
  CHECK_THAT(stats_text(sample(), query), Catch::EndsWith("B1.8e+06(0,2) B3.6e+06(0,2)\n"));
  query.buckets = StatQuery::Buckets::disjoint;
  CHECK_THAT(stats_text(sample(), query), Catch::Contains("B5(0,1) B10(0,1) B25(0,0)"));
}

TEST_CASE("JSON") {
  StatQuery query;
  const StatSnapshot some = sample([](std::string_view name) {
    return name.find("cluster_manager") == 0 || name == "a.version" || name == "cluster.a;.empty";
  });
  CHECK_THAT(stats_json(some, query),
             Catch::StartsWith(
                 "{\"stats\":[{\"name\":\"cluster_manager.cds.version_text\",\"value\":\"v\\\"1\\n\"},"
                 "{\"name\":\"a.version\",\"value\":15274230365318697128},"
                 "{\"histograms\":{\"supported_quantiles\":[0,25,50,75,90,95,99,99.5,99.9,100],\"computed_quantiles\":["
                 "{\"name\":\"cluster.a;.empty\",\"values\":[{\"cumulative\":null,\"interval\":null},"));
  CHECK_THAT(stats_json(some, query), Catch::EndsWith("]}]}}]}"));
  const StatSnapshot one = sample([](std::string_view name) { return name == "cluster.a;.upstream_cx_connect_ms"; });
  CHECK_THAT(stats_json(one, query), Catch::Contains("{\"cumulative\":7.5,\"interval\":null}"));
}

TEST_CASE("Prometheus: counters, gauges, histograms, each group under its type") {
  TagExtractor extractor = tags();
  CHECK_THAT(stats_prometheus(sample(), {}, extractor),
             Catch::StartsWith("# TYPE envoy_cluster_upstream_rq counter\n"
                               "envoy_cluster_upstream_rq{cluster_name=\"a\",response_code=\"200\"} 3\n"
                               "envoy_cluster_upstream_rq{cluster_name=\"a\",response_code=\"503\"} 0\n"
                               "# TYPE envoy_cluster_x counter\n"
                               "envoy_cluster_x{} 1\n"
                               "# TYPE envoy_a_version gauge\n"
                               "envoy_a_version{} 15274230365318697128\n"
                               "# TYPE envoy_server_state gauge\n"
                               "envoy_server_state{} 0\n"
                               "# TYPE envoy_cluster_empty histogram\n"
                               "envoy_cluster_empty_bucket{cluster_name=\"a\",le=\"0.5\"} 0\n"));
  CHECK_THAT(stats_prometheus(sample(), {}, extractor),
             Catch::EndsWith("envoy_cluster_upstream_cx_connect_ms_bucket{cluster_name=\"a\",le=\"3600000\"} 2\n"
                             "envoy_cluster_upstream_cx_connect_ms_bucket{cluster_name=\"a\",le=\"+Inf\"} 2\n"
                             "envoy_cluster_upstream_cx_connect_ms_sum{cluster_name=\"a\"} 10\n"
                             "envoy_cluster_upstream_cx_connect_ms_count{cluster_name=\"a\"} 2\n"));
}

TEST_CASE("Prometheus: texts on request, values escaped") {
  TagExtractor extractor = tags();
  StatQuery query;
  query.kind = StatSnapshot::Kind::text;
  CHECK(stats_prometheus(sample(), query, extractor).empty());
  query.text_readouts = true;
  CHECK(stats_prometheus(sample(), query, extractor) ==
        "# TYPE envoy_cluster_manager_cds_version_text gauge\n"
        "envoy_cluster_manager_cds_version_text{text_value=\"v\\\"1\\n\"} 0\n");
}

TEST_CASE("Prometheus: metrics with labels of their own keep their namespace's name") {
  StatSnapshot snapshot;
  const std::array<std::pair<std::string_view, std::string_view>, 2> labels{
      {{"reporter", "destination"}, {"source.app", "a\\b"}}};
  snapshot.labelled_counter("istiocustom.istio_requests_total", labels, 5);
  snapshot.labelled_counter("istiocustom.9lives", labels, 5);
  Histogram histogram;
  histogram.record(1);
  snapshot.labelled_histogram("istiocustom.istio_request_bytes", labels, histogram);
  TagExtractor none;
  const std::string out = stats_prometheus(snapshot, {}, none);
  CHECK_THAT(out, Catch::StartsWith(
                      "# TYPE istio_requests_total counter\n"
                      "istio_requests_total{reporter=\"destination\",source_app=\"a\\\\b\"} 5\n"
                      "# TYPE istio_request_bytes histogram\n"
                      "istio_request_bytes_bucket{reporter=\"destination\",source_app=\"a\\\\b\",le=\"0.5\"} 0\n"));
  CHECK_THAT(out, !Catch::Contains("9lives"));
  CHECK_THAT(stats_text(snapshot, {}),
             Catch::Contains("istiocustom.istio_requests_total.reporter.destination.source.app.a\\b: 5\n"));
}
