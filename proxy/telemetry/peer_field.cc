#include "proxy/telemetry/peer_field.h"

#include "proxy/base/encoding.h"
#include "proxy/net/connection_info.h"
#include "proxy/net/peer_workload.h"

#include <array>
#include <utility>

namespace clew {
namespace {

/// Istio's names, in the order in which it prints them as text.
constexpr std::array<std::pair<std::string_view, std::string PeerWorkload::*>, 11> fields{
    {{"type", &PeerWorkload::type},
     {"workload", &PeerWorkload::workload},
     {"name", &PeerWorkload::name},
     {"cluster", &PeerWorkload::cluster},
     {"namespace", &PeerWorkload::namespace_name},
     {"service", &PeerWorkload::service},
     {"revision", &PeerWorkload::revision},
     {"app", &PeerWorkload::app},
     {"version", &PeerWorkload::version},
     {"region", &PeerWorkload::region},
     {"availability_zone", &PeerWorkload::zone}}};

/// As istio-proxy keeps them: what HTTP and the listener's side of TCP learn is of the stream, what the cluster's side
/// of TCP learns is of the upstream connection.
const PeerWorkload* peer_of(const FormatItem& item, std::string_view key, const FormatContext& context) {
  const bool tcp = context.info.protocol.empty();
  const bool of_upstream_connection = item.op == FormatItem::Op::upstream_filter_state;
  if (key == "upstream_peer") return of_upstream_connection == tcp ? context.info.upstream_peer.get() : nullptr;
  if (key != "downstream_peer" || of_upstream_connection) return nullptr;
  if (context.connection && context.connection->exchanged_peer) return context.connection->exchanged_peer.get();
  return context.info.downstream_peer.get();
}

/// A member of the object that `out` ends in.
void append_member(std::string& out, std::string_view name, std::string_view value) {
  if (out.back() != '{') out += ',';
  out += '"';
  append_json_escaped(out, name);
  out += "\":\"";
  append_json_escaped(out, value);
  out += '"';
}

void append_object(std::string& out, const PeerWorkload& peer) {
  std::map<std::string_view, std::string_view> members{{"identity", peer.identity}};
  for (const auto& [name, member] : fields) members.emplace(name, peer.*member);
  out += '{';
  for (const auto& [name, value] : members)
    if (!value.empty()) append_member(out, name, value);
  if (!peer.labels.empty()) {
    out += out.back() == '{' ? "\"labels\":{" : ",\"labels\":{";
    for (const auto& [name, value] : peer.labels) append_member(out, name, value);
    out += '}';
  }
  out += '}';
}

void append_plain(std::string& out, const PeerWorkload& peer) {
  const auto append = [&out](std::string_view name, std::string_view value) {
    if (!out.empty()) out += ',';
    out.append(name).append("=").append(value);
  };
  for (const auto& [name, member] : fields)
    if (!(peer.*member).empty()) append(name, peer.*member);
  for (const auto& [name, value] : peer.labels) append("labels[]" + name, value);
}

FieldValue one_field(const PeerWorkload& peer, std::string_view wanted) {
  if (wanted == "type" && peer.type.empty()) return FieldValue("unknown");
  for (const auto& [name, member] : fields)
    if (name == wanted) return FieldValue(peer.*member);
  return {};
}

}  // namespace

FieldValue peer_field(const FormatItem& item, const FormatContext& context, std::string& scratch) {
  std::string_view key = item.text;
  const bool object = key.ends_with("_obj");
  if (object) key.remove_suffix(4);
  const PeerWorkload* peer = peer_of(item, key, context);
  if (!peer) return {};
  const std::string_view form = item.path.empty() ? std::string_view() : std::string_view(item.path[0]);
  if (form == "FIELD") return one_field(*peer, item.path[1]);
  scratch.clear();
  if (form == "PLAIN") {
    append_plain(scratch, *peer);
    return FieldValue(scratch);
  }
  if (!object) scratch += R"({"@type":"type.googleapis.com/google.protobuf.Struct","value":)";
  append_object(scratch, *peer);
  if (!object) scratch += '}';
  FieldValue json(scratch);
  json.kind = FieldValue::Kind::json;
  return json;
}

}  // namespace clew
