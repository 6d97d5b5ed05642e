#include "proxy/admin/field_mask.h"

#include "config/xds/json.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <map>
#include <vector>

namespace clew {

namespace {

using google::protobuf::Any;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

/// By field: the paths below it, none when all of it is wanted.
using Paths = std::map<std::string, std::vector<std::string>, std::less<>>;

Paths split(const std::vector<std::string>& paths) {
  Paths out;
  for (const std::string& path : paths) {
    const auto dot = std::min(path.find('.'), path.size());
    auto& below = out[path.substr(0, dot)];
    if (dot < path.size()) below.push_back(path.substr(dot + 1));
  }
  return out;
}

bool keep(Message& message, const std::vector<std::string>& paths);

bool keep_in_any(Any& any, const std::vector<std::string>& paths) {
  const auto inner = unpack(any);
  if (!inner || !*inner || !keep(**inner, paths)) return false;
  any.PackFrom(**inner);
  return true;
}

bool keep(Message& message, const std::vector<std::string>& paths) {
  const Paths wanted = split(paths);
  const auto* type = message.GetDescriptor();
  const auto known = [&](const auto& path) {
    const FieldDescriptor* field = type->FindFieldByName(path.first);
    const bool deeper = !path.second.empty();
    return field && (!deeper || (!field->is_repeated() && field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE));
  };
  if (!std::all_of(wanted.begin(), wanted.end(), known)) return false;
  const auto* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const auto path = wanted.find(field->name());
    if (path == wanted.end()) {
      reflection->ClearField(&message, field);
    } else if (!path->second.empty()) {
      Message* child = reflection->MutableMessage(&message, field);
      auto* any = google::protobuf::DynamicCastToGenerated<Any>(child);
      if (!(any ? keep_in_any(*any, path->second) : keep(*child, path->second))) return false;
    }
  }
  return true;
}

}  // namespace

bool trim(Message& message, std::string_view mask) {
  std::vector<std::string> paths;
  while (!mask.empty()) {
    const auto end = std::min(mask.find(','), mask.size());
    if (end > 0) paths.emplace_back(mask.substr(0, end));
    mask.remove_prefix(std::min(end + 1, mask.size()));
  }
  return keep(message, paths);
}

}  // namespace clew
