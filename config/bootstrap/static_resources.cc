#include "config/bootstrap/static_resources.h"

#include "config/xds/config_store.h"

#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

#include <fmt/format.h>

namespace clew {

namespace {

template <class Messages, class Add>
std::string add_all(const Messages& messages, std::string_view field, Add&& add) {
  for (int i = 0; i < messages.size(); ++i)
    if (std::string problem = add(messages[i]); !problem.empty())
      return fmt::format("bootstrap: static_resources.{}[{}]: {}", field, i, problem);
  return {};
}

}  // namespace

std::string add_static_resources(const Bootstrap& bootstrap, ConfigStore& store) {
  envoy::config::bootstrap::v3::Bootstrap message;
  if (!message.ParseFromString(bootstrap.serialized)) return "bootstrap: cannot be read again";
  const auto& resources = message.static_resources();
  std::string problem =
      add_all(resources.clusters(), "clusters", [&](const auto& m) { return store.add_static_cluster(m); });
  if (problem.empty())
    problem = add_all(resources.secrets(), "secrets", [&](const auto& m) { return store.add_static_secret(m); });
  if (problem.empty())
    problem = add_all(resources.listeners(), "listeners", [&](const auto& m) { return store.add_static_listener(m); });
  return problem;
}

}  // namespace clew
