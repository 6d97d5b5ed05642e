#include "proxy/net/worker.h"

#include "proxy/net/event.h"

#include <boost/asio/executor_work_guard.hpp>

#include <random>

namespace clew {

Worker::Worker(unsigned index, const Clock& clock)
    : index_(index), clock_(clock), timers_(clock), wheel_timer_(io_), snapshot_(std::make_shared<const Snapshot>()) {
  std::random_device device;
  random_state_ = (static_cast<std::uint64_t>(device()) << 32 | device()) | 1;
  timers_.set_wakeup([this] { arm_wheel(); });
}

Worker::~Worker() { timers_.set_wakeup(nullptr); }

void Worker::run() {
  const auto guard = boost::asio::make_work_guard(io_);
  io_.run();
}

void Worker::stop() { io_.stop(); }

void Worker::publish(Update update) {
  // A reference count of its own: copies made for each stream never touch a cache line of another worker.
  auto own = std::make_shared<SnapshotPtr>(std::move(update.snapshot));
  const Snapshot* snapshot = own->get();
  update.snapshot = SnapshotPtr(std::move(own), snapshot);
  post([this, update = std::move(update)] {
    snapshot_ = update.snapshot;
    for (std::size_t i = 0; i < on_update_.size(); ++i) on_update_[i](update);
  });
}

/// One system timer for the whole wheel. It is only moved when it would be late: a deadline that went away costs one
/// early wake-up at most.
void Worker::arm_wheel() {
  if (advancing_) return;
  const std::optional<TimePoint> deadline = timers_.next_deadline();
  if (!deadline || (wheel_armed_ && *wheel_armed_ <= *deadline)) return;
  wheel_armed_ = deadline;
  // Relative, as clock_ need not be the system's.
  wheel_timer_.expires_after(std::max(Duration::zero(), *deadline - clock_.now()));
  wheel_timer_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;  // moved, or the worker is gone
    wheel_armed_.reset();
    advancing_ = true;
    timers_.advance();
    advancing_ = false;
    arm_wheel();
  });
}

std::uint64_t Worker::random() {
  random_state_ ^= random_state_ >> 12;
  random_state_ ^= random_state_ << 25;
  random_state_ ^= random_state_ >> 27;
  return random_state_ * 0x2545f4914f6cdd1dULL;
}

Task<void> sleep_for(Worker& worker, Duration duration) {
  Event done;
  Timer timer(worker.timers(), [&done] { done.notify(); });
  timer.arm(duration);
  co_await done.wait();
}

}  // namespace clew
