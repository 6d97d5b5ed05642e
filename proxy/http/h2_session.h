// HTTP/2 (RFC 9113) without I/O: nghttp2 frames and compresses, this keeps the accounts. Bytes in by feed(), bytes out
// by pending(), what happened by virtual calls on streams and owner. Both roles. Windows open only by consume(), so
// that back-pressure is not reading. One thread; no clock of its own.
#pragma once

#include "proxy/base/buffer.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/http/codec_stats.h"
#include "proxy/http/h2_accounting.h"
#include "proxy/http/h2_closed_streams.h"
#include "proxy/http/h2_memory.h"
#include "proxy/http/message.h"

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace clew {

/// RFC 9113 7; values as on the wire.
enum class H2Code : std::uint32_t {
  no_error,
  protocol_error,
  internal_error,
  flow_control_error,
  settings_timeout,
  stream_closed,
  frame_size_error,
  refused_stream,
  cancel,
  compression_error,
  connect_error,
  enhance_your_calm,
  inadequate_security,
  http_1_1_required,
};

/// A decoded head, request or response. Views lie in the arena of `headers`.
struct H2Head {
  std::string_view method, scheme, authority, path;
  std::string_view protocol;  // of an extended CONNECT (RFC 8441)
  std::uint32_t status = 0;
  std::optional<std::uint64_t> content_length;
  HeaderMap* headers = nullptr;
  bool end_stream = false;
};

/// One stream as its owner sees it: the server's request, the client's exchange. The calls come from inside
/// feed(), pending() and abort(); they may mark and wake, but not call the session's feed(), pending() or detach().
class H2Stream {
 public:
  H2Stream() = default;
  H2Stream(const H2Stream&) = delete;
  virtual ~H2Stream() = default;  // REQUIRES: detached, or closed

  // receiving
  Buffer in;                         // body that came and was not read: at most the stream's window
  bool in_ended = false;             // END_STREAM came; nothing follows `in`
  HeaderMap* in_trailers = nullptr;  // set with in_ended when there are any
  // sending
  Buffer out;                               // body to send; call send_more() after filling it
  bool out_last = false;                    // nothing but the trailers follows `out`
  const HeaderMap* out_trailers = nullptr;  // must live until out_done
  bool out_done = false;                    // END_STREAM went to pending()

  std::int32_t id = 0;    // 0: not in a session
  bool closed = false;    // the session has forgotten it
  Errc error = Errc::ok;  // what ended it before its time
  TimePoint opened{};     // the time of the feed() before, or under way

  /// Where the next head, or the trailers, are to be decoded.
  virtual HeaderMap& headers_for(bool trailers) = 0;
  virtual void on_head(const H2Head& head) = 0;
  /// Of body, trailers or end.
  virtual void on_received() = 0;
  /// `out` shrank, or out_done.
  virtual void on_sent() = 0;
  /// closed is set; error says whether before its time. The last call.
  virtual void on_closed() = 0;

 private:
  friend class H2Session;
  std::size_t slot_ = 0;
  bool head_received_ = false;  // the final one
  bool head_sent_ = false;
  bool deferred_ = false;
  bool discarding_ = false;
  bool provoked_ = false;  // a reset that the peer provoked is counted
};

struct H2Options {
  bool server = true;
  std::uint32_t max_concurrent_streams = 1024;  // that the peer may open
  std::uint32_t stream_window = 256 * 1024;
  std::uint32_t connection_window = 1024 * 1024;
  std::size_t max_header_bytes =
      60 * 1024;  // names and values of a decoded head, cookie crumbs and dropped fields included
  std::uint32_t max_header_count = 100;  // a cookie counts once however many crumbs it came in
  bool extended_connect = false;         // server: allowed
  Http2CodecStats* stats = nullptr;      // null: not counted; outlives the session
};

class H2Session {
 public:
  /// The connection.
  class Owner {
   public:
    /// Server: a request's head begins. Null refuses it (REFUSED_STREAM). The stream must stay until it is closed or
    /// detached.
    virtual H2Stream* on_stream() = 0;
    virtual void on_goaway() {}
    virtual void on_settings() {}
    virtual void on_ping_ack() {}

   protected:
    ~Owner() = default;
  };

  /// pending() stops filling about here: more is made when this was written.
  static constexpr std::size_t high_water = 64 * 1024;

  H2Session(Owner& owner, const H2Options& options);
  H2Session(const H2Session&) = delete;
  ~H2Session();

  /// Takes all of `bytes`. http_bad_message: a connection error, http_flood: the peer's frames were more work than use;
  /// both leave a GOAWAY in pending(): write it, then close.
  Result<void> feed(Buffer& bytes, TimePoint now);
  /// What there is to send now. The caller consumes what it wrote.
  Buffer& pending();
  bool wants_write() const;
  /// Nothing more will come of it: both sides said GOAWAY and all streams are done, or an error.
  bool over() const;
  /// ok, or what ended the session.
  Errc failed() const { return failed_; }
  /// That was for resets.
  bool too_many_resets() const { return too_many_resets_; }

  /// Server: 1xx, or the final head. With end_stream nothing follows.
  Result<void> send_head(H2Stream& stream, const ResponseHead& head, bool end_stream);
  /// Client: opens the stream and gives it its id.
  Result<void> send_head(H2Stream& stream, const RequestHead& head, bool end_stream);
  /// `out`, out_last or out_trailers changed.
  void send_more(H2Stream& stream);
  /// n bytes of `in` were taken out: the windows open by as much.
  void consume(H2Stream& stream, std::size_t n);
  /// Nobody will read `in`: what came and what will come goes back to the connection's window, the stream's stays shut.
  void discard(H2Stream& stream);
  /// `in` is forgotten, too, unless it is whole.
  void reset(H2Stream& stream, H2Code code);
  /// The owner's stream goes away; resets it when it is not over. What is unread goes back to the connection's window.
  void detach(H2Stream& stream, H2Code code = H2Code::cancel);

  /// GOAWAY with 2^31-1: please open no more here.
  void shutdown_notice();
  /// GOAWAY with the last stream that we work on.
  void goaway(H2Code code = H2Code::no_error);
  void ping();
  /// The transport is gone: every stream ends with `cause`.
  void abort(Errc cause);

  /// Gives back what only streams need, while there is none: worth it where none is expected soon.
  void rest();

  std::size_t active() const { return streams_.size(); }
  /// Of the peer's SETTINGS (100 before they came).
  std::uint32_t peer_max_concurrent_streams() const;
  bool peer_allows_extended_connect() const;
  bool goaway_received() const { return goaway_received_; }
  bool can_open() const;

 private:
  struct Callbacks;  // h2_session.cc: what nghttp2 calls

  H2Stream* find(std::int32_t id) const;
  void attach(H2Stream& stream, std::int32_t id);
  void remove(H2Stream& stream);
  void close(H2Stream& stream, std::uint32_t code);
  void count(Counter Http2CodecStats::* counter) {
    if (options_.stats) (options_.stats->*counter).add();
  }
  int flood(const char* what, Counter Http2CodecStats::* counter = nullptr);
  int flood_of_resets(const char* what);
  int fail(Errc cause, std::uint32_t code);
  void finish_cookie();

  // the header block being decoded: blocks do not interleave on a connection
  int begin_block(std::int32_t id, bool request);
  int add_field(std::string_view name, std::string_view value);
  bool add_pseudo(HeaderId id, std::string_view value);
  void end_block(bool end_stream);
  int data_received(std::int32_t id, std::size_t size, bool end);

  void append_data(H2Stream& stream, std::string_view frame_header, std::size_t length);

  Owner& owner_;
  const H2Options options_;
  H2Memory memory_;
  nghttp2_session* session_ = nullptr;
  std::vector<H2Stream*> streams_;
  Buffer pending_;
  H2Accounting accounting_;
  H2ClosedStreams closed_;
  TimePoint now_{};
  Errc failed_ = Errc::ok;
  bool goaway_received_ = false, too_many_resets_ = false;
  std::int32_t peer_last_stream_ = 0;

  struct {
    H2Stream* stream = nullptr;
    bool trailers = false;
    std::size_t bytes = 0;
    std::uint32_t count = 0;
    H2Head head;
    std::string_view host;
    std::vector<std::string_view> crumbs;
  } block_;
  // the slice that feed() is in
  Buffer* input_ = nullptr;
  const char* input_at_ = nullptr;
};

}  // namespace clew
