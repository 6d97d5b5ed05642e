// One event loop on one thread: its io_context, its timers, the snapshot it works by. Everything made on a worker lives
// and dies on it. Upper layers register for updates; the worker knows none of them.
#pragma once

#include "config/snapshot/snapshot.h"
#include "proxy/base/clock.h"
#include "proxy/base/timer_wheel.h"
#include "proxy/net/task.h"

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace clew {

class Worker {
 public:
  using OnUpdate = std::function<void(const Update&)>;

  Worker(unsigned index, const Clock& clock);
  Worker(const Worker&) = delete;
  ~Worker();

  /// Runs until stop(), also while there is nothing to do. The calling thread becomes the worker's.
  void run();
  /// Any thread.
  void stop();
  /// Any thread: runs f on the worker.
  template <class F>
  void post(F&& f) {
    boost::asio::post(io_, std::forward<F>(f));
  }
  /// Any thread: swaps the snapshot on the worker's thread, then calls everyone registered, in order of registration.
  void publish(Update update);

  // own thread only
  unsigned index() const { return index_; }
  boost::asio::io_context& io() { return io_; }
  Executor executor() { return io_.get_executor(); }
  TimerWheel& timers() { return timers_; }
  const Clock& clock() const { return clock_; }
  /// A plain read, never null. Copy it to keep it across a suspension.
  const SnapshotPtr& snapshot() const { return snapshot_; }
  void on_update(OnUpdate callback) { on_update_.push_back(std::move(callback)); }
  std::uint64_t next_id() { return (next_id_++ << 8) | index_; }
  /// xorshift; not for secrets.
  std::uint64_t random();

 private:
  void arm_wheel();

  const unsigned index_;
  const Clock& clock_;
  TimerWheel timers_;  // before io_: coroutines that die with the io_context own timers
  boost::asio::io_context io_{1};
  boost::asio::basic_waitable_timer<std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>,
                                    Executor>
      wheel_timer_;
  std::optional<TimePoint> wheel_armed_;  // what wheel_timer_ waits for, in clock_'s time
  bool advancing_ = false;
  SnapshotPtr snapshot_;
  std::vector<OnUpdate> on_update_;
  std::uint64_t next_id_ = 1;
  std::uint64_t random_state_;
};

/// Suspends for a while, by the worker's wheel (fake clock included).
Task<void> sleep_for(Worker& worker, Duration duration);

}  // namespace clew
