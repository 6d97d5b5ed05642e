#include "proxy/grpc/stream.h"

#include "test/support/fake_grpc_server.h"
#include "test/support/test_worker.h"

#include <catch2/catch.hpp>

#include <optional>
#include <vector>

namespace clew {
namespace {

struct Fixture {
  explicit Fixture(Duration timeout = Duration::zero(), std::size_t max_message = 1000) {
    GrpcCall call;
    call.cluster = "xds-grpc";
    call.path = "/a.B/C";
    call.metadata = {{"x-m", "1"}};
    call.timeout = timeout;
    call.max_message = max_message;
    stream = std::make_unique<GrpcStream>(t.worker, server, call);
  }
  TestWorker t;
  FakeGrpcServer server;
  std::unique_ptr<GrpcStream> stream;
};

TEST_CASE("grpc stream: messages both ways, then a status", "[grpc]") {
  Fixture f;
  f.stream->send("hello");
  auto first = f.t.start(f.stream->receive());
  CHECK(f.server.path == "/a.B/C");
  CHECK(f.server.authority == "xds-grpc");
  CHECK(f.server.cluster == "xds-grpc");
  using Header = std::pair<std::string, std::string>;
  CHECK(f.server.headers ==
        std::vector<Header>{{"te", "trailers"}, {"content-type", "application/grpc"}, {"x-m", "1"}});
  CHECK(f.server.sent() == std::string("\0\0\0\0\5hello", 10));
  CHECK_FALSE(f.server.request_ended());
  f.server.answer();
  f.t.poll();
  CHECK_FALSE(first.done());
  f.server.message("one");
  f.server.message("two");
  f.t.poll();
  REQUIRE(first.done());
  CHECK(*first.get() == "one");
  CHECK(*f.t.run(f.stream->receive()) == "two");
  auto last = f.t.start(f.stream->receive());
  f.stream->send("more");
  CHECK(f.server.sent() == std::string("\0\0\0\0\4more", 9));
  f.server.end("7", "no%20way");
  f.t.poll();
  REQUIRE(last.done());
  CHECK(last.get().error().code == Errc::eof);
  CHECK(f.stream->status().code == 7);
  CHECK(f.stream->status().message == "no way");
  CHECK(f.t.run(f.stream->receive()).error().code == Errc::eof);
}

TEST_CASE("grpc stream: answers that are no stream", "[grpc]") {
  Fixture f;
  std::uint32_t code = 0;
  SECTION("trailers only") {
    f.server.trailers_only = true;
    f.server.response_headers = {{"content-type", "application/grpc"}, {"grpc-status", "12"}};
    code = 12;
  }
  SECTION("bare HTTP") {
    f.server.status = 503;
    code = GrpcCode::unavailable;
  }
  SECTION("something else") {
    f.server.response_headers = {{"content-type", "text/html"}};
    code = GrpcCode::unknown;
  }
  SECTION("local reply") {
    f.server.reply = LocalReply{
        .status = 503, .body = "no healthy upstream", .details = {}, .headers = {}, .flag = {}, .grpc_status = {}};
    code = GrpcCode::unavailable;
  }
  SECTION("no status at the end") {
    f.server.response->ended = true;
    code = GrpcCode::unknown;
  }
  SECTION("an end inside a message") {
    f.server.response->bytes.append(std::string_view("\0\0\0\0\5he", 7));
    f.server.end("0");
    code = GrpcCode::internal;
  }
  SECTION("a broken stream") {
    f.server.response->broken = Errc::http_stream_reset;
    code = GrpcCode::unavailable;
  }
  SECTION("a message too long") {
    f.server.response->bytes.append(std::string_view("\0\0\1\0\0he", 7));
    code = GrpcCode::resource_exhausted;
  }
  SECTION("a status that is no number") {
    f.server.end("x");
    code = GrpcCode::unknown;
  }
  auto got = f.t.start(f.stream->receive());
  f.server.answer();
  f.t.poll();
  REQUIRE(got.done());
  CHECK(got.get().error().code == Errc::eof);
  CHECK(f.stream->status().code == code);
}

TEST_CASE("grpc stream: its time is over", "[grpc]") {
  Fixture f(std::chrono::seconds(2));
  auto got = f.t.start(f.stream->receive());
  CHECK(std::find(f.server.headers.begin(), f.server.headers.end(),
                  std::pair<std::string, std::string>("grpc-timeout", "2000m")) != f.server.headers.end());
  f.t.advance(std::chrono::seconds(3));
  REQUIRE(got.done());
  CHECK(f.stream->status().code == GrpcCode::deadline_exceeded);
  CHECK(f.server.abandoned == Errc::request_timeout);
}

TEST_CASE("grpc stream: it may go away under whoever waits", "[grpc]") {
  Fixture f;
  auto got = f.t.start(f.stream->receive());
  const bool head_first = GENERATE(true, false);
  if (head_first) {
    f.server.answer();
    f.t.poll();
  }
  f.stream.reset();
  f.t.poll();
  REQUIRE(got.done());
  CHECK(got.get().error().code == Errc::eof);
  CHECK((head_first ? f.server.response->canceled : f.server.abandoned) == Errc::canceled);
  Buffer out;
  CHECK(f.server.request->try_read(out, 1).error().code == Errc::canceled);
}

TEST_CASE("grpc stream: cancelled before it began", "[grpc]") {
  Fixture f;
  f.stream->cancel();
  f.stream->send("lost");
  CHECK(f.t.run(f.stream->receive()).error().code == Errc::eof);
  CHECK(f.stream->status().code == GrpcCode::cancelled);
  CHECK(f.server.path.empty());
}

}  // namespace
}  // namespace clew
