// The inside of a ListenerSet: one listener as a worker has it open, and one connection of it.
#pragma once

#include "proxy/net/acceptor.h"
#include "proxy/net/filter_chain_match.h"
#include "proxy/net/listener_set.h"
#include "proxy/net/network_filter.h"
#include "proxy/net/socket_transport.h"
#include "proxy/net/tls_transport.h"

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace clew {

/// A listening socket. Its accept loop shares it, so that closing is possible from elsewhere.
struct ListenerSet::AcceptSocket {
  AcceptSocket(Worker& worker, int fd) : acceptor(worker, fd), pause(worker.timers(), [this] { resumed.notify(); }) {}
  void close() {
    acceptor.close();
    resumed.notify();
  }
  Acceptor acceptor;
  Timer pause;
  Event resumed;
  bool starving = false;
};

/// Envoy's «listener.ADDRESS.*», of one worker.
struct ListenerStats {
  Counter downstream_cx_total, downstream_cx_destroy, downstream_global_cx_overflow, downstream_pre_cx_timeout,
      downstream_listener_filter_error, downstream_cx_transport_socket_connect_timeout, no_filter_chain_match,
      downstream_listener_filter_remote_close, accept_starved;
  Gauge downstream_cx_active, downstream_pre_cx_active;
  Histogram downstream_cx_length_ms;
  TlsStats tls;
};

/// A socket that tells its connection when it is gone.
class AcceptedSocket final : public SocketTransport {
 public:
  AcceptedSocket(Worker& worker, int fd, AcceptedSocket*& place) : SocketTransport(worker, fd), place_(place) {
    place_ = this;
  }
  ~AcceptedSocket() override { place_ = nullptr; }

 private:
  AcceptedSocket*& place_;
};

/// From accept to the end, in its listener's list.
struct ListenerSet::Connection {
  explicit Connection(Active& listener) : active(&listener) {}
  void close(Errc cause) {
    if (socket) socket->close(cause);
  }

  Active* active;                    // outlives it
  AcceptedSocket* socket = nullptr;  // null once its owner has dropped it
  ConnectionInfo info;
  ConnectionRecord record{info};
  std::shared_ptr<const TlsInfo> tls;  // outlives the transport, for logs
  DrainSignal drain;
  std::unique_ptr<Timer> deadline;
  std::vector<std::unique_ptr<NetworkFilter>> filters;
  bool limited = false;  // holds a unit of the global limit
  bool counted = false;  // in downstream_cx_active
};

struct ListenerSet::Active {
  explicit Active(std::shared_ptr<const Listener> with) : listener(std::move(with)) {}

  /// The same sockets with another configuration.
  void replace(std::shared_ptr<const Listener> with) {
    matcher.reset();
    listener = std::move(with);
  }
  const std::shared_ptr<const FilterChain>* select(const ConnectionInfo& connection) {
    if (!matcher) matcher.emplace(listener);
    return matcher->select(connection);
  }
  void collect(StatSink& sink, unsigned worker) const;

  std::shared_ptr<const Listener> listener;
  std::optional<FilterChainMatcher> matcher;  // made when the first connection needs it
  std::vector<std::shared_ptr<AcceptSocket>> sockets;
  Connections connections;
  SnapshotPtr retired_after;  // the last one that had it; null while it is in service
  ListenerStats stats;
};

}  // namespace clew
