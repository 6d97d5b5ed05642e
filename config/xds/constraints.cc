#include "config/xds/constraints.h"

#include "proxy/base/strings.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <re2/re2.h>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <string_view>

namespace clew {

namespace pb = google::protobuf;

/// What a rule says, and of what: the field as a whole, each element of it, each key or value of a map.
struct Constraint {
  enum class Kind : std::uint8_t {
    required,
    oneof,
    unique,
    min_size,
    max_size,
    defined,
    above,
    least,
    below,
    most,
    equal,
    one_of,
    none_of,
    min_length,  // characters
    max_length,
    min_bytes,
    max_bytes,
    prefix,
    suffix,
    pattern,
    header_name,
    header_value,
  };
  enum class Part : std::uint8_t { whole, element, key, value };

  Kind kind{};
  Part part = Part::whole;
  bool ignore_empty = false;
  bool strict = true;
  const pb::FieldDescriptor* field = nullptr;
  const pb::OneofDescriptor* choice = nullptr;
  double number = 0;
  std::string text = {};                            // pattern, prefix, or the words of one_of and none_of
  std::unique_ptr<const RE2> expression = nullptr;  // of a pattern
};

namespace {

using Kind = Constraint::Kind;
using Part = Constraint::Part;

/// «MESSAGE\tFIELD RULE VALUE\t…», sorted by message.
constexpr std::string_view rules_text =
#include "envoy_constraints.inc"
    ;

/// What follows a message's name in its line; empty when there is no line.
std::string_view line_of(std::string_view message) {
  std::string_view left = rules_text;
  while (!left.empty()) {
    const std::size_t middle = left.size() / 2;
    const std::size_t before = left.rfind('\n', middle);
    const std::size_t begin = before == std::string_view::npos ? 0 : before + 1;
    const std::size_t end = std::min(left.find('\n', begin), left.size());
    const std::string_view line = left.substr(begin, end - begin);
    const std::string_view name = line.substr(0, line.find('\t'));
    if (name == message) return line.substr(std::min(line.size(), name.size() + 1));
    if (name < message)
      left = left.substr(std::min(end + 1, left.size()));
    else
      left = left.substr(0, before == std::string_view::npos ? 0 : before);
  }
  return {};
}

std::string_view take_until(std::string_view& text, char end) {
  const std::size_t at = std::min(text.find(end), text.size());
  const std::string_view out = text.substr(0, at);
  text.remove_prefix(std::min(at + 1, text.size()));
  return out;
}

const std::pair<std::string_view, Kind> kinds[] = {
    {"required", Kind::required},
    {"oneof", Kind::oneof},
    {"unique", Kind::unique},
    {"min_items", Kind::min_size},
    {"max_items", Kind::max_size},
    {"min_pairs", Kind::min_size},
    {"defined_only", Kind::defined},
    {"gt", Kind::above},
    {"gte", Kind::least},
    {"lt", Kind::below},
    {"lte", Kind::most},
    {"const", Kind::equal},
    {"in", Kind::one_of},
    {"not_in", Kind::none_of},
    {"min_len", Kind::min_length},
    {"max_len", Kind::max_length},
    {"min_bytes", Kind::min_bytes},
    {"max_bytes", Kind::max_bytes},
    {"prefix", Kind::prefix},
    {"suffix", Kind::suffix},
    {"pattern", Kind::pattern},
};

/// «FIELD RULE VALUE». False for what is no rule of its own.
bool parse(std::string_view text, const pb::Descriptor& type, Constraint& out) {
  std::string_view field = take_until(text, ' ');
  const std::string_view rule = take_until(text, ' ');
  const auto ends = [&](std::string_view suffix, Part part) {
    if (!field.ends_with(suffix)) return false;
    field.remove_suffix(suffix.size());
    out.part = part;
    return true;
  };
  ends("[]", Part::element) || ends("{=}", Part::value) || ends("{}", Part::key);
  if (const auto number = parse_uint(field))
    out.field = type.FindFieldByNumber(static_cast<int>(*number));
  else
    out.choice = type.FindOneofByName(std::string(field));
  if (!out.field && !out.choice) return false;  // newer than our messages
  if (rule == "well_known_regex") {
    out.kind = text == "HTTP_HEADER_NAME" ? Kind::header_name : Kind::header_value;
    return true;
  }
  const auto* known = std::find_if(std::begin(kinds), std::end(kinds), [&](const auto& k) { return k.first == rule; });
  if (known == std::end(kinds)) return false;
  out.kind = known->second;
  out.text = text;
  std::from_chars(text.data(), text.data() + text.size(), out.number);
  return true;
}

/// One value that a rule is about. Numbers, durations (ns), truth and enums in `number`, strings and bytes in `text`.
struct Value {
  const pb::FieldDescriptor* field = nullptr;  // of the scalar itself
  bool textual = false;
  double number = 0;
  std::string_view text = {};
  std::string scratch = {};  // protobuf's, for text
};

/// False for a message that is no value.
bool read_value(const pb::Message& message, const pb::FieldDescriptor& field, int index, Value& out) {
  using Field = pb::FieldDescriptor;
  const auto& reflection = *message.GetReflection();
  const bool many = field.is_repeated();
  out.field = &field;
  switch (field.cpp_type()) {
    case Field::CPPTYPE_INT32:
      out.number = many ? reflection.GetRepeatedInt32(message, &field, index) : reflection.GetInt32(message, &field);
      break;
    case Field::CPPTYPE_UINT32:
      out.number = many ? reflection.GetRepeatedUInt32(message, &field, index) : reflection.GetUInt32(message, &field);
      break;
    case Field::CPPTYPE_INT64:
      out.number = static_cast<double>(many ? reflection.GetRepeatedInt64(message, &field, index)
                                            : reflection.GetInt64(message, &field));
      break;
    case Field::CPPTYPE_UINT64:
      out.number = static_cast<double>(many ? reflection.GetRepeatedUInt64(message, &field, index)
                                            : reflection.GetUInt64(message, &field));
      break;
    case Field::CPPTYPE_DOUBLE:
      out.number = many ? reflection.GetRepeatedDouble(message, &field, index) : reflection.GetDouble(message, &field);
      break;
    case Field::CPPTYPE_FLOAT:
      out.number = many ? reflection.GetRepeatedFloat(message, &field, index) : reflection.GetFloat(message, &field);
      break;
    case Field::CPPTYPE_BOOL:
      out.number = many ? reflection.GetRepeatedBool(message, &field, index) : reflection.GetBool(message, &field);
      break;
    case Field::CPPTYPE_ENUM:
      out.number =
          many ? reflection.GetRepeatedEnumValue(message, &field, index) : reflection.GetEnumValue(message, &field);
      break;
    case Field::CPPTYPE_STRING:
      out.textual = true;
      out.text = many ? reflection.GetRepeatedStringReference(message, &field, index, &out.scratch)
                      : reflection.GetStringReference(message, &field, &out.scratch);
      break;
    case Field::CPPTYPE_MESSAGE: {
      const pb::Message& inner =
          many ? reflection.GetRepeatedMessage(message, &field, index) : reflection.GetMessage(message, &field);
      const pb::Descriptor& type = *inner.GetDescriptor();
      if (type.full_name() == "google.protobuf.Duration") {
        const auto seconds = inner.GetReflection()->GetInt64(inner, type.FindFieldByName("seconds"));
        out.number =
            static_cast<double>(seconds) * 1e9 + inner.GetReflection()->GetInt32(inner, type.FindFieldByName("nanos"));
        break;
      }
      const auto* value = type.FindFieldByName("value");  // of a wrapper
      if (!value || value->message_type() || value->is_repeated()) return false;
      return read_value(inner, *value, 0, out);
    }
  }
  return true;
}

std::size_t characters(std::string_view utf8) {
  return static_cast<std::size_t>(
      std::count_if(utf8.begin(), utf8.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

/// As Envoy has it: of a token's characters, and the comma.
bool is_name_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!#$%&'*+,-.^_|~`").find(c) != std::string_view::npos;
}

bool is_control(char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; }

bool well_formed(const Constraint& rule, std::string_view text) {
  if (!rule.strict) return text.find_first_of(std::string_view("\0\r\n", 3)) == std::string_view::npos;
  if (rule.kind == Kind::header_value) return std::none_of(text.begin(), text.end(), is_control);
  if (text.starts_with(':')) text.remove_prefix(1);
  return !text.empty() && std::all_of(text.begin(), text.end(), is_name_char);
}

bool listed(const Constraint& rule, const Value& value) {
  std::string_view words = rule.text;
  while (!words.empty()) {
    const std::string_view word = take_until(words, ' ');
    if (value.textual) {
      if (word == value.text) return true;
    } else if (const auto* type = value.field->enum_type()) {
      const auto* known = type->FindValueByName(std::string(word));
      if (known && known->number() == static_cast<int>(value.number)) return true;
    } else {
      double number = 0;
      std::from_chars(word.data(), word.data() + word.size(), number);
      if (number == value.number) return true;
    }
  }
  return false;
}

std::string number_text(const Value& value, double number) {
  const bool duration = value.field->message_type() != nullptr;
  return duration ? fmt::format("{} s", number / 1e9) : fmt::format("{}", number);
}

/// What is wrong with a value; empty: nothing.
std::string complaint(const Constraint& rule, const Value& value) {
  const auto bound = [&](const char* words) {
    return fmt::format("must be {} {}", words, number_text(value, rule.number));
  };
  const auto length = [&](std::size_t is, bool most, const char* unit) {
    const bool fits = most ? static_cast<double>(is) <= rule.number : static_cast<double>(is) >= rule.number;
    if (fits) return std::string();
    return is == 0 ? std::string("is empty")
                   : fmt::format("must have at {} {} {}", most ? "most" : "least", rule.number, unit);
  };
  switch (rule.kind) {
    case Kind::above: return value.number > rule.number ? "" : bound("above");
    case Kind::least: return value.number >= rule.number ? "" : bound("at least");
    case Kind::below: return value.number < rule.number ? "" : bound("below");
    case Kind::most: return value.number <= rule.number ? "" : bound("at most");
    case Kind::equal:
      if (value.textual) return value.text == rule.text ? "" : fmt::format("must be {}", rule.text);
      return value.number == rule.number || rule.text == (value.number != 0 ? "true" : "false")
                 ? ""
                 : fmt::format("must be {}", rule.text);
    case Kind::defined:
      return value.field->enum_type()->FindValueByNumber(static_cast<int>(value.number))
                 ? ""
                 : fmt::format("{} is not known", value.number);
    case Kind::one_of: return listed(rule, value) ? "" : fmt::format("must be one of {}", rule.text);
    case Kind::none_of: return listed(rule, value) ? fmt::format("must not be one of {}", rule.text) : "";
    case Kind::min_length: return length(characters(value.text), false, "characters");
    case Kind::max_length: return length(characters(value.text), true, "characters");
    case Kind::min_bytes: return length(value.text.size(), false, "bytes");
    case Kind::max_bytes: return length(value.text.size(), true, "bytes");
    case Kind::prefix: return value.text.starts_with(rule.text) ? "" : fmt::format("must begin with {}", rule.text);
    case Kind::suffix: return value.text.ends_with(rule.text) ? "" : fmt::format("must end with {}", rule.text);
    case Kind::pattern:
      return RE2::FullMatch(value.text, *rule.expression) ? "" : fmt::format("does not match {}", rule.text);
    case Kind::header_name: return well_formed(rule, value.text) ? "" : "is no header's name";
    case Kind::header_value: return well_formed(rule, value.text) ? "" : "is no header's value";
    default: return "";
  }
}

std::string complaint(const Constraint& rule, const pb::Message& message, const pb::FieldDescriptor& field, int index) {
  Value value;
  if (!read_value(message, field, index, value)) return {};
  if (rule.ignore_empty && (value.textual ? value.text.empty() : value.number == 0)) return {};
  return complaint(rule, value);
}

bool repeats(const pb::Message& message, const pb::FieldDescriptor& field) {
  std::set<std::string> seen;
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
    Value value;
    if (!read_value(message, field, i, value))
      value.scratch = message.GetReflection()->GetRepeatedMessage(message, &field, i).SerializeAsString();
    else
      value.scratch = value.textual ? std::string(value.text) : std::to_string(value.number);
    if (!seen.insert(std::move(value.scratch)).second) return true;
  }
  return false;
}

/// What is wrong with a message's field by a rule; empty: nothing.
std::string complaint(const Constraint& rule, const pb::Message& message) {
  const auto& reflection = *message.GetReflection();
  if (rule.choice) return reflection.HasOneof(message, rule.choice) ? "" : "is not set";
  const pb::FieldDescriptor& field = *rule.field;
  // Of a oneof, only what is chosen is looked at, and that is set.
  if (rule.kind == Kind::required)
    return reflection.HasField(message, &field) || field.real_containing_oneof() ? "" : "is not set";
  const bool many = field.is_repeated();
  if (rule.part == Part::whole && many) {
    const double size = reflection.FieldSize(message, &field);
    if (rule.ignore_empty && size == 0) return {};
    if (rule.kind == Kind::min_size && size < rule.number)
      return size == 0 ? "is empty" : fmt::format("must have at least {} entries", rule.number);
    if (rule.kind == Kind::max_size && size > rule.number)
      return fmt::format("must have at most {} entries", rule.number);
    return rule.kind == Kind::unique && repeats(message, field) ? "has an entry twice" : "";
  }
  if (!many)
    return field.has_presence() && !reflection.HasField(message, &field) ? "" : complaint(rule, message, field, 0);
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    std::string what;
    if (rule.part == Part::element) {
      what = complaint(rule, message, field, i);
    } else {
      const pb::Message& entry = reflection.GetRepeatedMessage(message, &field, i);
      what =
          complaint(rule, entry,
                    rule.part == Part::key ? *field.message_type()->map_key() : *field.message_type()->map_value(), 0);
    }
    if (!what.empty()) return what;
  }
  return {};
}

}  // namespace

Constraints::Constraints(Constraints&&) noexcept = default;
Constraints& Constraints::operator=(Constraints&&) noexcept = default;
Constraints::~Constraints() = default;

Constraints::Constraints(const pb::Descriptor& type) {
  const std::string_view line = line_of(type.full_name());
  for (std::string_view rest = line; !rest.empty();) {
    Constraint rule;
    if (!parse(take_until(rest, '\t'), type, rule)) continue;
    if (rule.kind == Kind::pattern) rule.expression = std::make_unique<RE2>(rule.text);
    rules_.push_back(std::move(rule));
  }
  // Words that change what the other rules of their field say.
  for (std::string_view rest = line; !rest.empty();) {
    const std::string_view word = take_until(rest, '\t');
    const bool empty = word.ends_with(" ignore_empty"), lax = word.ends_with(" strict false");
    if (!empty && !lax) continue;
    Constraint about;
    parse(word, type, about);  // where it stands, if not a rule
    for (Constraint& rule : rules_) {
      if (rule.field != about.field || rule.part != about.part) continue;
      rule.ignore_empty |= empty;
      rule.strict &= !lax;
    }
  }
}

std::optional<Constraints::Violation> Constraints::violated_by(const pb::Message& message) const {
  for (const Constraint& rule : rules_)
    if (std::string what = complaint(rule, message); !what.empty())
      return Violation{rule.choice ? rule.choice->name() : rule.field->name(), std::move(what)};
  return std::nullopt;
}

}  // namespace clew
