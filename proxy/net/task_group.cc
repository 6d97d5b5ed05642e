#include "proxy/net/task_group.h"

#include <cassert>
#include <utility>

namespace clew {

TaskGroup::~TaskGroup() { assert(children_.empty()); }

void TaskGroup::spawn(Task<void> child, Cancel cancel) {
  const auto at = children_.insert(children_.end(), Child{std::move(cancel)});
  clew::spawn(loop_, run(*at, std::move(child)), [this, at](const std::exception_ptr& exception) {
    log_exception(exception);
    done(at, exception != nullptr);
  });
  // `done` comes a turn later, so the child is still listed.
  if (cause_ != Errc::ok && at->cancel) std::exchange(at->cancel, nullptr)(cause_);
}

/// `done` comes a turn later, when what the hook refers to is gone: forget it here.
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
