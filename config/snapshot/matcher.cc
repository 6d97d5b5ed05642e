#include "config/snapshot/matcher.h"

#include "proxy/base/strings.h"

#include <re2/re2.h>

#include <algorithm>
#include <charconv>

namespace clew {

namespace {

re2::StringPiece piece(std::string_view text) { return {text.data(), text.size()}; }

bool equal(std::string_view a, std::string_view b, bool ignore_case) {
  return ignore_case ? equals_ignore_case(a, b) : a == b;
}

bool contains(std::string_view text, std::string_view part, bool ignore_case) {
  if (!ignore_case) return text.find(part) != text.npos;
  const auto same = [](char a, char b) { return ascii_lower(a) == ascii_lower(b); };
  return part.empty() || std::search(text.begin(), text.end(), part.begin(), part.end(), same) != text.end();
}

/// As absl::SimpleAtoi reads it: an optional sign, white space around.
std::optional<std::int64_t> parse_int(std::string_view text) {
  constexpr std::string_view space = " \t\n\v\f\r";
  const std::size_t begin = text.find_first_not_of(space);
  if (begin == text.npos) return {};
  text = text.substr(begin, text.find_last_not_of(space) - begin + 1);
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return {};
  }
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

}  // namespace

std::optional<Regex> Regex::compile(std::string_view pattern, int max_program_size) {
  re2::RE2::Options options(re2::RE2::Latin1);
  options.set_log_errors(false);
  auto program = std::make_shared<const re2::RE2>(piece(pattern), options);
  if (!program->ok() || program->ProgramSize() > max_program_size) return {};
  return Regex(std::move(program));
}

bool Regex::full_match(std::string_view text) const { return re2::RE2::FullMatch(piece(text), *program_); }

bool Regex::search(std::string_view text) const { return re2::RE2::PartialMatch(piece(text), *program_); }

std::string Regex::replace_all(std::string_view text, std::string_view substitution) const {
  std::string out(text);
  re2::RE2::GlobalReplace(&out, *program_, piece(substitution));
  return out;
}

std::string_view Regex::pattern() const { return program_->pattern(); }

std::string Regex::required_prefix() const {
  constexpr int max_length = 128;
  std::string least, greatest;
  if (!program_->PossibleMatchRange(&least, &greatest, max_length)) return {};
  // What lies between two texts begins as they both do.
  const auto [end, other] = std::mismatch(least.begin(), least.end(), greatest.begin(), greatest.end());
  return {least.begin(), end};
}

bool StringMatcher::matches(std::string_view value) const {
  switch (kind) {
    case Kind::exact: return equal(value, text, ignore_case);
    case Kind::prefix: return value.size() >= text.size() && equal(value.substr(0, text.size()), text, ignore_case);
    case Kind::suffix:
      return value.size() >= text.size() && equal(value.substr(value.size() - text.size()), text, ignore_case);
    case Kind::contains: return contains(value, text, ignore_case);
    case Kind::regex: return regex && regex->full_match(value);
  }
  return false;
}

bool HeaderMatcher::matches(std::optional<std::string_view> value) const {
  if (!value && treat_missing_as_empty) value = "";
  if (const auto* present = std::get_if<Present>(&rule)) return (value.has_value() == present->present) != invert;
  if (!value) return false;  // invert turns a comparison round, it does not make one
  if (const auto* range = std::get_if<Range>(&rule)) {
    const auto number = parse_int(*value);
    return (number && *number >= range->begin && *number < range->end) != invert;
  }
  return std::get<StringMatcher>(rule).matches(*value) != invert;
}

}  // namespace clew
