// A listening socket of a worker.
#pragma once

#include "proxy/net/event.h"
#include "proxy/net/worker.h"

#include <sys/socket.h>

namespace clew {

class Acceptor final : private Watched {
 public:
  /// Takes a non-blocking listening socket.
  Acceptor(Worker& worker, int fd);
  ~Acceptor();

  /// A connection that is there: its non-blocking descriptor; or -1, see errno.
  int try_accept(sockaddr_storage& peer, socklen_t& length);
  /// Until there may be one more, or close(). What try_accept left in the kernel's queue is not told again: call it
  /// until EAGAIN first.
  Task<void> readable();
  void close();

  bool closed() const { return fd_ < 0; }
  /// -1 once closed.
  int fd() const { return fd_; }

 private:
  void on_ready(std::uint32_t events) override;

  Loop& loop_;
  int fd_;
  Event ready_;
};

}  // namespace clew
