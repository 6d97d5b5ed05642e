// Peers that never make us wait: what they ask for is done in turns, between which others have theirs.
#include "test/unit/proxy/http/h2_frames.h"
#include "test/unit/proxy/http/http_test_kit.h"

#include <catch2/catch.hpp>

using namespace clew;

namespace {

constexpr std::size_t all = 8 * 1024 * 1024;
constexpr std::size_t part = all / 8;

/// A connection that takes whatever is written, and a call that waits for its turn meanwhile.
struct Busy : ServerKit {
  std::uint64_t read_before = 0, written_before = 0;
  std::size_t requests_before = 0;

  Busy() { std::tie(client, server) = MemoryTransport::make(2 * all); }
  void run(const std::string& bytes) {
    start();
    test.worker.post([this] {
      read_before = server->wire_bytes_read();
      written_before = server->wire_bytes_written();
      requests_before = forwarder.heads.size();
    });
    client->send(bytes);
    test.poll();
  }
};

}  // namespace

TEST_CASE("fair share: the body of an answer") {
  Busy busy;
  busy.forwarder.body = std::string(all, 'x');
  busy.run("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(busy.written_before < part);
  CHECK(busy.server->wire_bytes_written() > all);
}

TEST_CASE("fair share: pipelined requests") {
  Busy busy;
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  busy.run(many);
  CHECK(busy.requests_before < 500);
  CHECK(busy.forwarder.heads.size() == 5000);
}

TEST_CASE("fair share: what comes after our last words") {
  Busy busy;
  std::string bytes = "\x16\x03\x01";
  SECTION("HTTP/1") {}
  SECTION("HTTP/2") { bytes = h2::preface + h2::frame(h2::data, 0, 0, "no such stream"); }
  busy.run(bytes + std::string(all, 'x'));
  CHECK(busy.read_before < part);
  CHECK(busy.server->wire_bytes_read() == bytes.size() + all);
}

TEST_CASE("fair share: frames") {
  Busy busy;
  std::string bytes = h2::preface + h2::frame(h2::settings, 0, 0);
  const std::string unknown = h2::frame(static_cast<h2::Type>(0xbb), 0, 0, std::string(16384, 'x'));
  while (bytes.size() < all) bytes += unknown;
  busy.run(bytes);
  CHECK(busy.read_before < part);
  CHECK(busy.server->wire_bytes_read() == bytes.size());
}
