#include "proxy/telemetry/access_logger.h"

#include "proxy/http/stream.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace clew {

namespace {

using Filter = AccessLogFilter;

bool compare(const Filter::StatusCode& rule, std::uint64_t value) {
  switch (rule.op) {
    case Filter::StatusCode::Op::equal: return value == rule.value;
    case Filter::StatusCode::Op::greater_equal: return value >= rule.value;
    case Filter::StatusCode::Op::less_equal: return value <= rule.value;
    case Filter::StatusCode::Op::not_equal: return value != rule.value;
  }
  return false;
}

struct Passes {
  const StreamInfo& info;

  bool operator()(const Filter::ResponseFlags& rule) const {
    if (rule.any_of.empty()) return !info.flags.empty();
    for (auto flag = ResponseFlag{}; flag <= ResponseFlag::unconditional_drop_overload;
         flag = static_cast<ResponseFlag>(static_cast<std::uint8_t>(flag) + 1))
      if (info.flags.has(flag) &&
          std::find(rule.any_of.begin(), rule.any_of.end(), short_name(flag)) != rule.any_of.end())
        return true;
    return false;
  }
  bool operator()(const Filter::StatusCode& rule) const { return compare(rule, info.response_code); }
  bool operator()(const Filter::DurationMs& rule) const {
    if (!info.complete) return false;
    return compare(rule.compare, static_cast<std::uint64_t>(
                                     std::chrono::duration_cast<std::chrono::milliseconds>(*info.complete).count()));
  }
  bool operator()(const Filter::NotHealthCheck&) const { return true; }  // there is no health check filter
  bool operator()(const Filter::And& rule) const {
    return std::all_of(rule.all.begin(), rule.all.end(), [this](const Filter& filter) { return passes(filter, info); });
  }
  bool operator()(const Filter::Or& rule) const {
    return std::any_of(rule.any.begin(), rule.any.end(), [this](const Filter& filter) { return passes(filter, info); });
  }
};

}  // namespace

bool passes(const AccessLogFilter& filter, const StreamInfo& info) { return std::visit(Passes{info}, filter.rule); }

AccessLogger::AccessLogger(Worker& worker, LogSinks& sinks)
    : clock_(worker.clock()), sinks_(sinks), flush_timer_(worker.timers(), [this] {
        flushed_by_timer_.add();
        flush();
      }) {}

void AccessLogger::on_stream_done(const Stream& stream) noexcept {
  if (stream.hcm.access_logs.empty()) return;
  log(stream.hcm.access_logs, {.info = stream.info,
                               .connection = &stream.connection,
                               .now = clock_.now(),
                               .wall = clock_.wall(),
                               .request = &stream.request,
                               .response = &stream.response,
                               .trailers = stream.response_trailers,
                               .log_type = "DownstreamEnd"});
}

void AccessLogger::log_connection(const AccessLogs& logs, const ConnectionInfo& connection,
                                  const StreamInfo& info) noexcept {
  if (logs.empty()) return;
  log(logs, {.info = info,
             .connection = &connection,
             .now = clock_.now(),
             .wall = clock_.wall(),
             .log_type = "TcpConnectionEnd"});
}

void AccessLogger::log(const AccessLogs& logs, const FormatContext& context) noexcept {
  for (const auto& config : logs) {
    try {
      if (config->filter && !passes(*config->filter, context.info)) continue;
      if (!add_line(*config, context)) dropped_.add();
    } catch (const std::exception&) {  // out of memory: the line is lost, the stream is not
      dropped_.add();
    }
  }
}

bool AccessLogger::add_line(const AccessLog& config, const FormatContext& context) {
  auto it = files_.find(config.path);
  if (it == files_.end()) {
    LogFile* file = sinks_.open(config.path);  // was opened when the config was accepted
    if (!file) return false;
    it = files_.emplace(config.path, Lines{file, {}, 0}).first;
  }
  Lines& lines = it->second;
  if (const auto* text = std::get_if<TextFormat>(&config.format))
    append_text(lines.text, *text, context);
  else
    append_json(lines.text, std::get<JsonFormat>(config.format), context);
  ++lines.count;
  if (lines.text.size() >= sinks_.options().flush_bytes)
    hand_over(lines);
  else if (!flush_timer_.armed())
    flush_timer_.arm(sinks_.options().flush_interval);
  return true;
}

void AccessLogger::hand_over(Lines& lines) {
  if (lines.text.empty()) return;
  const std::uint64_t count = std::exchange(lines.count, 0);
  (sinks_.write(*lines.file, std::exchange(lines.text, {})) ? buffered_ : dropped_).add(count);
}

void AccessLogger::flush() {
  flush_timer_.cancel();
  for (auto& [path, lines] : files_) hand_over(lines);
}

void AccessLogger::collect(StatSink& sink) const {
  sink.counter("filesystem.write_buffered", buffered_.value());
  sink.counter("filesystem.write_dropped", dropped_.value());
  sink.counter("filesystem.flushed_by_timer", flushed_by_timer_.value());
}

}  // namespace clew
