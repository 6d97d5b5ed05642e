// One thread's event loop: coroutines and calls that are ready, sockets (epoll), timers (the wheel's next deadline is
// how long it sleeps). Descriptors are registered once, edge-triggered: a request costs no system call here but a share
// of an epoll_wait.
#pragma once

#include "proxy/base/timer_wheel.h"
#include "proxy/net/task.h"

#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace clew {

/// Who is told of a descriptor's events. Stays where it is while it is watched.
class Watched {
 public:
  /// EPOLLIN, EPOLLOUT, … as epoll gives them. May end the watch, and destroy what watches.
  virtual void on_ready(std::uint32_t events) = 0;

 protected:
  ~Watched() = default;
};

class Loop {
 public:
  explicit Loop(TimerWheel& timers);
  Loop(const Loop&) = delete;
  /// Destroys the coroutines that are left, where they are suspended.
  ~Loop();

  /// Runs until stop(), also while there is nothing to do.
  void run();
  /// Any thread.
  void stop();
  /// Any thread: calls f on the loop's, after what is ready already.
  template <std::invocable F>
  void post(F&& f) {
    enqueue(std::make_unique<CallOf<std::decay_t<F>>>(std::forward<F>(f)));
  }

  // own thread only

  /// Runs what is ready, without waiting, until nothing is.
  void poll();
  /// The same, after waiting for the kernel or a timer if nothing is ready.
  void wait();

  /// Resumes it after what is ready already.
  void resume(std::coroutine_handle<> coroutine) { ready_.push_back({coroutine, nullptr}); }
  /// co_await: goes on after what is ready already.
  auto after_ready() { return Queued{ready_}; }
  /// co_await: goes on when sockets, timers and what is ready have had their turn. For work that may have no end.
  auto yield() { return Queued{yielded_}; }
  /// How often sockets and timers have had their turn.
  std::uint64_t turns() const { return turns_; }

  void watch(int fd, std::uint32_t events, Watched& watched);
  void rewatch(int fd, std::uint32_t events, Watched& watched);
  void unwatch(int fd, Watched& watched);
  /// Closes the descriptor, which ends its watch.
  void close(int fd, Watched& watched) noexcept;

  /// The destructor is at work.
  bool ending() const { return ending_; }

 private:
  friend struct Detached;
  struct Call : Recycled {
    virtual ~Call() = default;
    virtual void run() = 0;
  };
  template <class F>
  struct CallOf final : Call {
    explicit CallOf(F function) : f(std::move(function)) {}
    void run() override { f(); }
    F f;
  };
  struct Item {  // one of them
    std::coroutine_handle<> coroutine;
    std::unique_ptr<Call> call;
  };
  struct Queued {
    std::vector<Item>& queue;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> self) const { queue.push_back({self, nullptr}); }
    void await_resume() const noexcept {}
  };
  struct RootLink {
    RootLink *previous = this, *next = this;
  };
  struct Mailbox final : Watched {
    explicit Mailbox(Loop& owner) : loop(owner) {}
    void on_ready(std::uint32_t events) override;
    Loop& loop;
    std::mutex mutex;
    std::vector<std::unique_ptr<Call>> calls;
  };

  void enqueue(std::unique_ptr<Call> call);
  void run_ready();
  int sleep_ms() const;
  /// Whether something happened.
  bool turn(bool wait);
  void wake();
  void forget(const Watched& watched);

  static constexpr std::size_t max_events = 128;
  TimerWheel& timers_;
  const int epoll_, wakeup_;
  std::vector<Item> ready_;
  std::vector<Item> yielded_;  // ready after this turn's events and timers
  std::size_t ready_at_ = 0;
  std::uint64_t turns_ = 0;
  std::array<epoll_event, max_events> events_;
  std::size_t event_at_ = 0, event_count_ = 0;  // of events_, while they are told
  RootLink roots_;
  Mailbox mailbox_{*this};
  std::atomic<bool> stopped_ = false;
  bool ending_ = false;
};

/// What left a coroutine that should have dealt with it; null: nothing did.
void log_exception(const std::exception_ptr& exception);

/// The type of a coroutine that nobody waits for: a call runs it until its first suspension, its frame goes with its
/// end, or with its loop, which is its first parameter (of a function, or a static one). An exception that leaves it is
/// logged: a bug to report. Prefer a TaskGroup (net/task_group.h): what it refers to must live until it ends.
struct Detached {
  struct promise_type : detail::Frame, Loop::RootLink {
    template <class... Arguments>
    explicit promise_type(Loop& of, Arguments&...) {
      loop = &of;
      next = &of.roots_;
      previous = of.roots_.previous;
      previous->next = next->previous = this;
    }
    ~promise_type() {
      previous->next = next;
      next->previous = previous;
    }
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { log_exception(std::current_exception()); }
  };
};

/// A task that nobody waits for: the same.
Detached spawn(Loop& loop, Task<void> task);

}  // namespace clew
