#include "filters/peer_metadata.h"

#include "proxy/base/encoding.h"
#include "proxy/base/strings.h"

#include "envoy/config/core/v3/base.pb.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/struct.pb.h>

#include <algorithm>

namespace clew {
namespace {

using google::protobuf::Struct;

constexpr std::string_view struct_type = "type.googleapis.com/google.protobuf.Struct";
constexpr const char* metadata_key = "x-envoy-peer-metadata";
constexpr const char* id_key = "x-envoy-peer-metadata-id";

constexpr const char* canonical_name = "service.istio.io/canonical-name";
constexpr const char* canonical_revision = "service.istio.io/canonical-revision";
constexpr const char* qualified_app = "app.kubernetes.io/name";
constexpr const char* qualified_version = "app.kubernetes.io/version";

// What a thread remembers of peers: 1 MiB at most.
constexpr std::size_t max_remembered_peers = 128, max_remembered_header = 4096;

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

constexpr std::string_view owner_prefix = "kubernetes://apis/apps/v1/namespaces/";

/// «deployment» of «…/deployments/WORKLOAD»; empty when it is none of the kinds that peers know.
std::string kind_of(std::string_view owner, const std::string& workload) {
  const std::string end = "s/" + workload;
  if (workload.empty() || !owner.ends_with(end)) return {};
  owner.remove_suffix(end.size());
  const std::string_view kind = owner.substr(owner.rfind('/') + 1);
  for (const std::string_view known : {"deployment", "job", "cronjob", "pod"})
    if (kind == known) return std::string(kind);
  return {};
}

void read_label(PeerWorkload& out, const std::string& name, const std::string& value) {
  if (name == canonical_name)
    out.service = value;
  else if (name == canonical_revision)
    out.revision = value;
  else if (name != "app" && name != "version" && name != qualified_app && name != qualified_version)
    out.labels.emplace(name, value);
}

PeerWorkload read_workload(const Struct& metadata) {
  PeerWorkload out;
  out.name = text(metadata, "NAME");
  out.namespace_name = text(metadata, "NAMESPACE");
  out.workload = text(metadata, "WORKLOAD_NAME");
  out.cluster = text(metadata, "CLUSTER_ID");
  out.identity = text(metadata, "IDENTITY");
  out.region = text(metadata, "REGION");
  out.zone = text(metadata, "AVAILABILITY_ZONE");
  out.type = kind_of(text(metadata, "OWNER"), out.workload);
  const auto labels = metadata.fields().find("LABELS");
  if (labels == metadata.fields().end()) return out;
  const Struct& from = labels->second.struct_value();
  for (const auto& [name, value] : from.fields()) read_label(out, name, value.string_value());
  out.app = text(from, from.fields().contains(qualified_app) ? qualified_app : "app");
  out.version = text(from, from.fields().contains(qualified_version) ? qualified_version : "version");
  return out;
}

Struct told(const PeerWorkload& workload, const std::vector<std::string>& additional_labels) {
  Struct out;
  set(out, "NAME", workload.name);
  set(out, "NAMESPACE", workload.namespace_name);
  set(out, "WORKLOAD_NAME", workload.workload);
  set(out, "CLUSTER_ID", workload.cluster);
  set(out, "IDENTITY", workload.identity);
  set(out, "REGION", workload.region);
  set(out, "AVAILABILITY_ZONE", workload.zone);
  if (!workload.type.empty())
    set(out, "OWNER",
        std::string(owner_prefix) + workload.namespace_name + "/" + workload.type + "s/" + workload.workload);
  Struct& labels = *(*out.mutable_fields())["LABELS"].mutable_struct_value();
  set(labels, canonical_name, workload.service);
  set(labels, canonical_revision, workload.revision);
  set(labels, "app", workload.app);
  set(labels, "version", workload.version);
  for (const std::string& name : additional_labels)
    if (const auto it = workload.labels.find(name); it != workload.labels.end()) set(labels, name, it->second);
  return out;
}

bool printable(const Struct& metadata) {
  const auto plain = [](std::string_view value) {
    return std::none_of(value.begin(), value.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  };
  return std::all_of(metadata.fields().begin(), metadata.fields().end(), [&](const auto& field) {
    return plain(field.first) && plain(field.second.string_value()) && printable(field.second.struct_value());
  });
}

std::shared_ptr<const PeerWorkload> read_peer(const Struct& metadata) {
  if (!printable(metadata)) return nullptr;
  return std::make_shared<PeerWorkload>(read_workload(metadata));
}

}  // namespace

void set_local_node(std::string_view serialized_node) {
  if (!node().ParseFromArray(serialized_node.data(), static_cast<int>(serialized_node.size()))) node().Clear();
}

PeerMetadata local_peer(const std::vector<std::string>& additional_labels, bool with_locality) {
  PeerWorkload self = read_workload(node().metadata());
  if (with_locality && self.region.empty()) self.region = node().locality().region();
  if (with_locality && self.zone.empty()) self.zone = node().locality().zone();
  return {node().id(), serialize(told(self, additional_labels))};
}

std::shared_ptr<const PeerWorkload> parse_peer(std::string_view serialized_struct) {
  Struct metadata;
  if (!metadata.ParseFromArray(serialized_struct.data(), static_cast<int>(serialized_struct.size()))) return nullptr;
  return read_peer(metadata);
}

std::shared_ptr<const PeerWorkload> peer_of_header(std::string_view value) {
  thread_local StringMap<std::shared_ptr<const PeerWorkload>> known;
  if (const auto it = known.find(value); it != known.end()) return it->second;
  const auto bytes = from_base64(value);
  auto peer = bytes ? parse_peer(*bytes) : nullptr;
  if (!peer || value.size() > max_remembered_header) return peer;
  if (known.size() >= max_remembered_peers) known.clear();
  known.emplace(value, peer);
  return peer;
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

std::shared_ptr<const PeerWorkload> parse_peer_exchange(std::string_view message) {
  google::protobuf::Any any;
  Struct both;
  if (!any.ParseFromArray(message.data(), static_cast<int>(message.size()))) return nullptr;
  if (any.type_url() != struct_type || !both.ParseFromString(any.value())) return nullptr;
  const auto it = both.fields().find(metadata_key);
  return it == both.fields().end() ? nullptr : read_peer(it->second.struct_value());
}

}  // namespace clew
