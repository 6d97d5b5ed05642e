#include "proxy/stats/stat_snapshot.h"

#include "proxy/stats/histogram_buckets.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace clew {

std::uint64_t StatSnapshot::Distribution::total() const {
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

void StatSnapshot::Distribution::add(const Histogram::Counts& more, double sum_of_them) {
  if (counts.size() < more.size()) counts.resize(more.size());
  for (std::size_t i = 0; i < more.size(); ++i) counts[i] += more[i];
  sum += sum_of_them;
}

Histogram::Counts StatSnapshot::Distribution::in(const std::vector<double>& bounds) const {
  const std::vector<double>& all = all_histogram_bounds();
  Histogram::Counts out(bounds.size() + 1);
  std::size_t bucket = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    while (bucket < bounds.size() && (i == all.size() || all[i] > bounds[bucket])) ++bucket;
    out[bucket] += counts[i];
  }
  return out;
}

double StatSnapshot::Distribution::quantile(double q) const {
  const std::vector<double>& bounds = all_histogram_bounds();
  const std::uint64_t all = total();
  if (all == 0) return std::numeric_limits<double>::quiet_NaN();
  const double rank = q * static_cast<double>(all);
  double before = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto here = static_cast<double>(counts[i]);
    if (here > 0 && before + here >= rank) {
      const double low = i == 0 ? 0 : bounds[i - 1];
      if (i == bounds.size()) return low;  // beyond the last bound nothing is known
      return low + (bounds[i] - low) * (rank - before) / here;
    }
    before += here;
  }
  return bounds.back();
}

StatSnapshot::Entry* StatSnapshot::entry(std::string_view name, Kind kind) {
  auto it = entries_.find(name);
  if (it == entries_.end()) {
    if (filter_.name && !filter_.name(name)) return nullptr;
    Entry fresh;
    fresh.kind = kind;
    if (kind == Kind::histogram) {
      fresh.extra = static_cast<std::uint32_t>(distributions_.size());
      distributions_.emplace_back();
    } else if (kind == Kind::text) {
      fresh.extra = static_cast<std::uint32_t>(texts_.size());
      texts_.emplace_back();
    }
    it = entries_.emplace(std::string(name), fresh).first;
  }
  return it->second.kind == kind ? &it->second : nullptr;  // two kinds under one name: the first one stays
}

StatSnapshot::Entry* StatSnapshot::labelled_entry(std::string_view name, Labels labels, Kind kind) {
  std::string full(name);
  for (const auto& [key, value] : labels) {
    full += '.';
    full += key;
    full += '.';
    full += value;
  }
  Entry* found = entry(full, kind);
  if (found && found->labels == 0) {
    labels_.emplace_back(labels.begin(), labels.end());
    found->labels = static_cast<std::uint32_t>(labels_.size());
    found->base = static_cast<std::uint32_t>(name.size());
  }
  return found;
}

void StatSnapshot::counter(std::string_view name, std::uint64_t value) {
  if (Entry* found = entry(name, Kind::counter)) found->number += value;
}

void StatSnapshot::gauge(std::string_view name, std::int64_t value) {
  if (Entry* found = entry(name, Kind::gauge)) found->number += static_cast<std::uint64_t>(value);
}

void StatSnapshot::histogram(std::string_view name, const Histogram& value) {
  if (Entry* found = entry(name, Kind::histogram)) distributions_[found->extra].add(value.counts(), value.sum());
}

void StatSnapshot::labelled_counter(std::string_view name, Labels labels, std::uint64_t value) {
  if (Entry* found = labelled_entry(name, labels, Kind::counter)) found->number += value;
}

void StatSnapshot::labelled_gauge(std::string_view name, Labels labels, std::int64_t value) {
  if (Entry* found = labelled_entry(name, labels, Kind::gauge)) found->number += static_cast<std::uint64_t>(value);
}

void StatSnapshot::labelled_histogram(std::string_view name, Labels labels, const Histogram& value) {
  if (Entry* found = labelled_entry(name, labels, Kind::histogram))
    distributions_[found->extra].add(value.counts(), value.sum());
}

void StatSnapshot::text(std::string_view name, std::string_view value) {
  if (Entry* found = entry(name, Kind::text)) texts_[found->extra] = value;
}

void StatSnapshot::merge(const StatSnapshot& other) {
  for (const auto& [name, theirs] : other.entries_) {
    Entry* ours = entry(name, theirs.kind);
    if (!ours) continue;
    if (theirs.labels && !ours->labels) {
      labels_.push_back(other.labels_[theirs.labels - 1]);
      ours->labels = static_cast<std::uint32_t>(labels_.size());
      ours->base = theirs.base;
    }
    switch (theirs.kind) {
      case Kind::counter:
      case Kind::gauge: ours->number += theirs.number; break;
      case Kind::text: texts_[ours->extra] = other.texts_[theirs.extra]; break;
      case Kind::histogram: {
        const Distribution& more = other.distributions_[theirs.extra];
        distributions_[ours->extra].add(more.counts, more.sum);
      }
    }
  }
}

void StatSnapshot::subtract(const StatSnapshot& earlier) {
  for (const auto& [name, before] : earlier.entries_) {
    const auto it = entries_.find(name);
    if (it == entries_.end() || it->second.kind != before.kind) continue;
    if (before.kind == Kind::counter) it->second.number -= std::min(it->second.number, before.number);
    if (before.kind != Kind::histogram) continue;
    Distribution& now = distributions_[it->second.extra];
    const Distribution& then = earlier.distributions_[before.extra];
    for (std::size_t i = 0; i < std::min(now.counts.size(), then.counts.size()); ++i)
      now.counts[i] -= std::min(now.counts[i], then.counts[i]);
    now.sum = now.total() == 0 ? 0 : now.sum - then.sum;
  }
}

}  // namespace clew
