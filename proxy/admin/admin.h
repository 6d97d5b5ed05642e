// The admin interface on 15000: what the agent, istioctl and people read and do. Served by our own HTTP/1 code on the
// control thread: an Admin is a Forwarder that answers by itself. Paths, queries and formats are Envoy's.
#pragma once

#include "proxy/admin/process.h"
#include "proxy/http/forwarder.h"

#include <string>
#include <string_view>

namespace clew {

/// The query of an admin request; keys without a value are there with an empty one. Percent-decoded.
class Query {
 public:
  explicit Query(std::string_view text);
  bool has(std::string_view key) const { return get(key).has_value(); }
  std::optional<std::string_view> get(std::string_view key) const;
  bool empty() const { return items_.empty(); }
  const std::vector<std::pair<std::string, std::string>>& items() const { return items_; }

 private:
  std::vector<std::pair<std::string, std::string>> items_;
};

struct AdminResponse {
  std::uint32_t status = 200;
  std::string body;
  std::string_view content_type = "text/plain; charset=UTF-8";

  static AdminResponse json(std::string body) { return {200, std::move(body), "application/json"}; }
  static AdminResponse error(std::uint32_t status, std::string text) { return {status, std::move(text)}; }
};

/// Control thread.
class Admin final : public Forwarder {
 public:
  explicit Admin(Process& process) : process_(process) {}

  Task<std::variant<UpstreamResponse, LocalReply>> forward(Stream& stream, BodyPtr request_body,
                                                           ResponseWriter& writer) override;
  /// target: path and query as received.
  Task<AdminResponse> handle(std::string method, std::string target);

 private:
  Process& process_;
};

}  // namespace clew
