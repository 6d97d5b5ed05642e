// HTTP/2 frames by hand, for peers that do what no library would; and streams that write down what happens to them.
#pragma once

#include "proxy/http/h2_session.h"

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace clew::h2 {

inline const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum Type : unsigned char {
  data,
  headers,
  priority,
  rst_stream,
  settings,
  push_promise,
  ping,
  goaway,
  window_update,
  continuation
};
inline constexpr unsigned char end_stream = 1, ack = 1, end_headers = 4, padded = 8;

inline std::string number(std::uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16), static_cast<char>(value >> 8),
          static_cast<char>(value)};
}

inline std::string frame(Type type, unsigned char flags, std::uint32_t id, std::string_view payload = {}) {
  const std::string length = number(static_cast<std::uint32_t>(payload.size()));
  return length.substr(1) + static_cast<char>(type) + static_cast<char>(flags) + number(id) + std::string(payload);
}

inline std::string hpack_length(std::size_t size) {
  if (size < 127) return std::string(1, static_cast<char>(size));
  std::string out(1, 127);
  for (size -= 127; size >= 128; size >>= 7) out.push_back(static_cast<char>((size & 127) | 128));
  out.push_back(static_cast<char>(size));
  return out;
}

/// A literal that is not indexed.
inline std::string field(std::string_view name, std::string_view value) {
  return std::string(1, '\0') + hpack_length(name.size()) + std::string(name) + hpack_length(value.size()) +
         std::string(value);
}

using Fields = std::vector<std::pair<std::string, std::string>>;

inline std::string block(const Fields& fields) {
  std::string out;
  for (const auto& [name, value] : fields) out += field(name, value);
  return out;
}

inline Fields get_fields(std::string path = "/") {
  return {{":method", "GET"}, {":scheme", "http"}, {":authority", "a.test"}, {":path", std::move(path)}};
}
inline Fields with(Fields fields, const Fields& more) {
  fields.insert(fields.end(), more.begin(), more.end());
  return fields;
}
inline std::string get(std::uint32_t id, const Fields& more = {}) {
  return frame(headers, end_headers | end_stream, id, block(with(get_fields(), more)));
}
inline std::string post(std::uint32_t id, const Fields& more = {}) {
  Fields fields = get_fields();
  fields[0].second = "POST";
  return frame(headers, end_headers, id, block(with(fields, more)));
}
inline std::string hello() { return preface + frame(settings, 0, 0); }

struct Frame {
  Type type;
  unsigned char flags;
  std::uint32_t id;
  std::string payload;
  std::uint32_t code() const {  // of RST_STREAM, GOAWAY
    const std::size_t at = type == goaway ? 4 : 0;
    std::uint32_t out = 0;
    for (std::size_t i = at; i < at + 4; ++i) out = out << 8 | static_cast<unsigned char>(payload.at(i));
    return out;
  }
};

/// Whole frames only.
inline std::vector<Frame> parse(std::string_view bytes) {
  if (bytes.starts_with(preface)) bytes.remove_prefix(preface.size());
  std::vector<Frame> out;
  const auto byte = [&bytes](std::size_t at) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at]));
  };
  while (bytes.size() >= 9) {
    const std::size_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
    if (bytes.size() < 9 + size) break;
    out.push_back({static_cast<Type>(byte(3)), static_cast<unsigned char>(byte(4)),
                   (byte(5) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8)) & 0x7fffffff,
                   std::string(bytes.substr(9, size))});
    bytes.remove_prefix(9 + size);
  }
  return out;
}

inline std::vector<Frame> of_type(const std::vector<Frame>& frames, Type type) {
  std::vector<Frame> out;
  for (const Frame& f : frames)
    if (f.type == type) out.push_back(f);
  return out;
}

/// A stream that notes its events.
class NotedStream final : public H2Stream {
 public:
  HeaderMap& headers_for(bool trailers) override {
    return trailers ? trailers_.emplace(arena) : heads_.emplace_back(arena);
  }
  void on_head(const H2Head& head) override {
    heads.push_back(head);
    note += head.status ? "head " + std::to_string(head.status) : "head " + std::string(head.path);
    for (const HeaderMap::Field& f : head.headers->fields())
      note += " " + std::string(f.name) + "=" + std::string(f.value);
    note += head.end_stream ? " end\n" : "\n";
  }
  void on_received() override {}
  void on_sent() override {}
  void on_closed() override { note += "closed " + std::string(to_string(error)) + "\n"; }

  /// The last head's.
  std::optional<std::string> header(std::string_view name) const {
    const auto value = heads.back().headers->get(name);
    return value ? std::optional<std::string>(*value) : std::nullopt;
  }

  Arena arena;
  std::vector<H2Head> heads;
  std::string note;

 private:
  std::list<HeaderMap> heads_;
  std::optional<HeaderMap> trailers_;
};

/// One side, its streams, and a clock that stands unless moved.
class Side final : public H2Session::Owner {
 public:
  explicit Side(const H2Options& options) : session(*this, options) {}
  ~Side() { session.abort(Errc::canceled); }

  H2Stream* on_stream() override {
    streams.push_back(std::make_unique<NotedStream>());
    return streams.back().get();
  }
  void on_goaway() override { ++goaways; }
  void on_ping_ack() override { ++pongs; }

  NotedStream& open() { return static_cast<NotedStream&>(*on_stream()); }
  Errc feed(std::string_view bytes) {
    Buffer buffer;
    buffer.append(bytes);
    const Result<void> fed = session.feed(buffer, now);
    return fed ? Errc::ok : fed.error().code;
  }
  std::string send() {
    std::string out;
    for (Buffer* pending = &session.pending(); !pending->empty(); pending = &session.pending()) {
      out += pending->to_string();
      pending->clear();
    }
    return out;
  }
  std::vector<Frame> frames() { return parse(send()); }

  std::vector<std::unique_ptr<NotedStream>> streams;
  H2Session session;
  TimePoint now{std::chrono::hours(1)};
  int goaways = 0, pongs = 0;
};

inline H2Options server_options() { return {}; }
inline H2Options client_options() {
  H2Options options;
  options.server = false;
  return options;
}

/// Everything that either has to say reaches the other.
inline void exchange(Side& a, Side& b) {
  for (;;) {
    const std::string from_a = a.send();
    b.feed(from_a);
    const std::string from_b = b.send();
    a.feed(from_b);
    if (from_a.empty() && from_b.empty()) return;
  }
}

}  // namespace clew::h2
