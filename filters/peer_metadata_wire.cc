#include "filters/peer_metadata.h"

#include "envoy/config/core/v3/base.pb.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/struct.pb.h>

#include <algorithm>
#include <array>

namespace clew {
namespace {

using google::protobuf::Struct;

constexpr std::string_view struct_type = "type.googleapis.com/google.protobuf.Struct";
constexpr const char* metadata_key = "x-envoy-peer-metadata";
constexpr const char* id_key = "x-envoy-peer-metadata-id";

envoy::config::core::v3::Node& node() {
  static envoy::config::core::v3::Node value;
  return value;
}

/// Map fields in the order of their keys: equal contents are equal bytes, as caches of the receivers want it.
std::string serialize(const google::protobuf::Message& message) {
  std::string out;
  {
    google::protobuf::io::StringOutputStream stream(&out);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return out;
}

std::string text(const Struct& from, const std::string& key) {
  const auto it = from.fields().find(key);
  return it == from.fields().end() ? std::string() : it->second.string_value();
}

void set(Struct& to, const std::string& key, std::string value) {
  if (!value.empty()) (*to.mutable_fields())[key].set_string_value(std::move(value));
}

/// OWNER in the form that receivers rebuild it: only the kinds that they know, and always under apps/v1.
std::string owner(const Struct& metadata) {
  const std::string workload = text(metadata, "WORKLOAD_NAME");
  const std::string from = text(metadata, "OWNER");
  const std::string end = "s/" + workload;
  if (workload.empty() || !from.ends_with(end)) return {};
  const std::string kind = from.substr(0, from.size() - end.size());
  for (const char* known : {"deployment", "job", "cronjob", "pod"})
    if (kind.ends_with(std::string("/") + known))
      return "kubernetes://apis/apps/v1/namespaces/" + text(metadata, "NAMESPACE") + "/" + known + end;
  return {};
}

Struct told(const Struct& metadata, const std::vector<std::string>& additional_labels) {
  Struct out;
  for (const char* key : {"NAME", "NAMESPACE", "WORKLOAD_NAME", "CLUSTER_ID"}) set(out, key, text(metadata, key));
  set(out, "OWNER", owner(metadata));
  Struct& labels = *(*out.mutable_fields())["LABELS"].mutable_struct_value();
  const auto from = metadata.fields().find("LABELS");
  if (from == metadata.fields().end()) return out;
  constexpr std::array<std::string_view, 4> always{"service.istio.io/canonical-name",
                                                   "service.istio.io/canonical-revision", "app", "version"};
  for (const auto& [name, value] : from->second.struct_value().fields()) {
    const bool wanted = std::find(always.begin(), always.end(), name) != always.end() ||
                        std::find(additional_labels.begin(), additional_labels.end(), name) != additional_labels.end();
    if (wanted) set(labels, name, value.string_value());
  }
  return out;
}

}  // namespace

void set_local_node(std::string_view serialized_node) {
  if (!node().ParseFromArray(serialized_node.data(), static_cast<int>(serialized_node.size()))) node().Clear();
}

PeerMetadata local_peer(const std::vector<std::string>& additional_labels) {
  return {node().id(), serialize(told(node().metadata(), additional_labels))};
}

std::string peer_exchange_hello(const PeerMetadata& self) {
  Struct both;
  Struct& metadata = *(*both.mutable_fields())[metadata_key].mutable_struct_value();
  metadata.ParseFromString(self.metadata);
  set(both, id_key, self.id);
  google::protobuf::Any any;
  any.set_type_url(std::string(struct_type));
  any.set_value(serialize(both));
  const std::string message = any.SerializeAsString();
  std::string out(reinterpret_cast<const char*>(peer_exchange_magic), sizeof peer_exchange_magic);
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(message.size() >> shift));
  return out + message;
}

std::optional<PeerMetadata> parse_peer_exchange(std::string_view message) {
  google::protobuf::Any any;
  Struct both;
  if (!any.ParseFromArray(message.data(), static_cast<int>(message.size()))) return std::nullopt;
  if (any.type_url() != struct_type || !both.ParseFromString(any.value())) return std::nullopt;
  PeerMetadata out;
  out.id = text(both, id_key);
  if (const auto it = both.fields().find(metadata_key); it != both.fields().end())
    out.metadata = serialize(it->second.struct_value());
  return out;
}

}  // namespace clew
