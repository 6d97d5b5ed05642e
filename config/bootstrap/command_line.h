// The command line that pilot-agent gives to Envoy, and Envoy's other common flags. What clew has no use for is
// accepted; what it does not know is reported, not fatal: a newer agent must not keep a pod from starting.
#pragma once

#include "proxy/base/clock.h"
#include "proxy/base/log.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace clew {

struct CommandLine {
  enum class Mode : std::uint8_t { serve, validate };
  enum class DrainStrategy : std::uint8_t { gradual, immediate };
  struct ComponentLevel {
    std::string component;  // as written; it may be unknown
    LogLevel level;
  };

  std::string config_path;  // -c
  std::string config_yaml;  // --config-yaml: YAML or JSON, merged over the file
  Mode mode = Mode::serve;
  std::optional<std::uint32_t> concurrency;  // nothing: the number of hardware threads
  LogLevel log_level = LogLevel::info;
  std::vector<ComponentLevel> component_log_levels;
  std::string log_path;    // empty: stderr
  std::string log_format;  // empty: the bootstrap's
  Duration drain_time = std::chrono::seconds(600);
  DrainStrategy drain_strategy = DrainStrategy::gradual;
  Duration parent_shutdown_time = std::chrono::seconds(900);
  bool local_address_v6 = false;
  Duration file_flush_interval = std::chrono::seconds(10);
  std::size_t file_flush_min_size = 64 * 1024;              // bytes
  std::string admin_address_path;                           // where the admin listener's address is written
  std::string service_cluster, service_node, service_zone;  // fill what the bootstrap's node leaves empty
  std::string base_id, restart_epoch;                       // hot restart is not done; shown in /server_info alone
  bool allow_unknown_static_fields = false;
  bool reject_unknown_dynamic_fields = false;
  std::vector<std::string> warnings;  // for the log, once it is set up
};

/// What main has to do next.
struct ParsedCommandLine {
  CommandLine options;
  std::string text;              // of --help or --version for stdout, or an error for stderr
  std::optional<int> exit_code;  // set: print text and leave with it
};

/// arguments: without the program's name.
ParsedCommandLine parse_command_line(const std::vector<std::string>& arguments);

}  // namespace clew
