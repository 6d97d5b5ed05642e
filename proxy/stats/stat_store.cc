#include "proxy/stats/stat_store.h"

namespace clew {

namespace {

template <class Map>
typename Map::mapped_type& find_or_make(Map& map, std::string_view name) {
  const auto it = map.find(name);
  return it != map.end() ? it->second : map.try_emplace(std::string(name)).first->second;
}

}  // namespace

Counter& StatStore::counter(std::string_view name) { return find_or_make(counters_, name); }
Gauge& StatStore::gauge(std::string_view name) { return find_or_make(gauges_, name); }
Histogram& StatStore::histogram(std::string_view name) { return find_or_make(histograms_, name); }
void StatStore::set_text(std::string_view name, std::string_view value) { find_or_make(texts_, name) = value; }

void StatStore::collect(StatSink& sink) const {
  for (const auto& [name, value] : counters_) sink.counter(name, value.value());
  for (const auto& [name, value] : gauges_) sink.gauge(name, value.value());
  for (const auto& [name, value] : histograms_) sink.histogram(name, value);
  for (const auto& [name, value] : texts_) sink.text(name, value);
}

}  // namespace clew
