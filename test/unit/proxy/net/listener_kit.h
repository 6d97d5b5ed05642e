// What the listener tests share: a handler that records, clients on blocking sockets, listeners made short.
#pragma once

#include "proxy/net/listener_set.h"

#include "proxy/net/connect.h"
#include "proxy/net/network_filter.h"
#include "proxy/net/socket_transport.h"
#include "proxy/net/tls_transport.h"
#include "test/support/certificates.h"
#include "test/support/test_worker.h"

#include <catch2/catch.hpp>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <string>
#include <vector>

namespace clew {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Address loopback(std::uint16_t port = 0) { return {*IpAddress::parse("127.0.0.1"), port}; }

/// A client's blocking socket: on loopback the kernel alone completes connect and send.
class Client {
 public:
  explicit Client(const Address& to) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_storage storage{};
    const auto length = static_cast<socklen_t>(to.to_sockaddr(storage));
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&storage), length) == 0;
  }
  ~Client() { ::close(fd_); }
  bool connected() const { return connected_; }
  void send(const std::string& bytes) const {
    REQUIRE(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  /// What has come: bytes, «<end>», «<reset>»; empty: nothing yet.
  std::string receive() const {
    char bytes[4096];
    const ssize_t n = ::recv(fd_, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n > 0) return std::string(bytes, static_cast<std::size_t>(n));
    return n == 0 ? "<end>" : errno == EAGAIN ? "" : "<reset>";
  }
  void end() const { REQUIRE(::shutdown(fd_, SHUT_WR) == 0); }
  Address address() const { return local_address(fd_); }

 private:
  int fd_;
  bool connected_ = false;
};

struct Seen {
  std::string chain, listener, server_name, transport, details, termination;
  std::vector<std::string> alpn;
  Address remote, local;
  std::optional<OriginalSource> original_source;
  bool no_route = false, tls = false;
};

/// Echoes; remembers what it was given and told.
class Echo final : public ConnectionHandler {
 public:
  std::vector<Seen> served, done;
  int draining = 0, active = 0;

  Task<void> serve(Transport& transport, ConnectionInfo& connection, ConnectionRecord&, Buffer initial,
                   DrainSignal& drain) override {
    served.push_back(describe(connection));
    ++active;
    if (drain.draining()) ++draining;
    drain.set_hook([this] { ++draining; });
    for (;;) {
      if (!initial.empty()) {
        const Result<void> written = co_await write_all(transport, initial);
        if (!written) break;
      }
      const Result<std::size_t> n = transport.try_read(initial, 4096);
      if (n) continue;
      if (n.error().code != Errc::would_block) break;
      const Result<void> ready = co_await transport.readable();
      if (!ready) break;
    }
    drain.set_hook(nullptr);
    --active;
    transport.close(Errc::ok);
  }
  void on_connection_done(const ConnectionInfo& connection, const StreamInfo& info) noexcept override {
    Seen seen = describe(connection);
    seen.details = info.response_code_details;
    seen.termination = info.connection_termination_details;
    seen.no_route = info.flags.has(ResponseFlag::no_route_found);
    done.push_back(seen);
  }

 private:
  static Seen describe(const ConnectionInfo& c) {
    Seen seen;
    seen.chain = c.chain ? c.chain->name : "";
    seen.listener = c.listener->name;
    seen.server_name = c.server_name;
    seen.transport = c.transport_protocol;
    seen.alpn = c.offered_alpn;
    seen.remote = c.remote;
    seen.local = c.local;
    seen.original_source = c.original_source;
    seen.tls = c.tls != nullptr;
    return seen;
  }
};

std::shared_ptr<FilterChain> chain(const std::string& name) {
  auto out = std::make_shared<FilterChain>();
  out->name = name;
  return out;
}

std::shared_ptr<Listener> listener(const std::string& name, const Address& address = loopback()) {
  auto out = std::make_shared<Listener>();
  out->name = name;
  out->address = address;
  out->chains = {chain("chain")};
  return out;
}

ListenerFilter filter(ListenerFilter::Kind kind) {
  ListenerFilter out;
  out.kind = kind;
  return out;
}

struct Sink final : StatSink {
  std::map<std::string, std::uint64_t> values;
  void counter(std::string_view name, std::uint64_t value) override { values[std::string(name)] += value; }
  void gauge(std::string_view name, std::int64_t value) override {
    values[std::string(name)] += static_cast<std::uint64_t>(value);
  }
  void histogram(std::string_view, const Histogram&) override {}
};

/// A worker with a listener set; configuration is what is in `listeners` at publish().
struct Fixture {
  explicit Fixture(std::int64_t most_connections = INT64_MAX) : limit(most_connections) {}
  TestWorker t;
  Echo echo;
  ConnectionLimit limit;
  std::vector<BindFailure> failures;
  std::map<std::string, std::shared_ptr<const Listener>> listeners, published;
  std::shared_ptr<TlsContexts> tls = std::make_shared<TlsContexts>();
  ListenerSet set{t.worker, {echo, limit, [this](const BindFailure& f) { failures.push_back(f); }, seconds(45)}};

  ~Fixture() {
    auto closing = t.start(set.close(Errc::canceled));
    t.wait(closing);
  }
  void publish() {
    announce();
    t.poll();
  }
  /// The worker hears of it before all that happens from here on.
  void announce() {
    auto snapshot = std::make_shared<Snapshot>();
    auto changes = std::make_shared<Changes>();
    NameMap<Listener>::Edit edit{NameMap<Listener>()};
    for (const auto& [name, one] : listeners) {
      edit.set(name, one);
      if (published[name] != one) changes->listeners.push_back(name);
    }
    for (const auto& [name, one] : published)
      if (!listeners.contains(name)) changes->listeners.push_back(name);
    published = listeners;
    snapshot->listeners = std::move(edit).finish();
    snapshot->tls = tls;
    t.worker.publish({snapshot, changes});
  }
  Address open(const std::shared_ptr<Listener>& one) {
    listeners[one->name] = one;
    publish();
    return set.bound_address(one->name);
  }
  std::string receive(const Client& client, std::size_t size = 1) {
    std::string got;
    t.wait_until([&] {
      const std::string piece = client.receive();
      got += piece;
      return got.size() >= size || piece == "<end>" || piece == "<reset>";
    });
    return got;
  }
  std::string roundtrip(const Client& client, const std::string& text) {
    client.send(text);
    return receive(client, text.size());
  }
  std::uint64_t stat(const std::string& last) {
    Sink sink;
    set.collect(sink);
    std::uint64_t sum = 0;
    for (const auto& [name, value] : sink.values)  // what is told of each worker apart is told twice
      if (name.find(".worker_") == std::string::npos && name.size() > last.size() &&
          name.compare(name.size() - last.size() - 1, std::string::npos, "." + last) == 0)
        sum += value;
    return sum;
  }
};

}  // namespace
}  // namespace clew
