#include "proxy/http/read_watch.h"

#include <utility>

namespace clew {

void ReadWatch::start(std::shared_ptr<void> keep) {
  if (stopping_ || std::exchange(pending_, true)) return;
  if (running_) return wanted_.notify();
  running_ = true;
  spawn(loop_, run(std::move(keep)));
}

Task<void> ReadWatch::run([[maybe_unused]] std::shared_ptr<void> keep) {
  while (!stopping_) {
    const Result<void> ready = co_await transport_.readable();
    (void)ready;  // a read says it
    pending_ = false;
    if (changed_.waiting())
      changed_.notify();
    else if (on_ready)
      on_ready();
    while (!pending_ && !stopping_) co_await wanted_.wait();
  }
  running_ = pending_ = false;
  interrupt();
  done_.notify();
}

Task<Result<void>> ReadWatch::wait(std::shared_ptr<void> keep) {
  start(std::move(keep));
  if (pending_) co_await changed_.wait();
  co_return Result<void>();
}

void ReadWatch::stop() {
  stopping_ = true;
  wanted_.notify();
}

Task<void> ReadWatch::join() {
  on_ready = nullptr;
  stop();
  while (running_) co_await done_.wait();
}

}  // namespace clew
