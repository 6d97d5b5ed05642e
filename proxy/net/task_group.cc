#include "proxy/net/task_group.h"

#include "proxy/base/log.h"

#include <boost/asio/co_spawn.hpp>

#include <cassert>
#include <exception>

namespace clew {

namespace {

/// Logs what left a coroutine that should have dealt with it. Whether there was something.
bool log_exception(const std::exception_ptr& exception) {
  if (!exception) return false;
  try {
    std::rethrow_exception(exception);
  } catch (const std::exception& e) {
    CLEW_LOG(main, critical, "exception left a task: {}", e.what());
  } catch (...) {
    CLEW_LOG(main, critical, "unknown exception left a task");
  }
  return true;
}

}  // namespace

void spawn(const Executor& executor, Task<void> task) {
  boost::asio::co_spawn(executor, std::move(task), [](std::exception_ptr exception) { log_exception(exception); });
}

TaskGroup::~TaskGroup() { assert(children_.empty()); }

void TaskGroup::spawn(Task<void> child, Cancel cancel) {
  const auto at = children_.insert(children_.end(), Child{std::move(cancel)});
  boost::asio::co_spawn(executor_, run(*at, std::move(child)),
                        [this, at](std::exception_ptr exception) { done(at, log_exception(exception)); });
  // The completion is always posted, so the child is still listed.
  if (cause_ != Errc::ok && at->cancel) std::exchange(at->cancel, nullptr)(cause_);
}

/// The completion handler comes a turn later, when what the hook refers to is gone: forget it here.
Task<void> TaskGroup::run(Child& child, Task<void> task) {
  struct Forget {
    Child& child;
    ~Forget() { child.cancel = nullptr; }
  } forget{child};
  co_await std::move(task);
}

void TaskGroup::done(Children::iterator child, bool failed) {
  children_.erase(child);
  if (failed) cancel(Errc::internal);
  if (children_.empty()) empty_.notify();
}

void TaskGroup::cancel(Errc cause) {
  if (cause_ != Errc::ok) return;
  cause_ = cause;
  for (Child& child : children_) {
    if (child.cancel) std::exchange(child.cancel, nullptr)(cause);
  }
}

Task<void> TaskGroup::join() {
  while (!children_.empty()) co_await empty_.wait();
  empty_.reset();
}

}  // namespace clew
