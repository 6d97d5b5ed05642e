#include "fixture.h"

#include "proxy/http/server_connection.h"

#include <map>

using namespace clew;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

namespace {

Task<void> cancel_after(Event& event, Stream& stream) {
  co_await event.wait();
  stream.cancel(Errc::http_stream_reset);
}

}  // namespace

TEST_CASE("a request and its answer") {
  OneEndpoint f;
  Request r(f);
  r.start();
  REQUIRE_FALSE(r.done());
  const std::string sent = f.connector.peer(0).receive();
  REQUIRE_THAT(sent, StartsWith("GET /x HTTP/1.1\r\n"));
  REQUIRE_THAT(sent, Contains("host: host.test\r\n"));
  f.connector.peer(0).send(ok_response);
  f.t.poll();
  REQUIRE(r.done());
  REQUIRE(r.response());
  REQUIRE(r.stream->response.status == 200);
  REQUIRE(r.read() == std::pair(std::string("hi"), Errc::eof));
  REQUIRE(r.stream->info.response_code_details == "via_upstream");
  REQUIRE(r.stream->info.upstream_remote->to_string() == "10.0.0.1:8080");
  REQUIRE(r.stream->info.upstream_local->to_string() == "10.0.0.99:40000");
  REQUIRE(r.stream->info.upstream_cluster == "a");
  REQUIRE(r.stream->info.upstream_protocol == "HTTP/1.1");
  REQUIRE(r.stream->info.attempts == 1);
  REQUIRE(r.flags() == "-");
  REQUIRE(r.stream->response.headers.get(HeaderId::x_envoy_upstream_service_time) == "0");
  r.drop_response();
  REQUIRE(f.stats().upstream_rq_total.value() == 1);
  REQUIRE(f.stats().upstream_rq_active.value() == 0);
  REQUIRE(f.stats().upstream_rq_2xx.value() == 1);
  REQUIRE(f.stats().upstream_rq_completed.value() == 1);
}

TEST_CASE("an absent cluster") {
  Fixture f;
  Request r(f, "nowhere");
  r.start();
  REQUIRE(r.reply().status == 503);
  REQUIRE(r.reply().body.empty());
  REQUIRE(r.reply().details == "cluster_not_found");
  REQUIRE(r.reply().flag == ResponseFlag::no_cluster_found);
  REQUIRE(r.stream->info.upstream_cluster == "nowhere");

  Request five(f, "nowhere");
  five.action().cluster_not_found_status = 500;
  auto body = std::make_shared<FedBody::State>();
  five.start(body);
  REQUIRE(five.reply().status == 500);
  REQUIRE(body->canceled != Errc::ok);
}

TEST_CASE("no healthy endpoint") {
  Fixture f;
  f.add_cluster("a", endpoints({}));
  f.add_cluster("unresolved", nullptr);
  for (const char* name : {"a", "unresolved"}) {
    Request r(f, name);
    r.start();
    REQUIRE(r.reply().status == 503);
    REQUIRE(r.reply().body == "no healthy upstream");
    REQUIRE(r.reply().details == "no_healthy_upstream");
    REQUIRE(r.reply().flag == ResponseFlag::no_healthy_upstream);
    REQUIRE(f.stats(name).upstream_cx_none_healthy.value() == 1);
    REQUIRE(f.stats(name).upstream_rq_5xx.value() == 1);
  }
}

TEST_CASE("the endpoint refuses the connection") {
  OneEndpoint f;
  f.connector.failures.push_back({Errc::connection_refused, "delayed connect error: Connection refused"});
  Request r(f);
  r.start();
  REQUIRE(r.reply().status == 503);
  REQUIRE(r.reply().body ==
          "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure");
  REQUIRE(
      r.reply().details ==
      "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}");
  REQUIRE(r.reply().flag == ResponseFlag::upstream_connection_failure);
  REQUIRE(r.stream->info.upstream_transport_failure_reason == "delayed connect error: Connection refused");
  REQUIRE(f.stats().upstream_cx_connect_fail.value() == 1);
  REQUIRE(f.stats().upstream_cx_active.value() == 0);
  REQUIRE(f.stats().upstream_rq_pending_failure_eject.value() == 1);
  REQUIRE(f.stats().upstream_rq_pending_active.value() == 0);
}

TEST_CASE("the connection ends before an answer") {
  OneEndpoint f;
  Request r(f);
  r.start();
  f.connector.peer(0).close(Errc::eof);
  f.t.poll();
  REQUIRE(r.reply().status == 503);
  REQUIRE(r.reply().body ==
          "upstream connect error or disconnect/reset before headers. reset reason: connection termination");
  REQUIRE(r.reply().details == "upstream_reset_before_response_started{connection_termination}");
  REQUIRE(r.reply().flag == ResponseFlag::upstream_connection_termination);
  REQUIRE(f.stats().upstream_cx_active.value() == 0);
}

TEST_CASE("an answer that is not HTTP") {
  OneEndpoint f;
  Request r(f);
  r.start();
  f.connector.peer(0).send("SSH-2.0-OpenSSH_9.2\r\n\r\n");
  f.t.poll();
  REQUIRE(r.reply().status == 502);
  REQUIRE(r.reply().details == "upstream_reset_before_response_started{protocol_error}");
  REQUIRE(r.reply().flag == ResponseFlag::upstream_protocol_error);
}

TEST_CASE("the answer breaks off in its body") {
  OneEndpoint f;
  Request r(f);
  r.start();
  f.connector.peer(0).send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
  f.t.poll();
  REQUIRE(r.read() == std::pair(std::string("abc"), Errc::would_block));
  auto wait = f.t.start(r.response()->readable());
  REQUIRE_FALSE(wait.done());
  // An end before the body's breaks the protocol, orderly or not (seen with the real Envoy).
  if (GENERATE(true, false)) {
    f.connector.peer(0).close(Errc::eof);
  } else {
    f.connector.peer(0).inject_reset();
  }
  f.t.poll();
  REQUIRE(wait.done());
  const auto [rest, end] = r.read();
  REQUIRE(rest.empty());
  REQUIRE(end == Errc::upstream_protocol_error);
  REQUIRE(r.read().second == end);  // it stays so
  REQUIRE(r.flags() == "UPE");
  REQUIRE(r.stream->info.response_code_details == "upstream_reset_after_response_started{protocol_error}");
  REQUIRE(r.stream->info.response_code == 200);
}

TEST_CASE("a request body goes on while the answer is read, and both end") {
  OneEndpoint f;
  auto body = std::make_shared<FedBody::State>();
  body->feed("one");
  Request r(f);
  r.start(body);
  REQUIRE_THAT(f.connector.peer(0).receive(), Contains("transfer-encoding: chunked") && Contains("3\r\none\r\n"));
  f.connector.peer(0).send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n");
  f.t.poll();
  REQUIRE(r.read() == std::pair(std::string("a"), Errc::would_block));
  body->feed("two");
  f.t.poll();
  REQUIRE_THAT(f.connector.peer(0).receive(), Contains("3\r\ntwo\r\n"));
  body->end();
  f.t.poll();
  REQUIRE(f.connector.peer(0).receive() == "0\r\n\r\n");
  f.connector.peer(0).send("0\r\n\r\n");
  f.t.poll();
  REQUIRE(r.read().second == Errc::eof);
  REQUIRE(body->canceled == Errc::ok);
  r.drop_response();
  REQUIRE(f.clusters.find("a")->size() == 1);
  REQUIRE(f.stats().upstream_cx_active.value() == 1);  // kept for the next
}

TEST_CASE("an answer before the request's end: the rest is not wanted, the connection not used again") {
  OneEndpoint f;
  auto body = std::make_shared<FedBody::State>();
  body->feed("part");
  Request r(f);
  r.start(body);
  f.connector.peer(0).receive();
  f.connector.peer(0).send("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n");
  f.t.poll();
  REQUIRE(r.stream->response.status == 413);
  REQUIRE(body->canceled == Errc::canceled);
  f.t.poll();
  REQUIRE(f.connector.ended(0));
  REQUIRE(f.stats().upstream_cx_active.value() == 0);
  Request next(f);
  next.start();
  REQUIRE(f.connector.peers.size() == 2);
}

TEST_CASE("an answer while the request's last bytes are stuck: nothing keeps the connection") {
  OneEndpoint f;
  auto body = std::make_shared<FedBody::State>();
  body->feed(std::string(65500, 'x'));  // with its head more than the connection takes
  body->end();
  Request r(f);
  r.start(body);
  f.connector.peer(0).send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  f.t.poll();
  REQUIRE(r.done());
  REQUIRE(r.stream->response.status == 200);
  REQUIRE(f.stats().upstream_rq_active.value() == 0);
  REQUIRE(f.stats().upstream_cx_active.value() == 0);
  REQUIRE(f.connector.ended(0));
}

TEST_CASE("a request body without a pause to an upstream without one lets others have their turn") {
  OneEndpoint f;
  constexpr std::size_t all = 8 * 1024 * 1024;
  f.connector.capacity = 2 * all;
  auto body = std::make_shared<FedBody::State>();
  Request r(f);
  r.start(body);
  std::size_t before_the_call = 0;
  f.t.worker.post([&] { before_the_call = body->taken; });
  body->feed(std::string(all, 'x'));
  body->end();
  f.t.poll();
  REQUIRE(before_the_call < all / 8);
  REQUIRE(body->taken == all);
  REQUIRE(f.connector.peer(0).receive().size() > all);
}

TEST_CASE("interim heads go to the client where the configuration says so") {
  OneEndpoint f;
  Request r(f);
  r.hcm.proxy_100_continue = GENERATE(true, false);
  r.start();
  f.connector.peer(0).send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + ok_response);
  f.t.poll();
  REQUIRE(r.writer.informed ==
          (r.hcm.proxy_100_continue ? std::vector<std::uint32_t>{100, 103} : std::vector<std::uint32_t>{}));
  REQUIRE(r.read().first == "hi");
  REQUIRE_FALSE(r.stream->response.headers.get("link"));
}

TEST_CASE("endless interim heads are an error") {
  OneEndpoint f;
  Request r(f);
  r.start();
  for (int i = 0; i < 20; ++i) f.connector.peer(0).send("HTTP/1.1 100 Continue\r\n\r\n");
  f.t.poll();
  REQUIRE(r.reply().status == 502);
  REQUIRE(r.reply().flag == ResponseFlag::upstream_protocol_error);
}

TEST_CASE("the client is gone: while connecting, while waiting, while reading") {
  OneEndpoint f;
  SECTION("while connecting") {
    f.connector.hold = true;
    Request r(f);
    Stream& s = r.start();
    s.cancel(Errc::downstream_closed);
    f.t.poll();
    r.reply();
    REQUIRE(f.stats().upstream_rq_pending_active.value() == 0);
    f.connector.let_go();
    f.t.poll();
    Request next(f);  // the connection serves another
    next.start();
    REQUIRE(f.connector.attempts == 1);
  }
  SECTION("while the connection that came is on its way to the request") {
    f.connector.hold = true;
    Request r(f);
    Stream& s = r.start();
    auto leaving = f.t.start(cancel_after(f.connector.release, s));
    f.connector.let_go();
    f.t.poll();
    REQUIRE(leaving.done());
    REQUIRE(r.done());
    r.reply();
    REQUIRE(f.connector.peer(0).receive().empty());
    REQUIRE(f.stats().upstream_rq_active.value() == 0);
  }
  SECTION("while waiting for the head") {
    Request r(f);
    Stream& s = r.start();
    s.cancel(Errc::downstream_closed);
    f.t.poll();
    r.reply();
    REQUIRE(f.connector.ended(0));
    REQUIRE(r.flags() == "-");
  }
  SECTION("while the answer is read") {
    Request r(f);
    r.start();
    f.connector.peer(0).send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
    f.t.poll();
    r.read();
    r.drop_response();
    REQUIRE(f.connector.ended(0));
    REQUIRE(f.stats().upstream_rq_tx_reset.value() == 1);
  }
  SECTION("before it began") {
    Request r(f);
    // run_stream may have given up before it came to forwarding
    r.connection.id = 1;
    Stream& s = r.start();
    s.cancel(Errc::downstream_closed);
    s.cancel(Errc::downstream_closed);
    f.t.poll();
    r.reply();
  }
  f.t.poll();
  REQUIRE(f.stats().upstream_rq_active.value() == 0);
}

TEST_CASE("the client's body breaks: the upstream is reset, nothing is retried") {
  OneEndpoint f;
  auto body = std::make_shared<FedBody::State>();
  body->feed("part");
  Request r(f);
  r.retry(RetryOn::reset | RetryOn::on_5xx, 3);
  r.start(body);
  body->fail(Errc::downstream_closed);
  f.t.poll();
  REQUIRE(r.done());
  r.reply();
  REQUIRE(f.connector.attempts == 1);
  REQUIRE(f.connector.ended(0));
}

TEST_CASE("an upgrade: raw bytes both ways, none before the upstream has agreed") {
  OneEndpoint f;
  auto body = std::make_shared<FedBody::State>();
  body->feed("early");
  Request r(f);
  r.upgrade = "websocket";
  r.headers = {{"sec-websocket-key", "k"}};
  r.start(body);
  const std::string sent = f.connector.peer(0).receive();
  REQUIRE_THAT(sent, Contains("upgrade: websocket"));
  REQUIRE_THAT(sent, !Contains("early"));
  f.connector.peer(0).send(
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nfrom up");
  f.t.poll();
  REQUIRE(r.stream->response.upgraded);
  REQUIRE(f.connector.peer(0).receive() == "early");
  REQUIRE(r.read() == std::pair(std::string("from up"), Errc::would_block));
  body->feed("more");
  f.t.poll();
  REQUIRE(f.connector.peer(0).receive() == "more");
  body->end();
  f.t.poll();
  REQUIRE(f.connector.ended(0));
  f.connector.peer(0).send("last");
  f.t.poll();
  REQUIRE(r.read() == std::pair(std::string("last"), Errc::would_block));
  f.connector.peer(0).close(Errc::eof);
  f.t.poll();
  // The end of an upgraded connection is no end of a message: the client's is cut as well, and the log says who did it.
  REQUIRE(r.read().second == Errc::upstream_closed);
  REQUIRE(r.stream->info.flags.to_string() == "UC");
}

TEST_CASE("a refused upgrade: the answer passes, what the client sent does not, the connection is not used again") {
  OneEndpoint f;
  auto body = std::make_shared<FedBody::State>();
  body->feed("GET /smuggled HTTP/1.1\r\n\r\n");
  Request r(f);
  r.upgrade = "websocket";
  r.start(body);
  f.connector.peer(0).receive();
  f.connector.peer(0).send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
  f.t.poll();
  REQUIRE(r.stream->response.status == 403);
  REQUIRE(r.read() == std::pair(std::string("no"), Errc::eof));
  r.drop_response();
  REQUIRE(f.connector.peer(0).receive().empty());
  REQUIRE(f.connector.ended(0));
  REQUIRE(body->canceled != Errc::ok);
}

TEST_CASE("original destination") {
  Fixture f;
  f.add_cluster("a", nullptr, [](Cluster& c) {
    c.type = Cluster::Type::original_dst;
    c.lb_policy = Cluster::LbPolicy::cluster_provided;
    c.source_addresses = {IpAddress::v4(0x7f000006)};
  });
  Request r(f);
  r.connection.local = Address(IpAddress::v4(0x0a000007), 9000);
  SECTION("restored") {
    r.connection.local_restored = true;
    r.start();
    REQUIRE(f.connector.peers.at(0).target.address.to_string() == "10.0.0.7:9000");
    REQUIRE(f.connector.peers.at(0).target.sources.size() == 1);
  }
  SECTION("not restored") {
    r.start();
    REQUIRE(r.reply().flag == ResponseFlag::no_healthy_upstream);
    REQUIRE(f.stats().original_dst_host_invalid.value() == 1);
  }
}

TEST_CASE("original destination with another port, and many of them") {
  Fixture f;
  f.add_cluster("a", nullptr, [](Cluster& c) {
    c.type = Cluster::Type::original_dst;
    c.original_dst_port_override = 15008;
  });
  for (int i = 0; i < 500; ++i) {
    f.connector.failures.push_back({Errc::connection_refused, ""});
    Request r(f);
    r.connection.local = Address(IpAddress::v4(0x0a010000u + static_cast<std::uint32_t>(i)), 80);
    r.connection.local_restored = true;
    r.start();
    r.reply();
    REQUIRE(r.stream->info.upstream_remote->port() == 15008);
  }
  REQUIRE(f.clusters.find("a")->size() <= 65);  // those without connections are forgotten
}

TEST_CASE("attempt count and suppressed Envoy headers") {
  OneEndpoint f;
  Request r(f);
  r.table->hosts[0].include_request_attempt_count = true;
  r.hcm.suppress_envoy_headers = true;
  r.action().timeout = std::chrono::seconds(3);
  r.start();
  const std::string sent = f.connector.peer(0).receive();
  REQUIRE_THAT(sent, Contains("x-envoy-attempt-count: 1"));
  REQUIRE_THAT(sent, !Contains("x-envoy-expected"));
  f.connector.peer(0).send(ok_response);
  f.t.poll();
  REQUIRE_FALSE(r.stream->response.headers.has(HeaderId::x_envoy_upstream_service_time));
  r.read();
}

TEST_CASE("a sticky cookie that is made here comes with the answer") {
  Fixture f;
  f.add_cluster("a", endpoints({1, 2, 3}), [](Cluster& c) { c.lb_policy = Cluster::LbPolicy::ring_hash; });
  Request r(f);
  r.action().hash = {{HashPolicy::Cookie{"sticky", std::chrono::seconds(10), "/", {}}, false}};
  r.start();
  f.connector.peer(0).send(ok_response);
  f.t.poll();
  REQUIRE_THAT(std::string(r.stream->response.headers.get(HeaderId::set_cookie).value_or("")), StartsWith("sticky=\""));
  r.read();
}

TEST_CASE("a hash of the source is one of who asked, whoever brought the request") {
  Fixture f;
  f.add_cluster("a", endpoints({1, 2, 3, 4, 5}), [](Cluster& c) { c.lb_policy = Cluster::LbPolicy::ring_hash; });
  std::map<std::string, std::uint32_t> asked;
  for (std::uint32_t i = 0; i < 20; ++i) {
    Request r(f);
    r.action().hash = {{HashPolicy::SourceIp{}, false}};
    r.remote = Address(IpAddress::v4(0x01020300 + i % 10), 0);
    r.start();
    ++asked[r.stream->info.upstream_remote->to_string()];
  }
  REQUIRE(asked.size() > 1);
  for (const auto& [endpoint, times] : asked) REQUIRE(times % 2 == 0);
}

TEST_CASE("gRPC success and failure are told by grpc-status") {
  OneEndpoint f;
  const char* const status = GENERATE("0", "14", "99", "x");
  Request r(f);
  r.grpc = true;
  r.start();
  f.connector.peer(0).send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\ngrpc-status: " + std::string(status) + "\r\n\r\n");
  f.t.poll();
  REQUIRE(r.response() == nullptr);
  f.clusters.find("a")->for_each_host([&](const Host& host) {
    REQUIRE(host.state->stats.rq_success.value() == (std::string(status) == "0" ? 1 : 0));
    REQUIRE(host.state->stats.rq_error.value() == (std::string(status) == "0" ? 0 : 1));
  });
}

TEST_CASE("an answer that breaks off is counted at its connection manager, a whole one is not") {
  OneEndpoint f;
  HttpServerStats stats;
  Request r(f);
  r.start().http_stats = &stats;
  const bool whole = GENERATE(true, false);
  f.connector.peer(0).send(std::string("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n") + (whole ? "ab" : "a"));
  f.t.poll();
  f.connector.peer(0).close(Errc::eof);
  f.t.poll();
  REQUIRE(r.read().second == (whole ? Errc::eof : Errc::upstream_protocol_error));
  REQUIRE(stats.rq_reset_after_downstream_response_started.value() == (whole ? 0 : 1));
  REQUIRE(stats.no_cluster.value() == 0);
}
