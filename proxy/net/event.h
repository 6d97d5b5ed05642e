// A coroutine waits, somebody on the same thread notifies. Sticky and auto-reset: a notify() that finds nobody waiting
// lets the next wait() through, so test your condition in a loop. Waiters resume by the loop's queue, never inside
// notify(). Allocates nothing: who waits is linked from its own frame.
//
// An event must be notified before it goes away: shut down by closing what is waited for and running the loop until the
// tasks are done. Only a Loop that ends may leave somebody waiting.
#pragma once

#include "proxy/net/loop.h"

#include <cassert>
#include <coroutine>
#include <utility>

namespace clew {

class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() {
    assert(!first_ || first_->loop_->ending());
    while (first_) unlink(*first_);
  }

  class Wait {
   public:
    explicit Wait(Event& event) : event_(&event) {}
    Wait(const Wait&) = delete;
    ~Wait() {
      if (linked_) event_->unlink(*this);
    }
    bool await_ready() const noexcept { return std::exchange(event_->notified_, false); }
    template <class P>
    void await_suspend(std::coroutine_handle<P> self) noexcept {
      coroutine_ = self;
      loop_ = self.promise().loop;
      event_->link(*this);
    }
    void await_resume() const noexcept {}

   private:
    friend class Event;
    Event* event_;
    std::coroutine_handle<> coroutine_;
    Loop* loop_ = nullptr;
    Wait *previous_ = nullptr, *next_ = nullptr;
    bool linked_ = false;
  };

  /// co_await event.wait(): until notify(), or at once when a notify() has not been consumed.
  Wait wait() { return Wait(*this); }
  /// Resumes all who wait; nobody: the next one to wait.
  void notify() {
    notified_ = !first_;
    while (Wait* const waiting = first_) {
      unlink(*waiting);
      waiting->loop_->resume(waiting->coroutine_);
    }
  }
  /// Forgets a notification that nobody consumed.
  void reset() { notified_ = false; }
  bool waiting() const { return first_ != nullptr; }

 private:
  void link(Wait& wait) noexcept {
    wait.linked_ = true;
    wait.previous_ = last_;
    (last_ ? last_->next_ : first_) = &wait;
    last_ = &wait;
  }
  void unlink(Wait& wait) noexcept {
    wait.linked_ = false;
    (wait.previous_ ? wait.previous_->next_ : first_) = wait.next_;
    (wait.next_ ? wait.next_->previous_ : last_) = wait.previous_;
  }

  Wait *first_ = nullptr, *last_ = nullptr;
  bool notified_ = false;
};

}  // namespace clew
