#include "config/xds/decode_common.h"

#include "proxy/base/strings.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <sys/socket.h>

#include <algorithm>
#include <fstream>

namespace clew {

namespace core = envoy::config::core::v3;
namespace matcher = envoy::type::matcher::v3;
namespace route = envoy::config::route::v3;

void throw_exception_from_error(const DecodeError& error, const boost::source_location&) {
  throw std::logic_error(error.message);
}

namespace {

int regex_max_program_size = 32768;
bool fragment_rejected = true;

constexpr Duration century = std::chrono::hours(24 * 365 * 100);
constexpr std::int64_t most_seconds = 9'223'372'036;  // Envoy keeps nanoseconds in 64 bits

bool is_header_value(std::string_view value) {
  return std::none_of(value.begin(), value.end(), [](char c) { return c == '\0' || c == '\r' || c == '\n'; });
}

StringMatcher plain_matcher(StringMatcher::Kind kind, std::string_view text, bool ignore_case = false) {
  return {kind, ignore_case, std::string(text), std::nullopt};
}

StringMatcher regex_matcher(const matcher::RegexMatcher& message, Scope& scope) {
  return {StringMatcher::Kind::regex, false, {}, decode_regex(message, scope)};
}

decltype(HeaderMatcher::rule) header_rule(const route::HeaderMatcher& message, Scope& scope) {
  using Kind = StringMatcher::Kind;
  using Case = route::HeaderMatcher::HeaderMatchSpecifierCase;
  switch (message.header_match_specifier_case()) {
    case Case::kExactMatch: return plain_matcher(Kind::exact, message.exact_match());
    case Case::kPrefixMatch: return plain_matcher(Kind::prefix, message.prefix_match());
    case Case::kSuffixMatch: return plain_matcher(Kind::suffix, message.suffix_match());
    case Case::kContainsMatch: return plain_matcher(Kind::contains, message.contains_match());
    case Case::kSafeRegexMatch: {
      const Scope::Field in(scope, "safe_regex_match");
      return regex_matcher(message.safe_regex_match(), scope);
    }
    case Case::kStringMatch: {
      const Scope::Field in(scope, "string_match");
      return decode_string_matcher(message.string_match(), scope);
    }
    case Case::kRangeMatch: return HeaderMatcher::Range{message.range_match().start(), message.range_match().end()};
    case Case::kPresentMatch: return HeaderMatcher::Present{message.present_match()};
    case Case::HEADER_MATCH_SPECIFIER_NOT_SET: break;
  }
  return HeaderMatcher::Present{true};
}

}  // namespace

void set_regex_max_program_size(int size) { regex_max_program_size = size; }

void set_reject_path_with_fragment(bool reject) { fragment_rejected = reject; }
bool reject_path_with_fragment() { return fragment_rejected; }

Duration decode_duration(const google::protobuf::Duration& message, Scope& scope) {
  if (message.seconds() < 0 || message.nanos() < 0 || message.nanos() > 999'999'999) {
    scope.fail(fmt::format("{}.{:09} s is no duration that can be waited", message.seconds(), message.nanos()));
    return {};
  }
  if (message.seconds() > most_seconds) scope.fail(fmt::format("{} s are too long", message.seconds()));
  if (message.seconds() >= std::chrono::duration_cast<std::chrono::seconds>(century).count()) return century;
  return std::chrono::seconds(message.seconds()) + std::chrono::nanoseconds(message.nanos());
}

std::optional<Duration> optional_duration(bool set, const google::protobuf::Duration& message, std::string_view field,
                                          Scope& scope) {
  if (!set) return std::nullopt;
  const Scope::Field in(scope, field);
  return decode_duration(message, scope);
}

IpAddress decode_ip(std::string_view text, Scope& scope) {
  const auto ip = IpAddress::parse(text);
  if (!ip) scope.fail(fmt::format("«{}» is no IP address", printable(text)));
  return ip.value_or(IpAddress());
}

Address decode_socket_address(const core::SocketAddress& message, Scope& scope) {
  if (message.port_value() > 65535) scope.fail("port_value", fmt::format("{} is no port", message.port_value()));
  const Scope::Field in(scope, "address");
  return {decode_ip(message.address(), scope), static_cast<std::uint16_t>(message.port_value())};
}

Address decode_address(const core::Address& message, Scope& scope) {
  if (message.has_socket_address()) {
    const Scope::Field in(scope, "socket_address");
    return decode_socket_address(message.socket_address(), scope);
  }
  if (message.has_pipe()) {
    const Scope::Field in(scope, "pipe");
    sockaddr_storage storage;
    if (message.pipe().path().empty()) {
      scope.fail("path", "is empty");
      return {};
    }
    Address pipe = Address::pipe(message.pipe().path());
    if (pipe.to_sockaddr(storage) == 0) scope.fail("path", "is longer than a socket path can be (107 bytes)");
    return pipe;
  }
  scope.fail("is neither a socket_address nor a pipe");
  return {};
}

Cidr decode_cidr(const core::CidrRange& message, Scope& scope) {
  const Scope::Field in(scope, "address_prefix");
  Cidr cidr{decode_ip(message.address_prefix(), scope), 0};
  const std::uint32_t most = cidr.base.is_v4() ? 32 : 128;
  if (message.prefix_len().value() > most)
    scope.fail(fmt::format("/{} is no prefix of it", message.prefix_len().value()));
  cidr.prefix = static_cast<std::uint8_t>(std::min(message.prefix_len().value(), most));
  return cidr;
}

Regex decode_regex(const matcher::RegexMatcher& message, Scope& scope) {
  auto regex = Regex::compile(message.regex(), regex_max_program_size);
  if (regex && !message.regex().empty()) return *std::move(regex);
  if (message.regex().empty())
    scope.fail("regex", "is empty");
  else
    scope.fail("regex", fmt::format("«{}» is no regular expression of RE2, or its program is larger than {}",
                                    printable(message.regex()), regex_max_program_size));
  return *Regex::compile("x");
}

StringMatcher decode_string_matcher(const matcher::StringMatcher& message, Scope& scope) {
  using Kind = StringMatcher::Kind;
  const bool fold = message.ignore_case();
  const auto not_empty = [&](std::string_view field, const std::string& text) {
    if (text.empty()) scope.fail(field, "is empty");
  };
  switch (message.match_pattern_case()) {
    case matcher::StringMatcher::kExact: return plain_matcher(Kind::exact, message.exact(), fold);
    case matcher::StringMatcher::kPrefix:
      not_empty("prefix", message.prefix());
      return plain_matcher(Kind::prefix, message.prefix(), fold);
    case matcher::StringMatcher::kSuffix:
      not_empty("suffix", message.suffix());
      return plain_matcher(Kind::suffix, message.suffix(), fold);
    case matcher::StringMatcher::kContains:
      not_empty("contains", message.contains());
      return plain_matcher(Kind::contains, message.contains(), fold);
    case matcher::StringMatcher::kSafeRegex: {
      const Scope::Field in(scope, "safe_regex");
      return regex_matcher(message.safe_regex(), scope);  // ignore_case has no effect on it
    }
    default: scope.fail("has no pattern that is known"); return {};
  }
}

std::string decode_header_name(std::string_view name, Scope& scope) {
  const std::string_view token = name.starts_with(':') ? name.substr(1) : name;
  if (!is_token(token)) scope.fail(fmt::format("«{}» is no header name", printable(name)));
  return to_lower(name);
}

HeaderMatcher decode_header_matcher(const route::HeaderMatcher& message, Scope& scope) {
  std::string name;
  {
    const Scope::Field in(scope, "name");
    name = decode_header_name(message.name(), scope);
  }
  return {std::move(name), header_rule(message, scope), message.invert_match(),
          message.treat_missing_header_as_empty()};
}

QueryParameterMatcher decode_query_parameter_matcher(const route::QueryParameterMatcher& message, Scope& scope) {
  if (message.name().empty()) scope.fail("name", "is empty");
  QueryParameterMatcher out{message.name(), std::nullopt};
  if (message.has_string_match()) {
    const Scope::Field in(scope, "string_match");
    out.value = decode_string_matcher(message.string_match(), scope);
  } else if (message.query_parameter_match_specifier_case() == route::QueryParameterMatcher::kPresentMatch &&
             !message.present_match()) {
    scope.fail("present_match", "false is not supported");
  }
  return out;
}

double decode_percent(const envoy::type::v3::FractionalPercent& message, Scope& scope) {
  using envoy::type::v3::FractionalPercent;
  double whole = 100;
  switch (message.denominator()) {
    case FractionalPercent::HUNDRED: break;
    case FractionalPercent::TEN_THOUSAND: whole = 10'000; break;
    case FractionalPercent::MILLION: whole = 1'000'000; break;
    default: scope.fail("denominator", "is not known");
  }
  return std::min(100.0, message.numerator() * 100.0 / whole);  // more than all is all, as in Envoy
}

double decode_percent(const envoy::type::v3::Percent& message, Scope& scope) {
  if (!(message.value() >= 0 && message.value() <= 100))
    scope.fail(fmt::format("{} is no percentage", message.value()));
  return message.value();
}

std::vector<HeaderToAdd> decode_headers_to_add(const HeaderValueOptions& messages, std::string_view field,
                                               Scope& scope) {
  using Action = HeaderToAdd::Action;
  std::vector<HeaderToAdd> out;
  out.reserve(static_cast<std::size_t>(messages.size()));
  for (int i = 0; i < messages.size(); ++i) {
    const Scope::Field in(scope, field, static_cast<std::size_t>(i));
    const auto& message = messages[i];
    HeaderToAdd header;
    header.name = decode_header_name(message.header().key(), scope);
    if (header.name.starts_with(':') || header.name == "host")
      scope.fail(fmt::format("«{}» is part of the request line, not a header that can be added", header.name));
    const std::string& text =
        message.header().raw_value().empty() ? message.header().value() : message.header().raw_value();
    if (!is_header_value(text)) scope.fail("header.value", "has a line break or NUL in it");
    ParsedFormat value = parse_format(text);
    if (!value.error.empty()) scope.fail("header.value", printable(value.error));
    header.value = std::move(value.items);
    header.keep_empty = message.keep_empty_value();
    switch (message.append_action()) {
      case core::HeaderValueOption::APPEND_IF_EXISTS_OR_ADD:
        // The deprecated bool; only its false says something.
        if (message.has_append() && !message.append().value()) header.action = Action::overwrite_if_exists_or_add;
        break;
      case core::HeaderValueOption::ADD_IF_ABSENT: header.action = Action::add_if_absent; break;
      case core::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD:
        header.action = Action::overwrite_if_exists_or_add;
        break;
      case core::HeaderValueOption::OVERWRITE_IF_EXISTS: header.action = Action::overwrite_if_exists; break;
      default: scope.fail("append_action", "is not known");
    }
    if (message.has_append() && message.append_action() != core::HeaderValueOption::APPEND_IF_EXISTS_OR_ADD)
      scope.fail("append", "and append_action are both set");
    out.push_back(std::move(header));
  }
  return out;
}

std::vector<std::string> decode_headers_to_remove(const Strings& names, std::string_view field, Scope& scope) {
  std::vector<std::string> out;
  out.reserve(static_cast<std::size_t>(names.size()));
  for (int i = 0; i < names.size(); ++i) {
    const Scope::Field in(scope, field, static_cast<std::size_t>(i));
    out.push_back(decode_header_name(names[i], scope));
    if (out.back().starts_with(':') || out.back() == "host")
      scope.fail(fmt::format("«{}» is part of the request line, not a header that can be removed", out.back()));
  }
  return out;
}

Decoded<std::string> read_small_file(const std::string& path, std::size_t limit) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return DecodeError{fmt::format("{}: {}", printable(path), std::generic_category().message(errno))};
  std::string bytes;
  for (char piece[16 * 1024]; in && bytes.size() <= limit;) {
    in.read(piece, sizeof(piece));
    bytes.append(piece, static_cast<std::size_t>(in.gcount()));
  }
  if (in.bad() || (in.fail() && !in.eof())) return DecodeError{printable(path) + ": cannot be read"};
  if (bytes.size() > limit) return DecodeError{fmt::format("{}: is larger than {} bytes", printable(path), limit)};
  return {boost::system::in_place_value, std::move(bytes)};
}

std::string decode_data_source(const core::DataSource& message, Scope& scope) {
  switch (message.specifier_case()) {
    case core::DataSource::kInlineString: return message.inline_string();
    case core::DataSource::kInlineBytes: return message.inline_bytes();
    case core::DataSource::kFilename: {
      auto bytes = read_small_file(message.filename());
      if (bytes) return *std::move(bytes);
      scope.fail("filename", bytes.error().message);
      return {};
    }
    default: scope.fail("has no content that is supported"); return {};
  }
}

std::string stable_bytes(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&out);
  out.Trim();
  return bytes;
}

std::string metadata_string(const core::Metadata& metadata, const char* space, const char* key) {
  const auto& spaces = metadata.filter_metadata();
  const auto found = spaces.find(space);
  if (found == spaces.end()) return {};
  const auto value = found->second.fields().find(key);
  return value == found->second.fields().end() ? std::string() : value->second.string_value();
}

std::string metadata_object(const core::Metadata& metadata) {
  const std::string path = metadata_string(metadata, "istio", "config");
  return path.empty() ? path : istio_object_name(path);
}

}  // namespace clew
