#include "proxy/base/log.h"

#include "proxy/base/encoding.h"

#include <spdlog/details/log_msg.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <mutex>

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

/// Each line whole and at once, to stderr or to a file of our own.
class LineSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  /// Opens the file anew each time; the one before stays when it cannot be.
  std::string open(const std::string& path) {
    const int fd = path.empty() ? STDERR_FILENO : ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return fmt::format("{}: {}", path, std::strerror(errno));
    const std::lock_guard lock(mutex_);
    if (fd_ != STDERR_FILENO) ::close(fd_);
    fd_ = fd;
    return {};
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    for (std::string_view rest(line.data(), line.size()); !rest.empty();) {
      const ssize_t written = ::write(fd_, rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return;  // nobody is left to tell
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  void flush_() override {}

 private:
  int fd_ = STDERR_FILENO;
};

LineSink& sink() {
  static LineSink* const sink = [] {
    auto* made = new LineSink;  // never destroyed: the last words of other threads still come out
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
  } catch (const std::exception&) {
    // a message that cannot be formatted: there is nobody to tell
  }
}

namespace log {

#define CLEW_LOGGERS(X)                                                                                              \
  X(main)                                                                                                            \
  X(config)                                                                                                          \
  X(upstream)                                                                                                        \
  X(connection) X(http) X(http2) X(router) X(pool) X(filter) X(rbac) X(jwt) X(admin) X(tls) X(dns) X(client) X(init) \
      X(misc) X(secret)

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

std::string open_file(const std::string& path) { return sink().open(path); }

void set_level(LogLevel level) {
  for (Logger* logger : all()) logger->set_level(level);
}

}  // namespace log

}  // namespace clew
