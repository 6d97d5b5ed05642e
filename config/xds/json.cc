#include "config/xds/json.h"

#include "config/xds/scope.h"
#include "proxy/base/encoding.h"

#include "udpa/type/v1/typed_struct.pb.h"
#include "xds/type/v3/typed_struct.pb.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/type_resolver_util.h>

#include <fmt/format.h>

namespace clew {

namespace pb = google::protobuf;

namespace {

constexpr std::string_view url_prefix = "type.googleapis.com/";
constexpr int max_depth = 64;

std::string_view type_name(std::string_view type_url) {
  const std::size_t slash = type_url.rfind('/');
  return slash == std::string_view::npos ? type_url : type_url.substr(slash + 1);
}

/// The JSON printer gives up on a whole message when an Any inside it cannot be resolved; so each such Any becomes a
/// Struct that shows its type and bytes.
void make_printable(pb::Message& message, int depth) {
  if (message.GetDescriptor()->full_name() == "google.protobuf.Any") {
    pb::Any any;
    any.CopyFrom(message);
    if (any.type_url().empty() && any.value().empty()) return;
    if (auto inner = new_message(any.type_url());
        inner && depth < max_depth && any.type_url().starts_with(url_prefix) && inner->ParseFromString(any.value())) {
      make_printable(*inner, depth + 1);
      any.set_value(inner->SerializeAsString());
    } else {
      pb::Struct shown;
      (*shown.mutable_fields())["type_url"].set_string_value(printable(any.type_url()));
      (*shown.mutable_fields())["value"].set_string_value(to_base64(any.value()));
      any.PackFrom(shown);
    }
    message.CopyFrom(any);
    return;
  }
  const auto* reflection = message.GetReflection();
  std::vector<const pb::FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (depth >= max_depth) {
      reflection->ClearField(&message, field);
      continue;
    }
    const int count = field->is_repeated() ? reflection->FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i)
      make_printable(field->is_repeated() ? *reflection->MutableRepeatedMessage(&message, field, i)
                                          : *reflection->MutableMessage(&message, field),
                     depth + 1);
  }
}

/// protobuf's «(static_resources.clusters[0].type): invalid value "X" for type …» as a sentence that begins with the
/// path.
std::string parse_problem(std::string_view message) {
  if (message.starts_with('(')) {
    const std::size_t close = message.find("): ");
    if (close != std::string_view::npos) {
      const std::string_view path = message.substr(1, close - 1);
      const std::string_view what = message.substr(close + 3);
      return path.empty() ? printable(what, 400) : fmt::format("{}: {}", printable(path), printable(what, 400));
    }
  }
  return printable(message, 400);
}

Decoded<std::unique_ptr<pb::Message>> unpack_struct(const std::string& type_url, const pb::Struct& value) {
  auto message = new_message(type_url);
  if (!message) return DecodeError{"type " + printable(type_url) + " is not supported"};
  std::string json;
  if (!pb::util::MessageToJsonString(value, &json).ok()) return DecodeError{"the TypedStruct cannot be read"};
  if (auto read = from_json(json, *message); !read) return read.error();
  return message;
}

template <class TypedStruct>
Decoded<TypedStruct> typed_struct(const pb::Any& any) {
  TypedStruct value;
  if (!value.ParseFromString(any.value())) return DecodeError{"the bytes are no TypedStruct"};
  return value;
}

}  // namespace

const pb::Descriptor* find_message(std::string_view type_url) {
  return pb::DescriptorPool::generated_pool()->FindMessageTypeByName(std::string(type_name(type_url)));
}

std::unique_ptr<pb::Message> new_message(std::string_view type_url) {
  const auto* descriptor = find_message(type_url);
  if (!descriptor) return nullptr;
  const auto* prototype = pb::MessageFactory::generated_factory()->GetPrototype(descriptor);
  return prototype ? std::unique_ptr<pb::Message>(prototype->New()) : nullptr;
}

std::string to_json(const pb::Message& message, JsonStyle style) {
  const pb::LogSilencer quiet;  // it would write to stderr what the status says too
  pb::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  options.add_whitespace = style.pretty;
  options.always_print_primitive_fields = style.defaults;
  std::string json;
  auto status = pb::util::MessageToJsonString(message, &json, options);
  if (!status.ok()) {
    const std::unique_ptr<pb::Message> copy(message.New());
    copy->CopyFrom(message);
    make_printable(*copy, 0);
    json.clear();
    status = pb::util::MessageToJsonString(*copy, &json, options);
    if (!status.ok()) return "{}";
  }
  return json;
}

Decoded<bool> from_json(std::string_view json, pb::Message& into, JsonParseOptions options) {
  const pb::LogSilencer quiet;
  pb::util::JsonParseOptions parse;
  parse.ignore_unknown_fields = options.ignore_unknown_fields;
  const auto status = pb::util::JsonStringToMessage(pb::StringPiece(json.data(), json.size()), &into, parse);
  if (status.ok()) return true;
  const auto text = status.message();
  return DecodeError{parse_problem({text.data(), text.size()})};
}

Decoded<std::unique_ptr<pb::Message>> unpack(const pb::Any& any) {
  const std::string_view name = type_name(any.type_url());
  if (name == "udpa.type.v1.TypedStruct") {
    auto value = typed_struct<udpa::type::v1::TypedStruct>(any);
    if (!value) return value.error();
    return unpack_struct(value->type_url(), value->value());
  }
  if (name == "xds.type.v3.TypedStruct") {
    auto value = typed_struct<xds::type::v3::TypedStruct>(any);
    if (!value) return value.error();
    return unpack_struct(value->type_url(), value->value());
  }
  auto message = new_message(name);
  if (!message) return DecodeError{"type " + printable(any.type_url()) + " is not supported"};
  if (!message->ParseFromString(any.value())) return DecodeError{"the bytes are no " + std::string(name)};
  return message;
}

}  // namespace clew
