#include "proxy/net/loop.h"

#include "proxy/base/log.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <system_error>

namespace clew {

namespace {

thread_local const Loop* running = nullptr;

int checked(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return fd;
}

}  // namespace

void log_exception(const std::exception_ptr& exception) {
  if (!exception) return;
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& e) {
    CLEW_LOG(main, critical, "exception left a task: {}", e.what());
  } catch (...) {
    CLEW_LOG(main, critical, "unknown exception left a task");
  }
}

Detached spawn(Loop&, Task<void> task) { co_await std::move(task); }

Loop::Loop(TimerWheel& timers)
    : timers_(timers),
      epoll_(checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      wakeup_(checked(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd")) {
  watch(wakeup_, EPOLLIN | EPOLLET, mailbox_);
}

Loop::~Loop() {
  ending_ = true;
  while (roots_.next != &roots_) {
    auto& root = static_cast<Detached::promise_type&>(*roots_.next);
    std::coroutine_handle<Detached::promise_type>::from_promise(root).destroy();
  }
  ready_.clear();
  yielded_.clear();
  mailbox_.calls.clear();
  ::close(wakeup_);
  ::close(epoll_);
}

void Loop::enqueue(std::unique_ptr<Call> call) {
  if (running == this) {
    ready_.push_back({nullptr, std::move(call)});
    return;
  }
  const std::lock_guard lock(mailbox_.mutex);
  mailbox_.calls.push_back(std::move(call));
  if (mailbox_.calls.size() == 1) wake();
}

void Loop::wake() {
  const std::uint64_t one = 1;
  const ssize_t written = ::write(wakeup_, &one, sizeof(one));
  (void)written;  // it fails when the loop has been woken often enough
}

/// Edge-triggered: each write to the eventfd is an event, whether or not the last one was read.
void Loop::Mailbox::on_ready(std::uint32_t) {
  std::vector<std::unique_ptr<Call>> taken;
  {
    const std::lock_guard lock(mutex);
    taken.swap(calls);
  }
  for (auto& call : taken) loop.ready_.push_back({nullptr, std::move(call)});
}

/// What becomes ready meanwhile is run too, up to a bound: sockets get their turn.
void Loop::run_ready() {
  constexpr std::size_t most = 256;
  for (std::size_t n = 0; n < most && ready_at_ < ready_.size(); ++n) {
    Item item = std::move(ready_[ready_at_++]);
    if (item.coroutine)
      item.coroutine.resume();
    else
      item.call->run();
  }
  ready_.erase(ready_.begin(), ready_.begin() + static_cast<std::ptrdiff_t>(ready_at_));
  ready_at_ = 0;
}

/// Until the wheel is to be looked at; -1: no timer is armed.
int Loop::sleep_ms() const {
  const std::optional<TimePoint> deadline = timers_.next_deadline();
  if (!deadline) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline - timers_.now()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, INT_MAX));
}

bool Loop::turn(bool wait) {
  const Loop* const outer = std::exchange(running, this);
  bool busy = !ready_.empty();
  run_ready();
  const int timeout =
      wait && ready_.empty() && yielded_.empty() && !stopped_.load(std::memory_order_relaxed) ? sleep_ms() : 0;
  const int n = ::epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), timeout);
  event_count_ = static_cast<std::size_t>(std::max(n, 0));
  for (event_at_ = 0; event_at_ < event_count_;) {
    const epoll_event event = events_[event_at_++];
    if (auto* watched = static_cast<Watched*>(event.data.ptr)) watched->on_ready(event.events);
  }
  ++turns_;
  timers_.advance();  // also when nothing is due: what is armed next is placed by the time it is, not by an old one
  for (Item& item : yielded_) ready_.push_back(std::move(item));
  yielded_.clear();
  busy = busy || event_count_ > 0 || !ready_.empty();
  event_at_ = event_count_ = 0;
  running = outer;
  return busy;
}

void Loop::run() {
  while (!stopped_.load(std::memory_order_relaxed)) turn(true);
  stopped_.store(false, std::memory_order_relaxed);
}

void Loop::poll() {
  while (turn(false)) {
  }
}

void Loop::wait() {
  turn(ready_.empty());
  poll();
}

void Loop::stop() {
  stopped_.store(true, std::memory_order_relaxed);
  wake();
}

void Loop::watch(int fd, std::uint32_t events, Watched& watched) {
  epoll_event event{events, {.ptr = &watched}};
  checked(::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

void Loop::rewatch(int fd, std::uint32_t events, Watched& watched) {
  epoll_event event{events, {.ptr = &watched}};
  checked(::epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event), "epoll_ctl");
}

void Loop::unwatch(int fd, Watched& watched) {
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
  forget(watched);
}

void Loop::close(int fd, Watched& watched) noexcept {
  ::close(fd);  // the only reference to it: epoll forgets it
  forget(watched);
}

/// Events of it that were fetched but not told yet.
void Loop::forget(const Watched& watched) {
  for (std::size_t i = event_at_; i < event_count_; ++i)
    if (events_[i].data.ptr == &watched) events_[i].data.ptr = nullptr;
}

}  // namespace clew
