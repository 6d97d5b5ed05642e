#include "proxy/admin/redact.h"

#include "config/xds/json.h"

#include "envoy/config/core/v3/base.pb.h"

#include <google/protobuf/any.pb.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

namespace clew {

namespace {

namespace pb = google::protobuf;

constexpr const char* redacted = "[redacted]";
constexpr int max_depth = 64;

/// What the xDS protocol marks as sensitive (udpa.annotations.sensitive) among the types that are linked in.
constexpr std::array<std::string_view, 7> secret_fields{
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.private_key",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.private_key_provider",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.password",
    "envoy.extensions.transport_sockets.tls.v3.TlsCertificate.pkcs12",
    "envoy.extensions.transport_sockets.tls.v3.TlsSessionTicketKeys.keys",
    "envoy.extensions.transport_sockets.tls.v3.GenericSecret.secret",
    "envoy.extensions.transport_sockets.tls.v3.GenericSecret.secrets",
};

bool is_secret(const pb::FieldDescriptor& field) {
  return std::find(secret_fields.begin(), secret_fields.end(), field.full_name()) != secret_fields.end();
}

void blank(pb::Message& message, const pb::FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  const auto* type = field.message_type();
  if (field.is_map() || !type || type != envoy::config::core::v3::DataSource::descriptor())
    return reflection.ClearField(&message, &field);
  const int count = field.is_repeated() ? reflection.FieldSize(message, &field) : 1;
  for (int i = 0; i < count; ++i) {
    envoy::config::core::v3::DataSource hidden;
    hidden.set_inline_bytes(redacted);
    (field.is_repeated() ? reflection.MutableRepeatedMessage(&message, &field, i)
                         : reflection.MutableMessage(&message, &field))
        ->CopyFrom(hidden);
  }
}

bool visit(pb::Message& message, int depth);

bool visit_any(pb::Any& any, int depth) {
  if (any.value().empty()) return false;
  const auto inner = unpack(any);
  if (!inner) {
    any.set_value(redacted);
    return true;
  }
  if (!visit(**inner, depth + 1)) return false;  // unchanged, it stays as it was received
  any.PackFrom(**inner);
  return true;
}

bool visit(pb::Message& message, int depth) {
  if (depth > max_depth) {
    message.Clear();
    return true;
  }
  if (auto* any = pb::DynamicCastToGenerated<pb::Any>(&message)) return visit_any(*any, depth);
  const auto& reflection = *message.GetReflection();
  std::vector<const pb::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  bool changed = false;
  for (const auto* field : fields) {
    if (is_secret(*field)) {
      blank(message, *field);
      changed = true;
    } else if (field->message_type()) {
      const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
      for (int i = 0; i < count; ++i)
        changed |= visit(*(field->is_repeated() ? reflection.MutableRepeatedMessage(&message, field, i)
                                                : reflection.MutableMessage(&message, field)),
                         depth + 1);
    }
  }
  return changed;
}

}  // namespace

bool redact(pb::Message& message) { return visit(message, 0); }

}  // namespace clew
