// HTTP connections of one worker to one endpoint, all alike: same transport socket, SNI, ALPN, protocol, source and
// priority. A request takes a connection that is ready, or waits in line for one that is being opened. h1: last used
// first; h2: many on one. A retired pool finishes what it has and takes nothing new.
#pragma once

#include "proxy/http/client_connection.h"
#include "proxy/net/event.h"
#include "proxy/upstream/connector.h"
#include "proxy/upstream/shared_state.h"
#include "proxy/upstream/stats.h"

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace clew {

/// An endpoint as streams and connections remember it; outlives its place in the cluster.
struct EndpointState {
  Address address;
  EndpointStats stats;
  std::shared_ptr<EndpointShared> shared;
};

/// What distinguishes the pools of an endpoint.
struct PoolKey {
  std::shared_ptr<const TlsParams> tls;  // null: plain text
  bool http2 = false;
  std::string_view sni;
  const std::vector<std::string>* alpn = nullptr;  // override; null: none
  std::string_view expected_san;
  std::optional<OriginalSource> source;
  std::string preface = {};  // PROXY header: connections serve one client each
  Priority priority = Priority::standard;
};

class Pool;
struct PooledConnection;

/// A connection's use by one request. Destroying it resets the exchange when it is unfinished and gives the connection
/// back.
class Lease {
 public:
  Lease();
  Lease(std::shared_ptr<Pool> pool, std::shared_ptr<PooledConnection> connection,
        std::unique_ptr<ClientExchange> exchange, ResourceToken token);
  Lease(Lease&&) noexcept;
  Lease& operator=(Lease&&) noexcept;
  ~Lease();

  explicit operator bool() const { return exchange_ != nullptr; }
  ClientExchange& exchange() const { return *exchange_; }
  ClientConnection& connection() const;
  const Address& local_address() const;
  std::uint64_t connection_id() const;

 private:
  void release();
  std::shared_ptr<Pool> pool_;
  std::shared_ptr<PooledConnection> connection_;
  std::unique_ptr<ClientExchange> exchange_;
  ResourceToken token_;  // circuit breaker max_requests
};

/// One request in a pool's line. Lives in the frame of who waits.
class PendingLease {
 public:
  PendingLease() = default;
  PendingLease(const PendingLease&) = delete;
  PendingLease& operator=(const PendingLease&) = delete;
  ~PendingLease() { cancel(Errc::canceled); }

  /// Leaves the line: the wait ends with `cause`. No effect when it is over.
  void cancel(Errc cause);

  Lease lease;            // set: success
  Errc error = Errc::ok;  // else why
  std::string reason;     // transport failure reason, as Envoy words it

 private:
  friend class Pool;
  void settle();
  Pool* pool_ = nullptr;  // in line there
  std::list<PendingLease*>::iterator at_;
  ResourceToken token_;  // circuit breaker max_pending_requests
  Event settled_;
};

class Pool {
 public:
  struct Owner {
    Worker& worker;
    Connector& connector;
    std::shared_ptr<ClusterStats> stats;
    std::shared_ptr<ClusterShared> shared;
    std::shared_ptr<const Cluster> cluster;
    std::shared_ptr<EndpointState> endpoint;
  };

  /// The only way to make one: connections under way keep it alive.
  static std::shared_ptr<Pool> make(Owner owner, const PoolKey& key, UpstreamTarget target);
  Pool(Owner owner, const PoolKey& key, UpstreamTarget target);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  bool matches(const PoolKey& key) const;

  /// At once, or after a wait: fills `pending` either way. Overflow ends as upstream_overflow.
  static Task<void> acquire(std::shared_ptr<Pool> pool, PendingLease& pending);
  /// Without waiting; true: pending holds a lease, or the error when the circuit breaker refuses one. False: acquire()
  /// it is.
  static bool try_acquire(const std::shared_ptr<Pool>& pool, PendingLease& pending);

  /// New connections use this from now on.
  void set_tls_context(std::shared_ptr<const TlsContext> context) { target_.context = std::move(context); }
  bool tls() const { return key_tls_ != nullptr; }
  const std::shared_ptr<const TlsParams>& tls_params() const { return key_tls_; }
  /// Idle connections close now, busy ones when they are done; who waits is still served.
  void retire();
  /// Everything closes, who waits gets `cause`.
  void close(Errc cause);

  bool empty() const { return connections_.empty() && waiting_.empty() && connecting_ == 0; }
  /// No request uses it, or waits for it.
  bool idle() const;
  std::size_t connections() const { return connections_.size(); }
  std::size_t waiting() const { return waiting_.size(); }
  bool retired() const { return retired_; }

 private:
  friend class Lease;
  friend class PendingLease;
  friend struct PooledConnection;
  using Connection = PooledConnection;

  bool take_ready(PendingLease& pending);
  bool enter_line(PendingLease& pending);
  void leave_line(PendingLease& pending);
  void connect_more();
  static Task<void> connect_one(std::shared_ptr<Pool> pool, ResourceToken token);
  void connected(Connected result, ResourceToken token, Duration took);
  void connect_failed(const Connected& result);
  void fail_waiting(Errc error, std::string_view reason, std::size_t most);
  void released(Connection& connection);
  void changed(Connection& connection);
  void look_again(Connection& connection);
  void offer(Connection& connection);
  void wear(Connection& connection);
  void unlist(Connection& connection);
  void idle_expired(Connection& connection);
  void life_expired(Connection& connection);
  void remove(Connection& connection, bool local);
  std::size_t streams_per_connection() const;
  CircuitBreakers& breakers() const { return owner_.shared->breakers[priority_]; }
  const CircuitBreakerThresholds& limits() const { return owner_.cluster->circuit_breakers[priority_]; }

  const Owner owner_;
  const std::shared_ptr<const TlsParams> key_tls_;
  const bool http2_;
  const Priority priority_;
  UpstreamTarget target_;
  std::weak_ptr<Pool> self_;
  std::list<std::shared_ptr<Connection>> connections_;
  std::vector<Connection*> ready_;  // can take an exchange; the last one was used last
  std::list<PendingLease*> waiting_;
  std::size_t connecting_ = 0;
  bool retired_ = false;
  bool connecting_more_ = false;  // connect_more() is at work
};

/// What a failed connection attempt counts.
void count_connect_failure(ClusterStats& stats, Errc error);

}  // namespace clew
