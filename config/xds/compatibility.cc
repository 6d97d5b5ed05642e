#include "config/xds/compatibility.h"

#include "config/xds/field_table.h"
#include "config/xds/json.h"

#include <google/protobuf/descriptor.h>

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

namespace clew {

namespace {

constexpr std::string_view preface =
    "# What clew does with each field of Envoy's configuration\n"
    "\n"
    "Printed from the table that the decoders use (`config/xds/field_table_*.cc`): run `ninja compatibility` after a "
    "change.\n"
    "\n"
    "- **honoured**: it does what Envoy does with it. Where values are listed, others are refused.\n"
    "- **harmless**: accepted, and nothing is done with it: no request's fate and no policy hangs on it.\n"
    "- **refused**: a resource that sets it is not accepted; the last good version stays, the control plane gets a "
    "NACK that names\n"
    "  resource, field and Istio object, and `error_state` in `/config_dump` shows it.\n"
    "\n"
    "A field or a type that is not named here is refused. A type inside an `Any` or a `TypedStruct` is looked at like "
    "any other.\n"
    "Static resources of the bootstrap follow the same rules; a bootstrap that breaks them ends the process with one "
    "sentence.\n";

/// What no table of fields says.
constexpr std::string_view redirect_rules =
    "\n"
    "## The redirect rules\n"
    "\n"
    "`clew init` takes the flags and the environment of `istio-iptables` 1.31 and makes the same rules. Where it "
    "differs:\n"
    "\n"
    "| | stock tool | clew |\n"
    "|---|---|---|\n"
    "| rules of another run differ, no `--reconcile` | warns, adds the new rules to them | changes nothing, exit code "
    "12 |\n"
    "| a value that makes no rule: flag, port, CIDR, interface, owner | what iptables or nft make of it | one "
    "sentence, "
    "an exit code for each kind, nothing applied |\n"
    "| a number or boolean in the environment that is none | ignored | refused |\n"
    "| a table, match or program is missing half way | what was applied stays | what was there before is in force "
    "again |\n"
    "| TPROXY with mark 1338 or route tables 253 to 255 | breaks the pod's own traffic | refused |\n"
    "| an interface `net+` with `--native-nftables` | matches nothing | all whose names begin with `net`, as in "
    "iptables |\n"
    "| `--explain`, `--check` | not there | in words, for all traffic or for one packet |\n"
    "\n"
    "As there, IPv6 is left alone in a pod whose first address is IPv4, unless `--dual-stack` is set.\n";

/// What clew does otherwise than Envoy on purpose, and that no field of a configuration shows. By hand; a scenario of
/// the mesh ring leaves out of its comparison exactly what has a row here.
struct Difference {
  std::string_view what, envoy, clew, why;
};

constexpr Difference differences[] = {
    {"a response 204", "passes the application's `content-length` on", "takes it away", "RFC 9110 8.6"},
    {"an HTTP/1.0 request with `transfer-encoding`", "passes it on", "501, the connection is closed",
     "RFC 9112 6.1: its framing cannot be trusted"},
    {"`connection: upgrade` of an answer", "as the upstream wrote it", "in lower case",
     "hop-by-hop headers are always written anew"},
    {"`version_info` of a resource in `/config_dump`", "empty with istiod, whose delta resources have none",
     "the version of the push that brought it", "says which push a proxy has"},
    {"ciphers and curves of a TLS context whose secrets have not come", "looked at when they come", "at once",
     "what can never shake hands is refused, not accepted and dead"},
    {"`/certs`", "one entry for each TLS context, the leaf alone",
     "one entry for the workload's certificate and root, the whole chain", "the same certificate is not listed again"},
    {"control characters in the names of a peer's certificate, in text logs", "printed as they are", "`_`",
     "a certificate cannot forge lines"},
    {"`%FILTER_STATE(downstream_peer)%`, `upstream_peer`, as `PLAIN` or `FIELD`",
     "bytes of a protobuf message; nothing: `downstream_peer_obj` has them", "as with `_obj`",
     "for people, and as istio-proxies before 1.29"},
    {"labels of a peer in metadata exchange", "those that our own `additional_labels` name", "those that it tells",
     "its own `additional_labels` choose them"},
    {"`/stats/prometheus`", "`content-type: text/plain`", "with `version=0.0.4`", "the format's own name"},
    {"`/stats?format=html`", "a page", "400", "text, JSON and Prometheus are served"},
    {"`/runtime_modify`, profilers, heap dumps, `/stats/recentlookups`, `/tap`", "there", "404",
     "nothing is changed at run time; tools of the system look into the process"},
    {"`/help`, `/`", "names every parameter", "names pages and parameters on one line each", "for people alone"},
};

std::string_view word(Support support) {
  switch (support) {
    case Support::honoured: return "honoured";
    case Support::harmless: return "harmless";
    case Support::refused: return "refused";
  }
  return {};
}

std::string code_list(std::string_view words) {
  std::string out;
  for_each_word(words, [&](std::string_view name) {
    if (!out.empty()) out += ", ";
    out += name == "*" ? "every other field" : fmt::format("`{}`", name);
  });
  return out;
}

void append_message(const MessageRows& message, std::string& out) {
  out += fmt::format("\n### `{}`\n\n", message.message);
  if (!message.extension.empty()) out += fmt::format("As `{}` ({}).\n\n", message.extension, message.category);
  const auto* type = find_message(message.message);
  if (!type || type->field_count() == 0) {
    out += "It has no fields.\n";
    return;
  }
  out += "| fields | | |\n|---|---|---|\n";
  std::vector<const FieldRow*> rows;
  for (const auto& row : message.rows) rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(), [](const auto* a, const auto* b) { return a->support < b->support; });
  for (const auto* row : rows) {
    std::string why(row->why);
    if (!row->values.empty()) why += fmt::format("{}only {}", why.empty() ? "" : "; ", code_list(row->values));
    out += fmt::format("| {} | {} | {} |\n", code_list(row->fields), word(row->support), why);
  }
}

}  // namespace

std::string compatibility_markdown() {
  std::string out(preface);
  out += "\n## Behaviour that differs on purpose\n\n| what | Envoy | clew | why |\n|---|---|---|---|\n";
  for (const Difference& row : differences)
    out += fmt::format("| {} | {} | {} | {} |\n", row.what, row.envoy, row.clew, row.why);
  for (const auto& section : field_table()) {
    out += fmt::format("\n## {}\n", section.title);
    for (const auto& message : section.messages) append_message(message, out);
  }
  out += http_differences();
  out += redirect_rules;
  return out;
}

}  // namespace clew
