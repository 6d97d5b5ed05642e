// String and header matchers as plain values, compiled once (regexes included) and shared. envoy.type.matcher.v3.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace re2 {
class RE2;
}

namespace clew {

/// A full-match regular expression in RE2 syntax, Latin-1. Copies share the program. Thread safe.
class Regex {
 public:
  /// Nothing when it does not compile or its program is larger than max_program_size (Envoy's runtime key
  /// re2.max_program_size.error_level, 32768 in Istio's bootstrap).
  static std::optional<Regex> compile(std::string_view pattern, int max_program_size = 32768);
  bool full_match(std::string_view text) const;
  /// Anywhere in the text.
  bool search(std::string_view text) const;
  /// Replaces every match (Envoy's regex_rewrite), \1 refers to groups.
  std::string replace_all(std::string_view text, std::string_view substitution) const;
  std::string_view pattern() const;
  /// Every text that matches in full begins with this; it may be empty.
  std::string required_prefix() const;

 private:
  explicit Regex(std::shared_ptr<const re2::RE2> program) : program_(std::move(program)) {}
  std::shared_ptr<const re2::RE2> program_;
};

struct StringMatcher {
  enum class Kind : std::uint8_t { exact, prefix, suffix, contains, regex };
  Kind kind = Kind::exact;
  bool ignore_case = false;
  std::string text;            // not for regex
  std::optional<Regex> regex;  // only for regex
  bool matches(std::string_view value) const;
};

/// envoy.config.route.v3.HeaderMatcher. Several values of one header are joined with «,» before matching.
struct HeaderMatcher {
  std::string name;  // lower case; «:method», «:authority», «:path», «:scheme» too
  struct Present {
    bool present;  // no initializer: with one, g++ 12 cannot make the variant's default
  };
  struct Range {
    std::int64_t begin, end;  // [begin, end)
  };
  std::variant<Present, StringMatcher, Range> rule;
  bool invert = false;
  bool treat_missing_as_empty = false;
  /// value: the header's value, or nothing when the request does not have it.
  bool matches(std::optional<std::string_view> value) const;
};

struct QueryParameterMatcher {
  std::string name;
  std::optional<StringMatcher> value;  // nothing: presence is enough
};

}  // namespace clew
