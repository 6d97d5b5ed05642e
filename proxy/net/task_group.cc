#include "proxy/net/task_group.h"

#include <cassert>
#include <utility>

namespace clew {

TaskGroup::~TaskGroup() { assert(children_.empty()); }

void TaskGroup::spawn(Task<void> child, Cancel cancel) {
  const auto at = children_.insert(children_.end(), Child{std::move(cancel)});
  run(loop_, *this, at, std::move(child));
  // It is listed for a turn after its end.
  if (cause_ != Errc::ok && at->cancel) std::exchange(at->cancel, nullptr)(cause_);
}

Detached TaskGroup::run(Loop& loop, TaskGroup& group, Children::iterator child, Task<void> task) {
  bool failed = false;
  try {
    co_await std::move(task);
  } catch (...) {
    log_exception(std::current_exception());
    failed = true;
  }
  child->cancel = nullptr;  // what it refers to is gone
  co_await loop.after_ready();
  group.children_.erase(child);
  if (failed) group.cancel(Errc::internal);
  if (group.children_.empty()) group.empty_.notify();
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
