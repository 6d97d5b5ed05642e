#include "proxy/upstream/rewrite.h"

#include "proxy/upstream/header_value.h"

#include <algorithm>

namespace clew {
namespace {

/// Removals come first, so that removing and adding one name replaces it.
void mutate(HeaderMap& headers, const std::vector<std::string>& remove, const std::vector<HeaderToAdd>& add,
            const Stream& stream) {
  for (const std::string& name : remove) headers.remove(std::string_view(name));
  for (const HeaderToAdd& header : add) {
    const std::string value = format_header_value(header.value, stream);
    if (value.empty() && !header.keep_empty) continue;
    const bool present = headers.get(std::string_view(header.name)).has_value();
    switch (header.action) {
      case HeaderToAdd::Action::append_if_exists_or_add: headers.add(header.name, value); break;
      case HeaderToAdd::Action::add_if_absent:
        if (!present) headers.add(header.name, value);
        break;
      case HeaderToAdd::Action::overwrite_if_exists_or_add: headers.set(header.name, value); break;
      case HeaderToAdd::Action::overwrite_if_exists:
        if (present) headers.set(header.name, value);
        break;
    }
  }
}

/// Most specific first, so that the least specific has the last word (Envoy's default order).
template <class F>
void for_each_mutations(const Stream& stream, F&& apply) {
  if (stream.cluster && stream.cluster->headers) apply(*stream.cluster->headers);
  if (stream.route && stream.route->header_mutations) apply(*stream.route->header_mutations);
  if (stream.virtual_host && stream.virtual_host->header_mutations) apply(*stream.virtual_host->header_mutations);
  if (stream.route_table && stream.route_table->header_mutations) apply(*stream.route_table->header_mutations);
}

void rewrite_host(Stream& stream, const ForwardAction& action) {
  const std::string& weighted = stream.cluster ? stream.cluster->host_rewrite : action.host_rewrite;
  const std::string& host = action.host_rewrite.empty() ? weighted : action.host_rewrite;
  if (host.empty()) return;
  RequestHead& request = stream.request;
  if (action.append_x_forwarded_host) request.headers.append(HeaderId::x_forwarded_host, request.authority);
  if (!stream.hcm.suppress_envoy_headers && !request.headers.has(HeaderId::x_envoy_original_host))
    request.headers.set(HeaderId::x_envoy_original_host, request.authority);
  request.authority = stream.arena.copy(host);
}

}  // namespace

std::string rewrite_path(const ForwardAction& action, const PathMatch& match, std::string_view path) {
  const std::size_t query = std::min(path.find('?'), path.size());
  if (action.regex_rewrite) {
    std::string out = action.regex_rewrite->replace_all(path.substr(0, query), action.regex_substitution);
    return out.append(path.substr(query));
  }
  if (action.prefix_rewrite.empty()) return std::string(path);
  std::size_t matched = query;  // exact, regex: the whole path
  if (match.kind == PathMatch::Kind::prefix || match.kind == PathMatch::Kind::separated_prefix)
    matched = std::min(match.text.size(), path.size());
  return action.prefix_rewrite + std::string(path.substr(matched));
}

void finalize_request(Stream& stream, const ForwardAction& action) {
  RequestHead& request = stream.request;
  for_each_mutations(
      stream, [&](const HeaderMutations& m) { mutate(request.headers, m.request_remove, m.request_add, stream); });
  rewrite_host(stream, action);
  if (!stream.route || (action.prefix_rewrite.empty() && !action.regex_rewrite)) return;
  const std::string path = rewrite_path(action, stream.route->path, request.path);
  if (!stream.hcm.suppress_envoy_headers) request.headers.set(HeaderId::x_envoy_original_path, request.path);
  request.path = stream.arena.copy(path);
}

void finalize_response(Stream& stream) {
  HeaderMap& headers = stream.response.headers;
  for_each_mutations(stream,
                     [&](const HeaderMutations& m) { mutate(headers, m.response_remove, m.response_add, stream); });
}

}  // namespace clew
