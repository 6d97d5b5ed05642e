#include "proxy/net/worker.h"

#include "proxy/net/event.h"

#include <random>

namespace clew {

Worker::Worker(unsigned index, const Clock& clock)
    : index_(index), clock_(clock), timers_(clock), snapshot_(std::make_shared<const Snapshot>()) {
  std::random_device device;
  random_state_ = (static_cast<std::uint64_t>(device()) << 32 | device()) | 1;
}

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
