// The other end of an HTTP/2 connection in a test: a session of ours that is moved by hand, over a memory transport.
#pragma once

#include "test/support/memory_transport.h"
#include "test/support/test_worker.h"
#include "test/unit/proxy/http/h2_frames.h"

#include <catch2/catch.hpp>

namespace clew::h2 {

class Hand {
 public:
  Hand(TestWorker& worker, MemoryTransport& wire, const H2Options& options)
      : side(options), worker_(worker), wire_(wire) {}

  /// Everything that can go either way has gone.
  void settle() {
    for (;;) {
      const std::string out = side.send();
      if (!out.empty()) wire_.send(out);
      worker_.poll();
      const std::string in = wire_.receive();
      received += in;
      if (!in.empty()) side.feed(in);
      if (in.empty() && out.empty()) return;
    }
  }
  /// Raw bytes instead of the session's.
  void send_raw(std::string_view bytes) {
    wire_.send(bytes);
    worker_.poll();
  }
  std::vector<Frame> frames() const { return parse(received); }

  NotedStream& request(const RequestHead& head, bool end) {
    NotedStream& stream = side.open();
    const Result<void> sent = side.session.send_head(stream, head, end);
    if (!sent) throw std::logic_error(std::string(to_string(sent.error().code)));
    return stream;
  }

  Side side;
  std::string received;

 private:
  TestWorker& worker_;
  MemoryTransport& wire_;
};

/// A head with the arena it lives in.
struct Request {
  explicit Request(std::string_view method = "GET", std::string_view path = "/") {
    head.method = method;
    head.scheme = "http";
    head.authority = "a.test";
    head.path = path;
  }
  Arena arena;
  RequestHead head{arena};
};
struct Response {
  explicit Response(std::uint32_t status = 200) { head.status = status; }
  Arena arena;
  ResponseHead head{arena};
};

/// Two sessions that have met.
struct Pair {
  explicit Pair(const H2Options& server_side = server_options()) : server(server_side), client(client_options()) {
    exchange(client, server);
  }
  NotedStream& request(const RequestHead& head, bool end) {
    NotedStream& stream = client.open();
    REQUIRE(client.session.send_head(stream, head, end).has_value());
    return stream;
  }
  Side server, client;
};

}  // namespace clew::h2
