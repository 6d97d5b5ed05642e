// One event loop on one thread: its timers, the snapshot it works by. Everything made on a worker lives
// and dies on it. Upper layers register for updates; the worker knows none of them.
#pragma once

#include "config/snapshot/snapshot.h"
#include "proxy/base/clock.h"
#include "proxy/base/timer_wheel.h"
#include "proxy/net/loop.h"
#include "proxy/net/task.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace clew {

class Worker {
 public:
  using OnUpdate = std::function<void(const Update&)>;

  Worker(unsigned index, const Clock& clock);
  Worker(const Worker&) = delete;

  /// Runs until stop(), also while there is nothing to do. The calling thread becomes the worker's.
  void run() { loop_.run(); }
  /// Any thread.
  void stop() { loop_.stop(); }
  /// Any thread: runs f on the worker.
  template <class F>
  void post(F&& f) {
    loop_.post(std::forward<F>(f));
  }
  /// Any thread: swaps the snapshot on the worker's thread, then calls everyone registered, in order of registration.
  void publish(Update update);

  // own thread only
  unsigned index() const { return index_; }
  Loop& loop() { return loop_; }
  TimerWheel& timers() { return timers_; }
  const Clock& clock() const { return clock_; }
  /// A plain read, never null. Copy it to keep it across a suspension.
  const SnapshotPtr& snapshot() const { return snapshot_; }
  void on_update(OnUpdate callback) { on_update_.push_back(std::move(callback)); }
  std::uint64_t next_id() { return (next_id_++ << 8) | index_; }
  /// xorshift; not for secrets.
  std::uint64_t random();

 private:
  const unsigned index_;
  const Clock& clock_;
  TimerWheel timers_;
  Loop loop_{timers_};  // its coroutines own timers
  SnapshotPtr snapshot_;
  std::vector<OnUpdate> on_update_;
  std::uint64_t next_id_ = 1;
  std::uint64_t random_state_;
};

/// Suspends for a while, by the worker's wheel (fake clock included).
Task<void> sleep_for(Worker& worker, Duration duration);

}  // namespace clew
