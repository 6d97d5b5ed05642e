// Bytes of a hostile HTTP/2 peer, either role. Properties: the same events however the bytes are cut; what is held
// stays within windows and limits; the session ends in one of its defined ways.
#include "test/unit/proxy/http/h2_hand.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

using namespace clew;
using namespace clew::h2;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

H2Options options_for(std::uint8_t flags) {
  H2Options options;
  options.server = flags & 1;
  options.extended_connect = flags & 2;
  options.max_concurrent_streams = 16;
  options.stream_window = 65535;
  options.connection_window = 100000;
  options.max_header_bytes = 4096;
  options.max_header_count = 20;
  return options;
}

std::string printable(std::string text) {
  for (char& c : text)
    if ((c < ' ' || c > '~') && c != '\n') c = '.';
  return text;
}

void check_bounds(const Side& side, const H2Options& options) {
  std::size_t held = 0;
  for (const auto& stream : side.streams) {
    require(stream->in.size() <= options.stream_window, "a stream holds its window at most");
    if (!stream->closed) held += stream->in.size();
    // Heads and trailers of two messages, and a block of the arena.
    require(
        stream->arena.used() <= 4 * (options.max_header_bytes + 32 * options.max_header_count) + 2 * Arena::block_size,
        "heads within their limit");
  }
  require(held <= options.connection_window, "all streams hold the connection's window at most");
  require(side.session.active() <= options.max_concurrent_streams + 1u, "no more streams than allowed");
}

/// What happened, as text. piece 0: all at once; otherwise pieces of 1 to piece bytes.
std::string run(std::string_view bytes, const H2Options& options, std::size_t piece, bool take_part) {
  Side side(options);
  Request request("POST");
  Response response;
  if (options.server) {
    side.feed(preface);
  } else {
    for (int i = 0; i < 3; ++i)
      require(side.session.send_head(side.open(), request.head, i == 0).has_value(), "a request");
    side.send();
  }
  std::size_t step = 0;
  while (!bytes.empty() && side.session.failed() == Errc::ok) {
    const std::size_t n = piece == 0 ? bytes.size() : std::min(bytes.size(), 1 + step++ % piece);
    side.feed(bytes.substr(0, n));
    bytes.remove_prefix(n);
    check_bounds(side, options);
    if (!take_part) continue;
    require(side.send().size() < 4 * 1024 * 1024, "what is said stays in proportion");
    for (auto& stream : side.streams) {
      side.session.consume(*stream, stream->in.size());
      stream->in.clear();
      if (!options.server || stream->closed || stream->heads.empty() || !stream->out.empty() || stream->out_done)
        continue;
      if (!side.session.send_head(*stream, response.head, false)) continue;
      stream->out.append("answer");
      stream->out_last = true;
      side.session.send_more(*stream);
    }
  }
  // Resets are known when they leave. Which of several errors is named in a GOAWAY depends on the cut: a session that
  // is over reads no further. So does how much came of a body before it was found to be none.
  side.send();
  std::string events;
  for (const auto& stream : side.streams)
    events += stream->note + (stream->error == Errc::ok ? std::to_string(stream->in.size()) : "") +
              (stream->in_ended ? " ended " : " ") + std::string(to_string(stream->error)) + "\n";
  events += side.session.over() ? "over" : "open";
  side.session.abort(Errc::canceled);
  for (const auto& stream : side.streams) require(stream->closed, "every stream ends");
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const H2Options options = options_for(data[0]);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::string whole = run(bytes, options, 0, false);
  const std::string pieces = run(bytes, options, 1 + data[1] % 32, false);
  if (pieces != whole)
    std::fprintf(stderr, "whole:\n%s\nin pieces:\n%s\n", printable(whole).c_str(), printable(pieces).c_str());
  require(pieces == whole, "the same events however the bytes are cut");
  run(bytes, options, 1 + data[1], true);
  return 0;
}
