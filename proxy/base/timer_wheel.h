// Timers of one thread, in a wheel: arming, re-arming and cancelling are O(1) and allocate nothing. Resolution is one
// millisecond, never early. The owner of the wheel calls advance(); net/worker.h drives it from its io_context, a test
// from its fake clock. Not thread safe.
#pragma once

#include "proxy/base/clock.h"

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

namespace clew {

class TimerWheel;

/// A timer that lives inside its owner; destroying it disarms it. The callback may re-arm or destroy this timer.
class Timer {
 public:
  Timer(TimerWheel& wheel, std::function<void()> on_expire) : wheel_(wheel), on_expire_(std::move(on_expire)) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { cancel(); }

  /// Arms (or re-arms) it to expire `after` from now; zero or less means at the next advance.
  void arm(Duration after);
  void cancel();
  bool armed() const { return next_ != nullptr; }

 private:
  friend class TimerWheel;
  TimerWheel& wheel_;
  std::function<void()> on_expire_;
  Timer* next_ = nullptr;  // circular list of its slot; null when not armed
  Timer* previous_ = nullptr;
  std::uint64_t tick_ = 0;  // absolute expiry, in ticks
};

class TimerWheel {
 public:
  explicit TimerWheel(const Clock& clock);
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;
  ~TimerWheel();

  /// Runs what has expired by now.
  void advance();
  /// When advance() is next worth calling, or nothing when no timer is armed. May be earlier than the first expiry.
  std::optional<TimePoint> next_deadline() const;
  /// Called when an armed timer makes next_deadline() earlier than it was.
  void set_wakeup(std::function<void()> wakeup) { wakeup_ = std::move(wakeup); }
  TimePoint now() const { return clock_.now(); }
  const Clock& clock() const { return clock_; }

 private:
  friend class Timer;
  // owner of this file decides the levels; hidden from users
  struct Levels;
  const Clock& clock_;
  std::function<void()> wakeup_;
  Levels* levels_;
};

}  // namespace clew
