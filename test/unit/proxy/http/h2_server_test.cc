#include "test/unit/proxy/http/h2_server_kit.h"

namespace clew {
namespace {

TEST_CASE("h2 server: a request and its answer", "[h2]") {
  Fixture f;
  f.start();
  NotedStream& stream = f.get("/hello");
  CHECK(f.call(0).method == "GET");
  CHECK(f.call(0).path == "/hello");
  const std::size_t writes = f.transport->writes().size();
  f.answer(0, "world");
  CHECK(stream.heads.at(0).status == 200);
  CHECK(stream.in.to_string() == "world");
  CHECK(stream.in_ended);
  CHECK(f.transport->writes().size() == writes + 1);  // head and body together
  CHECK(f.observer.done == 1);
  CHECK(f.stats.downstream_rq_http2_total.value() == 1);
  CHECK(f.stats.downstream_rq_rx_reset.value() + f.stats.downstream_rq_tx_reset.value() == 0);
  CHECK(of_type(f.hand->frames(), rst_stream).empty());
}

TEST_CASE("h2 server: body and trailers both ways, interim heads", "[h2]") {
  Fixture f;
  f.forwarder.hints = true;
  f.start();
  Request request("POST");
  HeaderMap trailers(request.arena);
  trailers.add("x-t", "up");
  NotedStream& stream = f.hand->request(request.head, false);
  f.hand->settle();
  stream.out.append("body");
  stream.out_last = true;
  stream.out_trailers = &trailers;
  f.hand->side.session.send_more(stream);
  f.hand->settle();
  CHECK(f.call(0).body == "body");
  CHECK(f.call(0).body_ended);
  CHECK(f.call(0).request_trailer == "up");
  Response down;
  HeaderMap end(down.arena);
  end.add("grpc-status", "0");
  f.call(0).response->trailers = &end;
  f.answer(0, "answer");
  CHECK(stream.heads.size() == 2);
  CHECK(stream.heads.at(0).status == 103);
  CHECK(stream.in.to_string() == "answer");
  REQUIRE(stream.in_trailers);
  CHECK(stream.in_trailers->get("grpc-status") == "0");
}

TEST_CASE("h2 server: many requests at once, answered in any order", "[h2]") {
  Fixture f;
  f.start();
  std::vector<NotedStream*> streams;
  for (int i = 0; i < 100; ++i) streams.push_back(&f.get("/" + std::to_string(i)));
  CHECK(f.stats.downstream_rq_active.value() == 100);
  for (int i = 99; i >= 0; --i) f.answer(static_cast<std::size_t>(i), std::to_string(i));
  for (int i = 0; i < 100; ++i) CHECK(streams[static_cast<std::size_t>(i)]->in.to_string() == std::to_string(i));
}

TEST_CASE("h2 server: a request that its client resets is abandoned, the connection goes on", "[h2]") {
  Fixture f;
  f.start();
  NotedStream& first = f.get();
  f.hand->side.session.reset(first, H2Code::cancel);
  f.hand->settle();
  CHECK(f.call(0).abandoned == Errc::http_stream_reset);
  CHECK(f.observer.done == 1);
  CHECK(f.observer.details == "http2.remote_reset");
  CHECK(f.stats.downstream_rq_rx_reset.value() == 1);
  NotedStream& second = f.get();
  f.answer(1, "x");
  CHECK(second.in.to_string() == "x");
}

TEST_CASE("h2 server: reset while the answer is under way", "[h2]") {
  Fixture f;
  f.start();
  NotedStream& stream = f.get();
  f.answer(0, "part", false);
  CHECK(stream.in.to_string() == "part");
  f.hand->side.session.reset(stream, H2Code::cancel);
  f.hand->settle();
  CHECK(f.call(0).response->canceled == Errc::http_stream_reset);
  CHECK(f.observer.done == 1);
}

TEST_CASE("h2 server: a client that is gone ends all its requests", "[h2]") {
  Fixture f;
  f.start();
  f.get();
  f.get();
  f.answer(1, "part", false);
  SECTION("closed") { f.wire->close(Errc::eof); }
  SECTION("reset") { f.wire->inject_reset(); }
  f.t.poll();
  CHECK(f.call(0).abandoned == Errc::downstream_closed);
  CHECK(f.call(1).response->canceled == Errc::downstream_closed);
  f.t.poll();
  CHECK(f.observer.done == 2);
  CHECK(f.served->done());
}

TEST_CASE("h2 server: an answer that breaks off is reset, never ended", "[h2]") {
  Fixture f;
  f.start();
  NotedStream& stream = f.get();
  f.answer(0, "half", false);
  f.call(0).response->broken = Errc::upstream_closed;
  f.call(0).response->changed.notify();
  f.hand->settle();
  CHECK_FALSE(stream.in_ended);
  CHECK(stream.error == Errc::http_stream_reset);
  CHECK(f.stats.downstream_rq_tx_reset.value() == 1);
}

TEST_CASE("h2 server: a window that stays shut holds little, and not for ever", "[h2]") {
  H2Options peer = client_options();
  peer.stream_window = 1000;
  Fixture f(peer);
  f.hcm.stream_idle_timeout = std::chrono::minutes(5);
  f.start();
  NotedStream& stream = f.get();
  f.answer(0, std::string(10 * 1024 * 1024, 'x'));
  CHECK(stream.in.size() == 1000);
  CHECK(f.call(0).response->taken <= 128 * 1024);
  f.t.advance(std::chrono::minutes(6));
  f.hand->settle();
  CHECK(stream.closed);
  CHECK(f.observer.done == 1);
}

TEST_CASE("h2 server: an early answer ends the request that is still coming", "[h2]") {
  Fixture f;
  f.forwarder.read_bodies = false;
  f.start();
  Request request("POST");
  NotedStream& stream = f.hand->request(request.head, false);
  stream.out.append(std::string(1024 * 1024, 'x'));
  f.hand->settle();
  f.answer(0, "413");
  CHECK(stream.in.to_string() == "413");
  CHECK(stream.in_ended);
  const auto resets = of_type(f.hand->frames(), rst_stream);
  REQUIRE(resets.size() == 1);
  CHECK(resets[0].code() == NGHTTP2_NO_ERROR);
  f.forwarder.read_bodies = true;
  // the connection's window is whole again
  for (int i = 0; i < 8; ++i) {
    Request more("POST");
    NotedStream& next = f.hand->request(more.head, false);
    next.out.append(std::string(200 * 1024, 'y'));
    next.out_last = true;
    f.hand->settle();
    CHECK(f.call(static_cast<std::size_t>(i) + 1).body.size() == 200 * 1024);
    f.answer(static_cast<std::size_t>(i) + 1, "ok");
  }
}

TEST_CASE("h2 server: an upgrade by extended CONNECT", "[h2]") {
  Fixture f;
  f.forwarder.read_bodies = false;
  f.start();
  Request request("GET", "/chat");
  request.head.upgrade = "websocket";
  NotedStream& stream = f.hand->request(request.head, false);
  f.hand->settle();
  CHECK(f.call(0).method == "GET");
  CHECK(f.call(0).upgrade == "websocket");
  f.call(0).status = 101;
  f.answer(0, "frame", false);
  CHECK(stream.heads.at(0).status == 200);
  CHECK(stream.in.to_string() == "frame");
  f.call(0).response->ended = true;
  f.call(0).response->changed.notify();
  f.hand->settle();
  CHECK(stream.in_ended);
}

// ---- the connection's end

TEST_CASE("h2 server: drain lets requests finish", "[h2]") {
  Fixture f;
  f.start();
  NotedStream& stream = f.get();
  f.drain.start();
  f.hand->settle();  // the ping's answer brings the second GOAWAY
  const auto byes = of_type(f.hand->frames(), goaway);
  REQUIRE(byes.size() == 2);
  CHECK(byes[0].payload.substr(0, 4) == number(0x7fffffff));
  CHECK(byes[1].payload.substr(0, 4) == number(1));
  CHECK_FALSE(stream.closed);
  CHECK_FALSE(f.served->done());
  f.answer(0, "late");
  CHECK(stream.in.to_string() == "late");
  f.hand->settle();
  CHECK(f.transport->write_ended());
  f.t.advance(std::chrono::seconds(2));
  CHECK(f.served->done());
  CHECK(f.stats.downstream_cx_drain_close.value() == 1);
}

TEST_CASE("h2 server: an idle connection is closed, a busy one is not", "[h2]") {
  Fixture f;
  f.hcm.idle_timeout = std::chrono::seconds(30);
  f.start();
  f.get();
  f.t.advance(std::chrono::seconds(60));
  CHECK_FALSE(f.transport->write_ended());
  f.answer(0, "x");
  f.t.advance(std::chrono::seconds(31));
  f.hand->settle();
  CHECK(of_type(f.hand->frames(), goaway).size() == 1);
  CHECK(f.transport->write_ended());
  f.t.advance(std::chrono::seconds(2));
  CHECK(f.served->done());
  CHECK(f.stats.downstream_cx_idle_timeout.value() == 1);
}

TEST_CASE("h2 server: a connection that has rested goes on", "[h2]") {
  Fixture f;
  f.hcm.idle_timeout = Duration::zero();
  f.start();
  for (std::size_t i = 0; i < 3; ++i) {
    NotedStream& stream = f.get();
    f.t.advance(std::chrono::seconds(5));  // not while a stream is there
    f.answer(i, "x");
    CHECK(stream.in.to_string() == "x");
    f.t.advance(std::chrono::hours(5));
  }
  CHECK_FALSE(f.transport->write_ended());
  CHECK(f.stats.downstream_cx_idle_timeout.value() == 0);
}

TEST_CASE("h2 server: a life has an end", "[h2]") {
  Fixture f;
  f.hcm.max_connection_duration = std::chrono::seconds(10);
  f.start();
  f.t.advance(std::chrono::seconds(11));
  f.hand->settle();
  CHECK(of_type(f.hand->frames(), goaway).size() == 2);
  f.t.advance(std::chrono::seconds(10));
  CHECK(f.served->done());
}

TEST_CASE("h2 server: nonsense gets a GOAWAY", "[h2]") {
  Fixture f;
  f.start();
  f.get();
  f.hand->send_raw(frame(data, 0, 0, "x"));
  f.hand->settle();
  const auto byes = of_type(f.hand->frames(), goaway);
  REQUIRE(byes.size() == 1);
  CHECK(byes[0].code() == NGHTTP2_PROTOCOL_ERROR);
  f.t.advance(std::chrono::seconds(10));
  CHECK(f.served->done());
  CHECK(f.stats.downstream_cx_protocol_error.value() == 1);
  CHECK(f.observer.done == 1);
}

TEST_CASE("h2 server: a flood gets a GOAWAY, and few of it go upstream", "[h2][attack]") {
  Fixture f;
  f.start();
  for (std::uint32_t i = 0; i < 2000; ++i) f.wire->send(get(2 * i + 1) + frame(rst_stream, 0, 2 * i + 1, number(8)));
  f.hand->settle();
  f.t.poll();
  const auto byes = of_type(f.hand->frames(), goaway);
  REQUIRE(byes.size() == 1);
  CHECK(byes[0].code() == NGHTTP2_ENHANCE_YOUR_CALM);
  CHECK(f.forwarder.calls.size() <= 300);
  f.t.advance(std::chrono::seconds(10));
  CHECK(f.served->done());
  CHECK(f.stats.downstream_rq_too_many_premature_resets.value() == 1);
  CHECK(f.stats.http2.goaway_sent.value() == 1);
  CHECK(f.stats.downstream_cx_destroy_local.value() == 1);
  CHECK(f.stats.downstream_cx_http2_active.value() == 0);
}

TEST_CASE("h2 server: what a connection counts, whoever ends it", "[h2]") {
  Fixture f;
  f.start();
  f.get();
  CHECK(f.stats.downstream_cx_http2_active.value() == 1);
  CHECK(f.stats.http2.streams_active.value() == 1);
  SECTION("the client, amid a request") {
    f.wire->close(Errc::eof);
    f.t.poll();
    CHECK(f.stats.downstream_cx_destroy_remote.value() == 1);
    CHECK(f.stats.downstream_cx_destroy_remote_active_rq.value() == 1);
    CHECK(f.stats.downstream_cx_destroy_active_rq.value() == 1);
    CHECK(f.stats.downstream_rq_rx_reset.value() == 1);
  }
  SECTION("the client, between requests") {
    f.answer(0, "fine");
    f.wire->close(Errc::eof);
    f.t.poll();
    CHECK(f.stats.downstream_cx_destroy_remote.value() == 1);
    CHECK(f.stats.downstream_cx_destroy_active_rq.value() == 0);
    CHECK(f.stats.http2.tx_reset.value() + f.stats.http2.rx_reset.value() == 0);
    CHECK(f.stats.downstream_rq_rx_reset.value() == 0);
  }
  SECTION("we") {
    f.answer(0, "fine");
    f.drain.start();
    f.hand->settle();
    f.t.advance(std::chrono::seconds(20));
    CHECK(f.stats.downstream_cx_destroy_local.value() == 1);
    CHECK(f.stats.downstream_cx_destroy_remote.value() == 0);
    CHECK(f.stats.http2.goaway_sent.value() == 2);
  }
  CHECK(f.stats.downstream_rq_too_many_premature_resets.value() == 0);
}

TEST_CASE("h2 server: refused heads are logged and cost nobody else", "[h2]") {
  Fixture f;
  f.hcm.headers_with_underscores = HttpConnectionManager::Underscores::reject_request;
  f.start();
  NotedStream& other = f.get();
  Request request;
  SECTION("too many fields") {
    for (int i = 0; i < 101; ++i) request.head.headers.add("x-" + std::to_string(i), "1");
  }
  SECTION("an underscore") { request.head.headers.add("x_y", "1"); }
  SECTION("somebody in the authority") { request.head.authority = "user@a.test"; }
  NotedStream& stream = f.hand->request(request.head, true);
  f.hand->settle();
  f.hand->settle();
  CHECK(stream.error == Errc::http_stream_reset);
  CHECK(f.forwarder.calls.size() == 1);
  f.get("/more");  // a frame after which the log has it
  CHECK(f.observer.done >= 1);
  CHECK(f.observer.details.starts_with("http2."));
  f.answer(0, "fine");
  CHECK(other.in.to_string() == "fine");
}

TEST_CASE("h2 server: refused heads without end are a flood", "[h2][attack]") {
  Fixture f;
  f.start();
  Fields fields = get_fields();
  fields[2].second = "user@a.test";
  for (std::uint32_t i = 0; i < 2000 && !f.transport->write_ended(); ++i) {
    f.wire->send(frame(headers, end_headers | end_stream, 2 * i + 1, block(fields)));
    f.t.poll();
  }
  const auto byes = of_type(parse(f.hand->received + f.wire->receive()), goaway);
  REQUIRE(byes.size() == 1);
  CHECK(byes[0].code() == NGHTTP2_ENHANCE_YOUR_CALM);
  CHECK(f.observer.done <= 300);
  CHECK(f.forwarder.calls.empty());
}

TEST_CASE("h2 server: a flood whose sender does not read ends, too", "[h2][attack]") {
  Fixture f(client_options(), 200);
  f.start();
  Fields fields = get_fields();
  fields[2].second = "user@a.test";
  std::string all;
  for (std::uint32_t i = 0; i < 600; ++i) all += frame(headers, end_headers | end_stream, 2 * i + 1, block(fields));
  f.hand->send_raw(all);
  f.t.advance(std::chrono::seconds(10));
  CHECK(f.served->done());
}

TEST_CASE("h2 server: what cancelled requests brought goes back to the connection's window", "[h2][attack]") {
  Fixture f;
  f.start();
  const std::string piece(15000, 'x');
  std::uint32_t id = 1;
  for (; id < 200; id += 2) {
    std::string all = post(id);
    for (int i = 0; i < 4; ++i) all += frame(data, 0, id, piece);
    f.wire->send(all + frame(rst_stream, 0, id, number(NGHTTP2_CANCEL)));
    f.t.poll();
  }
  CHECK(f.forwarder.calls.empty());
  f.wire->send(post(id));
  for (int i = 0; i < 32; ++i) {
    f.wire->send(frame(data, i == 31 ? end_stream : 0, id, std::string(16384, 'y')));
    f.t.poll();
  }
  REQUIRE(f.forwarder.calls.size() == 1);
  CHECK(f.call(0).body.size() == 512 * 1024);
  CHECK(f.call(0).body_ended);
}

TEST_CASE("h2 server: underscores may be dropped", "[h2]") {
  Fixture f;
  f.hcm.headers_with_underscores = HttpConnectionManager::Underscores::drop_header;
  f.start();
  Request request;
  request.head.headers.add("x_y", "1");
  f.hand->request(request.head, true);
  f.hand->settle();
  CHECK(f.forwarder.calls.size() == 1);
  CHECK(f.stats.http2.dropped_headers_with_underscores.value() == 1);
  CHECK(f.stats.http2.requests_rejected_with_underscores_in_headers.value() == 0);
}

TEST_CASE("h2 server: a head that does not end", "[h2]") {
  Fixture f;
  f.hcm.request_headers_timeout = std::chrono::seconds(5);
  f.start();
  f.hand->send_raw(frame(headers, end_stream, 1, block(get_fields())));
  f.t.advance(std::chrono::seconds(6));
  CHECK(f.served->done());
  CHECK(f.stats.downstream_rq_header_timeout.value() == 1);
}

TEST_CASE("h2 server: no connection is without a timer", "[h2]") {
  Fixture f;
  f.hcm.stream_idle_timeout = GENERATE(Duration(std::chrono::minutes(5)), Duration::zero());
  f.start();
  Fields somebody = get_fields(), many = get_fields();
  somebody[2].second = "user@a.test";
  for (int i = 0; i < 101; ++i) many.push_back({"x-" + std::to_string(i), "1"});
  SECTION("a head that does not end") { f.hand->send_raw(frame(headers, end_stream, 1, block(get_fields()))); }
  SECTION("a head that is refused") {
    f.hand->send_raw(frame(headers, end_headers | end_stream, 1, block(somebody)));
    CHECK(f.observer.done == 1);  // and in the log at once
  }
  SECTION("a head that is too large") { f.hand->send_raw(frame(headers, end_headers | end_stream, 1, block(many))); }
  SECTION("a head that is none") { f.hand->send_raw(get(1, {{"connection", "close"}})); }
  SECTION("a head that is too large and does not end") { f.hand->send_raw(frame(headers, end_stream, 1, block(many))); }
  f.t.advance(std::chrono::minutes(1));
  CHECK_FALSE(f.served->done());
  f.t.advance(std::chrono::hours(2));
  CHECK(f.served->done());
}

TEST_CASE("h2 server: a refused head's time ends with it", "[h2]") {
  Fixture f;
  f.hcm.request_headers_timeout = std::chrono::seconds(10);
  f.start();
  NotedStream& other = f.get();
  Request request;
  SECTION("too many fields") {
    for (int i = 0; i < 101; ++i) request.head.headers.add("x-" + std::to_string(i), "1");
  }
  SECTION("somebody in the authority") { request.head.authority = "user@a.test"; }
  f.hand->request(request.head, true);
  f.hand->settle();
  f.t.advance(std::chrono::seconds(11));
  CHECK_FALSE(f.served->done());
  f.answer(0, "fine");
  CHECK(other.in.to_string() == "fine");
}

TEST_CASE("h2 server: requests that go and requests that come in one read", "[h2]") {
  // One that is there and not yet being served counts as under way.
  Fixture f;
  f.hcm.idle_timeout = std::chrono::seconds(30);
  f.start();
  f.hand->send_raw(post(1) + get(3) + frame(rst_stream, 0, 1, number(NGHTTP2_CANCEL)));
  REQUIRE(f.forwarder.calls.size() == 1);
  f.t.advance(std::chrono::minutes(1));
  CHECK_FALSE(f.transport->write_ended());
  CHECK(f.stats.downstream_cx_idle_timeout.value() == 0);
}

}  // namespace
}  // namespace clew
