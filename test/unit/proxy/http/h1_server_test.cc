#include "test/unit/proxy/http/http_test_kit.h"

#include <catch2/catch.hpp>

using namespace clew;
using namespace std::chrono_literals;

namespace {

const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const std::string hello =
    "HTTP/1.1 200 OK\r\nserver: envoy\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
const std::string hello_close =
    "HTTP/1.1 200 OK\r\nserver: envoy\r\ntransfer-encoding: chunked\r\nconnection: "
    "close\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

}  // namespace

TEST_CASE("h1 server: requests one after the other, each answer in one write") {
  ServerKit kit;
  CHECK(kit.talk(get) == hello);
  CHECK(kit.talk(get) == hello);
  CHECK(kit.server->writes().size() == 2);
  CHECK(kit.forwarder.heads == std::vector<std::string>(2, "GET a / | x-forwarded-proto: http"));
  CHECK(kit.recorder.lines.at(1) == "200 - via_upstream rx=0 tx=5");
  CHECK(kit.stats.downstream_rq_2xx.value() == 2);
  CHECK(kit.stats.downstream_rq_active.value() == 0);
  CHECK(!kit.done());
  kit.client->shutdown_write();
  kit.test.poll();
  CHECK(kit.done());
  CHECK(kit.stats.downstream_cx_active.value() == 0);
}

TEST_CASE("h1 server: pipelined requests are answered in order") {
  ServerKit kit;
  CHECK(kit.talk(get + get + get) == hello + hello + hello);
  CHECK(kit.forwarder.heads.size() == 3);
}

TEST_CASE("h1 server: a client that pipelines is not read ahead of") {
  ServerKit kit;
  kit.forwarder.hold = true;
  std::string many;
  for (int i = 0; i < 20000; ++i) many += get;
  kit.talk(many);
  kit.test.advance(1s);
  CHECK(kit.server->wire_bytes_read() < 64 * 1024);
  kit.client->close(Errc::canceled);
  kit.forwarder.hold = false;
  kit.forwarder.release();
}

TEST_CASE("h1 server: byte by byte it is the same request") {
  ServerKit kit;
  kit.hcm.request_headers_timeout = 10s;
  kit.start();
  std::string out;
  for (const char c : "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + get)
    out += kit.talk(std::string(1, c));
  CHECK(out == hello + hello);
  CHECK(kit.forwarder.received == "abc");
}

TEST_CASE("h1 server: malformed requests get Envoy's answers and the connection ends") {
  struct Case {
    std::string bytes, status, body, line;
  };
  const Case cases[] = {
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + get,
       "400 Bad Request", "Bad Request", "400 DPE http1.content_length_and_chunked_not_allowed rx=0 tx=11"},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "501 Not Implemented", "Not Implemented",
       "501 DPE http1.invalid_transfer_encoding rx=0 tx=15"},
      {"GET / HTTP/1.0\r\n\r\n", "426 Upgrade Required", "Upgrade Required", "426 DPE low_version rx=0 tx=16"},
      {"GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(70000, 'a'), "431 Request Header Fields Too Large",
       "Request Header Fields Too Large", "431 DPE http1.headers_too_large rx=0 tx=31"},
      {"\x16\x03\x01", "400 Bad Request", "Bad Request", "400 DPE http1.codec_error rx=0 tx=11"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.status);
    ServerKit kit;
    CHECK(kit.talk(c.bytes) == "HTTP/1.1 " + c.status + "\r\ncontent-length: " + std::to_string(c.body.size()) +
                                   "\r\ncontent-type: text/plain\r\nserver: envoy\r\nconnection: close\r\n\r\n" +
                                   c.body);
    CHECK(kit.recorder.lines == std::vector<std::string>{c.line});
    CHECK(kit.forwarder.heads.empty());
    CHECK(kit.server->write_ended());
    kit.test.advance(2s);
    CHECK(kit.done());
  }
}

TEST_CASE("h1 server: a broken chunk ends the stream with 400") {
  ServerKit kit;
  const std::string out = kit.talk("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nZ\r\n");
  CHECK(out.starts_with("HTTP/1.1 400 Bad Request\r\n"));
  CHECK(kit.forwarder.body_end == Errc::http_bad_message);
  CHECK(kit.recorder.lines == std::vector<std::string>{"400 DPE http1.codec_error rx=3 tx=11"});
}

TEST_CASE("h1 server: request without Host") {
  ServerKit kit;
  CHECK(kit.talk("GET / HTTP/1.1\r\n\r\n") ==
        "HTTP/1.1 400 Bad Request\r\nserver: envoy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
  CHECK(kit.recorder.lines == std::vector<std::string>{"400 - missing_host_header rx=0 tx=0"});
}

TEST_CASE("h1 server: an answer before the request's end closes") {
  ServerKit kit;
  kit.forwarder.read_body = false;
  CHECK(kit.talk("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc") == hello_close);
  CHECK(kit.server->write_ended());
  CHECK(!kit.done());
  kit.client->send(std::string(997, 'x') + get);  // read and forgotten, never a request
  kit.test.poll();
  CHECK(kit.forwarder.heads.size() == 1);
  kit.test.advance(1100ms);
  CHECK(kit.done());
}

TEST_CASE("h1 server: a client that leaves ends its stream") {
  ServerKit kit;
  kit.forwarder.hold = true;
  kit.talk(get);
  kit.client->close(Errc::canceled);
  kit.test.advance(100ms);
  CHECK(kit.forwarder.abandoned == Errc::downstream_closed);
  CHECK(kit.done());
  CHECK(kit.recorder.lines == std::vector<std::string>{"0 DC downstream_remote_disconnect rx=0 tx=0"});
}

TEST_CASE("h1 server: a client that leaves while its body is awaited") {
  ServerKit kit;
  kit.talk("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
  kit.client->close(Errc::canceled);
  kit.test.poll();
  CHECK(kit.forwarder.body_end == Errc::downstream_closed);
  CHECK(kit.done());
  CHECK(kit.recorder.lines == std::vector<std::string>{"0 DC downstream_remote_disconnect rx=3 tx=0"});
}

TEST_CASE("h1 server: a client that leaves while the answer is under way") {
  ServerKit kit;
  auto source = std::make_shared<FedBody::State>();
  kit.forwarder.make_answer = [source] { return std::make_unique<FedBody>(source); };
  CHECK(kit.talk(get) == "HTTP/1.1 200 OK\r\nserver: envoy\r\ntransfer-encoding: chunked\r\n\r\n");
  source->feed("abc");
  kit.test.poll();
  CHECK(kit.take() == "3\r\nabc\r\n");
  kit.client->close(Errc::canceled);
  kit.test.advance(100ms);
  CHECK(source->canceled == Errc::downstream_closed);
  CHECK(kit.done());
  CHECK(kit.recorder.lines == std::vector<std::string>{"200 DC downstream_remote_disconnect rx=0 tx=3"});
}

TEST_CASE("h1 server: an upstream that breaks in the middle is seen by the client") {
  ServerKit kit;
  auto source = std::make_shared<FedBody::State>();
  kit.forwarder.make_answer = [source] { return std::make_unique<FedBody>(source); };
  SECTION("chunked: no last chunk") {
    kit.talk(get);
    source->feed("abc");
    source->fail(Errc::upstream_closed);
    kit.test.poll();
    CHECK(kit.take() == "3\r\nabc\r\n");
    CHECK(kit.done());
    CHECK(!kit.server->closed_with_reset());
  }
  SECTION("until close: a reset") {
    kit.hcm.accept_http_10 = true;
    kit.talk("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    source->feed("abc");
    source->fail(Errc::upstream_closed);
    kit.test.poll();
    CHECK(kit.done());
    CHECK(kit.server->closed_with_reset());
  }
  SECTION("a length that lies") {
    kit.forwarder.headers = {{"content-length", "2"}};
    source->feed("abc");
    source->end();
    CHECK(kit.talk(get).empty());  // nothing of it had left yet
    CHECK(kit.done());
  }
}

TEST_CASE("h1 server: timeouts") {
  ServerKit kit;
  SECTION("idle connection") {
    kit.hcm.idle_timeout = 10s;
    CHECK(kit.talk(get) == hello);
    kit.test.advance(9s);
    CHECK(!kit.done());
    kit.test.advance(2s);
    CHECK(kit.done());
    CHECK(kit.stats.downstream_cx_idle_timeout.value() == 1);
  }
  SECTION("slow head") {
    kit.hcm.request_headers_timeout = 5s;
    kit.talk("GET / HTT");
    kit.test.advance(6s);
    CHECK(kit.take().starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    CHECK(kit.recorder.lines.at(0) == "408 - request_header_timeout rx=0 tx=22");
  }
  SECTION("stream idle, waiting for the upstream") {
    kit.hcm.stream_idle_timeout = 5s;
    kit.forwarder.hold = true;
    kit.talk(get);
    kit.test.advance(6s);
    CHECK(kit.take().starts_with("HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 14\r\n"));
    CHECK(kit.recorder.lines.at(0) == "504 SI stream_idle_timeout rx=0 tx=14");
  }
  SECTION("request timeout, waiting for the client") {
    kit.hcm.request_timeout = 5s;
    kit.forwarder.hold = true;
    kit.talk("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    kit.test.advance(6s);
    CHECK(kit.take().starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    CHECK(kit.stats.downstream_rq_timeout.value() == 1);
  }
  SECTION("duration, in the middle of the answer") {
    kit.hcm.max_stream_duration = 5s;
    auto source = std::make_shared<FedBody::State>();
    kit.forwarder.make_answer = [source] { return std::make_unique<FedBody>(source); };
    kit.talk(get);
    kit.test.advance(6s);
    CHECK(source->canceled == Errc::max_stream_duration);
    CHECK(kit.done());
    CHECK(kit.recorder.lines.at(0) == "200 DT max_duration_timeout rx=0 tx=0");
  }
}

TEST_CASE("h1 server: the ways a connection is ended in order") {
  ServerKit kit;
  SECTION("the client asks for it") {
    CHECK(kit.talk("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + get) == hello_close);
    CHECK(kit.forwarder.heads.size() == 1);
  }
  SECTION("drain") {
    CHECK(kit.talk(get) == hello);
    kit.drain.start();
    CHECK(kit.talk(get) == hello_close);
    CHECK(kit.stats.downstream_cx_drain_close.value() == 1);
  }
  SECTION("enough requests") {
    kit.hcm.max_requests_per_connection = 2;
    CHECK(kit.talk(get) == hello);
    CHECK(kit.talk(get) == hello_close);
  }
  SECTION("its time is over") {
    kit.hcm.max_connection_duration = 10s;
    kit.hcm.drain_timeout = 5s;
    CHECK(kit.talk(get) == hello);
    kit.test.advance(11s);
    CHECK(kit.talk(get) == hello_close);
  }
}

TEST_CASE("h1 server: HTTP/1.0") {
  ServerKit kit;
  kit.hcm.accept_http_10 = true;
  kit.forwarder.headers = {{"content-length", "5"}};
  CHECK(kit.talk("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n") ==
        "HTTP/1.0 200 OK\r\ncontent-length: 5\r\nserver: envoy\r\nconnection: keep-alive\r\n\r\nhello");
  kit.forwarder.headers.clear();
  CHECK(kit.talk("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n") ==
        "HTTP/1.0 200 OK\r\nserver: envoy\r\nconnection: close\r\n\r\nhello");
  CHECK(kit.server->write_ended());
}

TEST_CASE("h1 server: 100-continue") {
  ServerKit kit;
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
  SECTION("the upstream's goes through") {
    kit.forwarder.interim = {100};
    CHECK(kit.talk(head) == "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK(kit.talk("abc") == hello);
    CHECK(kit.forwarder.heads.at(0).find("expect: 100-continue") != std::string::npos);
  }
  SECTION("ours") {
    kit.hcm.proxy_100_continue = false;
    CHECK(kit.talk(head) == "HTTP/1.1 100 Continue\r\n\r\n");
    CHECK(kit.talk("abc") == hello);
    CHECK(kit.forwarder.heads.at(0).find("expect") == std::string::npos);
  }
  SECTION("refused without the body: the body is no request") {
    kit.forwarder.status = 417;
    kit.forwarder.read_body = false;
    CHECK(kit.talk(head).find("connection: close") != std::string::npos);
    kit.client->send(get);
    kit.test.advance(2s);
    CHECK(kit.forwarder.heads.size() == 1);
  }
}

TEST_CASE("h1 server: an interim head that a client does not take is waited for as long as the stream may be idle") {
  ServerKit kit;
  std::tie(kit.client, kit.server) = MemoryTransport::make(1);
  kit.hcm.stream_idle_timeout = 5min;
  SECTION("the upstream's") { kit.forwarder.interim = {103}; }
  SECTION("ours") { kit.hcm.proxy_100_continue = false; }
  kit.start();
  kit.client->send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
  kit.test.advance(4min);
  CHECK(!kit.done());
  kit.test.advance(2min);
  CHECK(kit.done());
  CHECK(kit.recorder.lines.size() == 1);
}

TEST_CASE("h1 server: a connection's last bytes may share a packet with its end, no others") {
  ServerKit kit;
  CHECK(kit.talk(get) == hello);
  CHECK_FALSE(kit.server->last_write());
  CHECK(kit.talk("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") == hello_close);
  CHECK(kit.server->last_write() == kit.server->writes().size() - 1);
  CHECK(kit.done());
  CHECK_FALSE(kit.server->closed_with_reset());
}

TEST_CASE("h1 server: upgrades") {
  ServerKit kit;
  const std::string upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n";
  SECTION("not allowed") {
    CHECK(kit.talk(upgrade) ==
          "HTTP/1.1 403 Forbidden\r\nserver: envoy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    CHECK(kit.recorder.lines.at(0) == "403 - upgrade_failed rx=0 tx=0");
  }
  SECTION("accepted") {
    kit.hcm.upgrades = {"websocket"};
    kit.forwarder.upgrade_to = "from upstream";
    kit.forwarder.read_body = false;
    CHECK(kit.talk(upgrade) ==
          "HTTP/1.1 101 Switching Protocols\r\nserver: envoy\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nfrom "
          "upstream");
    CHECK(kit.server->write_ended());
  }
  SECTION("its end is the end of both directions") {
    kit.hcm.upgrades = {"websocket"};
    CHECK(kit.talk(upgrade + "from the client").empty());
    kit.client->shutdown_write();
    kit.test.poll();
    CHECK(kit.forwarder.received == "from the client");
    CHECK(kit.forwarder.body_end == Errc::downstream_closed);
  }
  SECTION("refused by the upstream: what follows is no request") {
    kit.hcm.upgrades = {"websocket"};
    kit.forwarder.read_body = false;
    CHECK(kit.talk(upgrade + get) == hello_close);
    kit.test.advance(2s);
    CHECK(kit.forwarder.heads.size() == 1);
  }
}

TEST_CASE("h1 server: HEAD, 204 and 304 have no body whatever the upstream sends") {
  ServerKit kit;
  kit.forwarder.headers = {{"content-length", "5"}};
  CHECK(kit.talk("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n") ==
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nserver: envoy\r\n\r\n");
  kit.forwarder.status = 304;
  CHECK(kit.talk(get) == "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\nserver: envoy\r\n\r\n");
  kit.forwarder.status = 204;
  CHECK(kit.talk(get) == "HTTP/1.1 204 No Content\r\nserver: envoy\r\n\r\n");
}

TEST_CASE("h1 server: a large answer follows the client's pace") {
  ServerKit kit;
  kit.forwarder.body = std::string(1 << 20, 'x');
  kit.forwarder.headers = {{"content-length", std::to_string(1 << 20)}};
  kit.start();
  kit.client->send(get);
  kit.test.poll();
  CHECK(kit.server->wire_bytes_written() <= 64 * 1024);
  std::string all;
  for (int i = 0; i < 100 && all.size() < (1 << 20); ++i) {
    all += kit.take();
    kit.test.poll();
  }
  CHECK(all.size() > (1 << 20));
  CHECK(kit.talk(get).size() > 0);
}

TEST_CASE("serve_http tells HTTP/2 by its preface") {
  ServerKit kit;
  kit.start();
  kit.client->send("PRI * HTTP/2.0\r\n\r\nSM\r\n");
  kit.test.poll();
  CHECK(kit.stats.downstream_cx_http1_total.value() + kit.stats.downstream_cx_http2_total.value() == 0);
  kit.client->send("\r\n");
  kit.test.poll();
  CHECK(kit.stats.downstream_cx_http2_total.value() == 1);
  CHECK(kit.stats.downstream_cx_http1_total.value() == 0);
  CHECK(kit.stats.downstream_cx_active.value() == 1);
  kit.client->close(Errc::eof);
  kit.test.poll();
  kit.test.advance(std::chrono::seconds(10));
  REQUIRE(kit.done());
  CHECK(kit.stats.downstream_cx_total.value() == 1);
  CHECK(kit.stats.downstream_cx_destroy.value() == 1);
  CHECK(kit.stats.downstream_cx_active.value() == 0);
}

TEST_CASE("serve_http: what only begins like the preface is HTTP/1, and so is all where the codec is not automatic") {
  ServerKit torn;
  CHECK(torn.talk("PRI * HTTP/2.0\r\n\r\nS").empty());
  CHECK(torn.talk("X").starts_with("HTTP/1.1 400 "));
  CHECK(torn.stats.downstream_cx_http1_total.value() == 1);
  CHECK(torn.stats.downstream_cx_http2_total.value() == 0);

  ServerKit ended;
  CHECK(ended.talk("PRI * HTTP/").empty());
  ended.client->close(Errc::eof);
  ended.test.poll();
  CHECK(ended.stats.downstream_cx_http1_total.value() == 1);
  CHECK(ended.stats.downstream_cx_active.value() == 0);

  ServerKit fixed;
  fixed.hcm.codec = HttpConnectionManager::Codec::http1;
  CHECK(fixed.talk("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").starts_with("HTTP/1.1 400 "));
  CHECK(fixed.stats.downstream_cx_http2_total.value() == 0);

  ServerKit silent;
  silent.hcm.idle_timeout = std::chrono::seconds(3);
  CHECK(silent.talk("PRI ").empty());
  silent.test.advance(std::chrono::seconds(4));
  CHECK(silent.stats.downstream_cx_idle_timeout.value() == 1);
  CHECK(silent.stats.downstream_cx_active.value() == 0);
}

TEST_CASE("h1 server: what a connection counts, whoever ends it") {
  ServerKit kit;
  const auto ended = [&kit] {
    return std::vector<std::uint64_t>{kit.stats.downstream_cx_destroy.value(),
                                      kit.stats.downstream_cx_destroy_local.value(),
                                      kit.stats.downstream_cx_destroy_local_active_rq.value(),
                                      kit.stats.downstream_cx_destroy_remote.value(),
                                      kit.stats.downstream_cx_destroy_remote_active_rq.value(),
                                      kit.stats.downstream_cx_destroy_active_rq.value()};
  };
  using Counts = std::vector<std::uint64_t>;
  SECTION("the client, between requests") {
    kit.talk(get);
    CHECK(kit.stats.downstream_cx_http1_active.value() == 1);
    CHECK(kit.stats.bytes.read.value() == std::string(get).size());
    CHECK(kit.stats.bytes.written.value() == kit.server->wire_bytes_written());
    CHECK(ended() == Counts{0, 0, 0, 0, 0, 0});
    kit.client->close(Errc::canceled);
    kit.test.poll();
    REQUIRE(kit.done());
    CHECK(ended() == Counts{1, 0, 0, 1, 0, 0});
    CHECK(kit.stats.downstream_rq_rx_reset.value() == 0);
    CHECK(kit.stats.downstream_cx_http1_active.value() == 0);
    CHECK(kit.stats.downstream_rq_response_before_rq_complete.value() == 0);
  }
  SECTION("the client, amid a request") {
    kit.forwarder.hold = true;
    kit.talk(get);
    kit.client->close(Errc::canceled);
    kit.test.advance(100ms);
    REQUIRE(kit.done());
    CHECK(ended() == Counts{1, 0, 0, 1, 1, 1});
    CHECK(kit.stats.downstream_rq_rx_reset.value() == 1);
  }
  SECTION("we, for a time that is over") {
    kit.hcm.idle_timeout = 10s;
    kit.talk(get);
    kit.test.advance(11s);
    REQUIRE(kit.done());
    CHECK(ended() == Counts{1, 1, 0, 0, 0, 0});
  }
  SECTION("we, since the client asked for it: nothing is waited for") {
    kit.talk("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    REQUIRE(kit.done());
    CHECK(ended() == Counts{1, 1, 0, 0, 0, 0});
    CHECK(kit.stats.downstream_cx_delayed_close_timeout.value() == 0);
  }
  SECTION("we, after enough requests, and the client does not leave") {
    kit.hcm.max_requests_per_connection = 1;
    kit.talk(get);
    CHECK(kit.stats.downstream_cx_max_requests_reached.value() == 1);
    CHECK(kit.stats.downstream_cx_delayed_close_timeout.value() == 0);
    kit.test.advance(2s);
    REQUIRE(kit.done());
    CHECK(kit.stats.downstream_cx_delayed_close_timeout.value() == 1);
    CHECK(ended() == Counts{1, 1, 0, 0, 0, 0});
  }
  SECTION("we, from outside, amid a request") {
    kit.forwarder.hold = true;
    kit.talk(get);
    kit.server->close(Errc::canceled);
    kit.test.advance(100ms);
    REQUIRE(kit.done());
    CHECK(ended() == Counts{1, 1, 1, 0, 0, 1});
  }
}

TEST_CASE("h1 server: what a request counts for what it was") {
  ServerKit kit;
  SECTION("an answer before its end") {
    kit.forwarder.read_body = false;
    kit.talk("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    CHECK(kit.stats.downstream_rq_response_before_rq_complete.value() == 1);
  }
  SECTION("a head that comes too late") {
    kit.hcm.request_headers_timeout = 5s;
    kit.talk("GET / HTT");
    kit.test.advance(6s);
    CHECK(kit.stats.downstream_rq_header_timeout.value() == 1);
    CHECK(kit.stats.downstream_cx_protocol_error.value() == 0);
  }
  SECTION("an upgrade that is allowed, while it lasts") {
    kit.hcm.upgrades = {"websocket"};
    kit.forwarder.hold = true;
    kit.forwarder.read_body = false;
    kit.talk("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    CHECK(kit.stats.downstream_cx_upgrades_total.value() == 1);
    CHECK(kit.stats.downstream_cx_upgrades_active.value() == 1);
    kit.forwarder.release();
    kit.test.advance(100ms);
    kit.client->close(Errc::canceled);
    kit.test.advance(2s);
    CHECK(kit.stats.downstream_cx_upgrades_active.value() == 0);
    CHECK(kit.stats.downstream_rq_ws_on_non_ws_route.value() == 0);
  }
  SECTION("one that is not") {
    kit.talk("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    CHECK(kit.stats.downstream_rq_ws_on_non_ws_route.value() == 1);
    CHECK(kit.stats.downstream_cx_upgrades_total.value() == 0);
    CHECK(kit.stats.rq_total.value() == 0);  // the router did not see it
  }
  SECTION("targets") {
    kit.hcm.normalize_path = true;
    kit.talk("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(kit.stats.downstream_rq_non_relative_path.value() == 1);
    CHECK(kit.stats.rq_total.value() == 0);
    kit.talk("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(kit.stats.downstream_rq_failed_path_normalization.value() == 1);
  }
  SECTION("names with underscores") {
    const std::string underscored = "GET / HTTP/1.1\r\nHost: a\r\na_b: c\r\n\r\n";
    kit.talk(underscored);
    CHECK(kit.stats.http1.dropped_headers_with_underscores.value() == 0);
    kit.hcm.headers_with_underscores = HttpConnectionManager::Underscores::drop_header;
    kit.talk(underscored);
    CHECK(kit.stats.http1.dropped_headers_with_underscores.value() == 1);
    kit.hcm.headers_with_underscores = HttpConnectionManager::Underscores::reject_request;
    kit.talk(underscored);
    CHECK(kit.stats.http1.requests_rejected_with_underscores_in_headers.value() == 1);
  }
}
