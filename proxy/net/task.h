// The coroutine type of the data path: lazily started, owned by whoever awaits it, run by the Loop of its thread. What
// completes without suspending costs a call; what suspends is resumed by an Event (net/event.h) or by the loop.
// Named functions only, parameters by value or references that the awaiter owns (ARCHITECTURE.md, «coroutines»).
#pragma once

#include "proxy/base/recycled.h"

#include <coroutine>
#include <cstddef>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace clew {

class Loop;
template <class T>
class Task;

namespace detail {

struct Frame : Recycled {
  Loop* loop = nullptr;  // that runs it, from its start
};

class Promise : public Frame {
 public:
  struct Final {
    bool await_ready() const noexcept { return false; }
    /// The one who awaits goes on; it destroys this frame.
    template <class P>
    void await_suspend(std::coroutine_handle<P> self) const noexcept {
      const Promise& promise = self.promise();
      if (!promise.starting_) promise.parent_.resume();
    }
    void await_resume() const noexcept {}
  };
  std::suspend_always initial_suspend() const noexcept { return {}; }
  Final final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { exception_ = std::current_exception(); }

  /// Runs until the first suspension, or to the end: whether it has suspended, and will resume `parent`.
  template <class P>
  static bool start(std::coroutine_handle<P> self, Loop* loop, std::coroutine_handle<> parent) {
    Promise& promise = self.promise();
    promise.loop = loop;
    promise.parent_ = parent;
    self.resume();
    if (self.done()) return false;
    promise.starting_ = false;
    return true;
  }

 protected:
  void rethrow() const {
    if (exception_) std::rethrow_exception(exception_);
  }

 private:
  std::coroutine_handle<> parent_;
  std::exception_ptr exception_;
  bool starting_ = true;  // who awaits is further up the stack, and looks itself whether we are done
};

template <class T>
struct ValuePromise : Promise {
  template <class U = T>
    requires std::is_constructible_v<T, U&&>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T take() {
    rethrow();
    return std::move(*value_);
  }

 private:
  std::optional<T> value_;
};

template <>
struct ValuePromise<void> : Promise {
  void return_void() const noexcept {}
  void take() const { rethrow(); }
};

}  // namespace detail

template <class T = void>
class [[nodiscard]] Task {
 public:
  struct promise_type : detail::ValuePromise<T> {
    Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
  };

  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  class Awaiter {
   public:
    explicit Awaiter(Task task) noexcept : task_(std::move(task)) {}
    bool await_ready() const noexcept { return false; }
    template <class P>
    bool await_suspend(std::coroutine_handle<P> parent) {
      return detail::Promise::start(task_.handle_, parent.promise().loop, parent);
    }
    T await_resume() { return task_.handle_.promise().take(); }

   private:
    Task task_;
  };
  Awaiter operator co_await() && noexcept { return Awaiter(std::move(*this)); }

 private:
  explicit Task(std::coroutine_handle<promise_type> handle) noexcept : handle_(handle) {}
  std::coroutine_handle<promise_type> handle_;
};

}  // namespace clew
