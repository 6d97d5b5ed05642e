#include "proxy/upstream/pickers.h"

#include "proxy/upstream/hash_policy.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace clew {
namespace {

constexpr std::uint64_t ring_bound = 1'000'000;
constexpr std::uint64_t maglev_bound = 5'000'011;

bool is_prime(std::uint64_t n) {
  for (std::uint64_t i = 2; i * i <= n; ++i)
    if (n % i == 0) return false;
  return n > 1;
}

class RotatingPicker final : public LoadBalancer::Picker {
 public:
  RotatingPicker(std::vector<PickerHost> hosts, std::uint64_t start)
      : hosts_(std::move(hosts)), next_(start % hosts_.size()) {}
  std::uint32_t pick(const LbContext&) override {
    const std::uint32_t index = hosts_[next_].index;
    if (++next_ == hosts_.size()) next_ = 0;
    return index;
  }

 private:
  const std::vector<PickerHost> hosts_;
  std::size_t next_;
};

class EdfPicker final : public LoadBalancer::Picker {
 public:
  EdfPicker(std::vector<PickerHost> hosts, bool by_active, std::uint64_t start)
      : hosts_(std::move(hosts)), by_active_(by_active) {
    for (std::uint32_t i = 0; i < hosts_.size(); ++i) heap_.push_back({1 / weight(i), order_++, i});
    std::make_heap(heap_.begin(), heap_.end(), later);
    for (std::uint64_t i = start % hosts_.size(); i > 0; --i) pick({});
  }
  std::uint32_t pick(const LbContext&) override {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    Entry& entry = heap_.back();
    const std::uint32_t host = entry.host;
    entry = {entry.deadline + 1 / weight(host), order_++, host};
    std::push_heap(heap_.begin(), heap_.end(), later);
    return hosts_[host].index;
  }

 private:
  struct Entry {
    double deadline;
    std::uint64_t order;  // equal deadlines: first in, first out
    std::uint32_t host;
  };
  static bool later(const Entry& a, const Entry& b) {
    return std::pair(a.deadline, a.order) > std::pair(b.deadline, b.order);
  }
  double weight(std::uint32_t i) const {
    const PickerHost& entry = hosts_[i];
    if (!by_active_ || !entry.host->active) return entry.weight;
    return entry.weight / (1.0 + entry.host->active->load(std::memory_order_relaxed));
  }

  const std::vector<PickerHost> hosts_;
  const bool by_active_;
  std::vector<Entry> heap_;
  std::uint64_t order_ = 0;
};

class ChoicesPicker final : public LoadBalancer::Picker {
 public:
  ChoicesPicker(std::vector<PickerHost> hosts, std::uint32_t choices, LoadBalancer::Random random)
      : hosts_(std::move(hosts)), choices_(choices), random_(std::move(random)) {}
  std::uint32_t pick(const LbContext&) override {
    const PickerHost* best = &sample();
    std::uint32_t least = active(*best);
    for (std::uint32_t i = 1; i < choices_; ++i) {
      const PickerHost& sampled = sample();
      if (const std::uint32_t other = active(sampled); other < least) {
        best = &sampled;
        least = other;
      }
    }
    return best->index;
  }

 private:
  const PickerHost& sample() { return hosts_[random_() % hosts_.size()]; }
  static std::uint32_t active(const PickerHost& of) {
    return of.host->active ? of.host->active->load(std::memory_order_relaxed) : 0;
  }

  const std::vector<PickerHost> hosts_;
  const std::uint32_t choices_;
  LoadBalancer::Random random_;
};

class RandomPicker final : public LoadBalancer::Picker {
 public:
  RandomPicker(std::vector<PickerHost> hosts, LoadBalancer::Random random)
      : hosts_(std::move(hosts)), random_(std::move(random)) {}
  std::uint32_t pick(const LbContext&) override { return hosts_[random_() % hosts_.size()].index; }

 private:
  const std::vector<PickerHost> hosts_;
  LoadBalancer::Random random_;
};

class RingPicker final : public LoadBalancer::Picker {
 public:
  RingPicker(const std::vector<PickerHost>& hosts, std::uint64_t min_size, std::uint64_t max_size) {
    double sum = 0;
    double smallest = std::numeric_limits<double>::max();
    for (const PickerHost& host : hosts) {
      sum += host.weight;
      smallest = std::min(smallest, host.weight);
    }
    smallest /= sum;
    // So many entries that the lightest host gets a whole number of them.
    const auto most = static_cast<double>(std::min(max_size, ring_bound));
    const double scale = std::min(std::ceil(smallest * static_cast<double>(min_size)) / smallest, most);
    ring_.reserve(static_cast<std::size_t>(std::ceil(scale)));
    double target = 0;
    double current = 0;
    std::string key;
    for (const PickerHost& host : hosts) {
      target += scale * host.weight / sum;
      for (std::uint64_t i = 0; current < target; ++i, ++current) {
        key.assign(host.host->hash_key).append(1, '_').append(std::to_string(i));
        ring_.push_back({xxh64(key), host.index});
      }
    }
    std::sort(ring_.begin(), ring_.end(), [](const Entry& a, const Entry& b) { return a.hash < b.hash; });
  }
  std::uint32_t pick(const LbContext& context) override {
    const auto at = std::lower_bound(ring_.begin(), ring_.end(), context.hash.value_or(0),
                                     [](const Entry& entry, std::uint64_t hash) { return entry.hash < hash; });
    const auto index = static_cast<std::size_t>(at - ring_.begin()) + context.attempt;
    return ring_[index % ring_.size()].host;
  }

 private:
  struct Entry {
    std::uint64_t hash;
    std::uint32_t host;
  };
  std::vector<Entry> ring_;
};

class MaglevPicker final : public LoadBalancer::Picker {
 public:
  MaglevPicker(std::vector<PickerHost> hosts, std::uint64_t table_size) : table_(table_size, empty) {
    // The order of filling decides, so it must not depend on the order of configuration.
    std::sort(hosts.begin(), hosts.end(),
              [](const PickerHost& a, const PickerHost& b) { return a.host->hash_key < b.host->hash_key; });
    double heaviest = 0;
    for (const PickerHost& host : hosts) heaviest = std::max(heaviest, host.weight);
    std::vector<Row> rows;
    rows.reserve(hosts.size());
    for (const PickerHost& host : hosts) {
      const std::string& key = host.host->hash_key;
      rows.push_back(
          {xxh64(key) % table_.size(), xxh64(key, 1) % (table_.size() - 1) + 1, 0, host.weight, 0, host.index});
    }
    fill(rows, heaviest);
  }
  std::uint32_t pick(const LbContext& context) override {
    std::uint64_t hash = context.hash.value_or(0);
    if (context.attempt > 0) hash ^= ~std::uint64_t{0} - context.attempt + 1;
    return table_[hash % table_.size()];
  }

 private:
  struct Row {
    std::uint64_t offset, skip, next;
    double weight, target;
    std::uint32_t host;
  };
  static constexpr std::uint32_t empty = std::numeric_limits<std::uint32_t>::max();

  /// A host of weight w takes a slot in w / heaviest of the rounds.
  void fill(std::vector<Row>& rows, double heaviest) {
    std::size_t filled = 0;
    for (std::uint64_t round = 1; filled < table_.size(); ++round) {
      for (Row& row : rows) {
        if (filled == table_.size()) return;
        if (static_cast<double>(round) * row.weight < row.target) continue;
        row.target += heaviest;
        std::uint64_t slot;
        do {
          slot = (row.offset + row.skip * row.next++) % table_.size();
        } while (table_[slot] != empty);
        table_[slot] = row.host;
        ++filled;
      }
    }
  }

  std::vector<std::uint32_t> table_;
};

}  // namespace

PickerPtr make_rotating_picker(std::vector<PickerHost> hosts, std::uint64_t start) {
  return std::make_unique<RotatingPicker>(std::move(hosts), start);
}
PickerPtr make_edf_picker(std::vector<PickerHost> hosts, bool by_active, std::uint64_t start) {
  return std::make_unique<EdfPicker>(std::move(hosts), by_active, start);
}
PickerPtr make_choices_picker(std::vector<PickerHost> hosts, std::uint32_t choices, LoadBalancer::Random random) {
  return std::make_unique<ChoicesPicker>(std::move(hosts), choices, std::move(random));
}
PickerPtr make_random_picker(std::vector<PickerHost> hosts, LoadBalancer::Random random) {
  return std::make_unique<RandomPicker>(std::move(hosts), std::move(random));
}
PickerPtr make_ring_picker(const std::vector<PickerHost>& hosts, std::uint64_t min_size, std::uint64_t max_size) {
  return std::make_unique<RingPicker>(hosts, std::max<std::uint64_t>(1, min_size),
                                      std::max<std::uint64_t>(1, max_size));
}
PickerPtr make_maglev_picker(std::vector<PickerHost> hosts, std::uint64_t table_size) {
  // A permutation visits every slot only when the size is prime.
  if (table_size > maglev_bound || !is_prime(table_size)) table_size = 65537;
  return std::make_unique<MaglevPicker>(std::move(hosts), table_size);
}

}  // namespace clew
