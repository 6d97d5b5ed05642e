#include "config/bootstrap/runtime.h"

#include "config/xds/json.h"
#include "proxy/base/strings.h"

#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

#include <fmt/format.h>

namespace clew {

namespace {

using google::protobuf::Struct;
using google::protobuf::Value;

/// Nested structs become dotted keys, as Envoy reads them.
void flatten(const std::string& prefix, const Struct& from, int depth,
             std::map<std::string, std::string, std::less<>>& into) {
  for (const auto& [key, value] : from.fields()) {
    const std::string name = prefix.empty() ? key : prefix + "." + key;
    switch (value.kind_case()) {
      case Value::kStructValue:
        if (depth < 32) flatten(name, value.struct_value(), depth + 1, into);
        break;
      case Value::kStringValue: into[name] = value.string_value(); break;
      case Value::kBoolValue: into[name] = value.bool_value() ? "true" : "false"; break;
      case Value::kNumberValue: into[name] = fmt::format("{}", value.number_value()); break;
      default: into[name] = to_json(value, {.pretty = false});
    }
  }
}

}  // namespace

void decode_runtime(const envoy::config::bootstrap::v3::Bootstrap& message, Scope& scope, Bootstrap& out) {
  const Scope::Field in(scope, "layered_runtime");
  for (int i = 0; i < message.layered_runtime().layers_size(); ++i) {
    const auto& layer = message.layered_runtime().layers(i);
    const Scope::Field at(scope, "layers", static_cast<std::size_t>(i));
    if (layer.name().empty()) scope.fail("name", "is empty");
    out.runtime_layers.push_back({layer.name(), {}});
    flatten({}, layer.static_layer(), 0, out.runtime_layers.back().values);
  }
  if (const std::string* size = out.runtime("re2.max_program_size.error_level")) {
    const auto number = parse_uint(*size);
    if (number && *number > 0 && *number <= 1'000'000)
      out.regex_max_program_size = static_cast<int>(*number);
    else
      scope.fail(
          fmt::format("re2.max_program_size.error_level: «{}» is no number from 1 to 1000000", printable(*size)));
  }
  if (const std::string* reject = out.runtime("envoy.reloadable_features.http_reject_path_with_fragment"))
    out.reject_path_with_fragment = *reject != "false";
}

}  // namespace clew
