// Keeps the endpoints of STRICT_DNS and LOGICAL_DNS clusters resolved, on the control thread. Workers see them as any
// other endpoints: in the snapshot.
#pragma once

#include "config/snapshot/cluster.h"
#include "proxy/base/strings.h"
#include "proxy/stats/stats.h"
#include "proxy/upstream/dns_resolver.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace clew {

class DnsClusters final : public StatSource {
 public:
  using OnResolved = std::function<void(const std::shared_ptr<const Cluster>& cluster,
                                        std::shared_ptr<const LoadAssignment> endpoints)>;

  /// on_resolved: after the first round of each cluster (maybe without endpoints), then when they changed; never from
  /// inside watch().
  DnsClusters(Worker& control, DnsResolver& resolver, OnResolved on_resolved);
  ~DnsClusters() override;

  /// All the DNS clusters there are now. One that is the same pointer goes on undisturbed; another definition under a
  /// known name begins anew, with what is known of the names that both have.
  void watch(const std::vector<std::shared_ptr<const Cluster>>& clusters);
  /// cluster.NAME.update_*: an attempt is a round of questions.
  void collect(StatSink& sink) const override;

 private:
  struct Watched;
  void start_round(Watched& watched);
  void answered(Watched& watched, std::size_t name, DnsAnswer answer, bool fallback);
  void ask(Watched& watched, std::size_t name, DnsResolver::Family family, bool fallback);
  void finish_round(Watched& watched);

  Worker& worker_;
  DnsResolver& resolver_;
  const OnResolved on_resolved_;
  StringMap<std::shared_ptr<Watched>> clusters_;
};

}  // namespace clew
