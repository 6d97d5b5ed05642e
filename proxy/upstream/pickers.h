// The balancing policies, each drawing one among a fixed list of at least two hosts.
#pragma once

#include "proxy/upstream/load_balancer.h"

namespace clew {

struct PickerHost {
  std::uint32_t index;  // what pick() returns
  double weight;        // > 0
  const LbHost* host;   // outlives the picker
};

using PickerPtr = std::unique_ptr<LoadBalancer::Picker>;

/// In turn, from a random start.
PickerPtr make_rotating_picker(std::vector<PickerHost> hosts, std::uint64_t start);
/// Earliest deadline first: in turn, by weight. With `by_active`, weights are divided by requests under way + 1.
PickerPtr make_edf_picker(std::vector<PickerHost> hosts, bool by_active, std::uint64_t start);
/// The least busy of `choices` random ones.
PickerPtr make_choices_picker(std::vector<PickerHost> hosts, std::uint32_t choices, LoadBalancer::Random random);
/// Uniform, whatever the weights (as Envoy).
PickerPtr make_random_picker(std::vector<PickerHost> hosts, LoadBalancer::Random random);
/// Ketama ring as Envoy builds it (XXH64 of «KEY_i»); at most a million entries, whatever max_size says.
PickerPtr make_ring_picker(const std::vector<PickerHost>& hosts, std::uint64_t min_size, std::uint64_t max_size);
/// Maglev (Eisenbud et al., listing 1) with weights as Envoy applies them; table_size is prime and at most
/// 5000011, else it is 65537.
PickerPtr make_maglev_picker(std::vector<PickerHost> hosts, std::uint64_t table_size);

}  // namespace clew
