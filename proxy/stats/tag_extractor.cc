#include "proxy/stats/tag_extractor.h"

#include <boost/regex.hpp>

#include <algorithm>

namespace clew {

struct TagExtractor::Pattern {
  std::string label;
  boost::regex regex;
  std::string first_word;  // «http»: only names that begin with «http.»; empty: any
};

namespace {

/// «http» of «^http\..*»: what Envoy takes for the first word of every name that can match.
std::string first_word_of(std::string_view regex) {
  if (!regex.starts_with('^')) return {};
  std::size_t end = 1;
  const auto is_word = [](char c) {
    return (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  while (end < regex.size() && is_word(regex[end])) ++end;
  const std::string_view rest = regex.substr(end);
  return rest.starts_with("\\.") ? std::string(regex.substr(1, end - 1)) : std::string();
}

/// Group 1 is «.VALUE», «VALUE.» or the like; positions are in the whole name.
struct Cut {
  std::size_t begin, end;
};

std::string without(const std::string& name, std::vector<Cut> cuts) {
  std::sort(cuts.begin(), cuts.end(), [](const Cut& a, const Cut& b) { return a.begin < b.begin; });
  std::string out;
  std::size_t at = 0;
  for (const Cut& cut : cuts) {
    if (cut.begin > at) out.append(name, at, cut.begin - at);
    at = std::max(at, cut.end);
  }
  out.append(name, at);
  return out;
}

}  // namespace

TagExtractor::TagExtractor() = default;
TagExtractor::~TagExtractor() = default;
TagExtractor::TagExtractor(TagExtractor&&) noexcept = default;
TagExtractor& TagExtractor::operator=(TagExtractor&&) noexcept = default;

std::string TagExtractor::add(const Rule& rule) {
  if (rule.regex.empty()) {
    fixed_.emplace_back(rule.name, rule.fixed_value);
    return {};
  }
  try {
    Pattern pattern{rule.name, boost::regex(rule.regex, boost::regex::ECMAScript | boost::regex::optimize),
                    first_word_of(rule.regex)};
    auto& patterns = pattern.first_word.empty() ? anywhere_ : by_first_word_;
    patterns.push_back(std::move(pattern));
  } catch (const boost::regex_error& error) {
    return error.what();
  }
  return {};
}

TagExtractor::Extracted TagExtractor::make(const std::string& name) const {
  Extracted out;
  out.labels = fixed_;
  std::vector<Cut> cuts;
  const auto apply = [&](const Pattern& pattern) {
    boost::smatch match;
    try {
      if (!boost::regex_search(name, match, pattern.regex) || match.size() < 2) return;
    } catch (const std::runtime_error&) {
      return;  // too complex a match: the label stays in the name
    }
    const auto& removed = match[1];
    const auto& value = match.size() > 2 ? match[2] : removed;
    out.labels.emplace_back(pattern.label, value.str());
    cuts.push_back({static_cast<std::size_t>(removed.first - name.begin()),
                    static_cast<std::size_t>(removed.second - name.begin())});
  };
  for (const Pattern& pattern : anywhere_) apply(pattern);
  for (const Pattern& pattern : by_first_word_)
    if (name.size() > pattern.first_word.size() && name[pattern.first_word.size()] == '.' &&
        name.starts_with(pattern.first_word))
      apply(pattern);
  out.name = without(name, std::move(cuts));
  return out;
}

const TagExtractor::Extracted& TagExtractor::extract(std::string_view name) {
  if (const auto it = cache_.find(name); it != cache_.end()) {
    it->second.used = true;
    return it->second.extracted;
  }
  const std::string key(name);
  if (cache_.size() >= max_remembered) return overflow_ = make(key);
  return cache_.emplace(key, Remembered{make(key)}).first->second.extracted;
}

void TagExtractor::new_scrape() {
  std::erase_if(cache_, [](const auto& item) { return !item.second.used; });
  for (auto& [name, remembered] : cache_) remembered.used = false;
}

}  // namespace clew
