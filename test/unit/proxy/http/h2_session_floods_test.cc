// What an HTTP/2 peer may do to a session, and how often.
#include "proxy/http/h2_session.h"

#include "test/unit/proxy/http/h2_hand.h"

#include <catch2/catch.hpp>

#include <algorithm>

namespace clew {
namespace {

using namespace h2;

/// Feeds `make(i)` until the session gives up: how many it took, or the bound.
template <class F>
int fed_until_flood(Side& side, bool peer_reads, int bound, F&& make) {
  for (int i = 0; i < bound; ++i) {
    if (const Errc e = side.feed(make(i)); e != Errc::ok) {
      CHECK((e == Errc::http_flood || e == Errc::http_bad_message));
      return i;
    }
    if (peer_reads) side.send();
    std::erase_if(side.streams, [](const auto& stream) { return stream->closed; });
  }
  return bound;
}

void expect_calm(Side& side) {
  const auto byes = of_type(side.frames(), goaway);
  REQUIRE(byes.size() >= 1);
  CHECK(byes.back().code() == NGHTTP2_ENHANCE_YOUR_CALM);
  CHECK(side.session.over());
}

TEST_CASE("h2 session: rapid reset ends the connection (CVE-2023-44487)", "[h2][attack]") {
  Side side(server_options());
  side.feed(hello());
  const int took = fed_until_flood(side, true, 5000, [](int i) {
    const auto id = static_cast<std::uint32_t>(2 * i + 1);
    return get(id) + frame(rst_stream, 0, id, number(8));
  });
  CHECK(took <= 1000);
  expect_calm(side);
}

TEST_CASE("h2 session: a client that cancels a few in a hundred is none", "[h2]") {
  Pair p;
  Request request;
  Response response;
  for (int i = 0; i < 5000; ++i) {
    NotedStream& up = p.request(request.head, true);
    exchange(p.client, p.server);
    if (i % 10 == 0) {
      p.client.session.reset(up, H2Code::cancel);
    } else {
      REQUIRE(p.server.session.send_head(*p.server.streams.back(), response.head, true).has_value());
    }
    exchange(p.client, p.server);
    REQUIRE(p.server.session.failed() == Errc::ok);
    p.client.streams.clear();
    p.server.streams.clear();
  }
}

TEST_CASE("h2 session: making us reset ends the connection (CVE-2025-8671)", "[h2][attack]") {
  const int primitive = GENERATE(range(0, 4));
  Side side(server_options());
  side.feed(hello());
  const int took = fed_until_flood(side, true, 5000, [primitive](int i) {
    const auto id = static_cast<std::uint32_t>(2 * i + 1);
    switch (primitive) {
      case 0: return post(id) + frame(window_update, 0, id, number(0));
      case 1: return post(id) + frame(window_update, 0, id, number(0x7fffffff));
      case 2: return post(id, {{"content-length", "1"}}) + frame(data, end_stream, id, "ab");
      default: return post(id, {{"connection", "close"}});
    }
  });
  CHECK(took <= 1000);
  CHECK(side.session.over());
}

TEST_CASE("h2 session: frames that want an answer from one that does not read", "[h2][attack]") {
  const int kind = GENERATE(0, 1, 2);
  Side side(server_options());
  side.feed(hello());
  const int took = fed_until_flood(side, false, 20000, [kind](int i) {
    const auto id = static_cast<std::uint32_t>(2 * i + 1);
    switch (kind) {
      case 0: return frame(ping, 0, 0, "12345678");
      case 1: return frame(settings, 0, 0);
      default: return post(id, {{"connection", "close"}});
    }
  });
  CHECK(took <= 2000);
  expect_calm(side);
}

TEST_CASE("h2 session: frames that do nothing", "[h2][attack]") {
  const int kind = GENERATE(range(0, 4));
  Side side(server_options());
  side.feed(hello() + post(1));
  const int took = fed_until_flood(side, true, 20000, [kind](int) {
    switch (kind) {
      case 0: return frame(data, 0, 1);
      case 1: return frame(priority, 0, 1, number(0) + "\x10");
      case 2: return frame(window_update, 0, 0, number(1));
      default: return frame(data, padded, 1, std::string(1, 3) + std::string(3, '\0'));
    }
  });
  CHECK(took <= 300);
  expect_calm(side);
}

TEST_CASE("h2 session: a flood is counted as what it is of", "[h2][attack]") {
  struct Kind {
    std::string of;
    bool peer_reads;
    Counter Http2CodecStats::* counter;  // null: of resets
  };
  const Kind kind = GENERATE(
      Kind{frame(data, 0, 1), true, &Http2CodecStats::inbound_empty_frames_flood},
      Kind{frame(priority, 0, 1, number(0) + "\x10"), true, &Http2CodecStats::inbound_priority_frames_flood},
      Kind{frame(window_update, 0, 0, number(1)), true, &Http2CodecStats::inbound_window_update_frames_flood},
      Kind{frame(ping, 0, 0, "12345678"), false, &Http2CodecStats::outbound_control_flood}, Kind{{}, true, nullptr});
  Http2CodecStats stats;
  H2Options options = server_options();
  options.stats = &stats;
  Side side(options);
  side.feed(hello() + post(1));
  CHECK(stats.streams_active.value() == 1);
  fed_until_flood(side, kind.peer_reads, 20000, [&kind](int i) {
    const auto id = static_cast<std::uint32_t>(2 * i + 3);
    return kind.counter ? kind.of : get(id) + frame(rst_stream, 0, id, number(8));
  });
  side.send();
  CHECK(side.session.too_many_resets() == !kind.counter);
  for (const auto counter :
       {&Http2CodecStats::inbound_empty_frames_flood, &Http2CodecStats::inbound_priority_frames_flood,
        &Http2CodecStats::inbound_window_update_frames_flood, &Http2CodecStats::outbound_control_flood})
    CHECK((stats.*counter).value() == (counter == kind.counter ? 1 : 0));
  CHECK(stats.goaway_sent.value() == 1);
  CHECK((stats.rx_reset.value() > 250) == !kind.counter);
  side.session.abort(Errc::downstream_closed);
  CHECK(stats.streams_active.value() == 0);
}

TEST_CASE("h2 session: what is counted of heads, trailers and resets", "[h2]") {
  Http2CodecStats stats;
  H2Options options = server_options();
  options.stats = &stats;
  Side side(options);
  side.feed(hello() + post(1) + frame(headers, end_headers | end_stream, 1, field("x-trailer", "1")));
  CHECK(stats.trailers.value() == 1);
  CHECK(stats.rx_messaging_error.value() + stats.header_overflow.value() + stats.rx_reset.value() == 0);
  side.feed(post(3, {{"connection", "close"}}));
  side.send();
  CHECK(stats.rx_messaging_error.value() == 1);
  CHECK(stats.tx_reset.value() == 1);
  std::vector<std::pair<std::string, std::string>> many;
  for (int i = 0; i < 101; ++i) many.emplace_back("x-" + std::to_string(i), "1");
  side.feed(post(5, many));
  CHECK(stats.header_overflow.value() == 1);
  side.feed(post(7) + frame(rst_stream, 0, 7, number(NGHTTP2_REFUSED_STREAM)));
  CHECK(stats.rx_reset.value() == 1);
  CHECK(stats.stream_refused_errors.value() == 1);
  CHECK(stats.goaway_sent.value() == 0);
  side.session.abort(Errc::downstream_closed);
}

TEST_CASE("h2 session: CONTINUATION without end (CVE-2024-28182)", "[h2][attack]") {
  Side side(server_options());
  side.feed(hello() + frame(headers, end_stream, 1, block(get_fields())));
  int took = 0;
  const std::string each = GENERATE(std::string(), field("x", "1"));
  while (took < 5000 && side.feed(frame(continuation, 0, 1, each)) == Errc::ok && !side.session.over()) {
    ++took;
    side.send();
  }
  CHECK(took <= 600);
  CHECK(side.session.over());
  CHECK(side.streams.at(0)->arena.used() < 80 * 1024);
}

}  // namespace
}  // namespace clew
