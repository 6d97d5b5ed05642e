// The HTTP/1 decoder on arbitrary bytes: requests (first byte even) or responses. Beyond not crashing:
//  - however the bytes are cut into pieces, the same messages come out;
//  - a head written anew from a decoded one decodes to the same head, in one framing;
//  - a message takes no byte of the next one: a declared length is delivered exactly, and what is written anew from a
//  request
//    and its body is one request.
#include "proxy/http/h1_codec.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

using namespace clew;

namespace {

using Kind = Http1Decoder::Kind;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "property broken: %s\n", what);
  std::abort();
}

struct Message {
  std::string head, body;
  std::optional<std::uint64_t> length;
  bool whole = false;
  friend bool operator==(const Message&, const Message&) = default;
};

std::string text_of(const RequestHead& head) {
  std::string out;
  for (const std::string_view part : {head.method, head.authority, head.path, head.upgrade})
    out.append(part).append(1, '\n');
  for (const auto& field : head.headers.fields())
    out.append(field.name).append(": ").append(field.value).append(1, '\n');
  return out;
}

std::string text_of(const ResponseHead& head) {
  std::string out = std::to_string(head.status) + '\n';
  for (const auto& field : head.headers.fields())
    out.append(field.name).append(": ").append(field.value).append(1, '\n');
  return out;
}

void require_clean(const HeaderMap& headers) {
  for (const auto& field : headers.fields()) {
    require(!field.name.empty(), "a field has a name");
    require(header_id(field.name) == field.id, "ids are the names'");
    for (const char c : field.name)
      require(c > ' ' && c != ':' && c != 0x7f && !(c >= 'A' && c <= 'Z'), "names are lower-case tokens");
    for (const char c : field.value) require(c != '\r' && c != '\n' && c != '\0', "values do not break lines");
    require(!hop_by_hop(field.id) || field.value == "trailers", "what belongs to a connection stays there");
    require(field.id != HeaderId::host, "Host is the authority");
  }
}

/// Decodes everything, fed in pieces of the given size; the last error ends the list.
std::vector<Message> decode(Kind kind, std::string_view bytes, std::size_t piece, Errc& end) {
  std::vector<Message> out;
  Http1Options options;
  options.max_head_bytes = 2048;
  options.max_fields = 20;
  options.accept_http_10 = true;
  Http1Decoder decoder(kind, options);
  Buffer input;
  const auto feed = [&] {
    if (bytes.empty()) {
      decoder.end_of_input();
      return;
    }
    const std::size_t n = std::min(piece, bytes.size());
    input.append(bytes.substr(0, n));
    bytes.remove_prefix(n);
  };
  for (;;) {
    Arena arena;
    RequestHead request(arena);
    ResponseHead response(arena);
    if (kind == Kind::request)
      decoder.begin(request);
    else
      decoder.begin(response, {.head = out.size() % 4 == 1, .connect = false, .upgrade = out.size() % 4 == 2});
    Result<void> head = decoder.read_head(input);
    while (!head && head.error().code == Errc::would_block) {
      feed();
      head = decoder.read_head(input);
    }
    if (!head) {
      end = head.error().code;
      return out;
    }
    Message message;
    message.head = kind == Kind::request ? text_of(request) : text_of(response);
    message.length = kind == Kind::request ? request.content_length : response.content_length;
    require_clean(kind == Kind::request ? request.headers : response.headers);
    Buffer body;
    for (;;) {
      const Result<std::size_t> got = decoder.read_body(input, body, 64);
      if (got) {
        require(*got > 0 && *got <= 64, "no more than was asked for");
        continue;
      }
      end = got.error().code;
      if (end != Errc::would_block) break;
      feed();
    }
    message.body = body.to_string();
    message.whole = end == Errc::eof;
    if (message.whole && decoder.framing() == Http1Decoder::Framing::length)
      require(message.body.size() == message.length, "declared is delivered");
    out.push_back(message);
    if (!message.whole || !decoder.keep_alive()) return out;
  }
}

/// Writes the first request anew, with its body, and decodes that.
void round_trip(std::string_view bytes) {
  Http1Options options;
  options.accept_http_10 = true;
  Http1Decoder decoder(Kind::request, options);
  Arena arena;
  RequestHead head(arena);
  decoder.begin(head);
  Buffer input, body;
  input.append(bytes);
  decoder.end_of_input();
  if (!decoder.read_head(input)) return;
  while (decoder.read_body(input, body, 1000)) {
  }
  const bool raw = decoder.framing() == Http1Decoder::Framing::raw;
  if (!decoder.complete()) return;
  const std::string sent = body.to_string();
  Buffer wire;
  Http1BodyEncoder encoder = encode_request_head(wire, head, head.end_stream, false);
  require(encoder.encode(wire, body) && encoder.finish(wire), "what was declared can be delivered");

  Http1Decoder again(Kind::request, {});
  RequestHead second(arena);
  again.begin(second);
  require(again.read_head(wire).has_value(), "what we write can be read");
  again.end_of_input();
  Buffer received;
  while (again.read_body(wire, received, 1000)) {
  }
  require(again.complete() && wire.empty(), "one request, and nothing after it");
  require(received.to_string() == sent, "the same body");
  if (head.end_stream) {
    // A request without a body may come to say so.
    head.headers.remove(HeaderId::content_length);
    second.headers.remove(HeaderId::content_length);
  }
  require(text_of(head) == text_of(second), "the same head");
  require((again.framing() == Http1Decoder::Framing::raw) == raw, "the same kind of body");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Kind kind = data[0] % 2 == 0 ? Kind::request : Kind::response;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  Errc whole_end = Errc::ok;
  const std::vector<Message> whole = decode(kind, bytes, SIZE_MAX, whole_end);
  for (const std::size_t piece : {std::size_t(1), std::size_t(7), 1 + data[0] / std::size_t(2)}) {
    Errc end = Errc::ok;
    require(decode(kind, bytes, piece, end) == whole, "the same messages in pieces");
    require(end == whole_end, "the same end in pieces");
  }
  if (kind == Kind::request) round_trip(bytes);
  return 0;
}
