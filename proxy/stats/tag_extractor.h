// Labels out of dotted names, as Envoy's bootstrap says (stats_config.stats_tags): of the first match of a regex group
// 1 leaves the name and group 2 is the label's value. ECMAScript regexes, since Istio's use look-ahead. Control thread
// only.
#pragma once

#include "proxy/base/strings.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace clew {

class TagExtractor {
 public:
  /// One of regex and fixed_value.
  struct Rule {
    std::string name, regex, fixed_value;
  };
  struct Extracted {
    std::string name;
    std::vector<std::pair<std::string, std::string>> labels;
  };

  TagExtractor();
  ~TagExtractor();
  TagExtractor(TagExtractor&&) noexcept;
  TagExtractor& operator=(TagExtractor&&) noexcept;

  /// Adds a rule; what is wrong with its regex, or nothing.
  std::string add(const Rule& rule);
  /// Valid until the next call of extract() or new_scrape(). Remembered, since the regexes are slow.
  const Extracted& extract(std::string_view name);
  /// Forgets the names that were not asked for since the call before.
  void new_scrape();
  std::size_t remembered() const { return cache_.size(); }

 private:
  static constexpr std::size_t max_remembered = 50'000;
  struct Pattern;
  struct Remembered {
    Extracted extracted;
    bool used = true;
  };
  Extracted make(const std::string& name) const;

  std::vector<std::pair<std::string, std::string>> fixed_;
  std::vector<Pattern> anywhere_, by_first_word_;  // in this order Envoy lists the labels
  StringMap<Remembered> cache_;
  Extracted overflow_;
};

}  // namespace clew
