// What the tests of the HTTP/2 server share: an upstream in the test's hands, an observer, a connection.
#pragma once

#include "proxy/http/server_connection.h"
#include "test/support/fed_body.h"
#include "test/unit/proxy/http/h2_hand.h"

#include <catch2/catch.hpp>

namespace clew {
namespace {

using namespace h2;

/// An upstream in the test's hands, for each request one.
class FakeForwarder final : public Forwarder {
 public:
  struct Call {
    std::string method, path, upgrade, body;
    bool body_ended = false;
    Errc abandoned = Errc::ok, body_error = Errc::ok;
    std::uint32_t status = 200;
    bool answered = false, with_body = true, read_body = true;
    std::string request_trailer;
    std::shared_ptr<FedBody::State> response = std::make_shared<FedBody::State>();
    Event go;
    void answer() {
      answered = true;
      go.notify();
    }
  };

  Task<std::variant<UpstreamResponse, LocalReply>> forward(Stream& stream, BodyPtr body,
                                                           ResponseWriter& writer) override {
    calls.push_back(std::make_unique<Call>());
    Call& call = *calls.back();
    call.method = stream.request.method;
    call.path = stream.request.path;
    call.upgrade = stream.request.upgrade;
    stream.abandon = [&call](Errc cause) {
      call.abandoned = cause;
      call.go.notify();
    };
    if (hints) {
      Response early(103);
      const Result<void> informed = co_await writer.inform(early.head);
      CHECK(informed.has_value());
    }
    bool more = body != nullptr && call.read_body && read_bodies;
    while (more) {
      Buffer got;
      const Result<std::size_t> n = body->try_read(got, 16 * 1024);
      call.body += got.to_string();
      if (n) continue;
      if (n.error().code == Errc::would_block) {
        const Result<void> ready = co_await body->readable();
        (void)ready;
        continue;
      }
      call.body_ended = n.error().code == Errc::eof;
      call.body_error = n.error().code;
      if (HeaderMap* trailers = body->trailers()) call.request_trailer = trailers->get("x-t").value_or("");
      more = false;
    }
    while (!call.answered && call.abandoned == Errc::ok) co_await call.go.wait();
    stream.abandon = nullptr;
    if (call.abandoned != Errc::ok)
      co_return LocalReply{
          .status = 503, .body = {}, .details = "abandoned", .headers = {}, .flag = {}, .grpc_status = {}};
    if (body) body->cancel(Errc::canceled);
    stream.response.status = call.status;
    stream.response.upgraded = call.status == 101;
    stream.response.end_stream = !call.with_body;
    UpstreamResponse response;
    if (call.with_body) response.body = std::make_unique<FedBody>(call.response);
    co_return response;
  }

  std::vector<std::unique_ptr<Call>> calls;
  bool hints = false, read_bodies = true;
};

class Observer final : public StreamObserver {
 public:
  void on_stream_done(const Stream& stream) noexcept override {
    ++done;
    details = stream.info.response_code_details;
    bytes_received = stream.info.bytes_received;
  }
  int done = 0;
  std::string details;
  std::uint64_t bytes_received = 0;
};

std::shared_ptr<const RouteTable> any_route() {
  auto table = std::make_shared<RouteTable>();
  ForwardAction action;
  action.clusters.push_back({"c", 1, {}, {}});
  action.total_weight = 1;
  Route route;
  route.path.text = "/";
  route.action = std::move(action);
  VirtualHost host;
  host.name = "any";
  host.domains = {"*"};
  host.routes.push_back(std::move(route));
  table->hosts.push_back(std::move(host));
  if (const auto twice = table->finish()) throw std::logic_error(*twice);
  return table;
}

struct Fixture {
  explicit Fixture(const H2Options& peer = client_options(), std::size_t capacity = 1024 * 1024) {
    hcm.codec = HttpConnectionManager::Codec::http2;
    hcm.inline_routes = any_route();
    hcm.upgrades = {"websocket"};
    hcm.stream_idle_timeout = Duration::zero();
    auto [near_end, far_end] = MemoryTransport::make(capacity);
    transport = std::move(near_end);
    wire = std::move(far_end);
    hand = std::make_unique<Hand>(t, *wire, peer);
  }
  void start() {
    served.emplace(t.start(
        serve_http(HttpService{t.worker, forwarder, observer, stats}, *transport, Buffer(), connection, hcm, drain)));
    hand->settle();
  }
  ~Fixture() {
    if (!served) return;
    for (auto& call : forwarder.calls) call->answer();
    wire->close(Errc::eof);
    t.poll();
    CHECK(served->done());
    CHECK(stats.downstream_rq_active.value() == 0);
  }
  NotedStream& get(std::string_view path = "/") {
    Request request("GET", path);
    NotedStream& stream = hand->request(request.head, true);
    hand->settle();
    return stream;
  }
  FakeForwarder::Call& call(std::size_t i) { return *forwarder.calls.at(i); }
  void answer(std::size_t i, std::string_view body, bool ended = true) {
    call(i).response->bytes.append(body);
    call(i).response->ended = ended;
    call(i).answer();
    call(i).response->changed.notify();
    hand->settle();
  }

  TestWorker t;
  HttpConnectionManager hcm;
  ConnectionInfo connection;
  DrainSignal drain;
  FakeForwarder forwarder;
  Observer observer;
  HttpServerStats stats;
  std::unique_ptr<MemoryTransport> transport, wire;
  std::unique_ptr<Hand> hand;
  std::optional<TestWorker::Started<void>> served;
};

}  // namespace
}  // namespace clew
