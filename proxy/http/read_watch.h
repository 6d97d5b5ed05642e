// Waiting for a transport to have bytes, in a way that can be left and taken up again: HTTP/1 must notice that a peer
// is gone while it does something else, and a wait for readability cannot be withdrawn from a transport.
#pragma once

#include "proxy/net/event.h"
#include "proxy/net/task_group.h"
#include "proxy/net/transport.h"
#include "proxy/net/worker.h"

#include <functional>
#include <memory>

namespace clew {

/// One of these is the only one to call its transport's readable(). Worker's thread. Costs nothing until it is used;
/// then a coroutine, which holds `keep` until stop().
class ReadWatch {
 public:
  ReadWatch(Worker& worker, Transport& transport) : loop_(worker.loop()), transport_(transport) {}

  /// Until the transport is worth reading (a read says whether it is), closed, or interrupt() is called.
  Task<Result<void>> wait(std::shared_ptr<void> keep = nullptr);
  void interrupt() {
    if (changed_.waiting()) changed_.notify();
  }

  /// Watches in the background: on_ready is called once, unless somebody is in wait() then, who is woken instead.
  void start(std::shared_ptr<void> keep = nullptr);
  std::function<void()> on_ready;
  /// A watch is under way: nobody else may wait for the transport.
  bool pending() const { return pending_; }

  /// The transport was closed, or soon is: no more watching.
  void stop();
  /// After stop() and closing the transport: until the background is gone, as it must be at destruction unless it keeps
  /// us.
  Task<void> join();

 private:
  Task<void> run(std::shared_ptr<void> keep);

  Loop& loop_;
  Transport& transport_;
  Event wanted_, changed_, done_;
  bool running_ = false;  // the coroutine is there
  bool pending_ = false;  // it waits for the transport, or is about to
  bool stopping_ = false;
};

}  // namespace clew
