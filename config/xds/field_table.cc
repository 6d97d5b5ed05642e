#include "config/xds/field_table.h"

#include "config/xds/constraints.h"
#include "config/xds/decode_common.h"
#include "config/xds/field_table_sections.h"
#include "config/xds/json.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>

namespace clew {

namespace pb = google::protobuf;

namespace {

constexpr int max_depth = 64;

/// The table for one message type, by the field's index; made once for each type that turns up.
struct Plan {
  struct Field {
    const FieldRow* row = nullptr;
    const Plan* child = nullptr;  // null: nothing to look at below
  };
  bool known = false;  // the table has rows for it
  bool any = false;
  std::vector<Field> fields;
  const pb::FieldDescriptor* metadata = nullptr;
  std::optional<Constraints> constraints = {};
};

/// Plain values in message's clothes: their one field is what the row of the field above is about.
bool is_value(const pb::Descriptor& type) {
  const std::string_view name = type.full_name();
  return name.starts_with("google.protobuf.") && name != "google.protobuf.Any";
}

class Plans {
 public:
  Plans() {
    for (const auto& section : field_table())
      for (const auto& message : section.messages) rows_.emplace(message.message, &message);
  }

  const Plan& of(const pb::Descriptor& type) {
    auto& slot = plans_[&type];
    if (!slot) {
      slot = std::make_unique<Plan>();
      make(type, *slot);
    }
    return *slot;
  }

 private:
  void make(const pb::Descriptor& type, Plan& plan) {
    plan.any = type.full_name() == "google.protobuf.Any";
    plan.constraints.emplace(type);
    plan.fields.resize(static_cast<std::size_t>(type.field_count()));
    const auto rows = rows_.find(type.full_name());
    plan.known = rows != rows_.end();
    if (plan.known) {
      const FieldRow* rest = nullptr;
      for (const auto& row : rows->second->rows)
        for_each_word(row.fields, [&](std::string_view name) {
          if (name == "*")
            rest = &row;
          else if (const auto* field = type.FindFieldByName(std::string(name)))
            plan.fields[static_cast<std::size_t>(field->index())].row = &row;
        });
      for (auto& field : plan.fields)
        if (!field.row) field.row = rest;
    } else if (type.map_key()) {
      static constexpr FieldRow entry{"key value"};
      for (auto& field : plan.fields) field.row = &entry;
      plan.known = true;
    }
    for (int i = 0; i < type.field_count(); ++i) {
      const auto* field = type.field(i);
      if (!field->message_type()) continue;
      if (field->message_type()->full_name() == "envoy.config.core.v3.Metadata" && !field->is_repeated())
        plan.metadata = field;
      // Of a map, what its values hold: they are looked at where that says something, as each look copies them.
      if (field->is_map() && (!field->message_type()->map_value()->message_type() ||
                              is_value(*field->message_type()->map_value()->message_type())))
        continue;
      auto& entry = plan.fields[static_cast<std::size_t>(i)];
      if (entry.row && entry.row->support == Support::honoured && !is_value(*field->message_type()))
        entry.child = &of(*field->message_type());
    }
  }

  std::unordered_map<std::string_view, const MessageRows*> rows_;
  std::unordered_map<const pb::Descriptor*, std::unique_ptr<Plan>> plans_;
};

Plans& plans() {
  static Plans all;
  return all;
}

/// A scalar, or the one inside a wrapper, as the table writes it.
std::string value_text(const pb::Message& message, const pb::FieldDescriptor& field, int index) {
  const auto& reflection = *message.GetReflection();
  const bool repeated = field.is_repeated();
  switch (field.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_BOOL:
      return (repeated ? reflection.GetRepeatedBool(message, &field, index) : reflection.GetBool(message, &field))
                 ? "true"
                 : "false";
    case pb::FieldDescriptor::CPPTYPE_ENUM: {
      const int number =
          repeated ? reflection.GetRepeatedEnumValue(message, &field, index) : reflection.GetEnumValue(message, &field);
      const auto* value = field.enum_type()->FindValueByNumber(number);
      return value ? value->name() : std::to_string(number);
    }
    case pb::FieldDescriptor::CPPTYPE_STRING:
      return repeated ? reflection.GetRepeatedString(message, &field, index) : reflection.GetString(message, &field);
    case pb::FieldDescriptor::CPPTYPE_UINT32:
      return std::to_string(repeated ? reflection.GetRepeatedUInt32(message, &field, index)
                                     : reflection.GetUInt32(message, &field));
    case pb::FieldDescriptor::CPPTYPE_UINT64:
      return std::to_string(repeated ? reflection.GetRepeatedUInt64(message, &field, index)
                                     : reflection.GetUInt64(message, &field));
    case pb::FieldDescriptor::CPPTYPE_INT32:
      return std::to_string(repeated ? reflection.GetRepeatedInt32(message, &field, index)
                                     : reflection.GetInt32(message, &field));
    case pb::FieldDescriptor::CPPTYPE_INT64:
      return std::to_string(repeated ? reflection.GetRepeatedInt64(message, &field, index)
                                     : reflection.GetInt64(message, &field));
    case pb::FieldDescriptor::CPPTYPE_DOUBLE:
      return fmt::format("{}", repeated ? reflection.GetRepeatedDouble(message, &field, index)
                                        : reflection.GetDouble(message, &field));
    case pb::FieldDescriptor::CPPTYPE_FLOAT:
      return fmt::format(
          "{}", repeated ? reflection.GetRepeatedFloat(message, &field, index) : reflection.GetFloat(message, &field));
    case pb::FieldDescriptor::CPPTYPE_MESSAGE: break;
  }
  const auto& inner =
      repeated ? reflection.GetRepeatedMessage(message, &field, index) : reflection.GetMessage(message, &field);
  if (inner.GetDescriptor()->full_name() == "google.protobuf.Duration") {
    std::string text = to_json(inner, {.pretty = false});  // «"1.500s"»
    return text.substr(1, text.size() - 2);
  }
  const auto* value = inner.GetDescriptor()->FindFieldByName("value");
  return value && !value->is_repeated() ? value_text(inner, *value, 0) : std::string();
}

bool has_word(std::string_view words, std::string_view word) {
  bool found = false;
  for_each_word(words, [&](std::string_view w) { found |= w == word; });
  return found;
}

class Walk {
 public:
  Walk(Scope& scope, std::vector<std::string>* warnings) : scope_(scope), warnings_(warnings) {}

  void visit(const pb::Message& message, const Plan& plan, int depth) {
    const auto& reflection = *message.GetReflection();
    if (depth > max_depth) return fail("is nested too deep");
    if (!plan.known) return fail(fmt::format("type {} is not supported", message.GetDescriptor()->full_name()));
    if (const auto& unknown = reflection.GetUnknownFields(message); !unknown.empty())
      return fail(fmt::format("field number {} of {} is not known", unknown.field(0).number(),
                              message.GetDescriptor()->full_name()));
    const bool owner = plan.metadata && reflection.HasField(message, plan.metadata);
    if (owner) metadata_.push_back(&reflection.GetMessage(message, plan.metadata));
    auto& fields = fields_[static_cast<std::size_t>(depth)];
    fields.clear();
    reflection.ListFields(message, &fields);
    for (const auto* field : fields) {
      visit_field(message, *field, plan.fields[static_cast<std::size_t>(field->index())], depth);
      if (!scope_.ok()) break;
    }
    if (scope_.ok()) check_constraints(message, plan);
    if (owner) metadata_.pop_back();
  }

 private:
  void visit_field(const pb::Message& message, const pb::FieldDescriptor& field, const Plan::Field& plan, int depth) {
    if (!plan.row || plan.row->support == Support::refused) return refuse(field, plan.row);
    if (plan.row->support == Support::harmless && plan.row->warn && warnings_)
      warnings_->push_back(
          fmt::format("{}{}{}: {}", scope_.path(), scope_.path().empty() ? "" : ".", field.name(), plan.row->why));
    if (plan.row->support == Support::harmless) check_duration(message, field);
    const bool descend = plan.child && plan.row->support == Support::honoured;
    const bool unread = plan.row->support == Support::harmless && field.message_type() && !field.is_map() &&
                        !is_value(*field.message_type());
    if (!descend && !unread && plan.row->values.empty()) return;
    const auto& reflection = *message.GetReflection();
    const int count = field.is_repeated() ? reflection.FieldSize(message, &field) : 1;
    for (int i = 0; i < count && scope_.ok(); ++i) {
      if (!plan.row->values.empty()) check_value(message, field, *plan.row, i);
      if (!descend && !unread) continue;
      const auto& child = field.is_repeated() ? reflection.GetRepeatedMessage(message, &field, i)
                                              : reflection.GetMessage(message, &field);
      if (unread) {
        const Scope::Field in(scope_, field.name());
        check_unread(child, depth + 1);
      } else if (field.is_map()) {
        const auto* key = field.message_type()->map_key();
        const auto* value = field.message_type()->map_value();
        const Scope::Field in(scope_, field.name(), std::string_view(value_text(child, *key, 0)));
        descend_into(child.GetReflection()->GetMessage(child, value), plans().of(*value->message_type()), depth);
      } else if (field.is_repeated()) {
        const Scope::Field in(scope_, field.name(), static_cast<std::size_t>(i));
        descend_into(child, *plan.child, depth);
      } else {
        const Scope::Field in(scope_, field.name());
        descend_into(child, *plan.child, depth);
      }
    }
  }

  void descend_into(const pb::Message& message, const Plan& plan, int depth) {
    if (!plan.any) return visit(message, plan, depth + 1);
    const auto* any = pb::DynamicCastToGenerated<pb::Any>(&message);
    if (!any) return fail("is no google.protobuf.Any");
    const auto inner = unpack(*any);
    if (!inner) return fail(inner.error().message);
    visit(**inner, plans().of(*(*inner)->GetDescriptor()), depth + 1);
  }

  void check_value(const pb::Message& message, const pb::FieldDescriptor& field, const FieldRow& row, int index) {
    const std::string text = value_text(message, field, index);
    if (has_word(row.values, text)) return;
    const Scope::Field in(scope_, field.name());
    fail(row.why.empty() ? fmt::format("{} is not supported", printable(text))
                         : fmt::format("{} is not supported: {}", printable(text), row.why));
  }

  void check_constraints(const pb::Message& message, const Plan& plan) {
    const auto violation = plan.constraints->violated_by(message);
    if (!violation) return;
    const Scope::Field in(scope_, violation->field);
    fail(violation->what);
  }

  void check_duration(const pb::Message& message, const pb::FieldDescriptor& field) {
    if (field.is_repeated() || !field.message_type()) return;
    const auto* duration =
        pb::DynamicCastToGenerated<pb::Duration>(&message.GetReflection()->GetMessage(message, &field));
    const Scope::Field in(scope_, field.name());
    if (duration) decode_duration(*duration, scope_);
  }

  /// What nothing is done with must be well-formed all the same, down to what only its reader would unpack.
  void check_unread(const pb::Message& message, int depth) {
    if (depth > max_depth) return fail("is nested too deep");
    const auto& reflection = *message.GetReflection();
    std::vector<const pb::FieldDescriptor*> fields;
    reflection.ListFields(message, &fields);
    for (const auto* field : fields) {
      check_duration(message, *field);
      if (!field->message_type() || field->is_map() || is_value(*field->message_type())) continue;
      const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
      for (int i = 0; i < count && scope_.ok(); ++i) {
        const Scope::Field in(scope_, field->name());
        check_unread(field->is_repeated() ? reflection.GetRepeatedMessage(message, field, i)
                                          : reflection.GetMessage(message, field),
                     depth + 1);
      }
    }
    if (scope_.ok()) check_constraints(message, plans().of(*message.GetDescriptor()));
  }

  void refuse(const pb::FieldDescriptor& field, const FieldRow* row) {
    const Scope::Field in(scope_, field.name());
    fail(row && !row->why.empty() ? fmt::format("is not supported: {}", row->why) : std::string("is not supported"));
  }

  void fail(const std::string& what) {
    std::string object;
    for (auto it = metadata_.rbegin(); it != metadata_.rend() && object.empty(); ++it)
      if (const auto* metadata = pb::DynamicCastToGenerated<envoy::config::core::v3::Metadata>(*it))
        object = metadata_object(*metadata);
    const Scope::Object named(scope_, std::move(object));
    scope_.fail(what);
  }

  Scope& scope_;
  std::vector<std::string>* warnings_;
  std::vector<const pb::Message*> metadata_;
  std::array<std::vector<const pb::FieldDescriptor*>, max_depth + 1> fields_;  // of the message at each depth
};

}  // namespace

std::span<const TableSection> field_table() {
  static const TableSection sections[] = {bootstrap_fields(), listener_fields(),   http_fields(),
                                          route_fields(),     filter_fields(),     cluster_fields(),
                                          tls_fields(),       access_log_fields(), common_fields()};
  return sections;
}

std::vector<Extension> supported_extensions() {
  std::vector<Extension> out;
  for (const auto& section : field_table())
    for (const auto& message : section.messages)
      if (!message.category.empty()) out.push_back({message.extension, message.category, message.message});
  return out;
}

void check_fields(const pb::Message& message, Scope& scope, std::vector<std::string>* warnings) {
  Walk(scope, warnings).visit(message, plans().of(*message.GetDescriptor()), 0);
}

}  // namespace clew
