#include "proxy/admin/listeners_page.h"

#include "config/xds/json.h"
#include "proxy/admin/proto_address.h"

#include "envoy/admin/v3/listeners.pb.h"

#include <map>

namespace clew {

AdminResponse listeners_page(const ConfigStore& store, bool json) {
  std::map<std::string, std::shared_ptr<const Listener>> sorted;
  store.snapshot()->listeners.for_each([&](const std::string& name, const std::shared_ptr<const Listener>& listener) {
    sorted.emplace(name, listener);
  });
  if (!json) {
    AdminResponse response;
    for (const auto& [name, listener] : sorted) {
      response.body += name + "::" + listener->address.to_string() + "\n";
      for (const auto& address : listener->additional_addresses)
        response.body += name + "::" + address.to_string() + "\n";
    }
    return response;
  }
  envoy::admin::v3::Listeners message;
  for (const auto& [name, listener] : sorted) {
    auto* status = message.add_listener_statuses();
    status->set_name(name);
    set_address(listener->address, status->mutable_local_address());
    for (const auto& address : listener->additional_addresses)
      set_address(address, status->add_additional_local_addresses());
  }
  return AdminResponse::json(to_json(message));
}

}  // namespace clew
