#include "proxy/upstream/load_balancer.h"

#include "proxy/upstream/pickers.h"

#include <algorithm>

namespace clew {
namespace {

bool is_healthy(const LbHost& host) { return host.health == HealthStatus::healthy && !host.ejected; }
bool is_degraded(const LbHost& host) { return host.health == HealthStatus::degraded && !host.ejected; }

}  // namespace

LoadBalancer::LoadBalancer(const Cluster& cluster, std::uint32_t overprovisioning_percent, std::vector<LbHost> hosts,
                           std::vector<LbLocality> localities, Random random)
    : policy_(cluster.lb_policy),
      choice_count_(std::max(2u, cluster.least_request_choice_count)),
      ring_min_size_(cluster.ring_min_size),
      ring_max_size_(cluster.ring_max_size),
      maglev_table_size_(cluster.maglev_table_size),
      panic_threshold_(std::min(100.0, cluster.healthy_panic_threshold)),
      locality_weighted_(cluster.locality_weighted),
      hosts_(std::move(hosts)),
      random_(std::move(random)) {
  sort_into_priorities(localities);
  if (locality_weighted_) weigh_localities(localities, overprovisioning_percent);
  share_load(overprovisioning_percent);
}

LoadBalancer::~LoadBalancer() = default;

bool LoadBalancer::consistent_hash() const {
  return policy_ == Cluster::LbPolicy::ring_hash || policy_ == Cluster::LbPolicy::maglev;
}

void LoadBalancer::sort_into_priorities(const std::vector<LbLocality>& localities) {
  std::uint32_t last = 0;
  for (const LbLocality& locality : localities) last = std::max(last, locality.priority);
  priorities_.resize(last + 1);
  for (std::uint32_t i = 0; i < hosts_.size(); ++i) {
    const LbHost& host = hosts_[i];
    Priority& priority = priorities_[localities[host.locality].priority];
    const Weighted entry{i, static_cast<double>(std::max(1u, host.weight))};
    priority.all.hosts.push_back(entry);
    if (is_healthy(host)) priority.healthy.hosts.push_back(entry);
    if (is_degraded(host)) priority.degraded.hosts.push_back(entry);
  }
}

/// Envoy: an effective weight is weight × min(1, overprovisioning × healthy part). Consistent hashing keeps one table
/// for the whole priority and multiplies the locality's weight into its hosts' instead.
void LoadBalancer::weigh_localities(const std::vector<LbLocality>& localities, std::uint32_t overprovisioning_percent) {
  std::vector<std::uint32_t> total(localities.size());
  for (const LbHost& host : hosts_) ++total[host.locality];
  for (Priority& priority : priorities_) {
    std::vector<LocalityShare> shares(localities.size());
    std::vector<double> sums(localities.size());
    for (const Weighted& entry : priority.healthy.hosts) {
      shares[hosts_[entry.host].locality].available.hosts.push_back(entry);
      sums[hosts_[entry.host].locality] += entry.weight;
    }
    for (std::size_t i = 0; i < localities.size(); ++i) {
      const double part = total[i] == 0 ? 0 : static_cast<double>(shares[i].available.hosts.size()) / total[i];
      shares[i].weight = localities[i].weight * std::min(1.0, part * overprovisioning_percent / 100);
    }
    if (consistent_hash()) {
      std::erase_if(priority.healthy.hosts, [&](Weighted& entry) {
        const std::uint32_t locality = hosts_[entry.host].locality;
        entry.weight *= shares[locality].weight / sums[locality];
        return entry.weight == 0;
      });
      continue;
    }
    std::erase_if(shares, [](const LocalityShare& share) { return share.weight == 0; });
    priority.localities = std::move(shares);
  }
}

/// Traffic goes to the highest priority as far as it is healthy enough, what is left to the next, degraded ones last.
void LoadBalancer::share_load(std::uint32_t overprovisioning_percent) {
  const auto health = [&](const Source& source, const Priority& priority) -> std::uint32_t {
    if (priority.all.hosts.empty()) return 0;
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(100, source.hosts.size() * overprovisioning_percent / priority.all.hosts.size()));
  };
  std::uint32_t available = 0;
  for (const Priority& p : priorities_) available += health(p.healthy, p) + health(p.degraded, p);
  const std::uint32_t normalized = std::min(100u, available);

  bool total_panic = normalized < 100;
  for (Priority& p : priorities_) {
    const std::size_t all = p.all.hosts.size();
    const std::size_t usable = p.healthy.hosts.size() + p.degraded.hosts.size();
    const double percent = all == 0 ? 0 : 100.0 * static_cast<double>(usable) / static_cast<double>(all);
    p.panic = normalized < 100 && percent < panic_threshold_;
    total_panic = total_panic && p.panic;
  }
  if (total_panic) return share_load_in_total_panic();
  if (normalized == 0) return;

  std::uint32_t left = 100;
  for (Priority& p : priorities_) left -= p.healthy_load = std::min(left, health(p.healthy, p) * 100 / normalized);
  for (Priority& p : priorities_) left -= p.degraded_load = std::min(left, health(p.degraded, p) * 100 / normalized);
  if (left == 0) return;
  // What rounding left over goes to the first that takes anything.
  for (Priority& p : priorities_) {
    if (p.healthy_load > 0) return void(p.healthy_load += left);
  }
  for (Priority& p : priorities_) {
    if (p.degraded_load > 0) return void(p.degraded_load += left);
  }
}

void LoadBalancer::share_load_in_total_panic() {
  std::uint32_t left = 100;
  for (Priority& p : priorities_) {
    p.healthy_load = hosts_.empty() ? 0 : static_cast<std::uint32_t>(100 * p.all.hosts.size() / hosts_.size());
    left -= p.healthy_load;
  }
  for (Priority& p : priorities_) {
    if (!p.all.hosts.empty()) return void(p.healthy_load += left);
  }
}

LoadBalancer::Source* LoadBalancer::choose_source(std::uint64_t hash, bool& panic) {
  const std::uint64_t at = hash % 100;
  std::uint64_t sum = 0;
  Priority* priority = nullptr;
  bool degraded = false;
  for (Priority& p : priorities_) {
    if (!priority && at < (sum += p.healthy_load)) priority = &p;
  }
  for (Priority& p : priorities_) {
    if (priority || at >= (sum += p.degraded_load)) continue;
    priority = &p;
    degraded = true;
  }
  if (!priority) return nullptr;
  panic = priority->panic;
  if (panic) return &priority->all;
  if (degraded) return &priority->degraded;
  if (priority->localities.empty()) {
    // Weighted localities none of which has weight and health: nothing can be drawn.
    return locality_weighted_ && !consistent_hash() ? nullptr : &priority->healthy;
  }
  double total = 0;
  for (const LocalityShare& share : priority->localities) total += share.weight;
  double dice = static_cast<double>(random_() >> 11) * 0x1.0p-53 * total;
  for (LocalityShare& share : priority->localities) {
    if ((dice -= share.weight) < 0) return &share.available;
  }
  return &priority->localities.back().available;
}

std::optional<LoadBalancer::Choice> LoadBalancer::pick(const LbContext& context) {
  if (hosts_.empty()) return std::nullopt;
  LbContext hashed = context;
  if (!hashed.hash) hashed.hash = random_();
  bool panic = false;
  Source* const source = choose_source(*hashed.hash, panic);
  if (!source || source->hosts.empty()) return std::nullopt;
  return Choice{draw(*source, hashed), panic};
}

std::uint32_t LoadBalancer::draw(Source& source, const LbContext& context) {
  if (source.hosts.size() == 1) return source.hosts.front().host;
  if (!source.picker) source.picker = make_picker(source.hosts);
  return source.picker->pick(context);
}

std::unique_ptr<LoadBalancer::Picker> LoadBalancer::make_picker(const std::vector<Weighted>& entries) const {
  std::vector<PickerHost> hosts;
  hosts.reserve(entries.size());
  bool equal = true;
  for (const Weighted& entry : entries) {
    hosts.push_back({entry.host, entry.weight, &hosts_[entry.host]});
    equal = equal && entry.weight == entries.front().weight;
  }
  switch (policy_) {
    case Cluster::LbPolicy::ring_hash: return make_ring_picker(hosts, ring_min_size_, ring_max_size_);
    case Cluster::LbPolicy::maglev: return make_maglev_picker(std::move(hosts), maglev_table_size_);
    case Cluster::LbPolicy::random: return make_random_picker(std::move(hosts), random_);
    case Cluster::LbPolicy::least_request:
      if (equal) return make_choices_picker(std::move(hosts), choice_count_, random_);
      return make_edf_picker(std::move(hosts), true, random_());
    case Cluster::LbPolicy::round_robin:
    case Cluster::LbPolicy::cluster_provided: break;
  }
  if (equal) return make_rotating_picker(std::move(hosts), random_());
  return make_edf_picker(std::move(hosts), false, random_());
}

std::size_t LoadBalancer::healthy() const {
  return static_cast<std::size_t>(std::count_if(hosts_.begin(), hosts_.end(), is_healthy));
}

std::uint32_t LoadBalancer::load(std::uint32_t priority) const {
  return priority < priorities_.size() ? priorities_[priority].healthy_load + priorities_[priority].degraded_load : 0;
}

bool LoadBalancer::panic(std::uint32_t priority) const {
  return priority < priorities_.size() && priorities_[priority].panic;
}

}  // namespace clew
