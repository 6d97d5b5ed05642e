// The process log (stderr, or the file of --log-path), one logger per Envoy component name, so that pilot-agent's
// --component-log-level and istioctl's `proxy-config log` work unchanged. Any thread. Cheap when the level is off:
// arguments are not formatted.
#pragma once

#include <fmt/core.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace clew {

enum class LogLevel : std::uint8_t { trace, debug, info, warning, error, critical, off };

/// Envoy's names («info», «warning» or «warn», …); nothing on an unknown one.
bool parse_log_level(std::string_view text, LogLevel& out);
std::string_view to_string(LogLevel level);

/// A named logger with its own level.
class Logger {
 public:
  constexpr explicit Logger(std::string_view name) : name_(name) {}
  std::string_view name() const { return name_; }
  LogLevel level() const { return level_.load(std::memory_order_relaxed); }
  void set_level(LogLevel level) { level_.store(level, std::memory_order_relaxed); }
  bool enabled(LogLevel level) const { return level >= this->level(); }
  void write(LogLevel level, const char* file, int line, std::string_view message);

 private:
  std::string_view name_;
  std::atomic<LogLevel> level_{LogLevel::info};
};

/// The components clew logs under; all of them exist from the start.
namespace log {
extern Logger main, config, upstream, connection, http, http2, router, pool, filter, rbac, jwt, admin, tls, dns, client,
    init, misc, secret;
/// Every logger, for POST /logging; the order is stable.
const std::vector<Logger*>& all();
Logger* find(std::string_view name);
/// spdlog pattern of the bootstrap's application_log_config (%j escapes the message for JSON). False and the old
/// pattern stays when it cannot be used.
bool set_format(const std::string& pattern);
/// Appends to this file from now on, or to stderr when the path is empty; again for the same one after it was rotated.
/// Why it cannot be opened, or nothing.
std::string open_file(const std::string& path);
void set_level(LogLevel level);
}  // namespace log

#define CLEW_LOG(component, lvl, ...)                                                                      \
  do {                                                                                                     \
    if (::clew::log::component.enabled(::clew::LogLevel::lvl))                                             \
      ::clew::log::component.write(::clew::LogLevel::lvl, __FILE__, __LINE__, ::fmt::format(__VA_ARGS__)); \
  } while (false)

}  // namespace clew
