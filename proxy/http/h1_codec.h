// HTTP/1 (RFC 9112) without I/O: bytes to heads and body bytes, heads to bytes. llhttp parses, with no leniency; this
// adds Envoy's rules and the bounds. One decoder serves the messages of one direction of a connection, one after the
// other, and never takes a byte that belongs to the next one.
#pragma once

#include "config/snapshot/listener.h"
#include "proxy/base/buffer.h"
#include "proxy/base/recycled.h"
#include "proxy/base/result.h"
#include "proxy/http/codec_stats.h"
#include "proxy/http/message.h"

#include <llhttp.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace clew {

struct Http1Options {
  std::size_t max_head_bytes = 60 * 1024;  // start line and fields, trailers apart
  std::size_t max_fields = 100;
  bool accept_http_10 = false;
  bool allow_absolute_url = true;
  bool preserve_case = false;
  std::string_view default_host;  // for HTTP/1.0 without Host; empty: none
  HttpConnectionManager::Underscores underscores = HttpConnectionManager::Underscores::allow;
  Http1CodecStats* stats = nullptr;  // null: not counted
};

class Http1Decoder : public Recycled {
 public:
  enum class Kind : std::uint8_t { request, response };
  /// How the body of the message at hand ends.
  enum class Framing : std::uint8_t { none, length, chunked, until_close, raw };

  Http1Decoder(Kind kind, const Http1Options& options);
  Http1Decoder(const Http1Decoder&) = delete;
  Http1Decoder& operator=(const Http1Decoder&) = delete;

  /// The next message goes into `head` (and its arena), which must live until the head is read.
  void begin(RequestHead& head);
  /// What of its request decides how a response is framed.
  struct Asked {
    bool head = false, connect = false, upgrade = false;
    static Asked of(const RequestHead& request) {
      return {request.method == "HEAD", request.method == "CONNECT", !request.upgrade.empty()};
    }
  };
  void begin(ResponseHead& head, const Asked& asked);

  /// Takes what belongs to the head: success when it is complete, would_block, eof (nothing of a head was there), or
  /// why it is refused: http_bad_message, http_bad_framing, http_transfer_coding, http_protocol_version,
  /// http_headers_too_large, http_too_many_headers; closed in the middle: downstream_closed, upstream_closed.
  Result<void> read_head(Buffer& input);
  /// Moves up to max body bytes: their number, would_block, eof after the last one, or an error as above. Trailers are
  /// checked, counted and dropped, as Envoy does without enable_trailers.
  Result<std::size_t> read_body(Buffer& input, Buffer& into, std::size_t max);
  /// The peer will send nothing more than what is in `input` now.
  void end_of_input() { input_ended_ = true; }
  bool input_ended() const { return input_ended_; }

  Framing framing() const { return framing_; }
  /// Some byte of the head was seen (leading line ends count).
  bool started() const { return head_bytes_ != 0; }
  /// Head and body were taken.
  bool complete() const { return state_ == State::done; }
  /// Envoy's name for what was wrong («http1.codec_error»), after an error.
  std::string_view details() const { return details_; }
  /// Another message may follow this one on the connection.
  bool keep_alive() const { return keep_alive_; }

 private:
  enum class State : std::uint8_t { idle, head, body, done, failed };
  /// Text that may arrive in pieces, in the message's arena.
  struct Text {
    char* data = nullptr;
    std::size_t size = 0, capacity = 0;
    void append(Arena& arena, const char* at, std::size_t n);
    std::string_view view() const { return {data ? data : "", size}; }
  };
  struct Callbacks;

  void reset(HeaderMap& headers);
  Error fail(Errc code, std::string_view details);
  Error fail_by_parser();
  bool field_done();
  Result<void> head_done();
  Result<void> request_done();
  Result<void> request_target();
  Result<void> response_done();
  bool connection_options();
  Result<std::size_t> read_chunked(Buffer& input, Buffer& into, std::size_t max);
  Errc closed_early() const { return kind_ == Kind::request ? Errc::downstream_closed : Errc::upstream_closed; }

  const Http1Options options_;
  llhttp_t parser_;
  const Kind kind_;
  State state_ = State::idle;
  Framing framing_ = Framing::none;
  bool keep_alive_ = true, input_ended_ = false, head_complete_ = false, message_complete_ = false;
  bool close_ = false, keep_ = false, upgrade_named_ = false;  // said by Connection
  Asked asked_;
  Error error_{Errc::ok};
  std::string_view details_;
  RequestHead* request_ = nullptr;
  ResponseHead* response_ = nullptr;
  HeaderMap* headers_ = nullptr;
  Text target_, name_, value_;
  std::string_view host_;
  std::uint32_t hosts_ = 0, lengths_ = 0, codings_ = 0;
  std::string_view coding_, upgrade_;
  std::optional<std::uint64_t> length_;
  std::uint64_t remaining_ = 0;
  std::size_t head_bytes_ = 0, fields_ = 0, trailer_bytes_ = 0, extension_bytes_ = 0;
  // during read_chunked
  Buffer* input_ = nullptr;
  Buffer* into_ = nullptr;
  const char* mark_ = nullptr;
  std::size_t produced_ = 0;
};

/// How a message that we send is framed, and the account of it: declared and delivered must agree.
class Http1BodyEncoder {
 public:
  Http1BodyEncoder() = default;
  Http1BodyEncoder(Http1Decoder::Framing framing, std::uint64_t length) : framing_(framing), remaining_(length) {}

  /// Moves all of `bytes` to out, framed. False: more than was declared; nothing was moved.
  bool encode(Buffer& out, Buffer& bytes);
  /// The end of the body. False: less than was declared.
  bool finish(Buffer& out);
  Http1Decoder::Framing framing() const { return framing_; }

 private:
  Http1Decoder::Framing framing_ = Http1Decoder::Framing::none;
  std::uint64_t remaining_ = 0;
};

/// Writes a request's head; end_stream: no body follows.
Http1BodyEncoder encode_request_head(Buffer& out, const RequestHead& head, bool end_stream, bool preserve_case);

struct ResponseEncoding {
  const RequestHead& request;  // decides framing: HEAD, CONNECT, version
  bool end_stream = false;
  bool close = false;  // say Connection: close
  bool preserve_case = false;
};
/// Writes a response's head, 1xx heads too. A body of unknown length to an HTTP/1.0 client ends with the connection:
/// framing until_close, which the caller must honour.
Http1BodyEncoder encode_response_head(Buffer& out, const ResponseHead& head, const ResponseEncoding& encoding);

/// Envoy's reason phrase; «Unknown» for a status without one.
std::string_view reason_phrase(std::uint32_t status);

}  // namespace clew
