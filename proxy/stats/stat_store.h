// Metrics that have a name from the start, for what exists once: cluster_manager.*, listener_manager.*, server.*.
// Written by the control thread. References stay valid until the store ends.
#pragma once

#include "proxy/stats/stats.h"

#include <map>
#include <string>
#include <string_view>

namespace clew {

class StatStore final : public StatSource {
 public:
  /// The same object for the same name.
  Counter& counter(std::string_view name);
  Gauge& gauge(std::string_view name);
  Histogram& histogram(std::string_view name);
  void set_text(std::string_view name, std::string_view value);

  void collect(StatSink& sink) const override;

 private:
  template <class T>
  using Named = std::map<std::string, T, std::less<>>;
  Named<Counter> counters_;
  Named<Gauge> gauges_;
  Named<Histogram> histograms_;
  Named<std::string> texts_;
};

}  // namespace clew
