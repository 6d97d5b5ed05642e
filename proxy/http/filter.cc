#include "proxy/http/filter.h"

namespace clew {

Task<Verdict> Filter::on_request_wait(Stream& stream, BodyPtr&) { co_return on_request(stream); }

const FilterRouteConfig* route_config(const Stream& stream, std::string_view filter_name) {
  const auto find = [filter_name](const auto* holder) -> const FilterRouteConfig* {
    if (!holder) return nullptr;
    const auto it = holder->filter_config.find(filter_name);
    return it == holder->filter_config.end() ? nullptr : it->second.get();
  };
  if (const auto* found = find(stream.route)) return found;
  if (const auto* found = find(stream.virtual_host)) return found;
  return find(stream.route_table.get());
}

}  // namespace clew
