#include "config/bootstrap/command_line.h"

#include <catch2/catch.hpp>

namespace clew {
namespace {

using Arguments = std::vector<std::string>;

std::string problem(const Arguments& arguments) {
  const auto parsed = parse_command_line(arguments);
  return parsed.exit_code == 1 ? parsed.text : "accepted";
}

TEST_CASE("the agent's command line") {
  const auto parsed = parse_command_line({"-c", "etc/istio/proxy/envoy-rev.json", "--drain-time-s", "45",
                                          "--drain-strategy", "immediate", "--local-address-ip-version", "v4",
                                          "--file-flush-interval-msec", "1000", "--disable-hot-restart",
                                          "--allow-unknown-static-fields", "-l", "warning", "--component-log-level",
                                          "misc:error,upstream:debug", "--skip-deprecated-logs", "--concurrency", "2"});
  REQUIRE_FALSE(parsed.exit_code);
  const CommandLine& options = parsed.options;
  CHECK(options.config_path == "etc/istio/proxy/envoy-rev.json");
  CHECK(options.mode == CommandLine::Mode::serve);
  CHECK(options.drain_time == std::chrono::seconds(45));
  CHECK(options.drain_strategy == CommandLine::DrainStrategy::immediate);
  CHECK_FALSE(options.local_address_v6);
  CHECK(options.file_flush_interval == std::chrono::seconds(1));
  CHECK(options.file_flush_min_size == 64 * 1024);
  CHECK(options.allow_unknown_static_fields);
  CHECK(options.log_level == LogLevel::warning);
  REQUIRE(options.component_log_levels.size() == 2);
  CHECK(options.component_log_levels[0].component == "misc");
  CHECK(options.component_log_levels[1].level == LogLevel::debug);
  CHECK(options.concurrency == 2u);
  CHECK(options.warnings.empty());
}

TEST_CASE("both ways to write a value, and an override that looks like a flag") {
  const auto parsed = parse_command_line({"--config-path=a.json", "--concurrency=0", "--config-yaml",
                                          "{\"node\": {\"id\": \"-c\"}}", "--drain-time-s=7", "--mode", "validate"});
  REQUIRE_FALSE(parsed.exit_code);
  CHECK(parsed.options.config_path == "a.json");
  CHECK_FALSE(parsed.options.concurrency);
  CHECK(parsed.options.config_yaml == "{\"node\": {\"id\": \"-c\"}}");
  CHECK(parsed.options.drain_time == std::chrono::seconds(7));
  CHECK(parsed.options.mode == CommandLine::Mode::validate);
}

TEST_CASE("what Envoy knows and clew has no use for takes its value along") {
  const auto parsed = parse_command_line({"-c", "x", "--base-id-path", "p", "--enable-core-dump", "--max-stats=5",
                                          "--restart-epoch", "0", "--base-id", "3"});
  REQUIRE_FALSE(parsed.exit_code);
  CHECK(parsed.options.warnings.empty());
  CHECK(parsed.options.restart_epoch == "0");
}

TEST_CASE("an unknown flag or component is a warning") {
  const auto parsed =
      parse_command_line({"-c", "x", "--from-next-year", "--component-log-level", "nonsense,a:loud,b:info"});
  REQUIRE_FALSE(parsed.exit_code);
  CHECK(parsed.options.warnings.size() == 3);
  REQUIRE(parsed.options.component_log_levels.size() == 1);
  CHECK(parsed.options.component_log_levels[0].component == "b");
}

TEST_CASE("what cannot be meant ends with a sentence and 1") {
  CHECK(problem({}).find("a bootstrap is needed") != std::string::npos);
  CHECK(problem({"-c"}).find("-c") != std::string::npos);
  CHECK(problem({"-c", "x", "-l", "loud"}) == "clew: --log-level: «loud» is no level\n");
  CHECK(problem({"-c", "x", "--concurrency", "-1"}) != "accepted");
  CHECK(problem({"-c", "x", "--concurrency", "many"}) == "clew: --concurrency: «many» is no number from 0 to 1024\n");
  CHECK(problem({"-c", "x", "--drain-time-s", "soon"}) != "accepted");
  CHECK(problem({"-c", "x", "--drain-strategy", "never"}) != "accepted");
  CHECK(problem({"-c", "x", "--mode", "dream"}) != "accepted");
  CHECK(problem({"-c", "x", "--local-address-ip-version", "v5"}) != "accepted");
  CHECK(problem({"-c", "x", "--file-flush-min-size-kb", "0"}) != "accepted");
}

TEST_CASE("help and version are for people") {
  const auto help = parse_command_line({"--help"});
  CHECK(help.exit_code == 0);
  CHECK(help.text.find("--config-path") != std::string::npos);
  const auto version = parse_command_line({"--version"});
  CHECK(version.exit_code == 0);
  CHECK(version.text.starts_with("clew "));
}

}  // namespace
}  // namespace clew
