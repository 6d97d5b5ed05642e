#include "proxy/admin/admin.h"

#include "proxy/admin/pages.h"
#include "proxy/base/encoding.h"
#include "proxy/base/log.h"

#include <algorithm>
#include <array>

namespace clew {

Query::Query(std::string_view text) {
  while (!text.empty()) {
    const auto end = std::min(text.find('&'), text.size());
    const std::string_view item = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (item.empty()) continue;
    const auto equals = item.find('=');
    const std::string_view value = equals == std::string_view::npos ? std::string_view() : item.substr(equals + 1);
    const std::string_view key = item.substr(0, equals);
    items_.emplace_back(percent_decode(key).value_or(std::string(key)),
                        percent_decode(value).value_or(std::string(value)));
  }
}

std::optional<std::string_view> Query::get(std::string_view key) const {
  const auto it = std::find_if(items_.begin(), items_.end(), [&](const auto& item) { return item.first == key; });
  if (it == items_.end()) return std::nullopt;
  return it->second;
}

Task<AdminResponse> Admin::handle(std::string method, std::string target) {
  const auto mark = target.find('?');
  const std::string path = target.substr(0, mark);
  const Query query(mark == std::string::npos ? std::string_view() : std::string_view(target).substr(mark + 1));
  const AdminPage* page = find_admin_page(path);
  if (!page) {
    AdminResponse response = AdminResponse::error(404, "invalid path. " + admin_help());
    co_return response;
  }
  if (page->mutates && method != "POST") {
    // As Envoy: a link or a prefetching browser must not change anything.
    AdminResponse response = AdminResponse::error(405, "Method " + method + " not allowed, POST required.");
    co_return response;
  }
  AdminResponse response = co_await page->run(process_, query);
  co_return response;
}

Task<std::variant<UpstreamResponse, LocalReply>> Admin::forward(Stream& stream, BodyPtr request_body, ResponseWriter&) {
  if (request_body) request_body->cancel(Errc::canceled);
  AdminResponse answer = co_await handle(std::string(stream.request.method), std::string(stream.request.path));
  ResponseHead& head = stream.response;
  head.status = answer.status;
  head.headers.add(HeaderId::content_type, answer.content_type);
  head.headers.add(HeaderId::cache_control, "no-cache, max-age=0");
  head.headers.add("x-content-type-options", "nosniff");
  head.content_length = answer.body.size();
  head.headers.add(HeaderId::content_length, std::to_string(answer.body.size()));
  head.end_stream = answer.body.empty() || stream.request.method == "HEAD";
  std::variant<UpstreamResponse, LocalReply> result;
  if (!head.end_stream) std::get<UpstreamResponse>(result).body = make_body(answer.body);
  co_return result;
}

}  // namespace clew
