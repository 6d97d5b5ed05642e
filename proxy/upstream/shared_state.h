// What the workers of one process share about upstreams, keyed by cluster name and endpoint address so that it outlives
// a swap of the configuration: circuit breaker counts, active requests (least request), ejections. Everything else of a
// cluster belongs to one worker.
#pragma once

#include "config/snapshot/cluster.h"
#include "proxy/base/address.h"
#include "proxy/base/clock.h"
#include "proxy/base/strings.h"

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace clew {

/// One endpoint of one cluster. Relaxed atomics: the counts steer, they guard nothing.
struct EndpointShared {
  std::atomic<std::uint32_t> rq_active{0};
  std::atomic<bool> ejected{false};
  /// Results in a row, for outlier detection.
  std::atomic<std::uint32_t> consecutive_5xx{0}, consecutive_gateway_failure{0}, consecutive_local_origin_failure{0};

 private:
  friend class ClusterShared;
  // under the cluster's mutex
  TimePoint back_at_{};      // end of the ejection, the last one when it is over
  std::uint32_t times_ = 0;  // ejections; forgotten one an interval
};

/// A unit of a bounded resource, given back when destroyed. The counter outlives it.
class ResourceToken {
 public:
  ResourceToken() = default;
  explicit ResourceToken(std::atomic<std::uint32_t>& counter) : counter_(&counter) {}
  ResourceToken(ResourceToken&& other) noexcept : counter_(std::exchange(other.counter_, nullptr)) {}
  ResourceToken& operator=(ResourceToken&& other) noexcept {
    if (this != &other) {
      release();
      counter_ = std::exchange(other.counter_, nullptr);
    }
    return *this;
  }
  ~ResourceToken() { release(); }
  void release() {
    if (counter_) std::exchange(counter_, nullptr)->fetch_sub(1, std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint32_t>* counter_ = nullptr;
};

/// Envoy's circuit breakers of one priority, process-wide. A limit of `unlimited` (what istiod sends by default)
/// touches no shared memory; a retry budget makes requests and pending requests counted whatever their limits are.
class CircuitBreakers {
 public:
  static constexpr std::uint32_t unlimited = std::numeric_limits<std::uint32_t>::max();

  /// Each takes one unit, or returns false when the limit is reached.
  bool take_connection(const CircuitBreakerThresholds& limits, ResourceToken& token, bool beyond_limit = false) {
    return take(connections_, limits.max_connections, beyond_limit, false, token);
  }
  bool take_pending(const CircuitBreakerThresholds& limits, ResourceToken& token) {
    return take(pending_, limits.max_pending_requests, false, limits.retry_budget.has_value(), token);
  }
  bool take_request(const CircuitBreakerThresholds& limits, ResourceToken& token) {
    return take(requests_, limits.max_requests, false, limits.retry_budget.has_value(), token);
  }
  bool take_retry(const CircuitBreakerThresholds& limits, ResourceToken& token) {
    return take(retries_, max_retries(limits), false, false, token);
  }
  /// By number, or by a budget's share of what is under way.
  std::uint32_t max_retries(const CircuitBreakerThresholds& limits) const;

  std::uint32_t connections() const { return connections_.load(std::memory_order_relaxed); }
  std::uint32_t pending() const { return pending_.load(std::memory_order_relaxed); }
  std::uint32_t requests() const { return requests_.load(std::memory_order_relaxed); }
  std::uint32_t retries() const { return retries_.load(std::memory_order_relaxed); }

 private:
  using Count = std::atomic<std::uint32_t>;
  /// beyond_limit: take it although the limit is reached. count: count it although there is no limit.
  static bool take(Count& counter, std::uint32_t limit, bool beyond_limit, bool count, ResourceToken& token);

  Count connections_{0}, pending_{0}, requests_{0}, retries_{0};
};

/// Of one cluster name.
class ClusterShared {
 public:
  PerPriority<CircuitBreakers> breakers;
  /// Any thread; called when a worker first sees an endpoint.
  std::shared_ptr<EndpointShared> endpoint(const Address& address);

  // Ejections. Rare, so they take the mutex; who draws looks at two atomics.
  /// False: more than max_ejection_percent of so many endpoints would be out, or it is out already.
  bool eject(const std::shared_ptr<EndpointShared>& endpoint, const OutlierDetection& config, std::size_t endpoints,
             TimePoint now);
  /// Lets in those whose time is over, forgets those that nobody knows any more; how many.
  std::size_t admit(TimePoint now);
  /// admit() is worth calling.
  bool admission_due(TimePoint now) const {
    return now.time_since_epoch().count() >= next_back_.load(std::memory_order_relaxed);
  }
  /// Another one after every ejection and admission.
  std::uint64_t ejections_version() const { return version_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
  std::atomic<std::int64_t> next_back_{never};
  std::atomic<std::uint64_t> version_{0};
  std::vector<std::shared_ptr<EndpointShared>> out_;
  std::mutex mutex_;
  std::unordered_map<Address, std::weak_ptr<EndpointShared>> endpoints_;
  std::size_t sweep_at_ = 64;
};

/// One per process; outlives the workers. Any thread.
class SharedState {
 public:
  std::shared_ptr<ClusterShared> cluster(std::string_view name);
  /// The same, or null when no worker has it.
  std::shared_ptr<ClusterShared> find(std::string_view name);

 private:
  std::mutex mutex_;
  StringMap<std::weak_ptr<ClusterShared>> clusters_;
  std::size_t sweep_at_ = 64;
};

}  // namespace clew
