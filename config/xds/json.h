// protobuf as JSON: for config_dump (field names as in the .proto, enums as words, Any and TypedStruct by their type),
// and back, for the bootstrap and TypedStruct. The types are those linked in; others stay visible as base64.
#pragma once

#include "config/xds/decode.h"

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <string_view>

namespace google::protobuf {
class Any;
class Struct;
}  // namespace google::protobuf

namespace clew {

struct JsonStyle {
  bool pretty = true;     // indented by one space, one field a line, as Envoy prints dumps
  bool defaults = false;  // numbers, words and lists that have their default value too
};

/// Defaults are left out unless asked for. An Any of a type that is not linked in is written as {"@type": …, "value":
/// base64}. Never fails; bytes that do not parse are shown as bytes too.
std::string to_json(const google::protobuf::Message& message, JsonStyle style = {});

/// Both spellings of field names. The error names the place («static_resources.clusters[0].type: …»).
struct JsonParseOptions {
  bool ignore_unknown_fields = false;
};
Decoded<bool> from_json(std::string_view json, google::protobuf::Message& into, JsonParseOptions options = {});

/// An empty message of the type («type.googleapis.com/X» or «X»), or null when it is not linked in.
std::unique_ptr<google::protobuf::Message> new_message(std::string_view type_url);
/// The descriptor of it, or null.
const google::protobuf::Descriptor* find_message(std::string_view type_url);

/// What an Any holds: unpacked, with TypedStruct (udpa and xds) resolved to the type it names.
/// The error says what is wrong with the type or its fields.
Decoded<std::unique_ptr<google::protobuf::Message>> unpack(const google::protobuf::Any& any);

}  // namespace clew
