#include "config/bootstrap/command_line.h"

#include "proxy/base/strings.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>

#ifndef CLEW_VERSION
#define CLEW_VERSION "unknown"
#endif

namespace clew {

namespace {

constexpr std::string_view about =
    "clew: the data plane of an Istio mesh in one small binary.\n"
    "Started by pilot-agent in place of Envoy; takes Envoy's command line and bootstrap.\n"
    "`clew init` (or `clew istio-iptables`) makes the rules that bring a pod's traffic here: see clew init --help.";

/// Flags of Envoy that clew has no use for; the value says whether a word follows them.
constexpr std::pair<std::string_view, bool> without_effect[] = {{"--disable-hot-restart", false},
                                                                {"--skip-hot-restart-on-no-parent", false},
                                                                {"--skip-hot-restart-parent-stats", false},
                                                                {"--use-dynamic-base-id", false},
                                                                {"--skip-deprecated-logs", false},
                                                                {"--enable-core-dump", false},
                                                                {"--enable-fine-grain-logging", false},
                                                                {"--log-format-escaped", false},
                                                                {"--cpuset-threads", false},
                                                                {"--disable-extensions", true},
                                                                {"--enable-mutex-tracing", false},
                                                                {"--ignore-unknown-dynamic-fields", false},
                                                                {"--hot-restart-version", false},
                                                                {"--base-id-path", true},
                                                                {"--socket-path", true},
                                                                {"--socket-mode", true},
                                                                {"--stats-tag", true},
                                                                {"--max-obj-name-len", true},
                                                                {"--max-stats", true},
                                                                {"--bootstrap-version", true},
                                                                {"--log-format-prefix-with-location", true}};

struct Raw {
  std::string mode = "serve", level = "info", component_levels, strategy = "gradual", ip_version = "v4", concurrency;
  std::uint64_t drain_s = 600, parent_shutdown_s = 900, flush_ms = 10'000, flush_kb = 64;
  bool version = false;
};

constexpr std::uint64_t most_seconds = 365ull * 24 * 3600;

void add_options(CLI::App& app, CommandLine& out, Raw& raw) {
  const auto seconds = CLI::Range(std::uint64_t{0}, most_seconds);
  app.add_option("-c,--config-path", out.config_path, "The bootstrap: a file of JSON or YAML, whatever its name");
  app.add_option("--config-yaml", out.config_yaml, "YAML or JSON merged over the bootstrap");
  app.add_option("--mode", raw.mode, "serve, or validate: check the configuration and leave")
      ->check(CLI::IsMember({"serve", "validate", "init_only"}));
  app.add_option("--concurrency", raw.concurrency, "Worker threads; 0 or absent: one for each hardware thread");
  app.add_option("-l,--log-level", raw.level, "trace, debug, info, warning, error, critical or off");
  app.add_option("--component-log-level", raw.component_levels,
                 "Levels of single components: upstream:debug,http:trace");
  app.add_option("--log-path", out.log_path, "A file for the log; otherwise stderr");
  app.add_option("--log-format", out.log_format, "spdlog's pattern of a log line");
  app.add_option("--drain-time-s", raw.drain_s, "How long connections drain")->check(seconds);
  app.add_option("--drain-strategy", raw.strategy, "gradual or immediate")
      ->check(CLI::IsMember({"gradual", "immediate"}));
  app.add_option("--parent-shutdown-time-s", raw.parent_shutdown_s, "Kept for /server_info")->check(seconds);
  app.add_option("--local-address-ip-version", raw.ip_version, "v4 or v6")->check(CLI::IsMember({"v4", "v6"}));
  app.add_option("--file-flush-interval-msec", raw.flush_ms, "How often access logs are flushed")
      ->check(CLI::Range(std::uint64_t{1}, most_seconds * 1000));
  app.add_option("--file-flush-min-size-kb", raw.flush_kb, "Flush an access log once it holds so much")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{64 * 1024}));
  app.add_option("--admin-address-path", out.admin_address_path, "A file to write the admin address to");
  app.add_option("--service-cluster", out.service_cluster, "node.cluster where the bootstrap has none");
  app.add_option("--service-node", out.service_node, "node.id where the bootstrap has none");
  app.add_option("--service-zone", out.service_zone, "node.locality.zone where the bootstrap has none");
  app.add_option("--base-id", out.base_id, "Accepted; there is no hot restart");
  app.add_option("--restart-epoch", out.restart_epoch, "Accepted; there is no hot restart");
  app.add_flag("--allow-unknown-static-fields,--allow-unknown-fields", out.allow_unknown_static_fields,
               "Warn of unknown fields in the bootstrap instead of refusing it");
  app.add_flag("--reject-unknown-dynamic-fields", out.reject_unknown_dynamic_fields,
               "Always so: what is not known is refused");
  app.add_flag("--version", raw.version, "Print the version and leave");
}

/// Removes what has no effect, so that CLI11 sees only what means something.
std::vector<std::string> keep_meaningful(const std::vector<std::string>& arguments) {
  std::vector<std::string> kept;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view flag = std::string_view(arguments[i]).substr(0, arguments[i].find('='));
    const auto* known = std::find_if(std::begin(without_effect), std::end(without_effect),
                                     [&](const auto& f) { return f.first == flag; });
    if (known == std::end(without_effect)) {
      kept.push_back(arguments[i]);
    } else if (known->second && flag.size() == arguments[i].size()) {
      ++i;
    }
  }
  return kept;
}

void set_component_levels(std::string_view text, CommandLine& out) {
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(item.size() + 1, text.size()));
    const std::size_t colon = item.find(':');
    LogLevel level;
    if (colon == 0 || colon == std::string_view::npos || !parse_log_level(item.substr(colon + 1), level))
      out.warnings.push_back(fmt::format("--component-log-level: «{}» is not component:level and was left out", item));
    else
      out.component_log_levels.push_back({std::string(item.substr(0, colon)), level});
  }
}

/// What CLI11 has stored as text and numbers; returns a problem.
std::string convert(const Raw& raw, CommandLine& out) {
  out.mode = raw.mode == "serve" ? CommandLine::Mode::serve : CommandLine::Mode::validate;
  out.drain_strategy =
      raw.strategy == "immediate" ? CommandLine::DrainStrategy::immediate : CommandLine::DrainStrategy::gradual;
  out.drain_time = std::chrono::seconds(raw.drain_s);
  out.parent_shutdown_time = std::chrono::seconds(raw.parent_shutdown_s);
  out.file_flush_interval = std::chrono::milliseconds(raw.flush_ms);
  out.file_flush_min_size = raw.flush_kb * 1024;
  out.local_address_v6 = raw.ip_version == "v6";
  if (!parse_log_level(raw.level, out.log_level)) return fmt::format("--log-level: «{}» is no level", raw.level);
  set_component_levels(raw.component_levels, out);
  if (!raw.concurrency.empty()) {
    const auto workers = parse_uint(raw.concurrency);
    if (!workers || *workers > 1024)
      return fmt::format("--concurrency: «{}» is no number from 0 to 1024", raw.concurrency);
    if (*workers > 0) out.concurrency = static_cast<std::uint32_t>(*workers);
  }
  if (out.config_path.empty() && out.config_yaml.empty())
    return "a bootstrap is needed: -c FILE or --config-yaml TEXT (try --help)";
  return {};
}

}  // namespace

ParsedCommandLine parse_command_line(const std::vector<std::string>& arguments) {
  ParsedCommandLine out;
  Raw raw;
  CLI::App app{std::string(about), "clew"};
  app.allow_extras();
  add_options(app, out.options, raw);

  std::vector<std::string> reversed = keep_meaningful(arguments);
  std::reverse(reversed.begin(), reversed.end());  // CLI11 takes them from the back
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    return {{}, app.help(), 0};
  } catch (const CLI::ParseError& error) {
    return {{}, fmt::format("clew: {}\n", error.what()), 1};
  }
  if (raw.version) return {{}, fmt::format("clew {} (takes the place of envoy)\n", CLEW_VERSION), 0};
  for (const auto& unknown : app.remaining())
    out.options.warnings.push_back(fmt::format("command line: «{}» is not known and has no effect", unknown));
  if (std::string problem = convert(raw, out.options); !problem.empty())
    return {{}, fmt::format("clew: {}\n", problem), 1};
  return out;
}

}  // namespace clew
