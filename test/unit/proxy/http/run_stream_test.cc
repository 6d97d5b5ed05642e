#include "proxy/http/filter.h"
#include "proxy/http/local_reply.h"
#include "test/unit/proxy/http/http_test_kit.h"

#include <catch2/catch.hpp>

using namespace clew;

namespace {

/// Writes down when it is called, and does what it is told.
struct Told {
  std::optional<LocalReply> on_request, on_response;
  bool wait = false, wrap = false, add_header = false;
};

class TestFilter final : public Filter {
 public:
  TestFilter(std::string name, std::vector<std::string>& log, const Told& told)
      : name_(std::move(name)), log_(log), told_(told) {}
  ~TestFilter() override { log_.push_back("~" + name_); }
  Verdict on_request(Stream& stream) override {
    log_.push_back("request " + name_);
    if (told_.add_header) stream.request.headers.set("x-route", "other");
    if (told_.on_request) return *told_.on_request;
    return Continue{};
  }
  Task<Verdict> on_request_wait(Stream& stream, BodyPtr& body) override {
    if (body && told_.wrap) {
      Buffer all;
      for (;;) {
        const Result<std::size_t> got = body->try_read(all, 100);
        if (got) continue;
        if (got.error().code != Errc::would_block) break;
        const Result<void> ready = co_await body->readable();
        (void)ready;
      }
      body = make_body("<" + all.to_string() + ">");
    }
    co_return on_request(stream);
  }
  Verdict on_response(Stream&) override {
    log_.push_back("response " + name_);
    if (told_.on_response) return *told_.on_response;
    return Continue{};
  }
  void on_done(const Stream& stream) noexcept override {
    log_.push_back("done " + name_ + " " + std::to_string(stream.info.response_code));
  }

 private:
  std::string name_;
  std::vector<std::string>& log_;
  Told told_;
};

class TestFactory final : public FilterFactory {
 public:
  TestFactory(std::string name, std::vector<std::string>& log, Told told = {})
      : name_(std::move(name)), log_(log), told_(std::move(told)) {}
  std::unique_ptr<Filter> make(const Stream&) const override {
    return std::make_unique<TestFilter>(name_, log_, told_);
  }
  bool waits() const override { return told_.wait; }
  std::string_view name() const override { return name_; }

 private:
  std::string name_;
  std::vector<std::string>& log_;
  Told told_;
};

const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const std::string post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

LocalReply denied() {
  LocalReply reply;
  reply.status = 403;
  reply.body = "no";
  reply.details = "denied_by_test";
  return reply;
}

}  // namespace

TEST_CASE("run_stream: filters in order, then in reverse, done exactly once") {
  ServerKit kit;
  std::vector<std::string> log;
  kit.hcm.filters = {std::make_shared<TestFactory>("a", log), std::make_shared<TestFactory>("b", log)};
  kit.talk(post);
  CHECK(log == std::vector<std::string>{"request a", "request b", "response b", "response a", "done a 200",
                                        "done b 200", "~a", "~b"});
  CHECK(kit.forwarder.received == "abc");
}

TEST_CASE("run_stream: a filter's reply passes the filters that ran") {
  ServerKit kit;
  std::vector<std::string> log;
  Told deny;
  deny.on_request = denied();
  kit.hcm.filters = {std::make_shared<TestFactory>("a", log), std::make_shared<TestFactory>("b", log, deny),
                     std::make_shared<TestFactory>("c", log)};
  CHECK(kit.talk(get) ==
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\ncontent-type: text/plain\r\nserver: envoy\r\n\r\nno");
  CHECK(log == std::vector<std::string>{"request a", "request b", "response b", "response a", "done a 403",
                                        "done b 403", "~a", "~b"});
  CHECK(kit.forwarder.heads.empty());
  CHECK(kit.recorder.lines.at(0) == "403 - denied_by_test rx=0 tx=2");
}

TEST_CASE("run_stream: a filter may exchange the answer") {
  ServerKit kit;
  std::vector<std::string> log;
  Told replace;
  replace.on_response = denied();
  kit.hcm.filters = {std::make_shared<TestFactory>("a", log), std::make_shared<TestFactory>("b", log, replace)};
  CHECK(kit.talk(get).starts_with("HTTP/1.1 403 Forbidden"));
  CHECK(kit.talk(get).starts_with("HTTP/1.1 403 Forbidden"));  // the connection goes on
}

TEST_CASE("run_stream: a waiting filter may read and replace the body") {
  ServerKit kit;
  std::vector<std::string> log;
  Told wait;
  wait.wait = wait.wrap = true;
  kit.hcm.filters = {std::make_shared<TestFactory>("a", log, wait)};
  CHECK(kit.talk("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na").empty());
  CHECK(kit.talk("bc").starts_with("HTTP/1.1 200 OK"));
  CHECK(kit.forwarder.received == "<abc>");
}

TEST_CASE("run_stream: policies speak before a missing route does, and do not change the route") {
  ServerKit kit;
  std::vector<std::string> log;
  Route route = forward_route();
  HeaderMatcher matcher;
  matcher.name = "x-route";
  StringMatcher other;
  other.text = "other";
  matcher.rule = other;
  route.headers.push_back(matcher);
  kit.hcm.inline_routes = one_route(route);
  Told told;
  SECTION("no route") {
    CHECK(kit.talk(get) == "HTTP/1.1 404 Not Found\r\nserver: envoy\r\ncontent-length: 0\r\n\r\n");
    CHECK(kit.recorder.lines.at(0) == "404 NR route_not_found rx=0 tx=0");
    CHECK(kit.stats.no_route.value() == 1);
  }
  SECTION("denied") {
    told.on_request = denied();
    kit.hcm.filters = {std::make_shared<TestFactory>("a", log, told)};
    CHECK(kit.talk(get).starts_with("HTTP/1.1 403 Forbidden"));
  }
  SECTION("changed too late") {
    told.add_header = true;
    kit.hcm.filters = {std::make_shared<TestFactory>("a", log, told)};
    CHECK(kit.talk(get).starts_with("HTTP/1.1 404 Not Found"));
  }
}

TEST_CASE("run_stream: routes that answer themselves") {
  ServerKit kit;
  Route route = forward_route();
  SECTION("direct response") {
    route.action = DirectResponse{503, "down"};
    kit.hcm.inline_routes = one_route(route);
    CHECK(kit.talk(get) ==
          "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\ncontent-type: text/plain\r\nserver: "
          "envoy\r\n\r\ndown");
    CHECK(kit.recorder.lines.at(0) == "503 - direct_response rx=0 tx=4");
  }
  SECTION("redirect") {
    RedirectAction redirect;
    redirect.https = true;
    route.action = redirect;
    kit.hcm.inline_routes = one_route(route);
    CHECK(kit.talk("GET /x?y HTTP/1.1\r\nHost: a:80\r\n\r\n") ==
          "HTTP/1.1 301 Moved Permanently\r\nlocation: https://a/x?y\r\nserver: envoy\r\ncontent-length: 0\r\n\r\n");
  }
  CHECK(kit.forwarder.direct == 1);
}

TEST_CASE("run_stream: gRPC requests get gRPC's answers") {
  ServerKit kit;
  LocalReply reply = local_reply(Errc::no_healthy_upstream);
  kit.forwarder.reply = reply;
  CHECK(kit.talk("POST /s/m HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nContent-Length: 0\r\n\r\n") ==
        "HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ngrpc-status: 14\r\ngrpc-message: no healthy "
        "upstream\r\nserver: envoy\r\n"
        "content-length: 0\r\n\r\n");
  CHECK(kit.recorder.lines.at(0) == "200 UH no_healthy_upstream rx=0 tx=0");
  CHECK(kit.talk(get).starts_with(
      "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 19\r\ncontent-type: text/plain\r\n"));
}

TEST_CASE("gRPC statuses and messages as Envoy maps them") {
  const std::pair<std::uint32_t, std::uint32_t> mapping[] = {{400, 13}, {401, 16}, {403, 7},  {404, 12},
                                                             {429, 14}, {502, 14}, {503, 14}, {504, 14},
                                                             {200, 2},  {500, 2},  {418, 2}};
  for (const auto& [http, grpc] : mapping) CHECK(grpc_status_of(http) == grpc);
  CHECK(percent_encode_grpc_message("a%b\r\n\xc3\xa9") == "a%25b%0D%0A%C3%A9");
}

TEST_CASE("run_stream: what config or filters make up cannot break a line") {
  ServerKit kit;
  kit.forwarder.headers = {{"x-evil", "a\r\nx-injected: 1"}};
  CHECK(kit.talk(get).find("x-evil: ax-injected: 1\r\n") != std::string::npos);
}

TEST_CASE("run_stream: proxies tell each other the operation's name, applications do not hear it") {
  ServerKit kit;
  Route route = forward_route();
  route.decorator_operation = "server:80/*";
  kit.hcm.inline_routes = one_route(route);
  kit.hcm.tracing = HttpConnectionManager::Tracing{};
  auto listener = std::make_shared<Listener>();
  kit.connection.listener = listener;
  const std::string header = "x-envoy-decorator-operation: ";
  const std::string named = "GET / HTTP/1.1\r\nHost: a\r\n" + header + "theirs\r\n\r\n";
  const auto has = [&](const std::string& text, const std::string& name) {
    return text.find(header + name) != std::string::npos;
  };

  SECTION("the server's proxy answers a client that did not say it") {
    listener->direction = TrafficDirection::inbound;
    CHECK(has(kit.talk(get), "server:80/*"));
    CHECK(!has(kit.forwarder.heads.back(), ""));
    CHECK(!has(kit.talk(named), ""));
    CHECK(!has(kit.forwarder.heads.back(), ""));
  }
  SECTION("the client's proxy says it, and keeps the answer") {
    listener->direction = TrafficDirection::outbound;
    kit.forwarder.headers = {{"x-envoy-decorator-operation", "upstream's"}};
    CHECK(!has(kit.talk(named), ""));
    CHECK(has(kit.forwarder.heads.back(), "server:80/*"));
  }
  SECTION("without tracing it is a header like any other") {
    kit.hcm.tracing.reset();
    kit.forwarder.headers = {{"x-envoy-decorator-operation", "upstream's"}};
    CHECK(has(kit.talk(named), "upstream's"));
    CHECK(has(kit.forwarder.heads.back(), "theirs"));
  }
}
