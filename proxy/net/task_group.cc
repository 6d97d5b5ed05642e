#include "proxy/net/task_group.h"

#include <cassert>
#include <utility>

namespace clew {

TaskGroup::~TaskGroup() { assert(children_.empty()); }

void TaskGroup::spawn(Task<void> child, Cancel cancel) {
  const auto at = children_.insert(children_.end(), Child{std::move(cancel)});
  clew::spawn(loop_, run(at, std::move(child)));
  // It is listed for a turn after its end.
  if (cause_ != Errc::ok && at->cancel) std::exchange(at->cancel, nullptr)(cause_);
}

Task<void> TaskGroup::run(Children::iterator child, Task<void> task) {
  bool failed = false;
  try {
    co_await std::move(task);
  } catch (...) {
    log_exception(std::current_exception());
    failed = true;
  }
  child->cancel = nullptr;  // what it refers to is gone
  co_await loop_.after_ready();
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
