// Each honoured field of the table is decoded: the resources in test/data/fields set all of them, and a resource
// without one of them, or with another value, becomes another snapshot value or is refused. That somebody reads the
// value is for the tests of who does; a member without a reader is to be deleted, and its row then fails here.
#include "test/unit/config/xds/fakes.h"
#include "test/unit/config/xds/print.h"

#include "config/bootstrap/bootstrap.h"
#include "config/bootstrap/command_line.h"
#include "config/bootstrap/yaml.h"
#include "config/xds/field_table.h"

#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

namespace clew {
namespace {

namespace pb = google::protobuf;
using pb::FieldDescriptor;
using pb::Message;

/// What becomes of a resource: its value, or why it is refused.
std::string outcome(const Message& message) {
  static const test::FakeFilters filters;
  test::FakeInterner tls;
  DecodeContext context{filters, tls};
  const auto text = [&](const auto& decoded) {
    if (!decoded) return "refused: " + decoded.error().message;
    std::string out = test::print(**decoded);
    for (const auto& secret : context.needs.secrets)
      out += secret.name + secret.sds_cluster + std::to_string(secret.fetch_timeout.count());
    for (const auto& [name, timeout] : context.needs.rds_names) out += name + std::to_string(timeout.count());
    out += std::to_string(context.needs.eds_timeout.count());
    return out;
  };
  if (const auto* m = dynamic_cast<const envoy::config::cluster::v3::Cluster*>(&message))
    return text(decode_cluster(*m, context));
  if (const auto* m = dynamic_cast<const envoy::config::listener::v3::Listener*>(&message))
    return text(decode_listener(*m, context, nullptr));
  if (const auto* m = dynamic_cast<const envoy::config::route::v3::RouteConfiguration*>(&message))
    return text(decode_route_table(*m, context));
  if (const auto* m = dynamic_cast<const envoy::config::endpoint::v3::ClusterLoadAssignment*>(&message))
    return text(decode_endpoints(*m));
  if (const auto* m = dynamic_cast<const envoy::extensions::transport_sockets::tls::v3::Secret*>(&message))
    return text(decode_secret(*m));
  if (dynamic_cast<const envoy::config::bootstrap::v3::Bootstrap*>(&message)) {
    auto decoded = parse_bootstrap({"x", to_json(message), {}}, CommandLine());
    return decoded ? test::print(*decoded) : "refused: " + decoded.error().message;
  }
  FAIL("no decoder for " << message.GetTypeName());
  return {};
}

std::map<std::string, const FieldRow*> rows() {
  std::map<std::string, const FieldRow*> out;
  for (const auto& section : field_table())
    for (const auto& message : section.messages)
      for (const auto& row : message.rows)
        for_each_word(row.fields,
                      [&](std::string_view name) { out[fmt::format("{}.{}", message.message, name)] = &row; });
  return out;
}

bool plain(const pb::Descriptor& type) {
  return type.full_name().starts_with("google.protobuf.") && type.full_name() != "google.protobuf.Any";
}

class Prober {
 public:
  std::set<std::string> seen, effective;

  /// evaluate: what becomes of the resource that node is part of.
  void probe(Message& node, const std::function<std::string()>& evaluate) {
    if (auto* any = dynamic_cast<pb::Any*>(&node)) {
      auto inner = unpack(*any);
      REQUIRE(inner.has_value());
      const pb::Any before = *any;
      probe(**inner, [&] {
        any->PackFrom(**inner);
        return evaluate();
      });
      *any = before;
      return;
    }
    const auto& reflection = *node.GetReflection();
    std::vector<const FieldDescriptor*> fields;
    reflection.ListFields(node, &fields);
    for (const auto* field : fields) {
      try_field(node, *field, evaluate);
      if (field->message_type() && !plain(*field->message_type())) descend(node, *field, evaluate);
    }
  }

 private:
  void try_field(Message& node, const FieldDescriptor& field, const std::function<std::string()>& evaluate) {
    const std::string key = node.GetDescriptor()->full_name() + "." + field.name();
    seen.insert(key);
    if (effective.contains(key)) return;
    const std::string base = evaluate();
    const std::unique_ptr<Message> saved(node.New());
    saved->CopyFrom(node);
    node.GetReflection()->ClearField(&node, &field);
    bool changed = evaluate() != base;
    node.CopyFrom(*saved);
    if (!changed && !field.is_repeated()) {
      for (const int step : {1, 2, 3}) {
        change(node, field, step);
        changed = changed || evaluate() != base;
        node.CopyFrom(*saved);
      }
    }
    if (changed) effective.insert(key);
  }

  static void change(Message& node, const FieldDescriptor& field, int step) {
    const auto& reflection = *node.GetReflection();
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL: return reflection.SetBool(&node, &field, !reflection.GetBool(node, &field));
      case FieldDescriptor::CPPTYPE_STRING:
        return reflection.SetString(&node, &field, reflection.GetString(node, &field) + "z");
      case FieldDescriptor::CPPTYPE_UINT32:
        return reflection.SetUInt32(
            &node, &field, step == 3 ? 1 : reflection.GetUInt32(node, &field) + static_cast<std::uint32_t>(step));
      case FieldDescriptor::CPPTYPE_INT64:
        return reflection.SetInt64(&node, &field, reflection.GetInt64(node, &field) + step);
      case FieldDescriptor::CPPTYPE_ENUM: {
        const auto* type = field.enum_type();
        const int index = type->FindValueByNumber(reflection.GetEnumValue(node, &field))->index();
        return reflection.SetEnumValue(&node, &field, type->value((index + step) % type->value_count())->number());
      }
      case FieldDescriptor::CPPTYPE_MESSAGE: {
        Message& inner = *reflection.MutableMessage(&node, &field);
        const auto* value = inner.GetDescriptor()->FindFieldByName("value");
        if (plain(*inner.GetDescriptor()) && value && !value->is_repeated()) change(inner, *value, step);
        return;
      }
      default: return;
    }
  }

  void descend(Message& node, const FieldDescriptor& field, const std::function<std::string()>& evaluate) {
    const auto& reflection = *node.GetReflection();
    if (!field.is_repeated()) return probe(*reflection.MutableMessage(&node, &field), evaluate);
    for (int i = 0; i < reflection.FieldSize(node, &field); ++i) {
      Message& child = *reflection.MutableRepeatedMessage(&node, &field, i);
      if (!field.is_map()) {
        probe(child, evaluate);
      } else if (const auto* value = field.message_type()->map_value();
                 value->message_type() && !plain(*value->message_type())) {
        probe(*child.GetReflection()->MutableMessage(&child, value), [&] {
          reflection.MutableRepeatedMessage(&node, &field, i);  // tells the map that its entries changed
          return evaluate();
        });
        reflection.MutableRepeatedMessage(&node, &field, i);
      }
    }
  }
};

/// A field without presence whose only accepted value is its default: it is never seen, and anything else is refused.
bool default_alone(const std::string& key, const FieldRow& row) {
  if (row.values.empty() || row.values.find(' ') != std::string_view::npos) return false;
  const std::size_t dot = key.rfind('.');
  const auto* field = find_message(key.substr(0, dot))->FindFieldByName(key.substr(dot + 1));
  return field && !field->has_presence() && !field->is_repeated();
}

/// Messages of filters, which have tests of their own.
bool elsewhere(const std::string& key) {
  for (const char* part : {".filters.http.fault.", ".filters.common.fault.", "CorsPolicy.", "RuntimeFractionalPercent.",
                           ".FractionalPercent."})
    if (key.find(part) != std::string::npos) return true;
  return false;
}

/// Honoured fields that change no value, and why that is right.
const std::map<std::string, std::string> without_value = {
    {"envoy.config.bootstrap.v3.Bootstrap.StaticResources.listeners", "added to the store, one by one"},
    {"envoy.config.bootstrap.v3.Bootstrap.StaticResources.secrets", "added to the store, one by one"},
    {"envoy.config.bootstrap.v3.Bootstrap.DynamicResources.lds_config", "always over ADS, another source is refused"},
    {"envoy.config.bootstrap.v3.Bootstrap.DynamicResources.cds_config", "always over ADS, another source is refused"},
    {"envoy.config.accesslog.v3.AccessLog.name", "the type decides"},
    {"envoy.config.core.v3.SubstitutionFormatString.formatters", "their operators are always known"},
    {"envoy.config.cluster.v3.Cluster.round_robin_lb_config", "it has no field that is honoured"},
    {"envoy.config.listener.v3.FilterChain.metadata", "names the object in refusals"},
    {"envoy.config.route.v3.RouteConfiguration.metadata", "names the object in refusals"},
    {"envoy.config.route.v3.VirtualHost.metadata", "names the object in refusals"},
    {"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.request_id_extension",
     "the only kind there is, and the default"},
    {"envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension.typed_config",
     "the only kind there is, and the default"},
};

TEST_CASE("every honoured field is decoded") {
  Prober prober;
  std::size_t resources = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(CLEW_TEST_DATA) + "/fields")) {
    INFO(entry.path());
    std::ifstream in(entry.path());
    const std::string yaml{std::istreambuf_iterator<char>(in), {}};
    std::string json;
    REQUIRE(yaml_to_json(yaml, json).has_value());
    const auto any = test::parse<pb::Any>(json);
    const auto resource = unpack(any);
    REQUIRE(resource.has_value());
    const std::string base = outcome(**resource);
    INFO(base);
    REQUIRE_FALSE(base.starts_with("refused"));
    prober.probe(**resource, [&] { return outcome(**resource); });
    ++resources;
  }
  REQUIRE(resources > 10);
  for (const auto& [key, row] : rows()) {
    if (row->support != Support::honoured || key.ends_with("*") || key.starts_with("envoy.config.core.v3.Metadata."))
      continue;
    if (elsewhere(key) || default_alone(key, *row)) continue;
    INFO(key);
    if (without_value.contains(key)) {
      CHECK(prober.seen.contains(key));
      CHECK_FALSE(prober.effective.contains(key));
    } else {
      CHECK((prober.effective.contains(key) ? "honoured"
             : prober.seen.contains(key)    ? "without effect"
                                            : "in no resource of test/data/fields") == std::string("honoured"));
    }
  }
}

TEST_CASE("the table names only fields that there are, each once") {
  std::set<std::string> known;
  for (const auto& section : field_table())
    for (const auto& message : section.messages) {
      INFO(message.message);
      CHECK(known.insert(std::string(message.message)).second);
      const auto* type = find_message(message.message);
      REQUIRE(type);
      std::set<std::string> names;
      for (const auto& row : message.rows) {
        CHECK_FALSE(row.fields.empty());
        CHECK((row.support != Support::harmless || !row.why.empty()));
        for_each_word(row.fields, [&](std::string_view word) {
          const std::string name(word);
          INFO(name);
          CHECK((name == "*" || type->FindFieldByName(name) != nullptr));
          CHECK(names.insert(name).second);
        });
      }
    }
}

TEST_CASE("a field that the table does not know is refused, however it comes") {
  // A message type without rows, deep inside.
  envoy::config::cluster::v3::Cluster cluster;
  cluster.set_name("c");
  cluster.mutable_upstream_connection_options()
      ->mutable_tcp_keepalive()
      ->GetReflection()
      ->MutableUnknownFields(cluster.mutable_upstream_connection_options()->mutable_tcp_keepalive())
      ->AddVarint(999, 1);
  CHECK(outcome(cluster) ==
        "refused: cluster c: upstream_connection_options.tcp_keepalive: field number 999 of "
        "envoy.config.core.v3.TcpKeepalive is not known");
}

TEST_CASE("every field of the resources' own messages is in the table") {
  // So that a reader finds an answer for each; deeper messages may be missing where their field is refused.
  const auto table = rows();
  for (const char* name :
       {"envoy.config.cluster.v3.Cluster", "envoy.config.listener.v3.Listener", "envoy.config.listener.v3.FilterChain",
        "envoy.config.route.v3.RouteConfiguration", "envoy.config.route.v3.VirtualHost", "envoy.config.route.v3.Route",
        "envoy.config.route.v3.RouteMatch", "envoy.config.route.v3.RouteAction", "envoy.config.route.v3.RetryPolicy",
        "envoy.config.endpoint.v3.LbEndpoint", "envoy.config.endpoint.v3.LocalityLbEndpoints",
        "envoy.config.bootstrap.v3.Bootstrap",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext",
        "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext"}) {
    const auto* type = find_message(name);
    REQUIRE(type);
    for (int i = 0; i < type->field_count(); ++i) {
      INFO(name << "." << type->field(i)->name());
      CHECK(table.contains(std::string(name) + "." + type->field(i)->name()));
    }
  }
}

}  // namespace
}  // namespace clew
