// One connection's way through its listener.
#include "proxy/net/active_listener.h"

#include "config/snapshot/stat_prefix.h"
#include "proxy/base/log.h"
#include "proxy/net/listener_filters.h"
#include "proxy/net/original_dst.h"
#include "proxy/net/replay_transport.h"

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <utility>

namespace clew {

namespace {

/// Where the config gives no transport_socket_connect_timeout: a peer that never finishes its handshake is not kept.
constexpr Duration default_handshake_timeout = std::chrono::seconds(15);

}  // namespace

void ListenerSet::take(const ActivePtr& active, int fd, const Address& peer) {
  const bool limited = !active->listener->ignore_global_connection_limit;
  if (limited && !options_.limit.acquire()) {
    active->stats.downstream_global_cx_overflow.add();
    ::close(fd);
    return;
  }
  const auto connection = active->connections.emplace(active->connections.end(), *active);
  connection->limited = limited;
  ConnectionInfo& info = connection->info;
  info.id = worker_.next_id();
  info.remote = info.direct_remote = peer;
  info.local = local_address(fd);
  info.listener = active->listener;
  info.start = worker_.clock().now();
  info.start_wall = worker_.clock().wall();
  active->stats.downstream_pre_cx_active.add();
  ++open_;
  auto socket = std::make_unique<AcceptedSocket>(worker_, fd, connection->socket);
  run_connection(worker_.loop(), *this, connection, std::move(socket));
}

/// To the listener that its destination names. The end of the one that accepted it concerns it no more.
void ListenerSet::move_to(Connections::iterator connection, Active& active) {
  Active& before = *connection->active;
  before.stats.downstream_pre_cx_active.sub();
  active.stats.downstream_pre_cx_active.add();
  active.connections.splice(active.connections.end(), before.connections, connection);
  connection->active = &active;
  connection->info.listener = active.listener;
  connection->deadline.reset();
  forget_if_empty(before);
}

/// One that is retired goes with its last connection.
void ListenerSet::forget_if_empty(const Active& active) {
  if (!active.retired_after || !active.connections.empty()) return;
  std::erase_if(retired_, [&active](const ActivePtr& retired) { return retired.get() == &active; });
}

/// This frame and the handler's are all that an idle connection keeps: what prepares it is gone by then.
Detached ListenerSet::run_connection(Loop&, ListenerSet& set, Connections::iterator connection,
                                     std::unique_ptr<Transport> transport) {
  try {
    Buffer initial;
    const bool ready = co_await set.prepare(connection, transport, initial);
    if (ready) {
      Task<void> serving = set.options_.handler.serve(*transport, connection->info, connection->record,
                                                      std::move(initial), connection->drain);
      co_await std::move(serving);
    }
  } catch (const std::exception& e) {
    CLEW_LOG(connection, critical, "exception left connection {}: {}", connection->info.id, e.what());
  }
  transport.reset();
  set.finish(connection);
}

void ListenerSet::finish(Connections::iterator connection) {
  ConnectionInfo& info = connection->info;
  StreamInfo& record = connection->record.get();
  record.complete = worker_.clock().now() - info.start;
  for (const auto& filter : connection->filters) filter->on_done(info, record);
  options_.handler.on_connection_done(info, record);
  Active& active = *connection->active;
  if (connection->counted) {
    active.stats.downstream_cx_active.sub();
    active.stats.downstream_cx_destroy.add();
    active.stats.downstream_cx_length_ms.record(std::chrono::duration<double, std::milli>(*record.complete).count());
  } else {
    active.stats.downstream_pre_cx_active.sub();
  }
  if (connection->limited) options_.limit.release();
  active.connections.erase(connection);
  forget_if_empty(active);
  if (--open_ == 0) none_open_.notify();
}

/// Listener filters of the listener that accepted, and of the one that the original destination names.
Task<Result<void>> ListenerSet::run_filters(Connections::iterator connection, Buffer& initial) {
  ConnectionInfo& info = connection->info;
  AcceptedSocket& socket = *connection->socket;
  const std::shared_ptr<const Listener> first = connection->active->listener;
  if (first->use_original_dst) restore_destination(socket.fd(), first->transparent, info);
  Result<void> seen = co_await run_listener_filters(worker_, socket, *first, info, initial);
  if (!seen || !first->use_original_dst) co_return seen;
  const ActivePtr target = info.local_restored ? find_by_destination(info.local) : nullptr;
  if (!target || target.get() == connection->active) co_return seen;
  move_to(connection, *target);
  const std::shared_ptr<const Listener> second = target->listener;
  seen = co_await run_listener_filters(worker_, socket, *second, info, initial);
  co_return seen;
}

/// TLS, where the chain has it. False: refused, all is told.
Task<bool> ListenerSet::handshake(Connection& connection, std::unique_ptr<Transport>& transport, Buffer& initial) {
  const FilterChain& chain = *connection.info.chain;
  if (!chain.tls) co_return true;
  ListenerStats& stats = connection.active->stats;
  TlsServerOptions options;
  options.timeout = chain.transport_socket_connect_timeout > Duration::zero() ? chain.transport_socket_connect_timeout
                                                                              : default_handshake_timeout;
  options.stats = &stats.tls;
  const TimePoint begin = worker_.clock().now();
  const SnapshotPtr snapshot = worker_.snapshot();
  TlsHandshake done = co_await tls_server(worker_, std::move(transport), snapshot->tls_context(*chain.tls),
                                          std::move(initial), options);
  ConnectionInfo& info = connection.info;
  info.handshake_time = worker_.clock().now() - begin;
  if (!done) {
    if (done.error == Errc::handshake_timeout) {
      stats.downstream_cx_transport_socket_connect_timeout.add();
      connection.record.get().connection_termination_details = "transport socket timeout was reached";
    }
    info.transport_failure_reason = std::move(done.failure);
    CLEW_LOG(connection, debug, "[C{}] TLS from {} failed: {} {}", info.id, info.remote.to_string(),
             to_string(done.error), info.transport_failure_reason);
    co_return false;
  }
  transport = std::move(done.transport);
  initial = Buffer();
  connection.tls = transport->tls()->shared_from_this();
  info.tls = connection.tls.get();
  if (info.server_name.empty()) info.server_name = to_lower(info.tls->sni);
  co_return true;
}

/// False: one of them denied it.
bool ListenerSet::run_network_filters(Connection& connection, std::unique_ptr<Transport>& transport, Buffer& initial) {
  const auto& factories = connection.info.chain->network_filters;
  if (!factories.empty() && !initial.empty())
    transport = replay(std::move(transport), std::exchange(initial, Buffer()));
  for (const auto& factory : factories) {
    connection.filters.push_back(factory->make());
    NetworkFilter& filter = *connection.filters.back();
    const ConnectionVerdict verdict = filter.on_connection(connection.info);
    if (const Deny* deny = std::get_if<Deny>(&verdict)) {
      connection.record.get().connection_termination_details = deny->details;
      transport->close(Errc::policy_denied);
      return false;
    }
    transport = filter.wrap(std::move(transport), connection.info);
  }
  return true;
}

/// False: there is none, all is told.
bool ListenerSet::choose_chain(Connection& connection) {
  Active& active = *connection.active;
  const std::shared_ptr<const FilterChain>* chain = active.select(connection.info);
  if (!chain) {
    active.stats.no_filter_chain_match.add();
    StreamInfo& record = connection.record.get();
    record.flags.set(ResponseFlag::no_route_found);
    record.response_code_details = "filter_chain_not_found";
    return false;
  }
  connection.info.chain = *chain;
  connection.info.listener = active.listener;
  keep_routes(connection, active.retired_after);
  connection.counted = true;
  active.stats.downstream_pre_cx_active.sub();
  active.stats.downstream_cx_active.add();
  active.stats.downstream_cx_total.add();
  return true;
}

/// From accept to the handler. False: the connection is not for it, all is told.
Task<bool> ListenerSet::prepare(Connections::iterator place, std::unique_ptr<Transport>& transport, Buffer& initial) {
  const Result<void> seen = co_await run_filters(place, initial);
  Connection& connection = *place;
  if (!seen) {
    const Errc why = seen.error().code;
    ListenerStats& stats = connection.active->stats;
    if (why == Errc::listener_filter_timeout)
      stats.downstream_pre_cx_timeout.add();
    else if (why == Errc::listener_filter_refused)
      stats.downstream_listener_filter_error.add();
    else if (ended_by_peer(why))
      stats.downstream_listener_filter_remote_close.add();
    transport->close(why);
    co_return false;
  }
  if (!choose_chain(connection)) {
    transport->close(Errc::no_filter_chain);
    co_return false;
  }
  const bool secure = co_await handshake(connection, transport, initial);
  if (!secure || !run_network_filters(connection, transport, initial)) co_return false;
  if (draining(*connection.info.listener)) connection.drain.start();
  co_return true;
}

void ListenerSet::Active::collect(StatSink& sink, unsigned worker) const {
  const std::string prefix = listener_stat_prefix(listener->address) + ".";
  const auto name = [&prefix](std::string_view last) { return std::string(prefix).append(last); };
  sink.counter(name("downstream_cx_total"), stats.downstream_cx_total.value());
  sink.counter(name("downstream_cx_destroy"), stats.downstream_cx_destroy.value());
  sink.counter(name("downstream_global_cx_overflow"), stats.downstream_global_cx_overflow.value());
  sink.counter(name("downstream_pre_cx_timeout"), stats.downstream_pre_cx_timeout.value());
  sink.counter(name("downstream_listener_filter_error"), stats.downstream_listener_filter_error.value());
  sink.counter(name("downstream_cx_transport_socket_connect_timeout"),
               stats.downstream_cx_transport_socket_connect_timeout.value());
  sink.counter(name("downstream_listener_filter_remote_close"), stats.downstream_listener_filter_remote_close.value());
  sink.counter(name("no_filter_chain_match"), stats.no_filter_chain_match.value());
  sink.counter(name("downstream_accept_starved"), stats.accept_starved.value());
  sink.gauge(name("downstream_cx_active"), stats.downstream_cx_active.value());
  sink.gauge(name("downstream_pre_cx_active"), stats.downstream_pre_cx_active.value());
  const std::string of_worker = "worker_" + std::to_string(worker) + ".";
  sink.counter(name(of_worker + "downstream_cx_total"), stats.downstream_cx_total.value());
  sink.gauge(name(of_worker + "downstream_cx_active"), stats.downstream_cx_active.value());
  sink.histogram(name("downstream_cx_length_ms"), stats.downstream_cx_length_ms);
  const auto secured = [](const auto& chain) { return chain && chain->tls; };
  if (secured(listener->default_chain) || std::any_of(listener->chains.begin(), listener->chains.end(), secured))
    stats.tls.collect(sink, name("ssl."));
}

}  // namespace clew
