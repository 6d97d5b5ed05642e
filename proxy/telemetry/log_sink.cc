#include "proxy/telemetry/log_sink.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

namespace clew {

class LogFile {
 public:
  LogFile(std::string path, int fd) : path(std::move(path)), fd(fd) {}
  LogFile(const LogFile&) = delete;
  ~LogFile() { close(fd); }

  const std::string path;
  // guarded by LogSinks::mutex_
  std::deque<std::string> waiting;
  std::size_t waiting_bytes = 0;  // with those in `writing`
  bool reopen = false;
  // the writing thread's
  int fd;
  std::deque<std::string> writing;
  std::size_t written = 0;  // of writing.front()
};

namespace {

constexpr auto retry_blocked = std::chrono::milliseconds(20);

/// Without waiting: a pipe that nobody empties must not stop the other files.
int open_file(const std::string& path) {
  return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
}

}  // namespace

LogSinks::LogSinks(LogSinkOptions options) : options_(options) {
  // No signal is handled here; one that comes for the process goes to another thread, and SIGPIPE turns into EPIPE.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { run(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

LogSinks::~LogSinks() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

LogFile* LogSinks::open(const std::string& path, std::string* error) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto it = files_.find(path); it != files_.end()) return it->second.get();
  }
  const int fd = open_file(path);
  if (fd < 0) {
    if (error) *error = "unable to open file '" + path + "': " + std::strerror(errno);
    return nullptr;
  }
  auto file = std::make_unique<LogFile>(path, fd);
  const std::lock_guard lock(mutex_);
  return files_.try_emplace(path, std::move(file)).first->second.get();  // of two threads the first one wins
}

bool LogSinks::write(LogFile& file, std::string&& chunk) {
  {
    const std::lock_guard lock(mutex_);
    if (file.waiting_bytes + chunk.size() > options_.max_waiting_bytes) return false;
    file.waiting_bytes += chunk.size();
    file.waiting.push_back(std::move(chunk));
    work_ = true;
  }
  wake_.notify_one();
  return true;
}

void LogSinks::flush() {
  std::unique_lock lock(mutex_);
  written_.wait_for(lock, std::chrono::seconds(1), [this] {
    return std::all_of(files_.begin(), files_.end(), [](const auto& file) { return file.second->waiting_bytes == 0; });
  });
}

void LogSinks::reopen() {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [path, file] : files_) file->reopen = true;
    work_ = true;
  }
  wake_.notify_one();
}

void LogSinks::reopen(LogFile& file) {
  const int fresh = open_file(file.path);
  if (fresh < 0) {
    reopen_failed_.add();
    return;
  }
  close(std::exchange(file.fd, fresh));
}

/// Until the file takes no more.
void LogSinks::write_out(LogFile& file) {
  std::size_t done = 0;
  while (!file.writing.empty()) {
    const std::string& chunk = file.writing.front();
    const ssize_t n = ::write(file.fd, chunk.data() + file.written, chunk.size() - file.written);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
    if (n >= 0) file.written += static_cast<std::size_t>(n);
    if (n >= 0 && file.written < chunk.size()) continue;
    (n < 0 ? write_failed_ : write_completed_).add();
    done += chunk.size();
    file.written = 0;
    file.writing.pop_front();
  }
  if (done == 0) return;
  {
    const std::lock_guard lock(mutex_);
    file.waiting_bytes -= done;
  }
  written_.notify_all();
}

void LogSinks::run() {
  std::vector<std::pair<LogFile*, bool>> turn;  // and whether to open it again
  bool blocked = false;
  for (bool last = false; !last;) {
    {
      std::unique_lock lock(mutex_);
      const auto something = [this] { return work_ || stop_; };
      if (blocked)
        wake_.wait_for(lock, retry_blocked, something);
      else
        wake_.wait(lock, something);
      work_ = false;
      last = stop_;
      turn.clear();
      for (const auto& [path, file] : files_) {
        for (std::string& chunk : file->waiting) file->writing.push_back(std::move(chunk));
        file->waiting.clear();
        turn.emplace_back(file.get(), std::exchange(file->reopen, false));
      }
    }
    blocked = false;
    for (const auto& [file, again] : turn) {
      if (again) {
        write_out(*file);  // lines from before a rotation belong to the old file
        reopen(*file);
      }
      write_out(*file);
      blocked = blocked || !file->writing.empty();
    }
  }
}

void LogSinks::collect(StatSink& sink) const {
  std::size_t waiting = 0;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [path, file] : files_) waiting += file->waiting_bytes;
  }
  sink.counter("filesystem.write_completed", write_completed_.value());
  sink.counter("filesystem.write_failed", write_failed_.value());
  sink.counter("filesystem.reopen_failed", reopen_failed_.value());
  sink.gauge("filesystem.write_total_buffered", static_cast<std::int64_t>(waiting));
}

}  // namespace clew
