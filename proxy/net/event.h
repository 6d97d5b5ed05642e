// A coroutine waits, somebody on the same thread notifies. Sticky and auto-reset: a notify() that finds nobody waiting
// lets the next wait() through, so test your condition in a loop. Waiters resume by the loop's queue, never inside
// notify(). Allocates nothing for one waiter.
//
// An event is not work for its io_context and must be notified before it, or its io_context, goes away: shut down by
// closing what is waited for and running the loop until the tasks are done.
#pragma once

#include "proxy/net/task.h"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>

#include <cassert>
#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

namespace clew {

class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { assert(!waiting()); }

  /// co_await event.wait(): until notify(), or at once when a notify() has not been consumed.
  auto wait() {
    return boost::asio::async_initiate<const boost::asio::deferred_t, void()>(Start{this}, boost::asio::deferred);
  }
  /// Resumes all who wait; nobody: the next one to wait.
  void notify() {
    if (!waiting()) {
      notified_ = true;
      return;
    }
    std::vector<Waiter> more;
    more.swap(more_);
    std::exchange(first_, Waiter()).resume();
    for (Waiter& waiter : more) waiter.resume();
  }
  /// Forgets a notification that nobody consumed.
  void reset() { notified_ = false; }
  bool waiting() const { return static_cast<bool>(first_); }

 private:
  /// A suspended coroutine: Asio's handler for it, whatever its type, in place.
  class Waiter {
   public:
    Waiter() = default;
    template <class Handler>
    explicit Waiter(Handler&& handler) : table_(&table<std::decay_t<Handler>>) {
      using H = std::decay_t<Handler>;
      static_assert(sizeof(H) <= sizeof(storage_) && alignof(H) <= alignof(std::max_align_t));
      static_assert(std::is_nothrow_move_constructible_v<H>);
      ::new (static_cast<void*>(storage_)) H(std::forward<Handler>(handler));
    }
    Waiter(Waiter&& other) noexcept : table_(std::exchange(other.table_, nullptr)) {
      if (table_) table_->move(other.storage_, storage_);
    }
    Waiter& operator=(Waiter&& other) noexcept {
      if (this != &other) {
        this->~Waiter();
        ::new (this) Waiter(std::move(other));
      }
      return *this;
    }
    ~Waiter() {
      if (table_) std::exchange(table_, nullptr)->destroy(storage_);
    }
    explicit operator bool() const { return table_ != nullptr; }
    void resume() { std::exchange(table_, nullptr)->resume(storage_); }

   private:
    struct Table {
      void (*move)(void* from, void* to) noexcept;  // destroys what it leaves
      void (*resume)(void* storage);                // destroys too
      void (*destroy)(void* storage) noexcept;
    };
    template <class H>
    static constexpr Table table{[](void* from, void* to) noexcept {
                                   ::new (to) H(std::move(*static_cast<H*>(from)));
                                   static_cast<H*>(from)->~H();
                                 },
                                 [](void* storage) {
                                   H handler(std::move(*static_cast<H*>(storage)));
                                   static_cast<H*>(storage)->~H();
                                   const auto executor = boost::asio::get_associated_executor(handler);
                                   boost::asio::post(executor, std::move(handler));
                                 },
                                 [](void* storage) noexcept { static_cast<H*>(storage)->~H(); }};

    const Table* table_ = nullptr;
    alignas(std::max_align_t) std::byte storage_[48];
  };

  struct Start {
    Event* event;
    template <class Handler>
    void operator()(Handler&& handler) const {
      Waiter waiter(std::forward<Handler>(handler));
      if (std::exchange(event->notified_, false)) {
        waiter.resume();
      } else if (!event->first_) {
        event->first_ = std::move(waiter);
      } else {
        event->more_.push_back(std::move(waiter));
      }
    }
  };

  Waiter first_;
  std::vector<Waiter> more_;
  bool notified_ = false;
};

}  // namespace clew
