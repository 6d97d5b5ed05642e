#include "proxy/admin/pages.h"

#include "config/bootstrap/bootstrap.h"
#include "config/xds/json.h"
#include "proxy/admin/certs_page.h"
#include "proxy/admin/clusters_page.h"
#include "proxy/admin/config_dump.h"
#include "proxy/admin/listeners_page.h"
#include "proxy/admin/logging_page.h"
#include "proxy/admin/server_info_page.h"
#include "proxy/admin/stats_page.h"
#include "proxy/stats/process_memory.h"

#include <fmt/format.h>
#include <google/protobuf/struct.pb.h>

#include <algorithm>
#include <set>

namespace clew {

namespace {

Task<AdminResponse> ready(Process& process, const Query&) {
  const ServerState state = process.state();
  AdminResponse response{state == ServerState::live ? 200u : 503u, std::string(state_name(state)) + "\n"};
  co_return response;
}

Task<AdminResponse> server_info(Process& process, const Query&) {
  AdminResponse response = server_info_page(process);
  co_return response;
}

Task<AdminResponse> init_dump(Process& process, const Query& query) {
  AdminResponse response = init_dump_page(process.config(), query);
  co_return response;
}

Task<AdminResponse> dump(Process& process, const Query& query) {
  AdminResponse response = config_dump(process, query);
  co_return response;
}

Task<AdminResponse> clusters(Process& process, const Query& query) {
  std::optional<Regex> filter;
  if (const auto pattern = query.get("filter"); pattern && !pattern->empty()) {
    filter = Regex::compile(".*(?:" + std::string(*pattern) + ").*");
    if (!filter) {
      AdminResponse response = AdminResponse::error(400, "Invalid re2 regex\n");
      co_return response;
    }
  }
  const ClusterEndpointTotals totals = co_await process.endpoint_stats();
  const bool json = query.get("format") == "json";
  AdminResponse response =
      (json ? clusters_json : clusters_text)(process.config(), totals, filter ? &*filter : nullptr);
  co_return response;
}

Task<AdminResponse> listeners(Process& process, const Query& query) {
  AdminResponse response = listeners_page(process.config(), query.get("format") == "json");
  co_return response;
}

Task<AdminResponse> certs(Process& process, const Query&) {
  AdminResponse response = certs_page(process.config(), process.now());
  co_return response;
}

Task<AdminResponse> stats(Process& process, const Query& query) {
  StatSelection selection;
  if (std::string problem = read_stat_selection(query, selection); !problem.empty())
    co_return AdminResponse::error(400, problem);
  Task<StatSnapshot> asked = process.stats(std::move(selection));
  const StatSnapshot snapshot = co_await std::move(asked);
  AdminResponse response = stats_page(snapshot, query, process.tags());
  co_return response;
}

Task<AdminResponse> stats_prometheus(Process& process, const Query& query) {
  StatSelection selection;
  if (std::string problem = read_stat_selection(query, selection); !problem.empty())
    co_return AdminResponse::error(400, problem);
  Task<StatSnapshot> asked = process.stats(std::move(selection));
  const StatSnapshot snapshot = co_await std::move(asked);
  AdminResponse response = prometheus_page(snapshot, query, process.tags());
  co_return response;
}

/// Every key with its value in each layer of the bootstrap; the admin's is always empty: nothing is changed at run
/// time.
std::string runtime_json(const Bootstrap& bootstrap) {
  std::set<std::string> keys;
  for (const auto& layer : bootstrap.runtime_layers)
    for (const auto& [key, value] : layer.values) keys.insert(key);
  google::protobuf::Struct page;
  for (const auto& layer : bootstrap.runtime_layers)
    (*page.mutable_fields())["layers"].mutable_list_value()->add_values()->set_string_value(layer.name);
  auto& entries = *(*page.mutable_fields())["entries"].mutable_struct_value()->mutable_fields();
  for (const auto& key : keys) {
    auto& entry = *entries[key].mutable_struct_value()->mutable_fields();
    entry["final_value"].set_string_value(*bootstrap.runtime(key));
    auto* values = entry["layer_values"].mutable_list_value();
    for (const auto& layer : bootstrap.runtime_layers) {
      const auto it = layer.values.find(key);
      values->add_values()->set_string_value(it == layer.values.end() ? "" : it->second);
    }
  }
  return to_json(page);
}

Task<AdminResponse> memory(Process&, const Query&) {
  const ProcessMemory used = process_memory();
  google::protobuf::Struct page;  // envoy.admin.v3.Memory: uint64 in JSON are strings
  const auto set = [&](const char* key, std::uint64_t value) {
    (*page.mutable_fields())[key].set_string_value(std::to_string(value));
  };
  set("allocated", used.allocated);
  set("heap_size", used.heap_size);
  set("pageheap_unmapped", 0);
  set("pageheap_free", used.free);
  set("total_thread_cache", 0);
  set("total_physical_bytes", used.physical);
  AdminResponse response = AdminResponse::json(to_json(page));
  co_return response;
}

Task<AdminResponse> logging(Process&, const Query& query) {
  AdminResponse response = logging_page(query);
  co_return response;
}

Task<AdminResponse> drain_listeners(Process& process, const Query& query) {
  process.drain_listeners({.graceful = query.has("graceful"),
                           .inbound_only = query.has("inboundonly"),
                           .skip_exit = query.has("skip_exit")});
  AdminResponse response{200, "OK\n"};
  co_return response;
}

/// For people who want no more work to come: not ready, and every connection is told to finish.
Task<AdminResponse> fail_health_check(Process& process, const Query&) {
  process.fail_health_check(true);
  AdminResponse response{200, "OK\n"};
  co_return response;
}

Task<AdminResponse> pass_health_check(Process& process, const Query&) {
  process.fail_health_check(false);
  AdminResponse response{200, "OK\n"};
  co_return response;
}

Task<AdminResponse> reset_counters(Process& process, const Query&) {
  Task<StatSnapshot> asked = process.stats({});
  const StatSnapshot now = co_await std::move(asked);
  process.reset_counters(now);
  AdminResponse response{200, "OK\n"};
  co_return response;
}

Task<AdminResponse> contention(Process&, const Query&) {
  AdminResponse response{200, "Mutex contention tracing is not enabled.\n"};
  co_return response;
}

Task<AdminResponse> quit(Process& process, const Query&) {
  process.quit();
  AdminResponse response{200, "OK\n"};
  co_return response;
}

Task<AdminResponse> reopen_logs(Process& process, const Query&) {
  process.reopen_logs();
  AdminResponse response{200, "OK\n"};
  co_return response;
}

Task<AdminResponse> runtime(Process& process, const Query&) {
  AdminResponse response = AdminResponse::json(runtime_json(process.bootstrap()));
  co_return response;
}

Task<AdminResponse> hot_restart_version(Process&, const Query&) {
  AdminResponse response{200, "disabled"};
  co_return response;
}

Task<AdminResponse> help(Process&, const Query&) {
  AdminResponse response{200, admin_help()};
  co_return response;
}

Task<AdminResponse> home(Process&, const Query&) {
  AdminResponse response;
  response.content_type = "text/html; charset=UTF-8";
  response.body =
      "<!DOCTYPE html>\n<html lang='en'><head><title>clew admin</title></head>\n<body><h1>clew admin</h1>\n<table>\n";
  for (const auto& page : admin_pages()) {
    const std::string link =
        page.mutates ? fmt::format("<form action='{0}' method='post'><button>{0}</button></form>", page.path)
                     : fmt::format("<a href='{0}'>{0}</a>", page.path);
    response.body += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", link, page.help);
  }
  response.body += "</table></body></html>\n";
  co_return response;
}

constexpr AdminPage pages[] = {
    {"/", false, "this page", home},
    {"/certs", false, "certificates in use", certs},
    {"/clusters", false, "upstream clusters and their endpoints (?format=json, ?filter=REGEX)", clusters},
    {"/config_dump", false, "the configuration as received (?resource=, ?mask=, ?name_regex=, ?include_eds)", dump},
    {"/contention", false, "always empty: mutexes are not traced", contention},
    {"/drain_listeners", true, "drain listeners (?graceful, ?inboundonly, ?skip_exit)", drain_listeners},
    {"/healthcheck/fail", true, "not ready from now on, connections are told to finish", fail_health_check},
    {"/healthcheck/ok", true, "takes /healthcheck/fail back", pass_health_check},
    {"/help", false, "list of pages", help},
    {"/hot_restart_version", false, "always disabled", hot_restart_version},
    {"/init_dump", false, "what is waited for (?mask=listener)", init_dump},
    {"/listeners", false, "listeners and their addresses (?format=json)", listeners},
    {"/logging", true, "query or change log levels (?level=L, ?LOGGER=L, ?paths=LOGGER:L,…)", logging},
    {"/memory", false, "what the allocator and the kernel count", memory},
    {"/quitquitquit", true, "exit", quit},
    {"/ready", false, "200 when LIVE, otherwise 503", ready},
    {"/reopen_logs", true, "reopen access logs", reopen_logs},
    {"/reset_counters", true, "counters and histograms begin again at zero", reset_counters},
    {"/runtime", false, "runtime values of the bootstrap", runtime},
    {"/server_info", false, "version, state, uptime, command line, node", server_info},
    {"/stats", false, "metrics (?usedonly, ?filter=REGEX, ?format=json|prometheus, ?type=)", stats},
    {"/stats/prometheus", false, "metrics in Prometheus text format", stats_prometheus},
};

}  // namespace

std::span<const AdminPage> admin_pages() { return pages; }

const AdminPage* find_admin_page(std::string_view path) {
  const auto it =
      std::find_if(std::begin(pages), std::end(pages), [&](const AdminPage& page) { return page.path == path; });
  return it == std::end(pages) ? nullptr : it;
}

std::string admin_help() {
  std::string text = "admin commands are:\n";
  for (const auto& page : pages)
    text += fmt::format("  {}{}: {}\n", page.path, page.mutates ? " (POST)" : "", page.help);
  return text;
}

}  // namespace clew
