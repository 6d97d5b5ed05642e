// An upstream side without a network: clusters given as values, endpoints played by hand through memory transports.
#pragma once

#include "proxy/net/tls_context.h"
#include "proxy/upstream/forward.h"
#include "test/support/fed_body.h"
#include "test/support/memory_transport.h"
#include "test/support/test_worker.h"

#include <catch2/catch.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace clew {

/// Hands out memory transports; the test holds the other ends, in order of connecting.
class FakeConnector final : public Connector {
 public:
  struct Peer {
    UpstreamTarget target;
    std::unique_ptr<MemoryTransport> transport;
  };

  Task<Connected> connect(Worker& worker, const UpstreamTarget& target) override {
    ++attempts;
    if (hold) {
      ++waiting;
      Timer timer(worker.timers(), [this] { release.notify(); });
      timer.arm(target.timeout);
      co_await release.wait();
      --waiting;
      if (hold) {
        Connected late;
        late.error = Errc::connect_timeout;
        co_return late;
      }
    }
    Connected out;
    if (!failures.empty()) {
      out.error = failures.front().first;
      out.failure = failures.front().second;
      failures.pop_front();
      if (out.error != Errc::ok) co_return out;
    }
    auto [client, server] = MemoryTransport::make(capacity);
    out.local = Address(IpAddress::v4(0x0a000063), 40000);
    out.transport = std::move(client);
    if (ends_at_once) server->close(Errc::eof);
    peers.push_back({target, std::move(server)});
    co_return out;
  }
  void let_go() {
    hold = false;
    release.notify();
  }
  MemoryTransport& peer(std::size_t i) {
    REQUIRE(i < peers.size());
    return *peers[i].transport;
  }

  /// The proxy has ended this connection; what it sent before is forgotten.
  bool ended(std::size_t i) {
    peer(i).receive();
    return peer(i).at_end();
  }

  std::size_t capacity = 64 * 1024;  // what a connection takes while its peer does not read
  bool hold = false;
  bool ends_at_once = false;  // the peer takes connections, and ends them without a word
  Event release;
  int attempts = 0, waiting = 0;
  std::deque<std::pair<Errc, std::string>> failures;  // of the next attempts; ok: succeeds
  std::deque<Peer> peers;
};

inline Endpoint endpoint(int n, HealthStatus health = HealthStatus::healthy) {
  Endpoint out;
  out.address = Address(IpAddress::v4(0x0a000000u + static_cast<std::uint32_t>(n)), 8080);
  out.health = health;
  return out;
}

inline std::shared_ptr<const LoadAssignment> endpoints(std::initializer_list<int> numbers) {
  auto out = std::make_shared<LoadAssignment>();
  out->localities.emplace_back();
  for (const int n : numbers) out->localities.back().endpoints.push_back(std::make_shared<Endpoint>(endpoint(n)));
  return out;
}

class Fixture {
 public:
  TestWorker t;
  SharedState shared;
  FakeConnector connector;
  ClusterManager clusters{t.worker, connector, shared};
  UpstreamForwarder forwarder{clusters};
  Snapshot snapshot;

  ~Fixture() {
    clusters.close(Errc::canceled);
    connector.let_go();
    for (int i = 0; i < 5; ++i) t.poll();
  }

  /// A cluster of the name with these endpoints, in the snapshot of the worker.
  std::shared_ptr<Cluster> add_cluster(const std::string& name, std::shared_ptr<const LoadAssignment> assignment,
                                       const std::function<void(Cluster&)>& change = {}) {
    auto cluster = std::make_shared<Cluster>();
    cluster->name = name;
    cluster->type = Cluster::Type::eds;
    cluster->circuit_breakers[Priority::standard] = {CircuitBreakers::unlimited, CircuitBreakers::unlimited,
                                                     CircuitBreakers::unlimited, CircuitBreakers::unlimited,
                                                     std::nullopt};
    if (change) change(*cluster);
    set_cluster(cluster, std::move(assignment));
    return cluster;
  }
  void set_cluster(std::shared_ptr<const Cluster> cluster, std::shared_ptr<const LoadAssignment> assignment) {
    const std::string name = cluster->name;
    put(name, std::make_shared<ClusterEntry>(ClusterEntry{std::move(cluster), std::move(assignment)}));
    publish({{}, {}, {name}, false});
  }
  void remove_cluster(const std::string& name) {
    put(name, nullptr);
    publish({{}, {}, {name}, false});
  }
  void publish(Changes changes) {
    t.worker.publish({std::make_shared<Snapshot>(snapshot), std::make_shared<Changes>(std::move(changes))});
    t.poll();
  }
  ClusterStats& stats(std::string_view name = "a") { return *clusters.find(name)->stats(); }

 private:
  void put(const std::string& name, std::shared_ptr<const ClusterEntry> entry) {
    NameMap<ClusterEntry>::Edit edit(snapshot.clusters);
    edit.set(name, std::move(entry));
    snapshot.clusters = std::move(edit).finish();
  }
};

/// With cluster a, of one endpoint.
class OneEndpoint : public Fixture {
 public:
  OneEndpoint() { add_cluster("a", endpoints({1})); }
};

/// Collects what goes to the client before the answer.
class FakeWriter final : public ResponseWriter {
 public:
  Task<Result<void>> inform(const ResponseHead& head) override {
    informed.push_back(head.status);
    if (broken) co_return Error{Errc::downstream_closed};
    co_return Result<void>();
  }
  Task<Result<void>> respond(ResponseHead&, Body*) override { co_return Error{Errc::internal}; }
  std::vector<std::uint32_t> informed;
  bool broken = false;
};

/// One request through the forwarder, on a route that a test changes before it calls start().
class Request {
 public:
  using Answer = std::variant<UpstreamResponse, LocalReply>;

  explicit Request(Fixture& fixture, std::string cluster = "a") : f(fixture) {
    connection.remote = Address(IpAddress::v4(0x0a0a0a0a), 5555);
    auto table = std::make_shared<RouteTable>();
    VirtualHost host;
    host.name = "vh";
    Route route;
    route.path.text = "/";
    ForwardAction forward;
    forward.clusters.push_back({std::move(cluster), 1, {}, {}});
    forward.total_weight = 1;
    forward.timeout = Duration(0);
    route.action = std::move(forward);
    host.routes.push_back(std::move(route));
    table->hosts.push_back(std::move(host));
    this->table = std::move(table);
  }

  ~Request() {
    if (stream) stream->cancel(Errc::downstream_closed);
    f.t.poll();
  }

  ForwardAction& action() { return std::get<ForwardAction>(table->hosts[0].routes[0].action); }
  RetryPolicy& retry(std::uint32_t on, std::uint32_t times = 1) {
    const auto policy = std::make_shared<RetryPolicy>();
    policy->on = on;
    policy->num_retries = times;
    action().retry = policy;
    return *policy;
  }

  Stream& start(std::shared_ptr<FedBody::State> with_body = nullptr) {
    stream.emplace(f.t.worker, connection, hcm);
    Stream& s = *stream;
    s.info.connection = &connection;
    s.info.start = f.t.clock.now();
    s.remote = remote.value_or(connection.remote);
    s.request.method = with_body ? "POST" : "GET";
    s.request.scheme = "http";
    s.request.authority = "host.test";
    s.request.path = path;
    s.request.version = version;
    s.request.end_stream = !with_body;
    s.request.upgrade = upgrade;
    for (const auto& [name, value] : headers) s.request.headers.add(name, value);
    s.is_grpc = grpc;
    s.route_table = table;
    s.virtual_host = &table->hosts[0];
    s.route = &table->hosts[0].routes[0];
    s.cluster = &std::get<ForwardAction>(s.route->action).clusters[0];
    BodyPtr body;
    if (with_body) body = std::make_unique<FedBody>(with_body);
    answer_.emplace(f.t.start(f.forwarder.forward(s, std::move(body), writer)));
    return s;
  }
  bool done() { return answer_->done(); }
  /// The answer's body, or a failure of the test.
  Body* response() {
    settle();
    REQUIRE(std::holds_alternative<UpstreamResponse>(*settled));
    return std::get<UpstreamResponse>(*settled).body.get();
  }
  LocalReply& reply() {
    settle();
    REQUIRE(std::holds_alternative<LocalReply>(*settled));
    return std::get<LocalReply>(*settled);
  }
  /// What the answer's body has now, and how it stands: would_block, eof or an error.
  std::pair<std::string, Errc> read() {
    Body* const body = response();
    REQUIRE(body);
    std::string out;
    for (;;) {
      Buffer bytes;
      const auto got = body->try_read(bytes, 1000);
      if (!got) return {out, got.error().code};
      out += bytes.to_string();
    }
  }
  void drop_response() {
    std::get<UpstreamResponse>(*settled).body.reset();
    f.t.poll();
  }
  std::string flags() { return stream->info.flags.to_string(); }

  Fixture& f;
  ConnectionInfo connection;
  std::optional<Address> remote;  // who asked, where it is not the connection's peer
  HttpConnectionManager hcm;
  std::shared_ptr<RouteTable> table;
  FakeWriter writer;
  std::string path = "/x", upgrade;
  HttpVersion version = HttpVersion::http11;
  std::vector<std::pair<std::string, std::string>> headers;
  bool grpc = false;
  std::optional<Stream> stream;
  std::optional<Answer> settled;

 private:
  void settle() {
    if (settled) return;
    REQUIRE(answer_);
    REQUIRE(answer_->done());
    settled.emplace(answer_->get());
  }
  std::optional<TestWorker::Started<Answer>> answer_;
};

inline const std::string ok_response = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

}  // namespace clew
