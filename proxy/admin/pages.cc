#include "proxy/admin/pages.h"

#include "config/bootstrap/bootstrap.h"
#include "config/bootstrap/command_line.h"
#include "config/xds/json.h"
#include "proxy/admin/certs_page.h"
#include "proxy/admin/clusters_page.h"
#include "proxy/admin/config_dump.h"
#include "proxy/admin/listeners_page.h"
#include "proxy/admin/stats_page.h"
#include "proxy/base/log.h"

#include "envoy/admin/v3/server_info.pb.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

#include <fmt/format.h>
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/time_util.h>
#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>

namespace clew {

namespace {

namespace admin = envoy::admin::v3;
using google::protobuf::util::TimeUtil;

constexpr std::string_view state_name(ServerState state) {
  switch (state) {
    case ServerState::live: return "LIVE";
    case ServerState::draining: return "DRAINING";
    case ServerState::pre_initializing: return "PRE_INITIALIZING";
    case ServerState::initializing: return "INITIALIZING";
  }
  return "INITIALIZING";
}

Task<AdminResponse> ready(Process& process, const Query&) {
  const ServerState state = process.state();
  AdminResponse response{state == ServerState::live ? 200u : 503u, std::string(state_name(state)) + "\n"};
  co_return response;
}

google::protobuf::Duration to_proto(Duration duration) {
  return TimeUtil::MillisecondsToDuration(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

void fill_options(const Process& process, admin::CommandLineOptions& options) {
  const CommandLine& line = process.command_line();
  options.set_base_id(std::strtoull(line.base_id.c_str(), nullptr, 10));
  options.set_concurrency(process.concurrency());
  options.set_config_path(line.config_path);
  options.set_config_yaml(line.config_yaml);
  options.set_allow_unknown_static_fields(line.allow_unknown_static_fields);
  options.set_reject_unknown_dynamic_fields(line.reject_unknown_dynamic_fields);
  options.set_admin_address_path(line.admin_address_path);
  options.set_local_address_ip_version(line.local_address_v6 ? admin::CommandLineOptions::v6
                                                             : admin::CommandLineOptions::v4);
  options.set_log_level(std::string(to_string(line.log_level)));
  std::string components;
  for (const auto& [component, level] : line.component_log_levels)
    components += (components.empty() ? "" : ",") + component + ":" + std::string(to_string(level));
  options.set_component_log_level(components);
  options.set_log_format(line.log_format);
  options.set_log_path(line.log_path);
  options.set_service_cluster(line.service_cluster);
  options.set_service_node(line.service_node);
  options.set_service_zone(line.service_zone);
  options.set_mode(line.mode == CommandLine::Mode::serve ? admin::CommandLineOptions::Serve
                                                         : admin::CommandLineOptions::Validate);
  options.set_disable_hot_restart(true);
  options.set_drain_strategy(line.drain_strategy == CommandLine::DrainStrategy::immediate
                                 ? admin::CommandLineOptions::Immediate
                                 : admin::CommandLineOptions::Gradual);
  *options.mutable_drain_time() = to_proto(line.drain_time);
  *options.mutable_parent_shutdown_time() = to_proto(line.parent_shutdown_time);
  *options.mutable_file_flush_interval() = to_proto(line.file_flush_interval);
}

Task<AdminResponse> server_info(Process& process, const Query&) {
  admin::ServerInfo info;
  info.set_version(process.version());
  info.set_state(static_cast<admin::ServerInfo::State>(process.state()));
  const auto uptime =
      TimeUtil::SecondsToDuration(std::chrono::duration_cast<std::chrono::seconds>(process.uptime()).count());
  *info.mutable_uptime_current_epoch() = uptime;
  *info.mutable_uptime_all_epochs() = uptime;
  info.set_hot_restart_version("disabled");
  fill_options(process, *info.mutable_command_line_options());
  envoy::config::bootstrap::v3::Bootstrap bootstrap;
  if (bootstrap.ParseFromString(process.bootstrap().serialized)) *info.mutable_node() = bootstrap.node();
  AdminResponse response = AdminResponse::json(to_json(info, {.pretty = true, .defaults = true}));
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
  const StatSnapshot snapshot = co_await process.stats();
  AdminResponse response = stats_page(snapshot, query, process.tags());
  co_return response;
}

Task<AdminResponse> stats_prometheus(Process& process, const Query& query) {
  const StatSnapshot snapshot = co_await process.stats();
  AdminResponse response = prometheus_page(snapshot, query, process.tags());
  co_return response;
}

/// Every key with its value in each static layer, then the admin's (always empty: nothing is changed at run time).
std::string runtime_json(const Bootstrap& bootstrap) {
  std::set<std::string> keys;
  for (const auto& layer : bootstrap.runtime_layers)
    for (const auto& [key, value] : layer.values) keys.insert(key);
  google::protobuf::Struct page;
  for (const auto& layer : bootstrap.runtime_layers)
    (*page.mutable_fields())["layers"].mutable_list_value()->add_values()->set_string_value(layer.name);
  (*page.mutable_fields())["layers"].mutable_list_value()->add_values()->set_string_value("admin");
  auto& entries = *(*page.mutable_fields())["entries"].mutable_struct_value()->mutable_fields();
  for (const auto& key : keys) {
    auto& entry = *entries[key].mutable_struct_value()->mutable_fields();
    entry["final_value"].set_string_value(*bootstrap.runtime(key));
    auto* values = entry["layer_values"].mutable_list_value();
    for (const auto& layer : bootstrap.runtime_layers) {
      const auto it = layer.values.find(key);
      values->add_values()->set_string_value(it == layer.values.end() ? "" : it->second);
    }
    values->add_values()->set_string_value("");
  }
  return to_json(page);
}

/// Bytes of this process in memory, from the kernel.
std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total = 0, resident = 0;
  statm >> total >> resident;
  return resident * 4096;
}

Task<AdminResponse> memory(Process&, const Query&) {
  const struct mallinfo2 info = mallinfo2();
  google::protobuf::Struct page;  // envoy.admin.v3.Memory: uint64 in JSON are strings
  const auto set = [&](const char* key, std::uint64_t value) {
    (*page.mutable_fields())[key].set_string_value(std::to_string(value));
  };
  set("allocated", info.uordblks + info.hblkhd);
  set("heap_size", info.arena + info.hblkhd);
  set("pageheap_unmapped", 0);
  set("pageheap_free", info.fordblks);
  set("total_thread_cache", 0);
  set("total_physical_bytes", resident_bytes());
  AdminResponse response = AdminResponse::json(to_json(page));
  co_return response;
}

/// Empty, or what is wrong with the query.
std::string set_levels(const Query& query) {
  for (const auto& [key, value] : query.items()) {
    LogLevel level;
    if (key == "level") {
      if (!parse_log_level(value, level)) return "error: unknown logger level\n";
      log::set_level(level);
    } else if (key == "paths") {
      for (std::size_t begin = 0; begin < value.size();) {
        const auto end = std::min(value.find(',', begin), value.size());
        const std::string_view item = std::string_view(value).substr(begin, end - begin);
        const auto colon = item.find(':');
        Logger* logger = log::find(item.substr(0, colon));
        if (colon == std::string_view::npos || !parse_log_level(item.substr(colon + 1), level))
          return "error: invalid logger name or level\n";
        if (logger) logger->set_level(level);
        begin = end + 1;
      }
    } else {
      Logger* logger = log::find(key);
      if (!logger || !parse_log_level(value, level)) return "error: unknown logger name or level\n";
      logger->set_level(level);
    }
  }
  return {};
}

Task<AdminResponse> logging(Process&, const Query& query) {
  AdminResponse response;
  if (std::string problem = set_levels(query); !problem.empty()) {
    response = AdminResponse::error(400, std::move(problem));
    co_return response;
  }
  response.body = "active loggers:\n";
  for (const Logger* logger : log::all())
    response.body += fmt::format("  {}: {}\n", logger->name(), to_string(logger->level()));
  response.body += "\n";
  co_return response;
}

Task<AdminResponse> drain_listeners(Process& process, const Query& query) {
  process.drain_listeners({.graceful = query.has("graceful"),
                           .inbound_only = query.has("inboundonly"),
                           .skip_exit = query.has("skip_exit")});
  AdminResponse response{200, "OK\n"};
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
    {"/drain_listeners", true, "drain listeners (?graceful, ?inboundonly, ?skip_exit)", drain_listeners},
    {"/help", false, "list of pages", help},
    {"/hot_restart_version", false, "always disabled", hot_restart_version},
    {"/listeners", false, "listeners and their addresses (?format=json)", listeners},
    {"/logging", true, "query or change log levels (?level=L, ?LOGGER=L, ?paths=LOGGER:L,…)", logging},
    {"/memory", false, "what the allocator and the kernel count", memory},
    {"/quitquitquit", true, "exit", quit},
    {"/ready", false, "200 when LIVE, otherwise 503", ready},
    {"/reopen_logs", true, "reopen access logs", reopen_logs},
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
