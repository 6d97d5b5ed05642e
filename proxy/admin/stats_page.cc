#include "proxy/admin/stats_page.h"

#include <re2/re2.h>

#include <memory>

namespace clew {

namespace {

/// What is wrong with the query, or nothing. `filter` is searched anywhere in the name, as Envoy does.
std::string read(const Query& query, StatQuery& into) {
  into.used_only = query.has("usedonly");
  into.text_readouts = query.has("text_readouts");
  if (const auto pattern = query.get("filter"); pattern && !pattern->empty()) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_encoding(re2::RE2::Options::EncodingLatin1);
    auto regex = std::make_shared<re2::RE2>(re2::StringPiece(pattern->data(), pattern->size()), options);
    if (!regex->ok()) return "Invalid re2 regex: " + regex->error() + "\n";
    into.filter = [regex = std::move(regex), invert = query.has("invert_filter")](std::string_view name) {
      return re2::RE2::PartialMatch(re2::StringPiece(name.data(), name.size()), *regex) != invert;
    };
  }
  if (const auto type = query.get("type"); type && !type->empty() && *type != "All") {
    using Kind = StatSnapshot::Kind;
    if (*type == "Counters")
      into.kind = Kind::counter;
    else if (*type == "Gauges")
      into.kind = Kind::gauge;
    else if (*type == "Histograms")
      into.kind = Kind::histogram;
    else if (*type == "TextReadouts")
      into.kind = Kind::text;
    else
      return "invalid &type= param\n";
  }
  if (const auto buckets = query.get("histogram_buckets"); buckets && !buckets->empty()) {
    using Buckets = StatQuery::Buckets;
    if (*buckets == "cumulative")
      into.buckets = Buckets::cumulative;
    else if (*buckets == "disjoint")
      into.buckets = Buckets::disjoint;
    else if (*buckets == "summary" || *buckets == "none")
      into.buckets = Buckets::summary;
    else
      return "usage: /stats?histogram_buckets=(cumulative|disjoint|summary|none)\n";
  }
  return {};
}

}  // namespace

AdminResponse stats_page(const StatSnapshot& snapshot, const Query& query, TagExtractor& tags) {
  const auto format = query.get("format").value_or("");
  if (format == "prometheus") return prometheus_page(snapshot, query, tags);
  if (!format.empty() && format != "text" && format != "json")
    return AdminResponse::error(400, "usage: /stats?format=(text|json|prometheus)\n");
  StatQuery options;
  if (std::string problem = read(query, options); !problem.empty())
    return AdminResponse::error(400, std::move(problem));
  if (format == "json") return AdminResponse::json(stats_json(snapshot, options));
  return {200, stats_text(snapshot, options)};
}

AdminResponse prometheus_page(const StatSnapshot& snapshot, const Query& query, TagExtractor& tags) {
  StatQuery options;
  if (std::string problem = read(query, options); !problem.empty())
    return AdminResponse::error(400, std::move(problem));
  return {200, stats_prometheus(snapshot, options, tags), "text/plain; version=0.0.4; charset=UTF-8"};
}

}  // namespace clew
