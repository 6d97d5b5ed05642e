#include "proxy/upstream/dns_clusters.h"

#include "config/snapshot/stat_prefix.h"
#include "proxy/base/log.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace clew {
namespace {

constexpr Duration shortest_refresh = std::chrono::seconds(1);
constexpr std::uint64_t jitter_ms = 100;     // istiod's dns_jitter
constexpr std::size_t max_addresses = 1000;  // of one name

using Family = DnsResolver::Family;

Family first_family(Cluster::DnsFamily family) {
  switch (family) {
    case Cluster::DnsFamily::v4_only:
    case Cluster::DnsFamily::v4_preferred: return Family::v4;
    case Cluster::DnsFamily::v6_only:
    case Cluster::DnsFamily::automatic: return Family::v6;
    case Cluster::DnsFamily::all: break;
  }
  return Family::any;
}

/// What is asked for when the first family has nothing.
std::optional<Family> second_family(Cluster::DnsFamily family) {
  if (family == Cluster::DnsFamily::automatic) return Family::v4;
  if (family == Cluster::DnsFamily::v4_preferred) return Family::v6;
  return std::nullopt;
}

}  // namespace

/// One cluster. Shared with answers under way, which find it gone when it was replaced.
struct DnsClusters::Watched : std::enable_shared_from_this<Watched> {
  struct Name {
    std::string text;
    std::vector<IpAddress> addresses;  // of the last good answer, sorted
    Duration ttl{0};
    std::optional<IpAddress> chosen;  // LOGICAL_DNS: stays as long as it is among the addresses
    bool set(std::vector<IpAddress> now);
  };

  Watched(std::shared_ptr<const Cluster> c, TimerWheel& wheel, std::function<void()> refresh)
      : cluster(std::move(c)), timer(wheel, std::move(refresh)) {
    for (const LocalityEndpoints& locality : cluster->inline_endpoints->localities) {
      for (const EndpointPtr& endpoint : locality.endpoints) {
        if (IpAddress::parse(endpoint->hostname) || endpoint->address.is_pipe()) continue;
        if (std::none_of(names.begin(), names.end(), [&](const Name& name) { return name.text == endpoint->hostname; }))
          names.emplace_back().text = endpoint->hostname;
      }
    }
  }

  const Name* find(const std::string& text) const {
    const auto name = std::find_if(names.begin(), names.end(), [&](const Name& n) { return n.text == text; });
    return name == names.end() ? nullptr : &*name;
  }
  std::shared_ptr<const LoadAssignment> endpoints() const;
  /// Takes over what is known of names that both have: a failure at first is no reason to lose it.
  void inherit(const Watched& old);

  const std::shared_ptr<const Cluster> cluster;
  std::vector<Name> names;
  Timer timer;
  std::size_t unanswered = 0;
  bool changed = true;  // since endpoints were last given away
  bool failed = false;  // some name in this round
  std::uint64_t attempts = 0, successes = 0, failures = 0, unchanged = 0;
};

void DnsClusters::Watched::inherit(const Watched& old) {
  if (cluster->dns_family != old.cluster->dns_family) return;  // others were asked for
  for (Name& name : names)
    if (const Name* const known = old.find(name.text)) name = *known;
}

std::shared_ptr<const LoadAssignment> DnsClusters::Watched::endpoints() const {
  auto out = std::make_shared<LoadAssignment>();
  out->overprovisioning_factor = cluster->inline_endpoints->overprovisioning_factor;
  for (const LocalityEndpoints& from : cluster->inline_endpoints->localities) {
    LocalityEndpoints& to = out->localities.emplace_back();
    to.locality = from.locality;
    to.weight = from.weight;
    to.priority = from.priority;
    for (const EndpointPtr& endpoint : from.endpoints) {
      const Name* const name = find(endpoint->hostname);
      if (!name) {
        to.endpoints.push_back(endpoint);  // an address, not a name
        continue;
      }
      const bool logical = cluster->type == Cluster::Type::logical_dns;
      for (const IpAddress& ip : name->addresses) {
        if (logical && ip != name->chosen) continue;
        auto resolved = std::make_shared<Endpoint>(*endpoint);
        resolved->address = Address(ip, endpoint->address.port());
        to.endpoints.push_back(std::move(resolved));
      }
    }
  }
  return out;
}

/// Servers rotate their answers: the order says nothing. Whether the addresses are others than before.
bool DnsClusters::Watched::Name::set(std::vector<IpAddress> now) {
  const std::optional<IpAddress> first = now.empty() ? std::nullopt : std::optional(now.front());
  std::sort(now.begin(), now.end(), [](const IpAddress& a, const IpAddress& b) {
    return std::pair(!a.is_v4(), a.bytes()) < std::pair(!b.is_v4(), b.bytes());
  });
  now.erase(std::unique(now.begin(), now.end()), now.end());
  if (now == addresses) return false;
  addresses = std::move(now);
  if (!chosen || std::find(addresses.begin(), addresses.end(), *chosen) == addresses.end()) chosen = first;
  return true;
}

DnsClusters::DnsClusters(Worker& control, DnsResolver& resolver, OnResolved on_resolved)
    : worker_(control), resolver_(resolver), on_resolved_(std::move(on_resolved)) {}

DnsClusters::~DnsClusters() = default;

void DnsClusters::watch(const std::vector<std::shared_ptr<const Cluster>>& clusters) {
  StringMap<std::shared_ptr<Watched>> next;
  std::vector<Watched*> fresh;
  for (const std::shared_ptr<const Cluster>& cluster : clusters) {
    if (!cluster->inline_endpoints) continue;
    const auto known = clusters_.find(cluster->name);
    if (known != clusters_.end() && known->second->cluster == cluster) {
      next.emplace(cluster->name, std::move(known->second));
      continue;
    }
    auto& slot = next[cluster->name];
    slot = std::make_shared<Watched>(cluster, worker_.timers(),
                                     [this, name = cluster->name] { start_round(*clusters_.find(name)->second); });
    if (known != clusters_.end()) slot->inherit(*known->second);
    fresh.push_back(slot.get());
  }
  clusters_ = std::move(next);
  for (Watched* const watched : fresh) start_round(*watched);
}

void DnsClusters::collect(StatSink& sink) const {
  for (const auto& [name, watched] : clusters_) {
    const std::string prefix = cluster_stat_prefix(*watched->cluster) + ".";
    sink.counter(prefix + "update_attempt", watched->attempts);
    sink.counter(prefix + "update_success", watched->successes);
    sink.counter(prefix + "update_failure", watched->failures);
    sink.counter(prefix + "update_no_rebuild", watched->unchanged);
  }
}

void DnsClusters::start_round(Watched& watched) {
  watched.failed = false;
  ++watched.attempts;
  watched.unanswered = watched.names.size();
  if (watched.names.empty()) {
    // Nothing to ask, but not from inside watch() either.
    worker_.post([this, weak = watched.weak_from_this()] {
      if (const auto still = weak.lock()) finish_round(*still);
    });
    return;
  }
  for (std::size_t i = 0; i < watched.names.size(); ++i)
    ask(watched, i, first_family(watched.cluster->dns_family), false);
}

void DnsClusters::ask(Watched& watched, std::size_t name, Family family, bool fallback) {
  resolver_.resolve(watched.names[name].text, family,
                    [this, weak = watched.weak_from_this(), name, fallback](DnsAnswer answer) {
                      if (const auto still = weak.lock()) answered(*still, name, std::move(answer), fallback);
                    });
}

void DnsClusters::answered(Watched& watched, std::size_t index, DnsAnswer answer, bool fallback) {
  if (answer.addresses.empty() && !fallback) {
    if (const auto second = second_family(watched.cluster->dns_family)) return ask(watched, index, *second, true);
  }
  Watched::Name& name = watched.names[index];
  // An answer without addresses empties a STRICT_DNS cluster; a LOGICAL_DNS one keeps the address that it has, as in
  // Envoy.
  const bool keeps = watched.cluster->type == Cluster::Type::logical_dns && answer.addresses.empty();
  if (answer.ok && !keeps) {
    if (answer.addresses.size() > max_addresses) answer.addresses.resize(max_addresses);
    if (name.set(std::move(answer.addresses))) watched.changed = true;
    name.ttl = answer.ttl;
  } else {
    // What was known stands until somebody says otherwise.
    watched.failed = true;
    CLEW_LOG(dns, warning, "cluster {}: {} could not be resolved", watched.cluster->name, name.text);
  }
  if (--watched.unanswered == 0) finish_round(watched);
}

void DnsClusters::finish_round(Watched& watched) {
  const Cluster& cluster = *watched.cluster;
  ++(watched.failed ? watched.failures : watched.successes);
  if (!watched.failed && !watched.changed) ++watched.unchanged;
  if (!watched.names.empty()) {
    Duration refresh = cluster.dns_refresh_rate;
    if (cluster.respect_dns_ttl && !watched.failed) {
      Duration shortest{0};
      for (const Watched::Name& name : watched.names)
        if (name.ttl > Duration(0)) shortest = shortest == Duration(0) ? name.ttl : std::min(shortest, name.ttl);
      if (shortest > Duration(0)) refresh = shortest;
    }
    const auto jitter = std::chrono::milliseconds(static_cast<std::int64_t>(worker_.random() % jitter_ms));
    watched.timer.arm(std::max(refresh, shortest_refresh) + jitter);
  }
  if (!std::exchange(watched.changed, false)) return;
  const std::shared_ptr<const Cluster> of = watched.cluster;
  on_resolved_(of, watched.endpoints());  // may call watch(), and with it end `watched`
}

}  // namespace clew
