#include "proxy/stats/render.h"

#include "proxy/base/encoding.h"
#include "proxy/stats/histogram_buckets.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace clew {

namespace {

using Kind = StatSnapshot::Kind;
using Entry = StatSnapshot::Entry;
using Item = StringMap<Entry>::value_type;

constexpr std::array<double, 10> quantiles{0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100};

template <class... Args>
void put(std::string& out, fmt::format_string<Args...> format, Args&&... args) {
  fmt::format_to(std::back_inserter(out), format, std::forward<Args>(args)...);
}

bool used(const StatSnapshot& snapshot, const Entry& entry) {
  switch (entry.kind) {
    case Kind::counter: return entry.number > 0;
    case Kind::histogram: return snapshot.distribution(entry).total() > 0;
    case Kind::text: return !snapshot.text(entry).empty();
    case Kind::gauge: return true;
  }
  return true;
}

/// Envoy compares names word by word.
bool by_words(std::string_view a, std::string_view b) {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto rank = [](char c) { return c == '.' ? 0 : static_cast<unsigned char>(c); };
    return rank(x) < rank(y);
  });
}

std::vector<const Item*> select(const StatSnapshot& snapshot, const StatQuery& query) {
  std::vector<const Item*> out;
  for (const Item& item : snapshot.entries()) {
    if (query.kind && *query.kind != item.second.kind) continue;
    if (query.used_only && !used(snapshot, item.second)) continue;
    out.push_back(&item);
  }
  return out;
}

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  append_json_escaped(out, text);
  out += '"';
}

/// Sections as Envoy orders them: texts, counters with gauges, histograms.
std::vector<const Item*> select_sorted(const StatSnapshot& snapshot, const StatQuery& query) {
  auto items = select(snapshot, query);
  const auto section = [](Kind kind) { return kind == Kind::text ? 0 : kind == Kind::histogram ? 2 : 1; };
  std::sort(items.begin(), items.end(), [&](const Item* a, const Item* b) {
    const int left = section(a->second.kind), right = section(b->second.kind);
    return left != right ? left < right : by_words(a->first, b->first);
  });
  return items;
}

void append_histogram_text(std::string& out, const std::string& name, const StatSnapshot::Distribution& distribution,
                           StatQuery::Buckets buckets) {
  if (distribution.total() == 0 && buckets == StatQuery::Buckets::summary) {
    out += " No recorded values";
    return;
  }
  if (buckets == StatQuery::Buckets::summary) {
    for (const double q : quantiles)
      put(out, " P{:g}(nan,{:g})", q, distribution.quantile(q / 100));  // no flush intervals here
    return;
  }
  const std::vector<double>& bounds = histogram_bounds(name);
  const Histogram::Counts counts = distribution.in(bounds);
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    below += counts[i];
    put(out, " B{:g}(0,{})", bounds[i], buckets == StatQuery::Buckets::cumulative ? below : counts[i]);
  }
}

void append_histograms_json(std::string& out, const StatSnapshot& snapshot, const std::vector<const Item*>& items) {
  put(out, "{{\"histograms\":{{\"supported_quantiles\":[{:g}],\"computed_quantiles\":[", fmt::join(quantiles, ","));
  bool first = true;
  for (const Item* item : items) {
    if (!std::exchange(first, false)) out += ',';
    out += "{\"name\":";
    append_json_string(out, item->first);
    out += ",\"values\":[";
    for (std::size_t i = 0; i < quantiles.size(); ++i) {
      const double value = snapshot.distribution(item->second).quantile(quantiles[i] / 100);
      if (i) out += ',';
      if (std::isnan(value))
        out += "{\"cumulative\":null,\"interval\":null}";
      else
        put(out, "{{\"cumulative\":{:g},\"interval\":null}}", value);
    }
    out += "]}";
  }
  out += "]}}";
}

std::string sanitized(std::string_view name) {
  std::string out(name);
  for (char& c : out)
    if (!((ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '_')) c = '_';
  return out;
}

/// Empty: it has no name that Prometheus would take.
std::string metric_name(std::string_view name) {
  for (std::string_view space : {"istiocustom.", "wasmcustom."}) {
    if (!name.starts_with(space)) continue;
    std::string out = sanitized(name.substr(space.size()));
    if (!out.empty() && out[0] >= '0' && out[0] <= '9') out.clear();
    return out;
  }
  return "envoy_" + sanitized(name);
}

void append_label(std::string& out, std::string_view key, std::string_view value) {
  if (!out.empty()) out += ',';
  out += sanitized(key);
  out += "=\"";
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

struct Sample {
  const Item* item;
  std::string labels;  // rendered
};

/// dotted: the name before labels were taken out of it, which decides its buckets.
void append_histogram(std::string& out, const std::string& name, const std::string& labels, const std::string& dotted,
                      const StatSnapshot::Distribution& values) {
  const std::vector<double>& bounds = histogram_bounds(dotted);
  const Histogram::Counts counts = values.in(bounds);
  const std::string_view comma = labels.empty() ? "" : ",";
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    below += counts[i];
    put(out, "{}_bucket{{{}{}le=\"{:.32g}\"}} {}\n", name, labels, comma, bounds[i], below);
  }
  below += counts.back();
  put(out, "{}_bucket{{{}{}le=\"+Inf\"}} {}\n", name, labels, comma, below);
  put(out, "{}_sum{{{}}} {:.32g}\n", name, labels, values.sum);
  put(out, "{}_count{{{}}} {}\n", name, labels, below);
}

struct ByWords {
  bool operator()(const std::string& a, const std::string& b) const { return by_words(a, b); }
};
/// Samples by their name without labels.
using Groups = std::map<std::string, std::vector<Sample>, ByWords>;

void append_group(std::string& out, const StatSnapshot& snapshot, const std::string& name, std::string_view type,
                  std::vector<Sample>& samples) {
  std::sort(samples.begin(), samples.end(),
            [](const Sample& a, const Sample& b) { return by_words(a.item->first, b.item->first); });
  put(out, "# TYPE {} {}\n", name, type);
  for (const Sample& sample : samples) {
    const Entry& entry = sample.item->second;
    switch (entry.kind) {
      case Kind::counter:
      case Kind::gauge: put(out, "{}{{{}}} {}\n", name, sample.labels, entry.number); break;
      case Kind::text: put(out, "{}{{{}}} 0\n", name, sample.labels); break;
      case Kind::histogram:
        append_histogram(out, name, sample.labels, sample.item->first, snapshot.distribution(entry));
        break;
    }
  }
}

}  // namespace

std::string stats_text(const StatSnapshot& snapshot, const StatQuery& query) {
  std::string out;
  for (const Item* item : select_sorted(snapshot, query)) {
    const Entry& entry = item->second;
    out += item->first;
    switch (entry.kind) {
      case Kind::text: put(out, ": \"{}\"", snapshot.text(entry)); break;
      case Kind::counter:
      case Kind::gauge: put(out, ": {}", entry.number); break;
      case Kind::histogram:
        out += ':';
        append_histogram_text(out, item->first, snapshot.distribution(entry), query.buckets);
    }
    out += '\n';
  }
  return out;
}

std::string stats_json(const StatSnapshot& snapshot, const StatQuery& query) {
  std::string out = "{\"stats\":[";
  std::vector<const Item*> histograms;
  bool first = true;
  for (const Item* item : select_sorted(snapshot, query)) {
    const Entry& entry = item->second;
    if (entry.kind == Kind::histogram) {
      histograms.push_back(item);
      continue;
    }
    if (!std::exchange(first, false)) out += ',';
    out += "{\"name\":";
    append_json_string(out, item->first);
    out += ",\"value\":";
    if (entry.kind == Kind::text)
      append_json_string(out, snapshot.text(entry));
    else
      put(out, "{}", entry.number);
    out += '}';
  }
  if (!histograms.empty()) {
    if (!first) out += ',';
    append_histograms_json(out, snapshot, histograms);
  }
  return out + "]}";
}

std::string stats_prometheus(const StatSnapshot& snapshot, const StatQuery& query, TagExtractor& tags) {
  tags.new_scrape();
  std::array<Groups, 4> groups;  // by Kind
  for (const Item* item : select(snapshot, query)) {
    const Entry& entry = item->second;
    if (entry.kind == Kind::text && !query.text_readouts) continue;
    Sample sample{item, {}};
    std::string base;
    if (const auto* given = snapshot.labels(entry)) {
      base = item->first.substr(0, entry.base);
      for (const auto& [key, value] : *given) append_label(sample.labels, key, value);
    } else {
      const auto& extracted = tags.extract(item->first);
      base = extracted.name;
      for (const auto& [key, value] : extracted.labels) append_label(sample.labels, key, value);
    }
    if (entry.kind == Kind::text) append_label(sample.labels, "text_value", snapshot.text(entry));
    groups[static_cast<std::size_t>(entry.kind)][base].push_back(std::move(sample));
  }
  std::string out;
  constexpr std::array<std::pair<Kind, std::string_view>, 4> sections{
      {{Kind::counter, "counter"}, {Kind::gauge, "gauge"}, {Kind::text, "gauge"}, {Kind::histogram, "histogram"}}};
  for (const auto& [kind, type] : sections)
    for (auto& [base, samples] : groups[static_cast<std::size_t>(kind)])
      if (const std::string name = metric_name(base); !name.empty()) append_group(out, snapshot, name, type, samples);
  return out;
}

}  // namespace clew
