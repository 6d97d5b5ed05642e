#include "config/snapshot/cluster.h"
#include "proxy/http/client_connection.h"
#include "test/unit/proxy/http/h2_hand.h"

#include <catch2/catch.hpp>

namespace clew {
namespace {

using namespace h2;

struct Fixture {
  explicit Fixture(const UpstreamHttpOptions& options = {}, const H2Options& peer = server_options()) {
    auto [near_end, far_end] = MemoryTransport::make(1024 * 1024);
    wire = std::move(far_end);
    transport = near_end.get();
    client = make_http2_client(t.worker, std::move(near_end), options);
    client->on_change = [this] { ++changes; };
    hand = std::make_unique<Hand>(t, *wire, peer);
    hand->settle();
  }
  ~Fixture() {
    exchanges.clear();
    client.reset();
    t.poll();
  }

  ClientExchange& open() {
    exchanges.push_back(client->open());
    REQUIRE(exchanges.back());
    return *exchanges.back();
  }
  /// Opens and sends a request without body.
  ClientExchange& get(std::string_view path = "/") {
    Request request("GET", path);
    ClientExchange& exchange = open();
    REQUIRE(exchange.send_head(request.head, true).has_value());
    REQUIRE(t.run(exchange.flush()).has_value());
    return exchange;
  }
  NotedStream& peer(std::size_t i) { return *hand->side.streams.at(i); }
  H2Session& peer_session() { return hand->side.session; }
  void answer(std::size_t i, std::string_view body, bool last = true) {
    Response response;
    REQUIRE(peer_session().send_head(peer(i), response.head, false).has_value());
    peer(i).out.append(body);
    peer(i).out_last = last;
    peer_session().send_more(peer(i));
  }
  std::string read_all(Body& body) {
    Buffer out;
    for (;;) {
      const auto got = body.try_read(out, 1024 * 1024);
      if (got) continue;
      if (got.error().code == Errc::would_block) {
        hand->settle();
        const auto again = body.try_read(out, 1024 * 1024);
        if (again) continue;
        if (again.error().code == Errc::would_block) return out.to_string() + "…";
      }
      return out.to_string() +
             (body.try_read(out, 1).error().code == Errc::eof ? "" : "!" + std::string(to_string(got.error().code)));
    }
  }

  TestWorker t;
  std::unique_ptr<MemoryTransport> wire;
  MemoryTransport* transport = nullptr;
  std::unique_ptr<ClientConnection> client;
  std::unique_ptr<Hand> hand;
  std::vector<std::unique_ptr<ClientExchange>> exchanges;
  int changes = 0;
};

TEST_CASE("h2 client: a request with body and trailers, an answer with interim head and trailers", "[h2]") {
  Fixture f;
  Request request("POST", "/x");
  request.head.headers.add("x-a", "1");
  ClientExchange& exchange = f.open();
  REQUIRE(exchange.send_head(request.head, false).has_value());
  Buffer bytes;
  bytes.append("body");
  CHECK(f.t.run(exchange.send_body(bytes, false)).has_value());
  HeaderMap trailers(request.arena);
  trailers.add("x-t", "2");
  CHECK(f.t.run(exchange.send_trailers(trailers)).has_value());
  Response response;
  auto head = f.t.start(exchange.read_head(response.head));
  f.hand->settle();
  CHECK_FALSE(head.done());
  CHECK(f.peer(0).note == "head /x x-a=1\n");
  CHECK(f.peer(0).in.to_string() == "body");
  REQUIRE(f.peer(0).in_trailers);
  CHECK(f.peer(0).in_trailers->get("x-t") == "2");

  Response early(103);
  early.head.headers.add("link", "</a>");
  REQUIRE(f.peer_session().send_head(f.peer(0), early.head, false).has_value());
  f.hand->settle();
  REQUIRE(head.done());
  CHECK(response.head.status == 103);
  CHECK(response.head.headers.get("link") == "</a>");

  Response final_head(201);
  final_head.head.headers.add(HeaderId::content_length, "2");
  HeaderMap end(final_head.arena);
  end.add("grpc-status", "0");
  REQUIRE(f.peer_session().send_head(f.peer(0), final_head.head, false).has_value());
  f.peer(0).out.append("ok");
  f.peer(0).out_last = true;
  f.peer(0).out_trailers = &end;
  f.peer_session().send_more(f.peer(0));
  f.hand->settle();  // before anybody asks for the head
  Response second;
  CHECK(f.t.run(exchange.read_head(second.head)).has_value());
  CHECK(second.head.status == 201);
  CHECK(second.head.content_length == 2u);
  CHECK(second.head.version == HttpVersion::http2);
  CHECK_FALSE(second.head.end_stream);
  CHECK(f.read_all(exchange.body()) == "ok");
  REQUIRE(exchange.body().trailers());
  CHECK(exchange.body().trailers()->get("grpc-status") == "0");
  f.exchanges.clear();
  f.hand->settle();
  CHECK(of_type(f.hand->frames(), rst_stream).empty());
  CHECK(f.client->active() == 0);
  CHECK(f.client->can_open());
}

TEST_CASE("h2 client: head and body leave in one write", "[h2]") {
  Fixture f;
  const std::size_t before = f.transport->writes().size();
  Request request("POST");
  ClientExchange& exchange = f.open();
  REQUIRE(exchange.send_head(request.head, false).has_value());
  Buffer bytes;
  bytes.append("body");
  CHECK(f.t.run(exchange.send_body(bytes, true)).has_value());
  CHECK(f.transport->writes().size() == before + 1);
}

TEST_CASE("h2 client: as many at once as the peer allows", "[h2]") {
  H2Options peer;
  peer.max_concurrent_streams = 2;
  Fixture f({}, peer);
  f.get("/1");
  CHECK(f.client->can_open());
  f.get("/2");
  CHECK_FALSE(f.client->can_open());
  CHECK_FALSE(f.client->open());
  CHECK(f.client->active() == 2);
  f.t.poll();
  f.hand->settle();
  f.answer(0, "x");
  f.hand->settle();
  const int before = f.changes;
  f.exchanges.erase(f.exchanges.begin());
  CHECK(f.changes == before);  // never from inside
  f.t.poll();
  CHECK(f.changes > before);
  CHECK(f.client->can_open());
}

TEST_CASE("h2 client: our own bound counts too", "[h2]") {
  UpstreamHttpOptions options;
  options.max_concurrent_streams = 1;
  Fixture f(options);
  f.get();
  CHECK_FALSE(f.client->open());
}

TEST_CASE("h2 client: a body waits for the window, in bounded memory", "[h2]") {
  Fixture f;
  Request request("POST");
  ClientExchange& exchange = f.open();
  REQUIRE(exchange.send_head(request.head, false).has_value());
  Buffer bytes;
  bytes.append(std::string(400 * 1024, 'x'));
  auto sent = f.t.start(exchange.send_body(bytes, true));
  CHECK(bytes.empty());
  f.hand->settle();
  CHECK_FALSE(sent.done());
  CHECK(f.peer(0).in.size() == 256 * 1024);
  f.peer_session().consume(f.peer(0), 256 * 1024);
  f.peer(0).in.clear();
  f.hand->settle();
  CHECK(sent.done());
  CHECK(f.peer(0).in_ended);
}

TEST_CASE("h2 client: an answer that nobody reads stops at the window", "[h2]") {
  Fixture f;
  ClientExchange& exchange = f.get();
  Response response;
  auto head = f.t.start(exchange.read_head(response.head));
  f.hand->settle();
  f.answer(0, std::string(1024 * 1024, 'x'));
  f.hand->settle();
  REQUIRE(head.done());
  CHECK(f.peer(0).out.size() == 768 * 1024);
  CHECK(f.read_all(exchange.body()).size() == 1024 * 1024);
}

TEST_CASE("h2 client: interim heads that nobody has read yet have a bound", "[h2]") {
  Fixture f;
  ClientExchange& exchange = f.get();
  f.hand->settle();
  Response hints(103), response;
  for (int i = 0; i < 100; ++i) REQUIRE(f.peer_session().send_head(f.peer(0), hints.head, false).has_value());
  f.hand->settle();
  CHECK(f.peer(0).error == Errc::http_stream_reset);
  for (int i = 0; i < 17; ++i) REQUIRE(f.t.run(exchange.read_head(response.head)).has_value());
  CHECK(f.t.run(exchange.read_head(response.head)).error().code == Errc::upstream_protocol_error);
}

TEST_CASE("h2 client: a head that is still coming is nobody's", "[h2]") {
  Fixture f;
  ClientExchange& exchange = f.get();
  Response first, second;
  const std::string hints = block({{":status", "103"}, {"link", "</a>"}});
  const std::string answer = block({{":status", "200"}, {"x-first", "1"}});
  const std::string rest = frame(continuation, end_headers, 1, block({{"x-second", "2"}, {"x-third", "3"}}));
  std::optional<TestWorker::Started<Result<void>>> head;
  SECTION("the one before it was waited for") {
    head.emplace(f.t.start(exchange.read_head(first.head)));
    f.hand->settle();
    f.hand->send_raw(frame(headers, end_headers, 1, hints) + frame(headers, 0, 1, answer));
  }
  SECTION("nobody waited") {
    f.hand->settle();
    f.hand->send_raw(frame(headers, end_headers, 1, hints) + frame(headers, 0, 1, answer));
    head.emplace(f.t.start(exchange.read_head(first.head)));
  }
  SECTION("the one before it began before anybody waited") {
    f.hand->settle();
    f.hand->send_raw(frame(headers, 0, 1, hints));
    head.emplace(f.t.start(exchange.read_head(first.head)));
    CHECK_FALSE(head->done());
    f.hand->send_raw(frame(continuation, end_headers, 1) + frame(headers, 0, 1, answer));
  }
  REQUIRE(head->done());
  CHECK(first.head.status == 103);
  CHECK(first.head.headers.get("link") == "</a>");
  CHECK(first.head.headers.size() == 1);
  auto next = f.t.start(exchange.read_head(second.head));
  CHECK_FALSE(next.done());
  f.hand->send_raw(rest);
  REQUIRE(next.done());
  REQUIRE(next.get().has_value());
  CHECK(second.head.status == 200);
  for (const auto& [name, value] : Fields{{"x-first", "1"}, {"x-second", "2"}, {"x-third", "3"}})
    CHECK(second.head.headers.get(name) == value);
  CHECK(second.head.headers.size() == 3);
}

TEST_CASE("h2 client: what ended an exchange says whether it may be tried again", "[h2]") {
  Fixture f;
  ClientExchange& first = f.get();
  ClientExchange& second = f.get();
  Response a, b;
  auto head_a = f.t.start(first.read_head(a.head));
  auto head_b = f.t.start(second.read_head(b.head));
  f.hand->settle();
  Errc expect_a = Errc::ok, expect_b = Errc::ok;
  SECTION("refused") {
    f.hand->send_raw(frame(rst_stream, 0, 3, number(NGHTTP2_REFUSED_STREAM)));
    expect_b = Errc::http_refused_stream;
  }
  SECTION("reset") {
    f.hand->send_raw(frame(rst_stream, 0, 3, number(NGHTTP2_INTERNAL_ERROR)));
    expect_b = Errc::http_stream_reset;
  }
  SECTION("goaway") {
    f.hand->send_raw(frame(goaway, 0, 0, number(1) + number(0)));
    expect_b = Errc::http_goaway;
    CHECK_FALSE(f.client->can_open());
    CHECK(f.changes > 0);
    CHECK_FALSE(f.client->closed());
  }
  SECTION("connection lost") {
    f.wire->inject_reset();
    f.t.poll();
    expect_a = expect_b = Errc::upstream_closed;
    CHECK(f.client->closed());
  }
  SECTION("connection closed") {
    f.wire->close(Errc::eof);
    f.t.poll();
    expect_a = expect_b = Errc::upstream_closed;
  }
  SECTION("nonsense") {
    f.hand->send_raw(frame(data, 0, 0, "x"));
    expect_a = expect_b = Errc::upstream_protocol_error;
    f.t.advance(std::chrono::seconds(2));
    CHECK(f.client->closed());
  }
  if (expect_a == Errc::ok) {
    CHECK_FALSE(head_a.done());
  } else {
    REQUIRE(head_a.done());
    CHECK(head_a.get().error().code == expect_a);
  }
  REQUIRE(head_b.done());
  CHECK(head_b.get().error().code == expect_b);
  first.reset(Errc::canceled);
  f.t.poll();
}

TEST_CASE("h2 client: giving up tells the peer and ends both halves", "[h2]") {
  Fixture f;
  Request request("POST");
  ClientExchange& exchange = f.open();
  REQUIRE(exchange.send_head(request.head, false).has_value());
  Buffer bytes;
  bytes.append(std::string(1024 * 1024, 'x'));
  auto sent = f.t.start(exchange.send_body(bytes, true));
  Response response;
  auto head = f.t.start(exchange.read_head(response.head));
  f.hand->settle();
  CHECK_FALSE(sent.done());
  exchange.reset(Errc::upstream_request_timeout);
  f.hand->settle();
  REQUIRE(sent.done());
  REQUIRE(head.done());
  CHECK(sent.get().error().code == Errc::upstream_request_timeout);
  CHECK(head.get().error().code == Errc::upstream_request_timeout);
  const auto resets = of_type(f.hand->frames(), rst_stream);
  REQUIRE(resets.size() == 1);
  CHECK(resets[0].code() == NGHTTP2_CANCEL);
  // the connection goes on
  f.exchanges.clear();
  ClientExchange& next = f.get("/next");
  auto next_head = f.t.start(next.read_head(response.head));
  f.hand->settle();
  f.answer(1, "y");
  f.hand->settle();
  REQUIRE(next_head.done());
  CHECK(f.read_all(next.body()) == "y");
}

TEST_CASE("h2 client: a truncated answer is no answer", "[h2]") {
  Fixture f;
  ClientExchange& exchange = f.get();
  Response response;
  auto head = f.t.start(exchange.read_head(response.head));
  f.hand->settle();
  f.answer(0, "half", false);
  f.hand->settle();
  REQUIRE(head.done());
  f.hand->send_raw(frame(rst_stream, 0, 1, number(NGHTTP2_INTERNAL_ERROR)));
  Buffer out;
  CHECK(exchange.body().try_read(out, 100).error().code == Errc::http_stream_reset);
}

TEST_CASE("h2 client: drain finishes what is under way", "[h2]") {
  Fixture f;
  ClientExchange& exchange = f.get();
  Response response;
  auto head = f.t.start(exchange.read_head(response.head));
  f.hand->settle();
  f.client->drain();
  CHECK_FALSE(f.client->can_open());
  f.answer(0, "done");
  f.hand->settle();
  CHECK(f.read_all(exchange.body()) == "done");
  f.exchanges.clear();
  f.hand->settle();
  CHECK(of_type(f.hand->frames(), goaway).size() == 1);
  f.t.advance(std::chrono::seconds(2));
  CHECK(f.client->closed());
}

TEST_CASE("h2 client: a request that was open before the drain leaves before the GOAWAY", "[h2]") {
  Fixture f;
  Request request;
  ClientExchange& exchange = f.open();
  f.client->drain();
  f.t.poll();
  CHECK_FALSE(f.client->can_open());
  REQUIRE(exchange.send_head(request.head, true).has_value());
  Response response;
  auto head = f.t.start(exchange.read_head(response.head));
  f.hand->settle();
  CHECK(of_type(f.hand->frames(), headers).size() == 1);
  CHECK(of_type(f.hand->frames(), goaway).empty());
  f.answer(0, "done");
  f.hand->settle();
  REQUIRE(head.done());
  CHECK(f.read_all(exchange.body()) == "done");
  f.exchanges.clear();
  f.hand->settle();
  CHECK(of_type(f.hand->frames(), goaway).size() == 1);
  f.t.advance(std::chrono::seconds(2));
  CHECK(f.client->closed());
}

TEST_CASE("h2 client: a peer that does not answer pings is gone", "[h2]") {
  UpstreamHttpOptions options;
  options.keepalive_interval = std::chrono::seconds(10);
  options.keepalive_timeout = std::chrono::seconds(3);
  Fixture f(options);
  f.t.advance(std::chrono::seconds(11));
  f.hand->settle();
  f.t.advance(std::chrono::seconds(5));
  CHECK_FALSE(f.client->closed());
  f.t.advance(std::chrono::seconds(10));
  CHECK(f.client->closed());
}

TEST_CASE("h2 client: either may go first", "[h2]") {
  Fixture f;
  ClientExchange& exchange = f.get();
  Response response;
  auto head = f.t.start(exchange.read_head(response.head));
  f.hand->settle();
  SECTION("the connection") {
    f.client.reset();
    f.t.poll();
    REQUIRE(head.done());
    CHECK_FALSE(head.get().has_value());
    f.exchanges.clear();
  }
  SECTION("the exchange") {
    exchange.reset(Errc::canceled);
    f.t.poll();
    f.exchanges.clear();
    f.client.reset();
  }
  f.t.poll();
}

TEST_CASE("h2 client: an upgrade is an extended CONNECT", "[h2]") {
  H2Options peer;
  peer.extended_connect = true;
  Fixture f({}, peer);
  Request request("GET", "/chat");
  request.head.upgrade = "websocket";
  ClientExchange& exchange = f.open();
  REQUIRE(exchange.send_head(request.head, false).has_value());
  Response response;
  auto head = f.t.start(exchange.read_head(response.head));
  f.hand->settle();
  CHECK(f.peer(0).heads.at(0).method == "CONNECT");
  CHECK(f.peer(0).heads.at(0).protocol == "websocket");
  f.answer(0, "frame", false);
  f.hand->settle();
  REQUIRE(head.done());
  CHECK(response.head.upgraded);
  CHECK(response.head.status == 101);
  Buffer out;
  CHECK(exchange.body().try_read(out, 100).has_value());
  CHECK(out.to_string() == "frame");
  exchange.reset(Errc::canceled);
  f.t.poll();
}

}  // namespace
}  // namespace clew
