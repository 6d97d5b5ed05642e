// Access logs of one worker: evaluates filters and formats when a stream or a connection is over and gathers the lines
// for each file; the sinks' thread writes them (log_sink.h). Worker's thread only, collect() included.
#pragma once

#include "config/snapshot/access_log.h"
#include "proxy/base/timer_wheel.h"
#include "proxy/http/run_stream.h"
#include "proxy/stats/stats.h"
#include "proxy/telemetry/formatter.h"
#include "proxy/telemetry/log_sink.h"

#include <cstdint>
#include <string>

namespace clew {

/// Whether the filter lets this one through.
bool passes(const AccessLogFilter& filter, const StreamInfo& info);

class AccessLogger final : public StreamObserver, public StatSource {
 public:
  AccessLogger(Worker& worker, LogSinks& sinks);
  /// Hands over what is left.
  ~AccessLogger() override { flush(); }

  void on_stream_done(const Stream& stream) noexcept override;
  /// A TCP connection's end: of its TcpProxy's logs, and of its listener's.
  void log_connection(const AccessLogs& logs, const ConnectionInfo& connection, const StreamInfo& info) noexcept;
  /// Hands over every line now.
  void flush();
  void collect(StatSink& sink) const override;

 private:
  struct Lines {
    LogFile* file = nullptr;
    std::string text;
    std::uint64_t count = 0;
  };
  void log(const AccessLogs& logs, const FormatContext& context) noexcept;
  /// False: its file cannot be opened.
  bool add_line(const AccessLog& config, const FormatContext& context);
  void hand_over(Lines& lines);

  const Clock& clock_;
  LogSinks& sinks_;
  StringMap<Lines> files_;  // by path
  Timer flush_timer_;
  Counter buffered_, dropped_, flushed_by_timer_;
};

}  // namespace clew
