// Which endpoint a request goes to. Pure: no I/O, no clock, randomness passed in. One per cluster and worker, rebuilt
// when the endpoints, their health or the cluster change; tables that a policy needs (EDF heap, ring, Maglev) are built
// at first use. Follows Envoy: priorities with overprovisioning, panic threshold, locality weights, P2C or EDF for
// least request.
#pragma once

#include "config/snapshot/cluster.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace clew {

/// An endpoint as a balancer sees it; its index in the vector is its name.
struct LbHost {
  std::uint32_t weight = 1;
  HealthStatus health = HealthStatus::healthy;
  bool ejected = false;
  std::uint32_t locality = 0;                          // index into localities
  std::string hash_key;                                // «1.2.3.4:80»; only consistent hashing looks at it
  const std::atomic<std::uint32_t>* active = nullptr;  // requests under way; least request only. Outlives the balancer
};

struct LbLocality {
  std::uint32_t weight = 0;  // 0: not set, gets no traffic when localities are weighted
  std::uint32_t priority = 0;
};

struct LbContext {
  std::optional<std::uint64_t> hash;  // of the route's hash policies
  std::uint32_t attempt = 0;          // how many hosts were drawn and refused by a predicate before this draw
};

class LoadBalancer {
 public:
  using Random = std::function<std::uint64_t()>;

  LoadBalancer(const Cluster& cluster, std::uint32_t overprovisioning_percent, std::vector<LbHost> hosts,
               std::vector<LbLocality> localities, Random random);
  ~LoadBalancer();

  struct Choice {
    std::uint32_t host;
    bool panic;  // drawn among all hosts because too few are healthy
  };
  /// Nothing: no healthy upstream.
  std::optional<Choice> pick(const LbContext& context);

  std::size_t size() const { return hosts_.size(); }
  std::size_t healthy() const;
  /// Percent of traffic for a priority (healthy and degraded together): for tests and /clusters.
  std::uint32_t load(std::uint32_t priority) const;
  bool panic(std::uint32_t priority) const;

  /// The policy's way to draw one among some hosts.
  class Picker;

 private:
  struct Weighted {
    std::uint32_t host;
    double weight;
  };
  /// Some hosts and their picker, made at first use.
  struct Source {
    std::vector<Weighted> hosts;
    std::unique_ptr<Picker> picker;
  };
  struct LocalityShare {
    double weight = 0;  // effective: weight × the part of it that is available
    Source available;
  };
  struct Priority {
    Source all, healthy, degraded;
    std::vector<LocalityShare> localities;              // of the healthy ones; only when localities are weighted
    std::uint32_t healthy_load = 0, degraded_load = 0;  // percent
    bool panic = false;
  };

  void sort_into_priorities(const std::vector<LbLocality>& localities);
  void weigh_localities(const std::vector<LbLocality>& localities, std::uint32_t overprovisioning_percent);
  void share_load(std::uint32_t overprovisioning_percent);
  void share_load_in_total_panic();
  Source* choose_source(std::uint64_t hash, bool& panic);
  std::uint32_t draw(Source& source, const LbContext& context);
  std::unique_ptr<Picker> make_picker(const std::vector<Weighted>& hosts) const;
  bool consistent_hash() const;

  const Cluster::LbPolicy policy_;
  const std::uint32_t choice_count_;
  const std::uint64_t ring_min_size_, ring_max_size_, maglev_table_size_;
  const double panic_threshold_;
  const bool locality_weighted_;
  std::vector<LbHost> hosts_;
  std::vector<Priority> priorities_;
  Random random_;
};

class LoadBalancer::Picker {
 public:
  virtual ~Picker() = default;
  virtual std::uint32_t pick(const LbContext& context) = 0;
};

}  // namespace clew
