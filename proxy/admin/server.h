// The admin interface's own listener: localhost, HTTP/1, on the control thread. Few connections at a time; more wait in
// the kernel's queue.
#pragma once

#include "proxy/admin/admin.h"
#include "proxy/base/address.h"
#include "proxy/http/server_connection.h"
#include "proxy/net/acceptor.h"
#include "proxy/net/task_group.h"

#include <map>
#include <optional>
#include <string>

namespace clew {

class AdminServer {
 public:
  static constexpr std::size_t max_connections = 64;

  AdminServer(Worker& worker, Process& process);
  ~AdminServer();
  /// Binds and serves. Returns why it could not, or nothing.
  std::string start(const Address& address);
  /// Where it listens, once it does: with the port that was chosen for port 0.
  Address address() const;
  /// Closes the listener, lets each connection finish its answer, and waits for that; after `patience` they are cut.
  Task<void> finish(Duration patience);
  const HttpServerStats& stats() const { return stats_; }

 private:
  Task<void> accept_loop();
  Task<void> serve(int fd);

  Worker& worker_;
  Admin admin_;
  std::optional<Acceptor> acceptor_;
  HttpConnectionManager manager_;
  HttpServerStats stats_;
  TaskGroup tasks_;
  Event freed_;
  std::map<Transport*, DrainSignal> connections_;
};

}  // namespace clew
