// Where log lines go: files by path, written by one thread of their own, so that no worker ever waits for a disk or a
// full pipe. Workers hand over whole chunks of lines; what a sink does not take in time is dropped and counted, within
// a bound.
#pragma once

#include "proxy/base/clock.h"
#include "proxy/base/strings.h"
#include "proxy/stats/stats.h"

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace clew {

struct LogSinkOptions {
  Duration flush_interval =
      std::chrono::seconds(1);          // --file-flush-interval-msec: the longest a line waits on its worker
  std::size_t flush_bytes = 64 * 1024;  // --file-flush-min-size-kb: a worker hands over earlier with this much
  std::size_t max_waiting_bytes = 4 * 1024 * 1024;  // for each file; what comes beyond is dropped
};

/// One open file. Owned by LogSinks, lives as long.
class LogFile;

class LogSinks final : public StatSource {
 public:
  explicit LogSinks(LogSinkOptions options = {});
  LogSinks(const LogSinks&) = delete;
  LogSinks& operator=(const LogSinks&) = delete;
  /// Writes what is there and can be written without waiting.
  ~LogSinks() override;

  const LogSinkOptions& options() const { return options_; }
  /// Any thread. The file of this path, opened for appending if it is not yet; null with the cause set when it cannot
  /// be. «/dev/stdout» is opened by its path too, as Envoy does.
  LogFile* open(const std::string& path, std::string* error = nullptr);
  /// Any thread. False: there was no room, the chunk is lost.
  bool write(LogFile& file, std::string&& chunk);
  /// Any thread: waits until what was handed over is written, but not for long (1 s). For the process's end.
  void flush();
  /// Any thread: opens every path again before its next write (after a rotation). A path that fails keeps its old file.
  void reopen();
  /// Any thread: Envoy's filesystem.* counters, but for those that workers count.
  void collect(StatSink& sink) const override;

 private:
  void run();
  void write_out(LogFile& file);
  void reopen(LogFile& file);

  const LogSinkOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable wake_, written_;
  StringMap<std::unique_ptr<LogFile>> files_;  // guarded; files are never taken away
  bool work_ = false, stop_ = false;           // guarded
  // written by the thread below alone
  Counter write_completed_, write_failed_, reopen_failed_;
  std::thread thread_;
};

}  // namespace clew
