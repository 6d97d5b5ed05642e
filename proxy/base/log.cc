#include "proxy/base/log.h"

#include "proxy/base/encoding.h"

#include <spdlog/details/log_msg.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <array>
#include <memory>

namespace clew {

namespace {

constexpr std::array<std::string_view, 7> level_names{"trace", "debug", "info", "warning", "error", "critical", "off"};

/// %j: the message as the inside of a JSON string.
class JsonMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    std::string escaped;
    append_json_escaped(escaped, {message.payload.data(), message.payload.size()});
    out.append(escaped.data(), escaped.data() + escaped.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<JsonMessage>(); }
};

/// %_: the message on one line.
class OneLineMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
    constexpr std::string_view escaped = "\\n";
    for (const char c : std::string_view(message.payload.data(), message.payload.size())) {
      if (c == '\n')
        out.append(escaped.data(), escaped.data() + escaped.size());
      else
        out.push_back(c);
    }
  }
  std::unique_ptr<custom_flag_formatter> clone() const override { return std::make_unique<OneLineMessage>(); }
};

std::unique_ptr<spdlog::formatter> make_formatter(const std::string& pattern) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::utc);
  formatter->add_flag<JsonMessage>('j').add_flag<OneLineMessage>('_').set_pattern(pattern);
  return formatter;
}

spdlog::sinks::sink& sink() {
  static spdlog::sinks::stderr_sink_mt* const sink = [] {
    auto* made = new spdlog::sinks::stderr_sink_mt;  // never destroyed: the last words of other threads still come out
    made->set_formatter(make_formatter("[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v"));
    return made;
  }();
  return *sink;
}

}  // namespace

bool parse_log_level(std::string_view text, LogLevel& out) {
  if (text == "warn") text = "warning";
  for (std::size_t i = 0; i < level_names.size(); ++i)
    if (text == level_names[i]) {
      out = static_cast<LogLevel>(i);
      return true;
    }
  return false;
}

std::string_view to_string(LogLevel level) { return level_names[static_cast<std::size_t>(level)]; }

void Logger::write(LogLevel level, const char* file, int line, std::string_view message) {
  // The compiler cache makes paths relative to the build folder, wherever that is: «proxy/…» is what a reader looks
  // for.
  while (std::string_view(file).starts_with("../")) file += 3;
  const spdlog::source_loc where(file, line, "");
  const spdlog::details::log_msg entry(where, {name_.data(), name_.size()},
                                       static_cast<spdlog::level::level_enum>(level), {message.data(), message.size()});
  try {
    sink().log(entry);
    if (level >= LogLevel::warning) sink().flush();
  } catch (const std::exception&) {
    // stderr is gone: there is nobody left to tell
  }
}

namespace log {

#define CLEW_LOGGERS(X)                                                                                        \
  X(main)                                                                                                      \
  X(config)                                                                                                    \
  X(upstream) X(connection) X(http) X(http2) X(router) X(pool) X(filter) X(rbac) X(jwt) X(admin) X(tls) X(dns) \
      X(client) X(init) X(misc) X(secret)

#define CLEW_DEFINE(name) constinit Logger name(#name);
CLEW_LOGGERS(CLEW_DEFINE)
#undef CLEW_DEFINE

const std::vector<Logger*>& all() {
#define CLEW_LIST(name) &name,
  static const std::vector<Logger*> loggers{CLEW_LOGGERS(CLEW_LIST)};
#undef CLEW_LIST
  return loggers;
}

Logger* find(std::string_view name) {
  for (Logger* logger : all())
    if (logger->name() == name) return logger;
  return nullptr;
}

bool set_format(const std::string& pattern) {
  if (pattern.empty() || pattern.size() > 4096) return false;
  sink().set_formatter(make_formatter(pattern));
  return true;
}

void set_level(LogLevel level) {
  for (Logger* logger : all()) logger->set_level(level);
}

}  // namespace log

}  // namespace clew
