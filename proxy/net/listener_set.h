// The listeners of one worker: sockets, accepted connections, what becomes of both when the configuration changes.
// Follows the worker's snapshots by itself.
//
// A connection's way: accept → original destination (and the listener that it names) → listener filters → filter chain
// → TLS → network filters → ConnectionHandler. It is one coroutine from accept to its end.
#pragma once

#include "proxy/base/strings.h"
#include "proxy/net/connection_info.h"
#include "proxy/net/drain_signal.h"
#include "proxy/net/stream_info.h"
#include "proxy/net/task_group.h"
#include "proxy/net/transport.h"
#include "proxy/net/worker.h"
#include "proxy/stats/stats.h"

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace clew {

/// What stands at a filter chain's end, and what is told of every connection. Implemented by the app.
class ConnectionHandler {
 public:
  virtual ~ConnectionHandler() = default;
  /// Serves a connection that chain and network filters took, by connection.chain->terminal, to its end; closes the
  /// transport. initial: bytes that were read already, before those of the transport (plain text only). record: filled
  /// along the way for network filters and logs (TCP; HTTP has one of its own for each stream). drain: see its class;
  /// the references live until the task ends, connection.chain with them.
  virtual Task<void> serve(Transport& transport, ConnectionInfo& connection, ConnectionRecord& record, Buffer initial,
                           DrainSignal& drain) = 0;
  /// Once for every accepted connection, at its end, served or not: the listener's access log. Refused ones carry why
  /// in info.flags, response_code_details and connection_termination_details.
  virtual void on_connection_done(const ConnectionInfo& connection, const StreamInfo& info) noexcept = 0;
};

/// How many connections from downstream the process may have; shared by the workers (overload manager,
/// envoy.resource_monitors.downstream_connections). Thread safe.
class ConnectionLimit {
 public:
  explicit ConnectionLimit(std::int64_t max = INT64_MAX) : max_(max) {}
  bool acquire() {
    if (active_.fetch_add(1, std::memory_order_relaxed) < max_) return true;
    release();
    return false;
  }
  void release() { active_.fetch_sub(1, std::memory_order_relaxed); }
  std::int64_t active() const { return active_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> active_{0};
  const std::int64_t max_;
};

/// Whether a listener can become the other without new sockets.
bool same_sockets(const Listener& a, const Listener& b);

/// A listener that could not be opened; the version before it, if any, goes on.
struct BindFailure {
  std::string listener, address, error;  // error: «cannot bind '0.0.0.0:80': Permission denied»
};

class ListenerSet final : public StatSource {
 public:
  struct Options {
    ConnectionHandler& handler;
    ConnectionLimit& limit;
    /// On this worker's thread; every worker reports its own.
    std::function<void(const BindFailure&)> on_bind_failure;
    /// From the drain signal to the end of a connection whose listener or chain is gone (--drain-time-s).
    Duration drain_time = std::chrono::seconds(600);
  };

  /// Registers for the worker's updates. Both outlive it.
  ListenerSet(Worker& worker, Options options);
  ~ListenerSet() override;  // after close()

  /// No new connections: sockets are closed, after what waits in them was accepted. For good.
  void stop_accepting(bool inbound_only);
  /// Tells connections to finish (DrainSignal), those that are still to come as well; nothing is closed. For good.
  void drain(bool inbound_only);
  /// The same, until it is taken back: connections that were told stay told.
  void set_unhealthy(bool unhealthy);
  /// stop_accepting, closes every connection with this cause, waits for their coroutines.
  Task<void> close(Errc cause);

  std::size_t connections() const { return open_; }
  /// Where a bound listener listens, its port known (port 0 in tests); an unset address when it does not.
  Address bound_address(std::string_view name) const;
  void collect(StatSink& sink) const override;

 private:
  struct Active;
  struct Connection;
  struct AcceptSocket;
  using ActivePtr = std::shared_ptr<Active>;
  using Connections = std::list<Connection, RecyclingAllocator<Connection>>;

  void update(const Update& update);
  void apply(const std::string& name, const std::shared_ptr<const Listener>& listener);
  bool open(const ActivePtr& active);
  void retire(const ActivePtr& active);
  void close_sockets(const ActivePtr& active);
  void index_addresses();
  ActivePtr find_by_destination(const Address& destination) const;

  Task<void> accept_loop(ActivePtr active, std::shared_ptr<AcceptSocket> socket);
  enum class Accepted { all, batch, starved };
  Accepted accept_some(const ActivePtr& active, AcceptSocket& socket);
  void take(const ActivePtr& active, int fd, const Address& peer);
  static Detached run_connection(Loop& loop, ListenerSet& set, Connections::iterator connection,
                                 std::unique_ptr<Transport> transport);
  Task<bool> prepare(Connections::iterator connection, std::unique_ptr<Transport>& transport, Buffer& initial);
  bool choose_chain(Connection& connection);
  void finish(Connections::iterator connection);
  Task<Result<void>> run_filters(Connections::iterator connection, Buffer& initial);
  Task<bool> handshake(Connection& connection, std::unique_ptr<Transport>& transport, Buffer& initial);
  bool run_network_filters(Connection& connection, std::unique_ptr<Transport>& transport, Buffer& initial);
  void move_to(Connections::iterator connection, Active& active);
  void forget_if_empty(const Active& active);
  void drain(Connection& connection);
  void tell_connections(bool inbound_only);
  template <class F>
  void for_each_active(F&& f) const;
  /// A new connection of this listener is told to finish from its beginning.
  bool draining(const Listener& listener) const;
  static void keep_routes(Connection& connection, const SnapshotPtr& snapshot);

  Worker& worker_;
  Options options_;
  StringMap<ActivePtr> active_;  // by name
  std::unordered_map<Address, ActivePtr> by_address_;
  std::vector<std::string> failed_;  // could not be opened: tried again with each update
  std::vector<ActivePtr> retired_;   // still have connections
  TaskGroup acceptors_;
  std::size_t open_ = 0;  // connections
  Event none_open_;
  Counter created_, not_created_;  // listeners of this worker that could be opened, or not
  SnapshotPtr before_;             // the worker's, until the update that is being applied
  bool first_update_ = true, stopped_all_ = false, stopped_inbound_ = false;
  bool draining_all_ = false, draining_inbound_ = false, unhealthy_ = false;
};

}  // namespace clew
