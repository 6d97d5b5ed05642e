#include "proxy/admin/server_info_page.h"

#include "config/bootstrap/bootstrap.h"
#include "config/bootstrap/command_line.h"
#include "config/xds/json.h"

#include "envoy/admin/v3/server_info.pb.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/time_util.h>

#include <cstdlib>
#include <map>

namespace clew {

namespace {

namespace admin = envoy::admin::v3;
using google::protobuf::util::TimeUtil;

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

template <class T>
std::map<std::string, std::string> warming(const StringMap<Record<T>>& records, std::string_view kind) {
  std::map<std::string, std::string> out;
  for (const auto& [name, record] : records)
    if (record.warming) out.emplace(name, std::string(kind) + " " + name);
  return out;
}

}  // namespace

std::string_view state_name(ServerState state) {
  return admin::ServerInfo::State_Name(static_cast<admin::ServerInfo::State>(state));
}

AdminResponse server_info_page(const Process& process) {
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
  return AdminResponse::json(to_json(info, {.pretty = true, .defaults = true}));
}

AdminResponse init_dump_page(const ConfigStore& store, const Query& query) {
  google::protobuf::Struct page;
  const auto add = [&](const std::string& manager, const std::map<std::string, std::string>& targets) {
    if (targets.empty()) return;
    auto* dump =
        (*page.mutable_fields())["unready_targets_dumps"].mutable_list_value()->add_values()->mutable_struct_value();
    (*dump->mutable_fields())["name"].set_string_value(manager);
    for (const auto& [name, target] : targets)
      (*dump->mutable_fields())["target_names"].mutable_list_value()->add_values()->set_string_value(target);
  };
  add("init manager listeners", warming(store.listeners(), "listener"));
  if (query.get("mask").value_or("").empty()) {
    add("init manager clusters", warming(store.clusters(), "cluster"));
    std::map<std::string, std::string> secrets;
    for (const auto& reference : store.wanted_secrets())
      if (!store.settled(reference)) secrets.emplace(reference.name, "secret " + reference.name);
    add("init manager secrets", secrets);
  }
  return AdminResponse::json(to_json(page));
}

}  // namespace clew
