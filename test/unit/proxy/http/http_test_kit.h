// A connection manager on a memory transport, a fake clock and an upstream that does what a test says.
#pragma once

#include "proxy/http/server_connection.h"
#include "test/support/fed_body.h"
#include "test/support/memory_transport.h"
#include "test/support/test_worker.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace clew {

inline std::string show(const HeaderMap& headers) {
  std::string out;
  for (const auto& field : headers.fields()) out += " | " + std::string(field.name) + ": " + std::string(field.value);
  return out;
}

/// Answers every request the same way, and keeps what it saw.
class FakeForwarder final : public Forwarder {
 public:
  // what to do
  std::uint32_t status = 200;
  std::string body = "hello";  // empty: none
  std::vector<std::pair<std::string, std::string>> headers;
  std::optional<LocalReply> reply;
  bool hold = false;      // no answer before release(), or until the stream is abandoned
  bool read_body = true;  // before answering
  std::vector<std::uint32_t> interim;
  std::string upgrade_to;  // an upgraded answer whose bytes these are
  std::function<BodyPtr()> make_answer;

  // what happened
  std::vector<std::string> heads;
  std::string received;
  Errc body_end = Errc::ok;
  Errc abandoned = Errc::ok;
  std::size_t direct = 0;

  void release() { released_.notify(); }
  void finalize_direct_response(Stream&) override { ++direct; }

  Task<std::variant<UpstreamResponse, LocalReply>> forward(Stream& stream, BodyPtr request_body,
                                                           ResponseWriter& writer) override {
    const RequestHead& request = stream.request;
    heads.push_back(std::string(request.method) + " " + std::string(request.authority) + " " +
                    std::string(request.path) + show(request.headers));
    for (const std::uint32_t code : interim) {
      ResponseHead head(stream.arena);
      head.status = code;
      head.end_stream = true;
      const Result<void> informed = co_await writer.inform(head);
      (void)informed;
    }
    stream.abandon = [this](Errc cause) {
      abandoned = cause;
      released_.notify();
    };
    if (hold) co_await released_.wait();
    if (request_body && read_body && abandoned == Errc::ok) {
      Buffer bytes;
      for (;;) {
        const Result<std::size_t> got = request_body->try_read(bytes, 1000);
        if (got) continue;
        body_end = got.error().code;
        if (body_end != Errc::would_block) break;
        const Result<void> ready = co_await request_body->readable();
        (void)ready;
      }
      received += bytes.to_string();
    }
    stream.abandon = nullptr;
    if (reply) co_return *reply;
    stream.response.status = upgrade_to.empty() ? status : 101;
    stream.response.upgraded = !upgrade_to.empty();
    for (const auto& [name, value] : headers) stream.response.headers.add(name, value);
    UpstreamResponse response;
    if (make_answer)
      response.body = make_answer();
    else if (!upgrade_to.empty())
      response.body = make_body(upgrade_to);
    else if (!body.empty())
      response.body = make_body(body);
    stream.response.end_stream = !response.body;
    co_return response;
  }

 private:
  Event released_;
};

class Recorder final : public StreamObserver {
 public:
  std::vector<std::string> lines;
  void on_stream_done(const Stream& s) noexcept override {
    lines.push_back(std::to_string(s.info.response_code) + " " + s.info.flags.to_string() + " " +
                    s.info.response_code_details + " rx=" + std::to_string(s.info.bytes_received) +
                    " tx=" + std::to_string(s.info.bytes_sent));
  }
};

/// One route for everything, over what a test changes before start().
inline std::shared_ptr<RouteTable> one_route(Route route) {
  auto table = std::make_shared<RouteTable>();
  table->name = "table";
  VirtualHost host;
  host.name = "any";
  host.domains = {"*"};
  host.routes.push_back(std::move(route));
  table->hosts.push_back(std::move(host));
  table->finish();
  return table;
}

inline Route forward_route() {
  Route route;
  route.name = "default";
  route.path.text = "/";
  ForwardAction action;
  WeightedCluster cluster;
  cluster.cluster = "backend";
  cluster.weight = 1;
  action.clusters.push_back(cluster);
  action.total_weight = 1;
  route.action = action;
  return route;
}

class ServerKit {
 public:
  TestWorker test;
  HttpConnectionManager hcm;
  ConnectionInfo connection;
  FakeForwarder forwarder;
  Recorder recorder;
  HttpServerStats stats;
  DrainSignal drain;
  std::unique_ptr<MemoryTransport> client, server;

  ServerKit() {
    std::tie(client, server) = MemoryTransport::make();
    hcm.inline_routes = one_route(forward_route());
    hcm.generate_request_id = false;
    hcm.proxy_100_continue = true;
    hcm.stream_idle_timeout = Duration::zero();
    connection.remote = connection.direct_remote = Address(IpAddress::v4(0x0a000001), 1234);
  }
  ~ServerKit() {
    client->close(Errc::canceled);
    test.poll();
    test.advance(std::chrono::seconds(2));
    test.advance(std::chrono::hours(2));
  }

  void start() {
    done_ =
        test.start(serve_http({test.worker, forwarder, recorder, stats}, *server, Buffer(), connection, hcm, drain));
  }
  /// Sends and returns what comes back.
  std::string talk(std::string_view bytes) {
    if (!done_) start();
    client->send(bytes);
    test.poll();
    return take();
  }
  /// What came back, without the date.
  std::string take() {
    std::string out = client->receive();
    for (std::size_t at; (at = out.find("date: ")) != std::string::npos;) out.erase(at, out.find("\r\n", at) + 2 - at);
    return out;
  }
  bool done() { return done_ && done_->done(); }

 private:
  std::optional<TestWorker::Started<void>> done_;
};

}  // namespace clew
