#include "proxy/upstream/hash_policy.h"

#include "proxy/base/strings.h"
#include "proxy/http/route_match.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

namespace clew {
namespace {

/// All Cookie fields are searched; quotes around a value do not belong to it.
std::optional<std::string_view> find_cookie(const HeaderMap& headers, std::string_view name) {
  for (const HeaderMap::Field& field : headers.fields()) {
    if (field.id != HeaderId::cookie) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(';'), rest.size());
      const std::string_view pair = trim(rest.substr(0, end));
      rest.remove_prefix(std::min(rest.size(), end + 1));
      if (pair.size() <= name.size() || !pair.starts_with(name) || pair[name.size()] != '=') continue;
      std::string_view value = pair.substr(name.size() + 1);
      if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
      return value;
    }
  }
  return std::nullopt;
}

struct Hasher {
  const RequestHead& request;
  const ConnectionInfo& connection;
  const Address& remote;
  RequestHash& out;

  std::optional<std::uint64_t> operator()(const HashPolicy::Header& header) const {
    std::vector<std::string_view> values;
    if (header.name == ":authority" || header.name == "host") {
      values.push_back(request.authority);
    } else if (header.name == ":path") {
      values.push_back(request.path);
    } else if (header.name == ":method") {
      values.push_back(request.method);
    } else {
      for (const HeaderMap::Field& field : request.headers.fields())
        if (field.name == header.name) values.push_back(field.value);
    }
    if (values.empty()) return std::nullopt;
    // The order of several values must not matter.
    std::sort(values.begin(), values.end());
    std::uint64_t hash = 0;
    for (const std::string_view value : values) hash = xxh64(value, hash);
    return hash;
  }
  std::optional<std::uint64_t> operator()(const HashPolicy::Cookie& cookie) const {
    if (const auto value = find_cookie(request.headers, cookie.name); value && !value->empty()) return xxh64(*value);
    if (!cookie.ttl) return std::nullopt;
    const std::string value =
        fmt::format("{:016x}", xxh64(connection.remote.to_string() + connection.local.to_string()));
    std::string set = fmt::format("{}=\"{}\"", cookie.name, value);
    if (const auto age = std::chrono::duration_cast<std::chrono::seconds>(*cookie.ttl).count())
      set += fmt::format("; Max-Age={}", age);
    if (!cookie.path.empty()) set += "; Path=" + cookie.path;
    for (const auto& [name, text] : cookie.attributes) {
      set.append("; ").append(name);
      if (!text.empty()) set.append("=").append(text);
    }
    set += "; HttpOnly";
    out.set_cookies.push_back(std::move(set));
    return xxh64(value);
  }
  std::optional<std::uint64_t> operator()(const HashPolicy::SourceIp&) const {
    if (remote.is_pipe()) return std::nullopt;
    return hash_source_ip(remote);
  }
  std::optional<std::uint64_t> operator()(const HashPolicy::QueryParameter& parameter) const {
    const auto value = query_parameter(request.path, parameter.name);
    return value ? std::optional(xxh64(*value)) : std::nullopt;
  }
};

}  // namespace

std::uint64_t xxh64(std::string_view text, std::uint64_t seed) { return XXH64(text.data(), text.size(), seed); }

std::uint64_t hash_source_ip(const Address& remote) { return xxh64(remote.ip().to_string()); }

RequestHash hash_request(const std::vector<HashPolicy>& policies, const RequestHead& request,
                         const ConnectionInfo& connection, const Address& remote) {
  RequestHash out;
  for (const HashPolicy& policy : policies) {
    if (const auto hash = std::visit(Hasher{request, connection, remote, out}, policy.source)) {
      const std::uint64_t old = out.value.value_or(0);
      out.value = ((old << 1) | (old >> 63)) ^ *hash;
    }
    if (policy.terminal && out.value) break;
  }
  return out;
}

}  // namespace clew
