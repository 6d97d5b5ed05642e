// A worker that runs step by step on a clock moved by hand.
#pragma once

#include "proxy/net/task.h"
#include "proxy/net/worker.h"
#include "test/support/fake_clock.h"

#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace clew {

/// A worker of the calling thread on a fake clock. Nothing runs unless poll(), advance() or run() is called.
///
///   TestWorker t;
///   auto [client, server] = MemoryTransport::make();
///   auto answer = t.start(serve(*server));      // runs until it suspends
///   t.advance(std::chrono::seconds(15));        // its timeout
///   REQUIRE(answer.done());
class TestWorker {
 public:
  FakeClock clock;
  Worker worker{0, clock};

  /// The result of a task that start() started. Copies refer to the same result.
  template <class T>
  class Started {
   public:
    bool done() const { return state_->done; }
    /// The result; what the task threw is thrown here.
    T get() {
      if (!done()) throw std::logic_error("the task is not done");
      if (state_->exception) std::rethrow_exception(state_->exception);
      if constexpr (!std::is_void_v<T>) return std::move(*state_->value);
    }

   private:
    friend class TestWorker;
    struct State {
      bool done = false;
      std::exception_ptr exception;
      std::optional<std::conditional_t<std::is_void_v<T>, bool, T>> value;
    };
    std::shared_ptr<State> state_ = std::make_shared<State>();
  };

  /// Starts a task and runs everything that is ready.
  template <class T>
  Started<T> start(Task<T> task) {
    Started<T> started;
    spawn(worker.loop(), note(std::move(task), started.state_));
    poll();
    return started;
  }

  template <class T>
  static Task<void> note(Task<T> task, std::shared_ptr<typename Started<T>::State> state) {
    try {
      if constexpr (std::is_void_v<T>)
        co_await std::move(task);
      else
        state->value = co_await std::move(task);
    } catch (...) {
      state->exception = std::current_exception();
    }
    state->done = true;
  }

  /// Runs everything that is ready; does not wait.
  void poll() { worker.loop().poll(); }

  /// Moves the clock, in steps so that timers fire in order, and runs what became ready.
  void advance(Duration by) {
    const TimePoint end = clock.now() + by;
    poll();
    while (clock.now() < end) {
      const std::optional<TimePoint> next = worker.timers().next_deadline();
      const TimePoint to = next && *next > clock.now() && *next < end ? *next : end;
      clock.advance(to - clock.now());
      worker.timers().advance();
      poll();
    }
    // The wheel's resolution is a millisecond: what expires exactly now may be due one tick later.
  }

  /// Runs a task to its end. Memory transports and the fake clock only: throws when it does not get there.
  template <class T>
  T run(Task<T> task) {
    Started<T> started = start(std::move(task));
    return started.get();
  }

  /// The same for tasks that use real sockets: waits for the kernel.
  template <class T>
  T run_io(Task<T> task) {
    Started<T> started = start(std::move(task));
    return wait(started);
  }
  template <class T>
  T wait(Started<T>& started) {
    wait_until([&started] { return started.done(); });
    return started.get();
  }
  /// Runs, waiting for the kernel, until the condition holds.
  template <class F>
  void wait_until(F&& condition) {
    while (!condition()) worker.loop().wait();
  }
};

}  // namespace clew
