// Coroutines that a parent starts and waits for. A child never outlives its group, so it may hold references to what
// the parent owns. Worker's thread only.
#pragma once

#include "proxy/base/result.h"
#include "proxy/net/event.h"
#include "proxy/net/task.h"

#include <cstddef>
#include <functional>
#include <list>

namespace clew {

class TaskGroup {
 public:
  /// How a child is told to give up: closes what it waits for. Called at most once, never after the child has ended: it
  /// may refer to what the child owns.
  using Cancel = std::function<void(Errc)>;

  explicit TaskGroup(Loop& loop) : loop_(loop) {}
  TaskGroup(const TaskGroup&) = delete;
  ~TaskGroup();  // join() first

  /// Runs the child until its first suspension. An exception that leaves it is logged and cancels the group with
  /// Errc::internal. In a cancelled group the child is cancelled right after its start.
  void spawn(Task<void> child, Cancel cancel = {});
  /// Cancels all children; they are still to be joined. The first cause counts.
  void cancel(Errc cause);
  /// Until all children are done, those spawned meanwhile too. May be called again.
  Task<void> join();

  std::size_t size() const { return children_.size(); }
  bool empty() const { return children_.empty(); }
  /// ok: not cancelled.
  Errc cause() const { return cause_; }

 private:
  struct Child {
    Cancel cancel;
  };
  using Children = std::list<Child, RecyclingAllocator<Child>>;
  static Detached run(Loop& loop, TaskGroup& group, Children::iterator child, Task<void> task);

  Loop& loop_;
  Children children_;
  Event empty_;
  Errc cause_ = Errc::ok;
};

}  // namespace clew
