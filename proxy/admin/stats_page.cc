#include "proxy/admin/stats_page.h"

#include <re2/re2.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <string>
#include <vector>

namespace clew {

namespace {

/// Whether a «|» outside of groups parts the pattern, or it cannot be told plainly.
bool parted(std::string_view pattern) {
  int depth = 0;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '[' || pattern.substr(i, 2) == "\\Q" || (c == '|' && depth == 0)) return true;
    if (c == '\\') ++i;
    depth += c == '(' ? 1 : c == ')' ? -1 : 0;
  }
  return false;
}

/// What names that match begin with, one of these: the literals behind «^», of one level of «(a|b)» too. Empty where
/// that is not plain to see. (RE2's own PossibleMatchRange is wrong for «\b» and «(?i)».)
std::vector<std::string> beginnings(std::string_view pattern) {
  if (!pattern.starts_with('^')) return {};
  pattern.remove_prefix(1);
  const bool group = pattern.starts_with('(');
  const std::size_t end = group ? pattern.find(')') : pattern.size();
  if (end == pattern.npos) return {};
  if (group && (parted(pattern.substr(end + 1)) || pattern.substr(end + 1).find_first_of("*?{") == 0)) return {};
  std::vector<std::string> out(1);
  bool literal = true;
  for (std::size_t i = group ? 1 : 0; i < end; ++i) {
    const char c = pattern[i];
    if (c == '|' && group) {
      literal = true;
      out.emplace_back();
    } else if (c == '(' || c == '[' || c == '|') {
      return {};
    } else if (c == '\\') {
      if (++i >= end || std::isalnum(static_cast<unsigned char>(pattern[i]))) return {};
      if (literal) out.back() += pattern[i];
    } else if (std::isalnum(static_cast<unsigned char>(c)) || c == '_') {
      if (literal) out.back() += c;
    } else {
      if (literal && (c == '*' || c == '?' || c == '{') && !out.back().empty()) out.back().pop_back();
      literal = false;
    }
  }
  return std::any_of(out.begin(), out.end(), [](const auto& one) { return one.empty(); }) ? std::vector<std::string>()
                                                                                          : out;
}

/// What is wrong with the query, or nothing.
std::string read(const Query& query, StatQuery& into) {
  into.used_only = query.has("usedonly");
  into.text_readouts = query.has("text_readouts");
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

std::string read_stat_selection(const Query& query, StatSelection& into) {
  const auto pattern = query.get("filter");
  if (!pattern || pattern->empty()) return {};
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_encoding(re2::RE2::Options::EncodingLatin1);
  auto regex = std::make_shared<re2::RE2>(re2::StringPiece(pattern->data(), pattern->size()), options);
  if (!regex->ok()) return "Invalid re2 regex: " + regex->error() + "\n";
  const bool invert = query.has("invert_filter");
  // The agent asks for two names among those of thousands of clusters, each time that somebody asks whether it is
  // ready.
  if (std::vector<std::string> known = beginnings(*pattern); !invert && !known.empty())
    into.prefix = [known = std::move(known)](std::string_view prefix) {
      return std::any_of(known.begin(), known.end(), [prefix](std::string_view beginning) {
        return prefix.starts_with(beginning) || beginning.starts_with(prefix);
      });
    };
  into.name = [regex = std::move(regex), invert](std::string_view name) {
    return re2::RE2::PartialMatch(re2::StringPiece(name.data(), name.size()), *regex) != invert;
  };
  return {};
}

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
