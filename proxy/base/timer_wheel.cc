#include "proxy/base/timer_wheel.h"

#include <algorithm>
#include <bit>

namespace clew {

namespace {

using Tick = std::chrono::milliseconds;
constexpr std::uint64_t never = UINT64_MAX;
constexpr std::uint64_t longest = std::uint64_t{1} << 40;  // 34 years; keeps every expiry within the levels

}  // namespace

void Timer::arm(Duration after) { wheel_.arm(*this, after); }

void Timer::cancel() {
  if (armed()) wheel_.unlink(*this);
}

Timer::~Timer() {
  cancel();
  if (running_) wheel_.running_ = nullptr;
}

TimerWheel::TimerWheel(const Clock& clock) : clock_(clock), start_(clock.now()) {
  for (auto& level : slots_)
    for (TimerLink& head : level) head.next_ = head.previous_ = &head;
  due_.next_ = due_.previous_ = &due_;
}

TimerWheel::~TimerWheel() {
  const auto forget = [](TimerLink& head) {
    for (TimerLink* link = head.next_; link != &head;) {
      TimerLink* const next = link->next_;
      link->next_ = link->previous_ = nullptr;
      link = next;
    }
  };
  for (auto& level : slots_)
    for (TimerLink& head : level) forget(head);
  forget(due_);
}

void TimerWheel::arm(Timer& timer, Duration after) {
  if (timer.armed()) unlink(timer);
  const Duration at = clock_.now() - start_ + std::clamp(after, Duration::zero(), Duration(Tick(longest)));
  const auto tick = static_cast<std::uint64_t>(std::chrono::ceil<Tick>(at).count());
  timer.tick_ = after > Duration::zero() ? std::max(tick, now_) : now_;
  place(timer);
}

/// Puts it where its highest digit that differs from now's says (digits of six bits).
void TimerWheel::place(Timer& timer) {
  const std::uint64_t difference = timer.tick_ ^ now_;
  TimerLink* head = &due_;
  timer.slot_ = Timer::no_slot;
  if (difference != 0) {
    const unsigned level = (63u - static_cast<unsigned>(std::countl_zero(difference))) / digit;
    const unsigned slot = timer.tick_ >> (level * digit) & (slots - 1);
    occupied_[level] |= std::uint64_t{1} << slot;
    head = &slots_[level][slot];
    timer.slot_ = static_cast<std::uint16_t>(level * slots + slot);
  }
  timer.next_ = head;
  timer.previous_ = head->previous_;
  head->previous_->next_ = &timer;
  head->previous_ = &timer;
}

void TimerWheel::unlink(Timer& timer) {
  TimerLink* const next = timer.next_;
  next->previous_ = timer.previous_;
  timer.previous_->next_ = next;
  timer.next_ = timer.previous_ = nullptr;
  if (timer.slot_ == Timer::no_slot) return;
  const TimerLink& head = slots_[timer.slot_ / slots][timer.slot_ % slots];
  if (head.next_ == &head) occupied_[timer.slot_ / slots] &= ~(std::uint64_t{1} << timer.slot_ % slots);
}

/// The next slot with timers in it: the lowest level's come first, for they share all higher digits with now.
TimerWheel::Visit TimerWheel::next_visit() const {
  for (unsigned level = 0; level < levels; ++level) {
    if (!occupied_[level]) continue;
    const auto slot = static_cast<unsigned>(std::countr_zero(occupied_[level]));
    const unsigned shift = level * digit;
    const std::uint64_t above = now_ >> (shift + digit) << (shift + digit);
    return {above | std::uint64_t{slot} << shift, level, slot};
  }
  return {never, 0, 0};
}

void TimerWheel::run_due() {
  // A callback may cancel or destroy others of the batch; those it arms with nothing to wait are not in it.
  TimerLink batch;
  if (due_.next_ == &due_) return;
  batch.next_ = due_.next_;
  batch.previous_ = due_.previous_;
  batch.next_->previous_ = batch.previous_->next_ = &batch;
  due_.next_ = due_.previous_ = &due_;
  while (batch.next_ != &batch) {
    Timer& timer = static_cast<Timer&>(*batch.next_);
    unlink(timer);
    std::function<void()> callback = std::move(timer.on_expire_);
    running_ = &timer;
    timer.running_ = true;
    callback();
    if (running_ == &timer) {
      timer.running_ = false;
      timer.on_expire_ = std::move(callback);
    }
    running_ = nullptr;
  }
}

void TimerWheel::advance() {
  const auto target = static_cast<std::uint64_t>(std::chrono::floor<Tick>(clock_.now() - start_).count());
  run_due();
  for (Visit visit = next_visit(); visit.tick <= target; visit = next_visit()) {
    now_ = visit.tick;
    TimerLink& head = slots_[visit.level][visit.slot];
    while (head.next_ != &head) {
      Timer& timer = static_cast<Timer&>(*head.next_);
      unlink(timer);
      place(timer);  // lower, or due
    }
    run_due();
  }
  now_ = std::max(now_, target);
}

std::uint64_t TimerWheel::next_tick() const { return due_.next_ != &due_ ? now_ : next_visit().tick; }

std::optional<TimePoint> TimerWheel::next_deadline() const {
  const std::uint64_t tick = next_tick();
  if (tick == never) return {};
  return start_ + Tick(tick);
}

}  // namespace clew
