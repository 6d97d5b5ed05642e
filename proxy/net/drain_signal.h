// How a listener tells a connection to finish.
#pragma once

#include <functional>
#include <utility>

namespace clew {

/// Tells a connection's coroutine that its listener or chain drains: finish what is under way, then close (h1:
/// Connection: close on the next response; h2: GOAWAY). Owned by the listener's record of the connection.
class DrainSignal {
 public:
  bool draining() const { return draining_; }
  void start() {
    if (std::exchange(draining_, true)) return;
    if (on_start_) on_start_();
  }
  /// One hook; called at most once, on the worker's thread. It must not destroy the signal. An empty one takes it back.
  void set_hook(std::function<void()> hook) { on_start_ = std::move(hook); }

 private:
  bool draining_ = false;
  std::function<void()> on_start_;
};

}  // namespace clew
