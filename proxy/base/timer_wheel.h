// Timers of one thread, in a wheel: arming, re-arming and cancelling are O(1) and allocate nothing. Resolution is one
// millisecond, never early. The owner of the wheel calls advance(); net/worker.h drives it from its loop, a test
// from its fake clock. Not thread safe.
#pragma once

#include "proxy/base/clock.h"

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

namespace clew {

class TimerWheel;

/// A place in a circular list of timers.
struct TimerLink {
  TimerLink* next_ = nullptr;  // null when in no list
  TimerLink* previous_ = nullptr;
};

/// A timer that lives inside its owner; destroying it disarms it. The callback may re-arm or destroy this timer.
class Timer : private TimerLink {
 public:
  Timer(TimerWheel& wheel, std::function<void()> on_expire) : wheel_(wheel), on_expire_(std::move(on_expire)) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer();

  /// Arms (or re-arms) it to expire `after` from now; zero or less means at the next advance.
  void arm(Duration after);
  void cancel();
  bool armed() const { return next_ != nullptr; }

 private:
  friend class TimerWheel;
  static constexpr std::uint16_t no_slot = UINT16_MAX;
  TimerWheel& wheel_;
  std::function<void()> on_expire_;
  std::uint64_t tick_ = 0;  // absolute expiry, in ticks
  std::uint16_t slot_ = no_slot;
  bool running_ = false;
};

/// May end before its timers, which are then disarmed and must not be armed again.
class TimerWheel {
 public:
  explicit TimerWheel(const Clock& clock);
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;
  ~TimerWheel();

  /// Runs what has expired by now. Not from inside a timer's callback.
  void advance();
  /// When advance() is next worth calling, or nothing when no timer is armed. May be earlier than the first expiry.
  std::optional<TimePoint> next_deadline() const;
  TimePoint now() const { return clock_.now(); }
  const Clock& clock() const { return clock_; }

 private:
  friend class Timer;
  // A tick has seven digits of six bits; a timer waits in the level of its highest digit that differs from now's, and
  // moves down as that digit is reached. Bit i of occupied_[level]: slot i holds timers.
  static constexpr unsigned digit = 6, levels = 7, slots = 1u << digit;
  struct Visit {
    std::uint64_t tick;
    unsigned level, slot;
  };
  void arm(Timer& timer, Duration after);
  void place(Timer& timer);
  void unlink(Timer& timer);
  Visit next_visit() const;
  std::uint64_t next_tick() const;
  void run_due();

  const Clock& clock_;
  const TimePoint start_;
  std::uint64_t now_ = 0;     // ticks since start_, up to which everything has run
  Timer* running_ = nullptr;  // null once its callback has destroyed it
  std::array<std::uint64_t, levels> occupied_{};
  std::array<std::array<TimerLink, slots>, levels> slots_;
  TimerLink due_;
};

}  // namespace clew
