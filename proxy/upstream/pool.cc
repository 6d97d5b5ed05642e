#include "proxy/upstream/pool.h"

#include "proxy/net/connection_info.h"
#include "proxy/net/task_group.h"

#include <algorithm>
#include <cassert>

namespace clew {
namespace {

double milliseconds(Duration duration) { return std::chrono::duration<double, std::milli>(duration).count(); }

}  // namespace

struct PooledConnection {
  PooledConnection(Worker& worker, Pool& pool)
      : idle(worker.timers(), [this, &pool] { pool.idle_expired(*this); }),
        life(worker.timers(), [this, &pool] { pool.life_expired(*this); }) {}

  std::unique_ptr<ClientConnection> client;
  std::list<std::shared_ptr<PooledConnection>>::iterator at;
  Address local;
  std::uint64_t id = 0;
  TimePoint connected, idle_since;
  std::uint64_t requests = 0;
  std::size_t leases = 0;
  bool ready = false;    // listed among the pool's ready ones
  bool worn = false;     // no new requests: too many of them, or too old
  bool removed = false;  // no longer the pool's
  ResourceToken token;   // circuit breaker max_connections
  Timer idle, life;
};

// Lease

Lease::Lease() = default;
Lease::Lease(std::shared_ptr<Pool> pool, std::shared_ptr<PooledConnection> connection,
             std::unique_ptr<ClientExchange> exchange, ResourceToken token)
    : pool_(std::move(pool)),
      connection_(std::move(connection)),
      exchange_(std::move(exchange)),
      token_(std::move(token)) {}
Lease::Lease(Lease&&) noexcept = default;
Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    release();
    pool_ = std::move(other.pool_);
    connection_ = std::move(other.connection_);
    exchange_ = std::move(other.exchange_);
    token_ = std::move(other.token_);
  }
  return *this;
}
Lease::~Lease() { release(); }

void Lease::release() {
  if (!exchange_) return;
  exchange_.reset();
  token_.release();
  const std::shared_ptr<Pool> pool = std::move(pool_);
  const std::shared_ptr<PooledConnection> connection = std::move(connection_);
  pool->released(*connection);
}

ClientConnection& Lease::connection() const { return *connection_->client; }
const Address& Lease::local_address() const { return connection_->local; }
std::uint64_t Lease::connection_id() const { return connection_->id; }

// PendingLease

void PendingLease::cancel(Errc cause) {
  if (!pool_) return;
  pool_->owner_.stats->upstream_rq_cancelled.add();
  error = cause;
  settle();
}

void PendingLease::settle() {
  pool_->leave_line(*this);
  settled_.notify();
}

// Pool

std::shared_ptr<Pool> Pool::make(Owner owner, const PoolKey& key, UpstreamTarget target) {
  auto pool = std::make_shared<Pool>(std::move(owner), key, std::move(target));
  pool->self_ = pool;
  return pool;
}

Pool::Pool(Owner owner, const PoolKey& key, UpstreamTarget target)
    : owner_(std::move(owner)),
      key_tls_(key.tls),
      http2_(key.http2),
      priority_(key.priority),
      target_(std::move(target)) {
  target_.tls = key.tls != nullptr;
  target_.sni = key.sni;
  if (key.alpn) target_.alpn = *key.alpn;
  target_.expected_san = key.expected_san;
  target_.original_source = key.source;
  target_.preface = key.preface;
}

Pool::~Pool() {
  assert(waiting_.empty() && connecting_ == 0);
  while (!connections_.empty()) remove(*connections_.front(), true);
}

bool Pool::idle() const {
  const auto leased = [](const auto& connection) { return connection->leases > 0; };
  return waiting_.empty() && connecting_ == 0 && std::none_of(connections_.begin(), connections_.end(), leased);
}

bool Pool::matches(const PoolKey& key) const {
  return key.tls == key_tls_ && key.http2 == http2_ && key.priority == priority_ && key.sni == target_.sni &&
         key.source == target_.original_source && key.preface == target_.preface &&
         key.expected_san == target_.expected_san && (key.alpn ? *key.alpn == target_.alpn : target_.alpn.empty());
}

Task<void> Pool::acquire(std::shared_ptr<Pool> pool, PendingLease& pending) {
  if (pool->take_ready(pending) || !pool->enter_line(pending)) co_return;
  pool->connect_more();
  while (pending.pool_) co_await pending.settled_.wait();
}

bool Pool::try_acquire(const std::shared_ptr<Pool>& pool, PendingLease& pending) { return pool->take_ready(pending); }

/// True when it is dealt with: a lease, or refused by the circuit breaker.
bool Pool::take_ready(PendingLease& pending) {
  while (!ready_.empty()) {
    Connection& connection = *ready_.back();
    std::unique_ptr<ClientExchange> exchange;
    ResourceToken token;
    if (connection.client->can_open()) {
      if (!breakers().take_request(limits(), token)) {
        owner_.stats->upstream_rq_pending_overflow.add();
        pending.error = Errc::upstream_overflow;
        return true;
      }
      exchange = connection.client->open();
    }
    if (!exchange || !connection.client->can_open()) {
      connection.ready = false;
      ready_.pop_back();
    }
    if (!exchange) continue;
    ++connection.leases;
    owner_.stats->upstream_rq_total.add();
    owner_.stats->upstream_rq_active.add();
    owner_.endpoint->stats.rq_total.add();
    owner_.endpoint->stats.rq_active.add();
    owner_.endpoint->shared->rq_active.fetch_add(1, std::memory_order_relaxed);
    const std::uint32_t most = owner_.cluster->http.max_requests_per_connection;
    if (++connection.requests == most) {
      owner_.stats->upstream_cx_max_requests.add();
      wear(connection);
    }
    pending.lease = Lease(self_.lock(), *connection.at, std::move(exchange), std::move(token));
    return true;
  }
  return false;
}

bool Pool::enter_line(PendingLease& pending) {
  if (!breakers().take_pending(limits(), pending.token_)) {
    owner_.stats->upstream_rq_pending_overflow.add();
    pending.error = Errc::upstream_overflow;
    return false;
  }
  pending.pool_ = this;
  pending.at_ = waiting_.insert(waiting_.end(), &pending);
  owner_.stats->upstream_rq_pending_total.add();
  owner_.stats->upstream_rq_pending_active.add();
  return true;
}

void Pool::leave_line(PendingLease& pending) {
  waiting_.erase(pending.at_);
  pending.pool_ = nullptr;
  pending.token_.release();
  owner_.stats->upstream_rq_pending_active.sub();
}

std::size_t Pool::streams_per_connection() const {
  if (!http2_) return 1;
  const UpstreamHttpOptions& http = owner_.cluster->http;
  const std::uint32_t most = http.max_requests_per_connection;
  return std::max(1u, most == 0 ? http.max_concurrent_streams : std::min(most, http.max_concurrent_streams));
}

/// As many connections under way as those in line need. A limit of the circuit breaker does not keep a pool from its
/// first connection, or nobody in its line would ever be served (as Envoy). An attempt may be over at once, and come
/// here again: the one loop goes on.
void Pool::connect_more() {
  if (connecting_more_) return;
  connecting_more_ = true;
  while (connecting_ * streams_per_connection() < waiting_.size()) {
    ResourceToken token;
    const bool first = connections_.empty() && connecting_ == 0;
    if (!breakers().take_connection(limits(), token, first)) {
      owner_.stats->upstream_cx_overflow.add();
      break;
    }
    ++connecting_;
    spawn(owner_.worker.loop(), connect_one(self_.lock(), std::move(token)));
  }
  connecting_more_ = false;
}

Task<void> Pool::connect_one(std::shared_ptr<Pool> pool, ResourceToken token) {
  const Owner& owner = pool->owner_;
  owner.stats->upstream_cx_total.add();
  owner.stats->upstream_cx_active.add();
  owner.endpoint->stats.cx_total.add();
  owner.endpoint->stats.cx_active.add();
  (pool->http2_ ? owner.stats->upstream_cx_http2_total : owner.stats->upstream_cx_http1_total).add();
  const UpstreamTarget target = pool->target_;  // a rotation meanwhile is for the next one
  const TimePoint start = owner.worker.clock().now();
  Connected result = co_await owner.connector.connect(owner.worker, target);
  --pool->connecting_;
  pool->connected(std::move(result), std::move(token), owner.worker.clock().now() - start);
}

void Pool::connected(Connected result, ResourceToken token, Duration took) {
  if (!result) {
    token.release();
    return connect_failed(result);
  }
  owner_.stats->upstream_cx_connect_ms.record(milliseconds(took));
  if (key_tls_) {
    owner_.stats->ssl.handshake.add();
    if (const TlsInfo* info = result.transport->tls(); info && info->resumed) owner_.stats->ssl.session_reused.add();
  }
  auto connection = std::make_shared<Connection>(owner_.worker, *this);
  connection->local = result.local;
  connection->id = owner_.worker.next_id();
  connection->connected = owner_.worker.clock().now();
  connection->token = std::move(token);
  const UpstreamHttpOptions& options = owner_.cluster->http;
  const auto make = http2_ ? make_http2_client : make_http1_client;
  connection->client = make(owner_.worker, std::move(result.transport), options,
                            std::shared_ptr<ClientStats>(owner_.stats, &owner_.stats->http));
  // It lives as long as the client that calls: what is removed from inside is destroyed later.
  connection->client->on_change = [this, raw = connection.get()] { changed(*raw); };
  connection->at = connections_.insert(connections_.end(), connection);
  if (options.max_connection_duration) connection->life.arm(*options.max_connection_duration);
  offer(*connection);
  // It ended as soon as it was there. That is what those it was for hear, as from Envoy: whether and when there is
  // another try is theirs to say.
  if (connection->client->closed()) fail_waiting(Errc::upstream_closed, {}, streams_per_connection());
  look_again(*connection);
}

void Pool::connect_failed(const Connected& result) {
  ClusterStats& stats = *owner_.stats;
  stats.upstream_cx_active.sub();
  owner_.endpoint->stats.cx_active.sub();
  owner_.endpoint->stats.cx_connect_fail.add();
  count_connect_failure(stats, result.error);
  const std::size_t waiting = waiting_.size();
  stats.upstream_rq_pending_failure_eject.add(waiting);
  fail_waiting(result.error, result.failure, waiting);
}

/// At most so many, the first in line.
void Pool::fail_waiting(Errc error, std::string_view reason, std::size_t most) {
  for (; !waiting_.empty() && most > 0; --most) {
    PendingLease& pending = *waiting_.front();
    pending.error = error;
    pending.reason = reason;
    pending.settle();
  }
}

void Pool::released(Connection& connection) {
  --connection.leases;
  owner_.stats->upstream_rq_active.sub();
  owner_.endpoint->stats.rq_active.sub();
  owner_.endpoint->shared->rq_active.fetch_sub(1, std::memory_order_relaxed);
  if (connection.removed) return;
  look_again(connection);
}

/// From the client's own deferred call.
void Pool::changed(Connection& connection) {
  if (connection.removed) return;
  const std::shared_ptr<Pool> self = self_.lock();
  // The client must outlive its call: if it goes now, its memory goes with the loop's next turn.
  std::shared_ptr<Connection> keep = *connection.at;
  look_again(connection);
  if (connection.removed) owner_.worker.post([self, keep = std::move(keep)] {});
}

void Pool::look_again(Connection& connection) {
  if (connection.client->closed()) return remove(connection, false);
  offer(connection);
  connect_more();
  if (connection.leases > 0) return;
  if (retired_ || connection.worn) return remove(connection, true);
  if (!connection.idle.armed()) {
    const Duration idle = owner_.cluster->http.idle_timeout.value_or(std::chrono::hours(1));
    if (idle > Duration::zero()) connection.idle.arm(idle);
  }
  connection.idle_since = owner_.worker.clock().now();
}

/// To who is in line and who comes later. A retired pool still serves who is in line.
void Pool::offer(Connection& connection) {
  const bool wanted = !retired_ || !waiting_.empty();
  if (wanted && !connection.worn && !connection.ready && connection.client->can_open()) {
    connection.ready = true;
    ready_.push_back(&connection);
  }
  while (!waiting_.empty() && take_ready(*waiting_.front())) waiting_.front()->settle();
}

/// Takes no new requests from now on.
void Pool::wear(Connection& connection) {
  connection.worn = true;
  unlist(connection);
  connection.client->drain();
}

void Pool::unlist(Connection& connection) {
  if (std::exchange(connection.ready, false)) std::erase(ready_, &connection);
}

void Pool::idle_expired(Connection& connection) {
  if (connection.leases > 0) return;  // armed again when it is idle again
  const Duration limit = owner_.cluster->http.idle_timeout.value_or(std::chrono::hours(1));
  const Duration idle = owner_.worker.clock().now() - connection.idle_since;
  if (idle < limit) return connection.idle.arm(limit - idle);
  owner_.stats->upstream_cx_idle_timeout.add();
  remove(connection, true);
}

void Pool::life_expired(Connection& connection) {
  owner_.stats->upstream_cx_max_duration_reached.add();
  if (connection.leases == 0) return remove(connection, true);
  wear(connection);
}

/// local: we end it, else it is closed already. Leases keep its memory.
void Pool::remove(Connection& connection, bool local) {
  if (std::exchange(connection.removed, true)) return;
  unlist(connection);
  connection.idle.cancel();
  connection.life.cancel();
  ClusterStats& stats = *owner_.stats;
  stats.upstream_cx_active.sub();
  owner_.endpoint->stats.cx_active.sub();
  stats.upstream_cx_destroy.add();
  (local ? stats.upstream_cx_destroy_local : stats.upstream_cx_destroy_remote).add();
  if (connection.leases > 0) {
    stats.upstream_cx_destroy_with_active_rq.add();
    (local ? stats.upstream_cx_destroy_local_with_active_rq : stats.upstream_cx_destroy_remote_with_active_rq).add();
  }
  stats.upstream_cx_length_ms.record(milliseconds(owner_.worker.clock().now() - connection.connected));
  connection.token.release();
  if (local) connection.client->close(Errc::canceled);
  const std::shared_ptr<Connection> keep = *connection.at;
  connections_.erase(connection.at);
  connect_more();  // who waited for this one, or for its place under the limit
}

void Pool::retire() {
  if (std::exchange(retired_, true)) return;
  for (auto it = connections_.begin(); it != connections_.end();) {
    Connection& connection = **it++;
    unlist(connection);
    if (connection.leases == 0) {
      remove(connection, true);
    } else {
      wear(connection);
    }
  }
}

void Pool::close(Errc cause) {
  fail_waiting(cause, {}, waiting_.size());
  retire();
  while (!connections_.empty()) remove(*connections_.front(), true);
}

void count_connect_failure(ClusterStats& stats, Errc error) {
  stats.upstream_cx_connect_fail.add();
  stats.upstream_cx_destroy.add();
  (error == Errc::connect_timeout ? stats.upstream_cx_destroy_local : stats.upstream_cx_destroy_remote).add();
  switch (error) {
    case Errc::connect_timeout: stats.upstream_cx_connect_timeout.add(); break;
    case Errc::tls_san_mismatch: stats.ssl.fail_verify_san.add(); break;
    case Errc::tls_certificate_rejected: stats.ssl.fail_verify_error.add(); break;
    case Errc::tls_handshake_failed:
    case Errc::tls_protocol:
    case Errc::tls_secret_missing: stats.ssl.connection_error.add(); break;
    case Errc::bind_failed: stats.bind_errors.add(); break;
    default: break;
  }
}

}  // namespace clew
