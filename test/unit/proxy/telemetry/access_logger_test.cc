#include "proxy/telemetry/access_logger.h"

#include "proxy/http/stream.h"
#include "proxy/stats/stat_snapshot.h"
#include "test/support/fake_clock.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

using namespace clew;
using namespace std::chrono_literals;

namespace {

struct Bench {
  Bench() {
    REQUIRE(close(mkstemp(path)) == 0);
    chain.access_logs = {make("%REQ(:METHOD)% %PATH% %RESPONSE_CODE% %ACCESS_LOG_TYPE% %DURATION%\n")};
  }
  ~Bench() { std::remove(path); }

  std::shared_ptr<const AccessLog> make(const char* format, std::optional<AccessLogFilter> filter = {}) const {
    return std::make_shared<const AccessLog>(AccessLog{path, parse_format(format).items, std::move(filter)});
  }
  void serve(const char* request_path, std::uint32_t code = 200) {
    Stream stream(worker, connection, chain);
    stream.request.method = "GET";
    stream.request.path = request_path;
    stream.info.response_code = code;
    stream.info.start = clock.now() - 12ms;
    logger->on_stream_done(stream);
  }
  void pass(Duration duration) {
    clock.advance(duration);
    worker.timers().advance();
  }
  std::string written() {
    sinks.flush();
    std::stringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
  }
  std::uint64_t stat(std::string_view name) {
    StatSnapshot snapshot;
    logger->collect(snapshot);
    return snapshot.entries().find(name)->second.number;
  }

  char path[32] = "/tmp/clew_access_XXXXXX";
  FakeClock clock;
  Worker worker{0, clock};
  LogSinks sinks{{.flush_interval = 1s, .flush_bytes = 1024, .max_waiting_bytes = 2048}};
  std::unique_ptr<AccessLogger> logger = std::make_unique<AccessLogger>(worker, sinks);
  ConnectionInfo connection;
  HttpConnectionManager chain;
};

AccessLogFilter flags(std::vector<std::string> any_of) { return {AccessLogFilter::ResponseFlags{std::move(any_of)}}; }

AccessLogFilter code(AccessLogFilter::StatusCode::Op op, std::uint32_t value) {
  return {AccessLogFilter::StatusCode{op, value}};
}

}  // namespace

TEST_CASE("a file that cannot be opened loses its lines, and they are counted") {
  Bench bench;
  bench.chain.access_logs = {
      std::make_shared<const AccessLog>(AccessLog{"/nonexistent/log", parse_format("x\n").items, {}}),
      bench.make("kept\n")};
  bench.serve("/");
  bench.logger->flush();
  CHECK(bench.written() == "kept\n");
  CHECK(bench.stat("filesystem.write_dropped") == 1);
}

TEST_CASE("a line waits for others, at most the interval") {
  Bench bench;
  bench.serve("/a");
  bench.pass(500ms);
  bench.serve("/b", 404);
  CHECK(bench.written().empty());
  bench.pass(499ms);
  CHECK(bench.written().empty());
  bench.pass(1ms);
  CHECK(bench.written() == "GET /a 200 DownstreamEnd 12\nGET /b 404 DownstreamEnd 12\n");
  CHECK(bench.stat("filesystem.flushed_by_timer") == 1);
  CHECK(bench.stat("filesystem.write_buffered") == 2);
  CHECK_FALSE(bench.worker.timers().next_deadline());  // nothing to do while there is nothing to write
  bench.serve("/c");
  bench.pass(1s);
  CHECK(bench.written().ends_with("GET /c 200 DownstreamEnd 12\n"));
}

TEST_CASE("many lines do not wait") {
  Bench bench;
  const std::string long_path(1100, 'x');
  bench.serve(long_path.c_str());
  CHECK(bench.written().size() > 1100);
}

TEST_CASE("what a logger holds is handed over at its end") {
  Bench bench;
  bench.serve("/last");
  bench.logger.reset();
  CHECK(bench.written() == "GET /last 200 DownstreamEnd 12\n");
}

TEST_CASE("a chunk for which there is no room is dropped and counted by lines") {
  Bench bench;
  const std::string long_path(3000, 'x');  // beyond max_waiting_bytes alone
  bench.serve("/short");
  bench.serve(long_path.c_str());
  CHECK(bench.stat("filesystem.write_dropped") == 2);
  bench.serve("/after");
  bench.logger->flush();
  CHECK(bench.written() == "GET /after 200 DownstreamEnd 12\n");
}

TEST_CASE("connections are logged without heads") {
  Bench bench;
  StreamInfo info;
  info.flags.set(ResponseFlag::no_route_found);
  info.complete = 3ms;
  bench.connection.server_name = "a.b";
  bench.logger->log_connection(
      {bench.make("%REQ(:METHOD)% %RESPONSE_FLAGS% %ACCESS_LOG_TYPE% %REQUESTED_SERVER_NAME%\n", flags({"NR"}))},
      bench.connection, info);
  bench.logger->log_connection({bench.make("not this\n", flags({"UF"}))}, bench.connection, info);
  bench.logger->flush();
  CHECK(bench.written() == "- NR TcpConnectionEnd a.b\n");
}

TEST_CASE("filters") {
  using Op = AccessLogFilter::StatusCode::Op;
  StreamInfo info;
  CHECK_FALSE(passes(flags({}), info));
  CHECK_FALSE(passes(flags({"NR"}), info));
  info.flags.set(ResponseFlag::no_route_found);
  CHECK(passes(flags({}), info));
  CHECK(passes(flags({"UF", "NR"}), info));
  CHECK_FALSE(passes(flags({"UF", "N"}), info));

  CHECK_FALSE(passes(code(Op::greater_equal, 400), info));  // no response counts as 0
  CHECK(passes(code(Op::less_equal, 400), info));
  info.response_code = 400;
  CHECK(passes(code(Op::greater_equal, 400), info));
  CHECK(passes(code(Op::equal, 400), info));
  CHECK_FALSE(passes(code(Op::not_equal, 400), info));
  CHECK_FALSE(passes(code(Op::greater_equal, 401), info));

  const AccessLogFilter slow{AccessLogFilter::DurationMs{{Op::greater_equal, 100}}};
  CHECK_FALSE(passes(slow, info));
  info.complete = 99ms + 999us;
  CHECK_FALSE(passes(slow, info));
  info.complete = 100ms;
  CHECK(passes(slow, info));

  CHECK(passes({AccessLogFilter::NotHealthCheck{}}, info));
  CHECK(passes({AccessLogFilter::And{{flags({}), slow}}}, info));
  CHECK_FALSE(passes({AccessLogFilter::And{{flags({"UF"}), slow}}}, info));
  CHECK(passes({AccessLogFilter::Or{{flags({"UF"}), slow}}}, info));
  CHECK_FALSE(passes({AccessLogFilter::Or{}}, info));
  CHECK(passes({AccessLogFilter::And{}}, info));
}
