#include "proxy/http/h2_session.h"

#include "test/unit/proxy/http/h2_hand.h"

#include <catch2/catch.hpp>

#include <algorithm>

namespace clew {
namespace {

using namespace h2;

TEST_CASE("h2 session: sessions of a thread do not mix what they send, wherever they stop", "[h2]") {
  struct One {
    explicit One(char c) : letter(c) {}
    const char letter;
    Side client{client_options()}, server{server_options()};
  } ones[] = {One('a'), One('b')};       // with the prefaces of both before either is sent
  const std::string large(40'000, 'v');  // three frames of a head
  for (One& one : ones) {
    Request request("POST");
    request.head.headers.add("x-large", large + one.letter);
    NotedStream& up = one.client.open();
    REQUIRE(one.client.session.send_head(up, request.head, false).has_value());
    up.out.append(std::string(200'000, one.letter));
    up.out_last = true;
  }
  // Each fills its buffer and stops; then the other goes on.
  for (bool more = true; more;) {
    more = false;
    for (One& one : ones) {
      Buffer& pending = one.client.session.pending();
      more = more || !pending.empty();
      CHECK(one.server.feed(pending.to_string()) == Errc::ok);
      pending.clear();
      CHECK(one.client.feed(one.server.send()) == Errc::ok);
    }
  }
  for (One& one : ones) {
    REQUIRE(one.server.streams.size() == 1);
    CHECK(one.server.streams[0]->header("x-large") == large + one.letter);
    CHECK(one.server.streams[0]->in.to_string() == std::string(200'000, one.letter));
  }
}

TEST_CASE("h2 session: request and response with bodies and trailers", "[h2]") {
  Pair p;
  Request request("POST", "/up?x=1");
  request.head.headers.add("x-one", "1");
  request.head.headers.add(HeaderId::te, "trailers");
  request.head.headers.add(HeaderId::connection, "close");  // hop by hop: stays here
  NotedStream& up = p.request(request.head, false);
  up.out.append("hello");
  up.out_last = true;
  HeaderMap trailers(request.arena);
  trailers.add("x-sum", "5");
  trailers.add(HeaderId::content_length, "5");  // too late to say
  up.out_trailers = &trailers;
  exchange(p.client, p.server);

  REQUIRE(p.server.streams.size() == 1);
  NotedStream& down = *p.server.streams[0];
  REQUIRE(down.note == "head /up?x=1 x-one=1 te=trailers\n");
  CHECK(down.heads[0].method == "POST");
  CHECK(down.heads[0].authority == "a.test");
  CHECK(down.in.to_string() == "hello");
  CHECK(down.in_ended);
  REQUIRE(down.in_trailers);
  CHECK(down.in_trailers->get("x-sum") == "5");
  CHECK(down.in_trailers->size() == 1);
  CHECK(up.out_done);

  Response hints(103), ok(200);
  ok.head.headers.add(HeaderId::content_length, "3");
  REQUIRE(p.server.session.send_head(down, hints.head, false).has_value());
  REQUIRE(p.server.session.send_head(down, ok.head, false).has_value());
  down.out.append("abc");
  down.out_last = true;
  p.server.session.send_more(down);
  exchange(p.client, p.server);
  CHECK(up.note == "head 103\nhead 200 content-length=3\nclosed ok\n");
  CHECK(up.heads[1].content_length == 3u);
  CHECK(up.in.to_string() == "abc");
  CHECK(p.server.session.active() == 0);
  CHECK(p.client.session.active() == 0);
}

TEST_CASE("h2 session: any chunking gives the same events", "[h2]") {
  const std::string input = hello() + post(1, {{"cookie", "a=1"}, {"cookie", "b=2"}, {"content-length", "6"}}) +
                            frame(data, 0, 1, "abc") + get(3) + frame(data, end_stream, 1, "def") + post(5) +
                            frame(data, padded, 5, std::string(1, 2) + "xy" + "\0\0") +
                            frame(rst_stream, 0, 5, number(8)) + frame(ping, 0, 0, "12345678");
  const auto run = [&](std::size_t piece) {
    Side side(server_options());
    for (std::size_t at = 0; at < input.size(); at += piece)
      CHECK(side.feed(std::string_view(input).substr(at, piece)) == Errc::ok);
    std::string all;
    for (const auto& stream : side.streams)
      all += stream->note + stream->in.to_string() + (stream->in_ended ? "|" : "") + "\n";
    return all + side.send();
  };
  const std::string whole = run(input.size());
  CHECK(whole.find("cookie=a=1; b=2") != std::string::npos);
  CHECK(whole.find("abcdef|") != std::string::npos);
  for (const std::size_t piece : {1, 2, 3, 7, 9, 10, 64}) CHECK(run(piece) == whole);
}

TEST_CASE("h2 session: the window opens only when the body is read", "[h2]") {
  H2Options options;
  options.stream_window = 64 * 1024;
  Pair p(options);
  Request request("POST");
  NotedStream& up = p.request(request.head, false);
  const std::string mega(1024 * 1024, 'x');
  up.out.append(mega);
  up.out_last = true;
  exchange(p.client, p.server);
  NotedStream& down = *p.server.streams.at(0);
  CHECK(down.in.size() == options.stream_window);
  CHECK_FALSE(down.in_ended);
  std::size_t total = 0;
  while (!down.in_ended || !down.in.empty()) {
    REQUIRE(!down.in.empty());
    REQUIRE(down.in.size() <= options.stream_window);
    const std::size_t n = std::min<std::size_t>(down.in.size(), 40000);
    down.in.consume(n);
    total += n;
    p.server.session.consume(down, n);
    exchange(p.client, p.server);
  }
  CHECK(total == mega.size());
}

TEST_CASE("h2 session: a body that nobody reads gives the connection's window back", "[h2]") {
  H2Options options;
  options.stream_window = 64 * 1024;
  options.connection_window = 64 * 1024;
  Pair p(options);
  Request request("POST");
  const std::string much(100 * 1024, 'x');
  NotedStream& first = p.request(request.head, false);
  first.out.append(much);
  exchange(p.client, p.server);
  CHECK(p.server.streams.at(0)->in.size() == 64 * 1024);
  NotedStream& second = p.request(request.head, false);
  second.out.append("y");
  exchange(p.client, p.server);
  CHECK(p.server.streams.at(1)->in.empty());

  SECTION("discarded") {
    p.server.session.discard(*p.server.streams[0]);
    exchange(p.client, p.server);
    CHECK(p.server.streams[0]->in.empty());
    CHECK_FALSE(first.out.empty());  // its own window stays shut
  }
  SECTION("reset") {
    p.server.session.reset(*p.server.streams[0], H2Code::cancel);
    exchange(p.client, p.server);
    CHECK(first.error == Errc::http_stream_reset);
  }
  SECTION("detached") {
    p.server.session.detach(*p.server.streams[0]);
    exchange(p.client, p.server);
    CHECK(first.error == Errc::http_stream_reset);
  }
  CHECK(p.server.streams[1]->in.to_string() == "y");
}

TEST_CASE("h2 session: a bad request costs its stream, not the connection", "[h2]") {
  const auto bad =
      GENERATE(Fields{{":method", "GET"}, {":path", "/"}, {":authority", "a"}},                      // no scheme
               Fields{{":method", "GET"}, {":scheme", "http"}, {":path", ""}, {":authority", "a"}},  // empty path
               Fields{{":method", "GET"}, {":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}},
               with(get_fields(), {{"connection", "close"}}), with(get_fields(), {{"transfer-encoding", "chunked"}}),
               with(get_fields(), {{"upgrade", "websocket"}}), with(get_fields(), {{"te", "gzip"}}),
               with(get_fields(), {{"X-Upper", "1"}}), with(get_fields(), {{"x", "a\nb"}}),
               with(get_fields(), {{"x", std::string("a\0b", 3)}}), with(get_fields(), {{"x\r", "1"}}),
               with(get_fields(), {{"", "empty"}}), with(get_fields(), {{":status", "200"}}),
               with(get_fields(), {{":protocol", "websocket"}}), with({{"x", "early"}}, get_fields()),
               with(get_fields(), {{"content-length", "1"}}),  // but no body
               with(get_fields(), {{"content-length", "-0"}}),
               with(get_fields(), {{"content-length", "0"}, {"content-length", "0"}}),
               with(get_fields(), {{"host", "a"}, {"host", "b"}}),
               Fields{{":method", "GE T"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}},
               Fields{{":method", "GET"}, {":scheme", "http"}, {":path", "/a b"}, {":authority", "a"}},
               Fields{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a b"}});
  Side side(server_options());
  CHECK(side.feed(hello() + frame(headers, end_headers | end_stream, 1, block(bad)) + get(3)) == Errc::ok);
  CHECK(side.streams.at(0)->heads.empty());
  const auto resets = of_type(side.frames(), rst_stream);
  REQUIRE(resets.size() == 1);
  CHECK(resets[0].id == 1);
  CHECK(resets[0].code() == NGHTTP2_PROTOCOL_ERROR);
  CHECK(side.streams.at(0)->error != Errc::ok);
  CHECK(side.streams.at(1)->note == "head / end\n");
}

TEST_CASE("h2 session: what a peer has ended stays ended", "[h2]") {
  // RFC 9113 5.1, closed; 5.1.1; 6.3
  struct Case {
    const char* name;
    std::string ends, then;
    std::uint32_t code;
  };
  const Case c = GENERATE(
      Case{"HEADERS after END_STREAM", get(1), get(1), NGHTTP2_STREAM_CLOSED},
      Case{"HEADERS after RST_STREAM", post(1) + frame(rst_stream, 0, 1, number(8)), get(1), NGHTTP2_STREAM_CLOSED},
      Case{"HEADERS for a stream that was passed over", get(5), get(3), NGHTTP2_PROTOCOL_ERROR},
      Case{"PRIORITY for no stream", get(1), frame(priority, 0, 0, std::string(5, '\1')), NGHTTP2_PROTOCOL_ERROR});
  INFO(c.name);
  Side side(server_options());
  Response response(204);
  REQUIRE(side.feed(hello() + c.ends) == Errc::ok);
  NotedStream& stream = *side.streams.at(0);
  if (!stream.closed) CHECK(side.session.send_head(stream, response.head, true).has_value());
  side.send();
  CHECK(stream.closed);
  CHECK(side.feed(c.then) == Errc::http_bad_message);
  const auto last = of_type(side.frames(), goaway);
  REQUIRE(last.size() == 1);
  CHECK(last[0].code() == c.code);
}

TEST_CASE("h2 session: a peer that has not seen our reset yet may go on", "[h2]") {
  Side side(server_options());
  REQUIRE(side.feed(hello() + post(1)) == Errc::ok);
  side.session.reset(*side.streams.at(0), H2Code::no_error);
  side.send();
  CHECK(side.feed(frame(data, 0, 1, "late") + frame(headers, end_headers | end_stream, 1, block({{"late", "1"}})) +
                  frame(window_update, 0, 1, number(1)) + frame(rst_stream, 0, 1, number(0)) + get(3)) == Errc::ok);
  CHECK(side.streams.at(1)->note == "head / end\n");
}

TEST_CASE("h2 session: more or less body than content-length says is no end", "[h2]") {
  Side side(server_options());
  const std::string body = GENERATE("ab", "abcd");
  CHECK(side.feed(hello() + post(1, {{"content-length", "3"}}) + frame(data, end_stream, 1, body)) == Errc::ok);
  CHECK_FALSE(side.streams.at(0)->in_ended);
  CHECK(of_type(side.frames(), rst_stream).size() == 1);
  CHECK(side.streams[0]->error == Errc::http_bad_message);
}

TEST_CASE("h2 session: one view of the request", "[h2]") {
  Side side(server_options());
  side.feed(hello() +
            get(1, {{"cookie", "a=1"}, {"x", " spaces \t"}, {"cookie", "b=2"}, {"host", "other"}, {"cookie", "c=3"}}));
  NotedStream& stream = *side.streams.at(0);
  CHECK(stream.header("cookie") == "a=1; b=2; c=3");
  CHECK(stream.header("x") == "spaces");
  CHECK_FALSE(stream.header("host"));
  CHECK(stream.heads[0].authority == "a.test");

  side.feed(frame(headers, end_headers | end_stream, 3,
                  block({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "only.host"}})));
  CHECK(side.streams.at(1)->heads.at(0).authority == "only.host");
}

TEST_CASE("h2 session: extended CONNECT only where it is allowed", "[h2]") {
  const std::string connect = frame(headers, end_headers, 1,
                                    block({{":method", "CONNECT"},
                                           {":protocol", "websocket"},
                                           {":scheme", "http"},
                                           {":path", "/chat"},
                                           {":authority", "a"}}));
  H2Options options;
  options.extended_connect = GENERATE(true, false);
  Side side(options);
  side.feed(hello() + connect);
  CHECK(side.streams.at(0)->heads.size() == (options.extended_connect ? 1 : 0));
  if (options.extended_connect) CHECK(side.streams[0]->heads[0].protocol == "websocket");
}

// ---- bounds

TEST_CASE("h2 session: a head too large resets its stream and nothing else", "[h2]") {
  Fields more;
  Errc expected = Errc::ok;
  SECTION("bytes") {
    for (int i = 0; i < 7; ++i) more.push_back({"x-" + std::to_string(i), std::string(10000, 'a')});
    expected = Errc::http_headers_too_large;
  }
  SECTION("fields") {
    for (int i = 0; i < 101; ++i) more.push_back({"x-" + std::to_string(i), "1"});
    expected = Errc::http_too_many_headers;
  }
  SECTION("cookie crumbs") {
    for (int i = 0; i < 3000; ++i) more.push_back({"cookie", "a"});
    expected = Errc::http_headers_too_large;
  }
  const std::string all = block(with(get_fields(), more));
  std::string frames = hello() + frame(headers, end_stream, 1, all.substr(0, 16000));
  std::size_t at = 16000;
  for (; at + 16000 < all.size(); at += 16000) frames += frame(continuation, 0, 1, all.substr(at, 16000));
  frames += frame(continuation, end_headers, 1, at < all.size() ? all.substr(at) : "");
  Side side(server_options());
  CHECK(side.feed(frames + get(3)) == Errc::ok);
  CHECK(side.streams.at(0)->error == expected);
  CHECK(side.streams.at(0)->heads.empty());
  CHECK(side.streams.at(0)->arena.used() < 80 * 1024);
  CHECK(of_type(side.frames(), rst_stream).size() == 1);
  CHECK(side.streams.at(1)->note == "head / end\n");
}

TEST_CASE("h2 session: one byte on the wire is not a hundred in memory (CVE-2026-47774)", "[h2]") {
  // One field of 4000 bytes goes into the table; each following byte means it again.
  const std::string big = std::string(1, 0x40) + hpack_length(1) + "x" + hpack_length(4000) + std::string(4000, 'v');
  Side side(server_options());
  side.feed(hello());
  for (std::uint32_t id = 1; id < 200; id += 2)
    CHECK(side.feed(frame(headers, end_headers | end_stream, id,
                          block(get_fields()) + (id == 1 ? big : "") +
                              std::string(8000, static_cast<char>(0x80 | 62)))) == Errc::ok);
  for (const auto& stream : side.streams) {
    CHECK(stream->error == Errc::http_headers_too_large);
    CHECK(stream->arena.used() < 80 * 1024);
  }
}

TEST_CASE("h2 session: a head may come byte by byte", "[h2]") {
  const std::string all = hello() + frame(headers, end_stream, 1, block(get_fields())) +
                          frame(continuation, 0, 1, field("x", "1")) +
                          frame(continuation, end_headers, 1, field("y", "2"));
  Side side(server_options());
  for (const char c : all) CHECK(side.feed({&c, 1}) == Errc::ok);
  CHECK(side.streams.at(0)->note == "head / x=1 y=2 end\n");
}

TEST_CASE("h2 session: small pieces do not pin large ones", "[h2]") {
  H2Options options;
  Side side(options);
  side.send();
  side.feed(hello() + frame(settings, ack, 0) + post(1));
  Buffer input;
  for (int i = 0; i < 100000; ++i) input.append(frame(data, 0, 1, "x"));
  REQUIRE(side.session.feed(input, side.now).has_value());
  CHECK(side.streams.at(0)->in.size() == 100000);
  // Slabs cannot be counted from here; slices can.
  std::vector<iovec> slices(100000);
  CHECK(side.streams[0]->in.peek(slices) < 100);
}

TEST_CASE("h2 session: small frames do not pin the memory of the reads that they came in", "[h2]") {
  Side side(server_options());
  side.feed(hello() + frame(settings, ack, 0) + post(1));
  for (int i = 0; i < 400; ++i) REQUIRE(side.feed(frame(data, 0, 1, std::string(600, 'x'))) == Errc::ok);
  CHECK(side.streams.at(0)->in.size() == 400 * 600);
  std::vector<iovec> slices(400);
  CHECK(side.streams[0]->in.peek(slices) < 30);
}

TEST_CASE("h2 session: a peer that is not HTTP/2", "[h2]") {
  Side side(server_options());
  CHECK(side.feed("GET / HTTP/1.1\r\nhost: a\r\n\r\n") == Errc::http_bad_message);
  CHECK(side.session.over());
  CHECK(side.feed(hello()) == Errc::http_bad_message);  // and so it stays
}

TEST_CASE("h2 session: no stream opens beyond the limit", "[h2]") {
  H2Options options;
  options.max_concurrent_streams = 10;
  Side side(options);
  side.feed(hello());
  side.send();
  std::string many;
  for (std::uint32_t id = 1; id < 60; id += 2) many += get(id);
  side.feed(many);
  CHECK(side.streams.size() <= 10);
  CHECK(of_type(side.frames(), rst_stream).size() + side.streams.size() >= 30);
}

// ---- ends

TEST_CASE("h2 session: what a request's end means for trying again", "[h2]") {
  Pair p;
  Request request;
  NotedStream& first = p.request(request.head, true);
  NotedStream& second = p.request(request.head, true);
  NotedStream& third = p.request(request.head, true);
  p.server.feed(p.client.send());
  SECTION("refused") {
    p.client.feed(frame(rst_stream, 0, 3, number(NGHTTP2_REFUSED_STREAM)));
    CHECK(second.error == Errc::http_refused_stream);
    CHECK(first.error == Errc::ok);
  }
  SECTION("reset") {
    p.client.feed(frame(rst_stream, 0, 3, number(NGHTTP2_INTERNAL_ERROR)));
    CHECK(second.error == Errc::http_stream_reset);
  }
  SECTION("goaway") {
    p.client.feed(frame(goaway, 0, 0, number(1) + number(0)));
    CHECK(first.error == Errc::ok);
    CHECK(second.error == Errc::http_goaway);
    CHECK(third.error == Errc::http_goaway);
    CHECK_FALSE(p.client.session.can_open());
    CHECK(p.client.goaways == 1);
    NotedStream& late = p.client.open();
    const auto sent = p.client.session.send_head(late, request.head, true);
    p.client.send();
    CHECK((!sent || late.error == Errc::http_goaway));
  }
  SECTION("connection lost") {
    p.client.session.abort(Errc::upstream_closed);
    CHECK(first.error == Errc::upstream_closed);
    CHECK(first.closed);
  }
}

TEST_CASE("h2 session: drain in two steps loses nothing", "[h2]") {
  Pair p;
  Request request;
  NotedStream& first = p.request(request.head, true);
  p.server.session.shutdown_notice();
  exchange(p.client, p.server);
  CHECK(p.client.goaways == 1);
  CHECK(first.error == Errc::ok);
  p.server.session.goaway();
  Response response;
  REQUIRE(p.server.session.send_head(*p.server.streams.at(0), response.head, true).has_value());
  exchange(p.client, p.server);
  CHECK(first.note == "head 200 end\nclosed ok\n");
  CHECK(p.server.session.over());
}

TEST_CASE("h2 session: frames after GOAWAY, in any order, end cleanly", "[h2]") {
  std::vector<std::string> pieces{frame(goaway, 0, 0, number(1) + number(0)), frame(rst_stream, 0, 1, number(8)),
                                  frame(headers, end_headers, 1, field(":status", "200")),
                                  frame(data, end_stream, 1, "x")};
  std::sort(pieces.begin(), pieces.end());
  do {
    Pair p;
    Request request;
    p.request(request.head, true);
    p.request(request.head, true);
    p.client.send();
    for (const std::string& piece : pieces) p.client.feed(piece);
    p.client.send();
    p.client.session.abort(Errc::canceled);
    for (const auto& stream : p.client.streams) CHECK(stream->closed);
  } while (std::next_permutation(pieces.begin(), pieces.end()));
}

TEST_CASE("h2 session: a value that would end a line is not sent", "[h2]") {
  Pair p;
  Request request;
  request.head.headers.add_view(HeaderId::unknown, "x", "a\r\nb: c");  // add() would not have it
  NotedStream& stream = p.client.open();
  CHECK(p.client.session.send_head(stream, request.head, true).error().code == Errc::http_bad_message);
  CHECK(p.client.session.active() == 0);
}

}  // namespace
}  // namespace clew
