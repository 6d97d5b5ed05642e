// All metrics at one moment, by name: filled on each thread from its sources, then merged on the control thread. Lives
// as long as one scrape.
#pragma once

#include "proxy/base/strings.h"
#include "proxy/stats/stats.h"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace clew {

/// Whether a metric of this (dotted) name exists for anybody. Called on any thread.
using StatPredicate = std::function<bool(std::string_view name)>;

/// Which metrics somebody asks for; what is not set lets all of them pass.
struct StatSelection {
  StatPredicate name;
  StatPredicate prefix;  // false: `name` refuses every name that begins so
};

class StatSnapshot final : public StatSink {
 public:
  enum class Kind : std::uint8_t { text, counter, gauge, histogram };
  using OwnedLabels = std::vector<std::pair<std::string, std::string>>;
  struct Distribution {
    Histogram::Counts counts;  // empty: nothing was recorded
    double sum = 0;
    std::uint64_t total() const;
    void add(const Histogram::Counts& more, double sum_of_them);
    /// The counts in the buckets of these bounds, all of them among all_histogram_bounds(), and beyond the last one.
    Histogram::Counts in(const std::vector<double>& bounds) const;
    /// An estimate within the bucket where it falls; q in 0..1. NaN when nothing was recorded.
    double quantile(double q) const;
  };
  struct Entry {
    Kind kind = Kind::counter;
    std::uint64_t number = 0;  // counter, or gauge as two's complement
    std::uint32_t extra = 0;   // index of its distribution or text
    std::uint32_t labels = 0;  // index + 1; 0: none, they are extracted from the name
    std::uint32_t base = 0;    // with labels: length of the name before them
  };

  StatSnapshot() = default;
  /// What the filter refuses is not kept.
  explicit StatSnapshot(StatSelection filter) : filter_(std::move(filter)) {}
  bool wants(std::string_view prefix) const override { return !filter_.prefix || filter_.prefix(prefix); }

  void counter(std::string_view name, std::uint64_t value) override;
  void gauge(std::string_view name, std::int64_t value) override;
  void histogram(std::string_view name, const Histogram& value) override;
  void labelled_counter(std::string_view name, Labels labels, std::uint64_t value) override;
  void labelled_gauge(std::string_view name, Labels labels, std::int64_t value) override;
  void labelled_histogram(std::string_view name, Labels labels, const Histogram& value) override;
  void text(std::string_view name, std::string_view value) override;

  /// Adds another thread's: numbers are summed, of two texts the last one stays.
  void merge(const StatSnapshot& other);

  /// Takes away what was counted at an earlier moment; gauges and texts stay.
  void subtract(const StatSnapshot& earlier);

  const StringMap<Entry>& entries() const { return entries_; }
  const Distribution& distribution(const Entry& entry) const { return distributions_[entry.extra]; }
  const std::string& text(const Entry& entry) const { return texts_[entry.extra]; }
  /// Null: none were given.
  const OwnedLabels* labels(const Entry& entry) const { return entry.labels ? &labels_[entry.labels - 1] : nullptr; }

 private:
  Entry* entry(std::string_view name, Kind kind);
  Entry* labelled_entry(std::string_view name, Labels labels, Kind kind);

  StatSelection filter_;
  StringMap<Entry> entries_;
  std::vector<Distribution> distributions_;
  std::vector<std::string> texts_;
  std::vector<OwnedLabels> labels_;
};

}  // namespace clew
