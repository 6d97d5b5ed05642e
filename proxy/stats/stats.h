// Counters, gauges and histograms as plain members of whoever counts. One writer each: the thread that owns the block.
// Any thread may read (relaxed). Nothing here has a name: names are made at scrape, when a Source visits its blocks, so
// an unused cluster costs nothing and a name is never on the data path.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace clew {

class Counter {
 public:
  void add(std::uint64_t n = 1) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

class Gauge {
 public:
  void add(std::int64_t n = 1) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
  void sub(std::int64_t n = 1) { add(-n); }
  void set(std::int64_t n) { value_.store(n, std::memory_order_relaxed); }
  std::int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

/// Of a connection, or of many.
struct ByteCounters {
  Counter read, written;
};

/// Counts values (milliseconds, or bytes) in the buckets of every histogram of the process together
/// (histogram_buckets.h): its name, and with it the buckets that it is told with, is known at scrape alone. For its
/// owner's thread alone.
class Histogram {
 public:
  /// Not cumulative; the last one is +Inf. Empty: nothing was recorded.
  using Counts = std::vector<std::uint64_t>;
  /// Values of a bound's size fall into its bucket; NaN is not counted.
  void record(double value);
  const Counts& counts() const { return counts_; }
  double sum() const { return sum_; }

 private:
  Counts counts_;  // made when there is something to count
  double sum_ = 0;
};

/// Receives metrics under Envoy's dotted names («cluster.outbound|80||x;.upstream_rq_total»).
class StatSink {
 public:
  virtual ~StatSink() = default;
  /// False: nothing is kept whose name begins so. Thousands of names need not be made.
  virtual bool wants(std::string_view) const { return true; }
  virtual void counter(std::string_view name, std::uint64_t value) = 0;
  virtual void gauge(std::string_view name, std::int64_t value) = 0;
  virtual void histogram(std::string_view name, const Histogram& value) = 0;

  /// A metric that has its labels already («istiocustom.istio_requests_total», {{"reporter", "source"}, …}); the labels
  /// are part of its identity. By name they come as Envoy prints them: «name.key.value.key.value».
  using Labels = std::span<const std::pair<std::string_view, std::string_view>>;
  virtual void labelled_counter(std::string_view, Labels, std::uint64_t) {}
  virtual void labelled_gauge(std::string_view, Labels, std::int64_t) {}
  virtual void labelled_histogram(std::string_view, Labels, const Histogram&) {}
  /// A text to read («cluster_manager.cds.version_text»).
  virtual void text(std::string_view, std::string_view) {}
};

/// Something that owns metrics. collect() runs on the owner's thread.
class StatSource {
 public:
  virtual ~StatSource() = default;
  virtual void collect(StatSink& sink) const = 0;
};

}  // namespace clew
