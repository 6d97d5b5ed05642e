#include "proxy/net/listener_set.h"

#include "proxy/base/log.h"
#include "proxy/net/active_listener.h"
#include "proxy/net/listen_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <unordered_set>
#include <utility>

namespace clew {

namespace {

constexpr int accept_batch = 64;  // then others get their turn
constexpr Duration accept_pause = std::chrono::milliseconds(100);

/// Of one connection that is gone, as accept(2) lists them: the next may be well.
bool lost(int error) {
  switch (error) {
    case ECONNABORTED:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case EINTR:
    case ENETDOWN:
    case ENETUNREACH:
    case ENONET:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
    case EPROTO: return true;
    default: return false;
  }
}

}  // namespace

bool same_sockets(const Listener& a, const Listener& b) {
  return a.bind_to_port == b.bind_to_port && a.transparent == b.transparent && a.address == b.address &&
         a.additional_addresses == b.additional_addresses;
}

ListenerSet::ListenerSet(Worker& worker, Options options)
    : worker_(worker), options_(std::move(options)), acceptors_(worker.loop()) {
  worker.on_update([this](const Update& change) { update(change); });
}

ListenerSet::~ListenerSet() { assert(open_ == 0); }

void ListenerSet::update(const Update& update) {
  const auto& listeners = update.snapshot->listeners;
  const std::vector<std::string> failed = std::exchange(failed_, {});
  if (first_update_) {
    std::vector<std::string> gone;
    for (const auto& [name, active] : active_)
      if (!listeners.find(name)) gone.push_back(name);
    for (const std::string& name : gone) apply(name, nullptr);
    listeners.for_each([&](const std::string& name, const auto& listener) { apply(name, listener); });
    first_update_ = false;
  } else {
    const std::vector<std::string>& changed = update.changes->listeners;
    for (const std::string& name : changed) apply(name, listeners.get(name));
    for (const std::string& name : failed)  // a port may have become free
      if (std::find(changed.begin(), changed.end(), name) == changed.end()) apply(name, listeners.get(name));
  }
  index_addresses();
  before_ = update.snapshot;
}

void ListenerSet::apply(const std::string& name, const std::shared_ptr<const Listener>& listener) {
  const auto it = active_.find(name);
  if (it != active_.end() && it->second->listener == listener) return;
  if (!listener) {
    if (it == active_.end()) return;
    retire(it->second);
    active_.erase(it);
    return;
  }
  if (it != active_.end() && same_sockets(*it->second->listener, *listener)) {
    Active& active = *it->second;
    active.replace(listener);
    std::unordered_set<const FilterChain*> chains{listener->default_chain.get()};
    for (const auto& chain : listener->chains) chains.insert(chain.get());
    for (Connection& connection : active.connections)
      if (connection.info.chain && !chains.contains(connection.info.chain.get())) drain(connection);
    return;
  }
  auto fresh = std::make_shared<Active>(listener);
  if (!open(fresh)) {
    failed_.push_back(name);
    return;  // what was there before goes on
  }
  if (it != active_.end()) retire(it->second);
  active_[name] = std::move(fresh);
}

/// Opens the sockets of a listener that has some, all or none.
bool ListenerSet::open(const ActivePtr& active) {
  const Listener& listener = *active->listener;
  if (!listener.bind_to_port) {
    created_.add();
    return true;
  }
  if (stopped_all_ || (stopped_inbound_ && listener.direction == TrafficDirection::inbound)) return true;
  std::vector<Address> addresses{listener.address};
  addresses.insert(addresses.end(), listener.additional_addresses.begin(), listener.additional_addresses.end());
  for (const Address& address : addresses) {
    const ListenSocket opened = open_listen_socket(listener, address);
    if (opened.fd < 0) {
      if (options_.on_bind_failure) options_.on_bind_failure({listener.name, address.to_string(), opened.error});
      active->sockets.clear();
      not_created_.add();
      return false;
    }
    active->sockets.push_back(std::make_shared<AcceptSocket>(worker_, opened.fd));
  }
  for (const auto& socket : active->sockets) {
    AcceptSocket* raw = socket.get();
    acceptors_.spawn(accept_loop(active, socket), [raw](Errc) { raw->close(); });
  }
  created_.add();
  return true;
}

void ListenerSet::close_sockets(const ActivePtr& active) {
  for (const auto& socket : std::exchange(active->sockets, {})) {
    int batches = listen_backlog / accept_batch;  // of what waits now, however many still come
    while (accept_some(active, *socket) == Accepted::batch && --batches > 0) {
    }
    socket->close();
  }
}

void ListenerSet::retire(const ActivePtr& active) {
  active->retired_after = before_;
  // What is accepted before the index is made anew does not move to one that nobody holds any more.
  const auto unlist = [&](const Address& address) {
    const auto it = by_address_.find(address);
    if (it != by_address_.end() && it->second == active) by_address_.erase(it);
  };
  unlist(active->listener->address);
  for (const Address& address : active->listener->additional_addresses) unlist(address);
  close_sockets(active);
  for (Connection& connection : active->connections) drain(connection);
  if (!active->connections.empty()) retired_.push_back(active);
}

/// By destination, for connections that come over use_original_dst.
void ListenerSet::index_addresses() {
  by_address_.clear();
  for (const auto& [name, active] : active_) {
    by_address_.emplace(active->listener->address, active);
    for (const Address& address : active->listener->additional_addresses) by_address_.emplace(address, active);
  }
}

ListenerSet::ActivePtr ListenerSet::find_by_destination(const Address& destination) const {
  if (destination.is_pipe()) return nullptr;
  auto it = by_address_.find(destination);
  if (it == by_address_.end()) {
    const IpAddress any = destination.ip().is_v4() ? IpAddress::v4(0) : IpAddress::v6({});
    it = by_address_.find(Address(any, destination.port()));
  }
  return it == by_address_.end() ? nullptr : it->second;
}

void ListenerSet::stop_accepting(bool inbound_only) {
  (inbound_only ? stopped_inbound_ : stopped_all_) = true;
  for (const auto& [name, active] : active_)
    if (!inbound_only || active->listener->direction == TrafficDirection::inbound) close_sockets(active);
}

void ListenerSet::drain(bool inbound_only) {
  (inbound_only ? draining_inbound_ : draining_all_) = true;
  tell_connections(inbound_only);
}

void ListenerSet::set_unhealthy(bool unhealthy) {
  unhealthy_ = unhealthy;
  if (unhealthy) tell_connections(false);
}

bool ListenerSet::draining(const Listener& listener) const {
  return unhealthy_ || draining_all_ || (draining_inbound_ && listener.direction == TrafficDirection::inbound);
}

template <class F>
void ListenerSet::for_each_active(F&& f) const {
  for (const auto& [name, active] : active_) f(*active);
  for (const ActivePtr& active : retired_) f(*active);
}

void ListenerSet::tell_connections(bool inbound_only) {
  for_each_active([inbound_only](Active& active) {
    if (inbound_only && active.listener->direction != TrafficDirection::inbound) return;
    for (Connection& connection : active.connections) connection.drain.start();
  });
}

/// A connection whose listener or chain is gone: told now, closed when its time is up.
void ListenerSet::drain(Connection& connection) {
  if (connection.deadline) return;
  connection.deadline = std::make_unique<Timer>(worker_.timers(), [&connection] { connection.close(Errc::canceled); });
  connection.deadline->arm(options_.drain_time);
  keep_routes(connection, before_);
  connection.drain.start();
}

/// For the requests that still come on a connection whose chain is gone.
void ListenerSet::keep_routes(Connection& connection, const SnapshotPtr& snapshot) {
  if (!connection.info.chain || !snapshot) return;
  using Manager = std::shared_ptr<const HttpConnectionManager>;
  const auto* manager = std::get_if<Manager>(&connection.info.chain->terminal);
  if (manager && *manager && !(*manager)->inline_routes)
    connection.info.last_routes = snapshot->routes.get((*manager)->rds_name);
}

Task<void> ListenerSet::close(Errc cause) {
  stop_accepting(false);
  acceptors_.cancel(cause);
  for_each_active([cause](Active& active) {
    for (Connection& connection : active.connections) connection.close(cause);
  });
  co_await acceptors_.join();
  while (open_ > 0) co_await none_open_.wait();
}

Address ListenerSet::bound_address(std::string_view name) const {
  const auto it = active_.find(name);
  if (it == active_.end() || it->second->sockets.empty()) return {};
  return local_address(it->second->sockets.front()->acceptor.fd());
}

Task<void> ListenerSet::accept_loop(ActivePtr active, std::shared_ptr<AcceptSocket> socket) {
  while (!socket->acceptor.closed()) {
    switch (accept_some(active, *socket)) {
      case Accepted::all: co_await socket->acceptor.readable(); break;
      case Accepted::batch: co_await worker_.loop().yield(); break;
      case Accepted::starved:  // the connections stay in the kernel's queue; polling for them would spin
        socket->pause.arm(accept_pause);
        co_await socket->resumed.wait();
        break;
    }
  }
}

ListenerSet::Accepted ListenerSet::accept_some(const ActivePtr& active, AcceptSocket& socket) {
  for (int i = 0; i < accept_batch; ++i) {
    if (socket.acceptor.closed()) return Accepted::all;
    sockaddr_storage storage;
    socklen_t length;
    const int fd = socket.acceptor.try_accept(storage, length);
    if (fd >= 0) {
      take(active, fd, Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length));
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Accepted::all;
    if (lost(errno)) continue;
    // Out of descriptors or memory, mostly: worth trying again, but later.
    if (!std::exchange(socket.starving, true))
      CLEW_LOG(connection, error, "listener {}: accept: {}", active->listener->name, std::strerror(errno));
    active->stats.accept_starved.add();
    return Accepted::starved;
  }
  socket.starving = false;
  return Accepted::batch;
}

void ListenerSet::collect(StatSink& sink) const {
  sink.counter("listener_manager.listener_create_success", created_.value());
  sink.counter("listener_manager.listener_create_failure", not_created_.value());
  for_each_active([&](const Active& active) { active.collect(sink, worker_.index()); });
}

}  // namespace clew
