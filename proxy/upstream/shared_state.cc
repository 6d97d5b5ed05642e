#include "proxy/upstream/shared_state.h"

#include <algorithm>

namespace clew {
namespace {

/// Forgets what nobody holds, each time the map has doubled: amortized, no timer.
template <class Map>
void sweep(Map& map, std::size_t& at) {
  if (map.size() < at) return;
  std::erase_if(map, [](const auto& entry) { return entry.second.expired(); });
  at = std::max<std::size_t>(64, 2 * map.size());
}

}  // namespace

bool CircuitBreakers::take(Count& counter, std::uint32_t limit, bool beyond_limit, bool count, ResourceToken& token) {
  if (limit == unlimited && !count) return true;
  if (counter.fetch_add(1, std::memory_order_relaxed) >= limit && !beyond_limit) {
    counter.fetch_sub(1, std::memory_order_relaxed);
    return false;
  }
  token = ResourceToken(counter);
  return true;
}

std::uint32_t CircuitBreakers::max_retries(const CircuitBreakerThresholds& limits) const {
  const auto& budget = limits.retry_budget;
  if (!budget) return limits.max_retries;
  const double active = static_cast<double>(requests()) + pending();
  return std::max(budget->min_concurrency, static_cast<std::uint32_t>(active * budget->percent / 100));
}

std::shared_ptr<EndpointShared> ClusterShared::endpoint(const Address& address) {
  const std::lock_guard lock(mutex_);
  sweep(endpoints_, sweep_at_);
  std::weak_ptr<EndpointShared>& slot = endpoints_[address];
  auto endpoint = slot.lock();
  if (!endpoint) slot = endpoint = std::make_shared<EndpointShared>();
  return endpoint;
}

bool ClusterShared::eject(const std::shared_ptr<EndpointShared>& endpoint, const OutlierDetection& config,
                          std::size_t endpoints, TimePoint now) {
  const std::lock_guard lock(mutex_);
  if (endpoint->ejected || 100.0 * static_cast<double>(out_.size() + 1) >
                               static_cast<double>(config.max_ejection_percent) * static_cast<double>(endpoints))
    return false;
  if (config.interval > Duration(0)) {
    const auto quiet = std::max<std::int64_t>(0, (now - endpoint->back_at_) / config.interval);
    endpoint->times_ -= static_cast<std::uint32_t>(std::min<std::int64_t>(quiet, endpoint->times_));
  }
  ++endpoint->times_;
  const Duration longest = std::max(config.max_ejection_time, config.base_ejection_time);
  const bool capped = config.base_ejection_time > longest / endpoint->times_;
  endpoint->back_at_ = now + (capped ? longest : config.base_ejection_time * endpoint->times_);
  endpoint->ejected = true;
  out_.push_back(endpoint);
  next_back_ = std::min<std::int64_t>(next_back_, endpoint->back_at_.time_since_epoch().count());
  ++version_;
  return true;
}

std::size_t ClusterShared::admit(TimePoint now) {
  const std::lock_guard lock(mutex_);
  std::int64_t next = never;
  const std::size_t admitted = std::erase_if(out_, [&](const std::shared_ptr<EndpointShared>& endpoint) {
    const bool left = endpoint.use_count() == 1;  // the cluster has no such endpoint any more
    if (endpoint->back_at_ > now && !left) {
      next = std::min<std::int64_t>(next, endpoint->back_at_.time_since_epoch().count());
      return false;
    }
    endpoint->ejected = false;
    return true;
  });
  next_back_ = next;
  if (admitted > 0) ++version_;
  return admitted;
}

std::shared_ptr<ClusterShared> SharedState::find(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto it = clusters_.find(name);
  return it == clusters_.end() ? nullptr : it->second.lock();
}

std::shared_ptr<ClusterShared> SharedState::cluster(std::string_view name) {
  const std::lock_guard lock(mutex_);
  sweep(clusters_, sweep_at_);
  auto it = clusters_.find(name);
  if (it == clusters_.end()) it = clusters_.emplace(std::string(name), std::weak_ptr<ClusterShared>()).first;
  auto cluster = it->second.lock();
  if (!cluster) it->second = cluster = std::make_shared<ClusterShared>();
  return cluster;
}

}  // namespace clew
