// The binary: installed as clew, or as the envoy that pilot-agent starts.

#include "config/bootstrap/bootstrap.h"
#include "config/bootstrap/command_line.h"
#include "proxy/app.h"
#include "proxy/base/log.h"
#include "proxy/init/command.h"

#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace {

/// One sentence on stderr: what the agent shows when its proxy does not start.
int fail(const std::string& what) {
  std::fprintf(stderr, "clew: %s\n", what.c_str());
  return 1;
}

/// Nothing can be kept up without memory, least of all half of a configuration: the agent starts us again.
void end_without_memory() {
  constexpr std::string_view text = "clew: out of memory\n";
  const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
  (void)written;
  std::abort();
}

std::string set_up_log(const clew::CommandLine& options, const clew::Bootstrap& bootstrap) {
  namespace log = clew::log;
  if (!options.log_path.empty())
    if (std::string problem = log::open_file(options.log_path); !problem.empty()) return "--log-path: " + problem;
  const std::string& pattern = options.log_format.empty() ? bootstrap.log_pattern : options.log_format;
  if (!pattern.empty() && !log::set_format(pattern))
    CLEW_LOG(config, warning, "log format «{}» cannot be used", pattern);
  log::set_level(options.log_level);
  for (const auto& [component, level] : options.component_log_levels) {
    if (clew::Logger* logger = log::find(component))
      logger->set_level(level);
    else
      CLEW_LOG(config, debug, "log component {} does not exist here", component);
  }
  for (const auto& warning : options.warnings) CLEW_LOG(config, warning, "{}", warning);
  for (const auto& warning : bootstrap.warnings) CLEW_LOG(config, info, "{}", warning);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  std::set_new_handler(end_without_memory);
  // The second is the first word of the injected istio-init container: the stock tool's name.
  const std::string_view command = argc > 1 ? argv[1] : "";
  if (command == "init" || command == "istio-iptables") return clew::run_init(argc - 1, argv + 1);
  auto parsed = clew::parse_command_line(std::vector<std::string>(argv + 1, argv + argc));
  if (parsed.exit_code) {
    std::fprintf(*parsed.exit_code == 0 ? stdout : stderr, "%s\n", parsed.text.c_str());
    return *parsed.exit_code;
  }
  auto bootstrap = clew::load_bootstrap(parsed.options);
  if (!bootstrap) return fail(bootstrap.error().message);
  if (std::string problem = set_up_log(parsed.options, *bootstrap); !problem.empty()) return fail(problem);

  clew::App app(parsed.options, std::move(*bootstrap));
  if (std::string problem = app.load(); !problem.empty()) return fail(problem);
  if (parsed.options.mode == clew::CommandLine::Mode::validate) {
    std::printf("configuration '%s' OK\n", parsed.options.config_path.c_str());
    return 0;
  }
  if (std::string problem = app.start(); !problem.empty()) return fail(problem);
  return app.run();
}
