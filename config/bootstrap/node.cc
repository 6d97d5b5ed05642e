#include "config/bootstrap/node.h"

#include "config/bootstrap/command_line.h"
#include "config/xds/decode_common.h"
#include "config/xds/field_table.h"
#include "proxy/base/strings.h"

#include "envoy/config/core/v3/base.pb.h"

#include <array>

#ifndef CLEW_VERSION
#define CLEW_VERSION "unknown"
#endif

namespace clew {

namespace core = envoy::config::core::v3;

namespace {

void set_version(core::BuildVersion& version) {
  std::array<std::uint32_t, 3> parts{};
  std::string_view text = CLEW_VERSION;
  for (auto& part : parts) {
    const std::string_view digits = text.substr(0, text.find('.'));
    part = static_cast<std::uint32_t>(parse_uint(digits).value_or(0));
    text.remove_prefix(std::min(digits.size() + 1, text.size()));
  }
  version.mutable_version()->set_major_number(parts[0]);
  version.mutable_version()->set_minor_number(parts[1]);
  version.mutable_version()->set_patch(parts[2]);
  auto& fields = *version.mutable_metadata()->mutable_fields();
  fields["build.label"].set_string_value("clew");
  fields["build.type"].set_string_value("RELEASE");
}

}  // namespace

void complete_node(const CommandLine& options, core::Node& node) {
  if (node.id().empty()) node.set_id(options.service_node);
  if (node.cluster().empty()) node.set_cluster(options.service_cluster);
  if (node.locality().zone().empty() && !options.service_zone.empty())
    node.mutable_locality()->set_zone(options.service_zone);
  // Control planes and their tools look for this name.
  node.set_user_agent_name("envoy");
  set_version(*node.mutable_user_agent_build_version());
  node.clear_extensions();
  for (const auto& known : supported_extensions()) {
    auto* extension = node.add_extensions();
    extension->set_name(std::string(known.name));
    extension->set_category(std::string(known.category));
    extension->add_type_urls(std::string(known.message));
  }
}

NodeInfo decode_node(const core::Node& node, Scope& scope) {
  const Scope::Field in(scope, "node");
  if (node.id().empty()) scope.fail("id", "is empty, and --service-node is not given");
  return {node.id(), stable_bytes(node)};
}

}  // namespace clew
