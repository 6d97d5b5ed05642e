#include "proxy/http/h2_session.h"

#include "proxy/base/log.h"
#include "proxy/base/recycled.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cstring>
#include <new>

namespace clew {
namespace {

constexpr std::size_t max_control_queue = 1000;  // frames that the peer makes us send and does not read
constexpr std::size_t max_continuations = 512;   // their bytes are bounded by the head's limit; this is for empty ones
constexpr int known_name = NGHTTP2_NV_FLAG_NO_COPY_NAME;  // lower case, and there for ever

std::string_view view(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// Nothing that would let a field value end early somewhere down the line: all of it is below what is printable, so one
/// comparison tells most characters.
bool clean(std::string_view value) {
  return std::none_of(value.begin(), value.end(), [](char c) {
    return static_cast<unsigned char>(c) <= '\r' && (c == '\r' || c == '\n' || c == '\0');
  });
}

/// Changes with each message: not worth a place in the peer's table.
bool unique_value(HeaderId id) {
  switch (id) {
    case HeaderId::x_request_id:
    case HeaderId::traceparent:
    case HeaderId::x_b3_traceid:
    case HeaderId::x_b3_spanid:
    case HeaderId::x_b3_parentspanid:
    case HeaderId::x_envoy_upstream_service_time:
    case HeaderId::authorization: return true;
    default: return false;
  }
}

/// A head on its way into nghttp2, which copies what the flags do not except: heads may be gone when the frame is made.
using Fields = std::vector<nghttp2_nv, RecyclingAllocator<nghttp2_nv>>;

void append(Fields& to, std::string_view name, std::string_view value, int flags) {
  const auto bytes = [](std::string_view text) {
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
  };
  to.push_back({bytes(name), bytes(value), name.size(), value.size(), static_cast<std::uint8_t>(flags)});
}

/// False when one of them could end early on its way.
bool append(Fields& to, const HeaderMap& headers) {
  for (const HeaderMap::Field& field : headers.fields()) {
    if (field.id == HeaderId::host ||
        (hop_by_hop(field.id) && !(field.id == HeaderId::te && field.value == "trailers")))
      continue;
    if (!clean(field.value)) return false;
    if (field.id == HeaderId::unknown) {
      if (!clean(field.name)) return false;
      append(to, field.name, field.value, NGHTTP2_NV_FLAG_NONE);
    } else {
      append(to, header_name(field.id), field.value,
             known_name | (unique_value(field.id) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE));
    }
  }
  return true;
}

nghttp2_data_provider provider(nghttp2_data_source_read_callback read) {
  nghttp2_data_provider out;
  out.source.ptr = nullptr;
  out.read_callback = read;
  return out;
}

}  // namespace

/// What nghttp2 calls; each finds its session in user_data.
struct H2Session::Callbacks {
  static H2Session& self(void* user) { return *static_cast<H2Session*>(user); }

  static int begin_frame(nghttp2_session* session, const nghttp2_frame_hd* head, void* user) {
    H2Session& s = self(user);
    if (nghttp2_session_get_outbound_queue_size(session) > max_control_queue + 3 * s.streams_.size())
      return s.flood("frames to send", &Http2CodecStats::outbound_control_flood);
    switch (head->type) {
      case NGHTTP2_PRIORITY:  // nghttp2 reads over it and tells nobody else
        if (head->stream_id == 0) return s.fail(Errc::http_bad_message, NGHTTP2_PROTOCOL_ERROR);
        return s.accounting_.priority() ? 0 : s.flood("priorities", &Http2CodecStats::inbound_priority_frames_flood);
      case NGHTTP2_HEADERS:  // nghttp2 remembers no closed stream, and reads over these too
        if (s.closed_.ended(head->stream_id)) return s.fail(Errc::http_bad_message, NGHTTP2_STREAM_CLOSED);
        if (s.closed_.passed_over(head->stream_id)) return s.fail(Errc::http_bad_message, NGHTTP2_PROTOCOL_ERROR);
        return 0;
      default: return 0;
    }
  }

  static int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    return self(user).begin_block(frame->hd.stream_id, frame->headers.cat == NGHTTP2_HCAT_REQUEST);
  }

  static int header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t* name, std::size_t name_size,
                    const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
    return self(user).add_field(view(name, name_size), view(value, value_size));
  }

  /// Without this, fields with bytes that may not be in one are dropped and the rest goes on.
  static int invalid_header(nghttp2_session*, const nghttp2_frame*, const std::uint8_t*, std::size_t,
                            const std::uint8_t*, std::size_t, std::uint8_t, void*) {
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  }

  static int data_chunk(nghttp2_session* session, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                        std::size_t size, void* user) {
    H2Session& s = self(user);
    H2Stream* stream = s.find(id);
    if (!stream || stream->discarding_ || stream->error != Errc::ok)
      return nghttp2_session_consume_connection(session, size) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
    const char* at = reinterpret_cast<const char*>(data);
    s.input_->consume(static_cast<std::size_t>(at - s.input_at_));
    stream->in.append(*s.input_, size);
    s.input_at_ = at + size;
    stream->on_received();
    return 0;
  }

  static int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    H2Session& s = self(user);
    const bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
      case NGHTTP2_HEADERS:
        s.accounting_.useful_frame();
        s.end_block(end);
        return 0;
      case NGHTTP2_DATA: return s.data_received(frame->hd.stream_id, frame->hd.length - frame->data.padlen, end);
      case NGHTTP2_RST_STREAM: {
        const H2Stream* stream = s.find(frame->hd.stream_id);
        s.count(&Http2CodecStats::rx_reset);
        if (frame->rst_stream.error_code == NGHTTP2_REFUSED_STREAM) s.count(&Http2CodecStats::stream_refused_errors);
        const bool premature =
            !stream || (!stream->head_sent_ && s.now_ - stream->opened < H2Accounting::premature_age);
        s.closed_.ended_by_peer(frame->hd.stream_id);
        if (s.options_.server && premature && !s.accounting_.premature_reset()) return s.flood_of_resets("resets");
        return 0;
      }
      case NGHTTP2_WINDOW_UPDATE:
        return s.accounting_.window_update()
                   ? 0
                   : s.flood("window updates", &Http2CodecStats::inbound_window_update_frames_flood);
      case NGHTTP2_SETTINGS:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK) return 0;
        if (!s.accounting_.settings(s.now_)) return s.flood("settings");
        s.owner_.on_settings();
        return 0;
      case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK) s.owner_.on_ping_ack();
        return 0;
      case NGHTTP2_GOAWAY:
        s.goaway_received_ = true;
        s.peer_last_stream_ = frame->goaway.last_stream_id;
        s.owner_.on_goaway();
        return 0;
      default: return 0;
    }
  }

  static int invalid_frame(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
    H2Session& s = self(user);
    if (H2Stream* stream = frame->hd.stream_id ? s.find(frame->hd.stream_id) : nullptr;
        stream && stream->error == Errc::ok) {
      stream->error = Errc::http_bad_message;
      stream->provoked_ = true;
      s.count(&Http2CodecStats::rx_messaging_error);
      stream->on_received();
      if (!s.accounting_.premature_reset()) return s.flood_of_resets("malformed frames");
    }
    return 0;
  }

  static int frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    H2Session& s = self(user);
    switch (frame->hd.type) {
      case NGHTTP2_DATA: s.accounting_.data_sent(); [[fallthrough]];
      case NGHTTP2_HEADERS:
        if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) {
          if (H2Stream* stream = s.find(frame->hd.stream_id)) {
            stream->out_done = true;
            stream->on_sent();
          }
        }
        return 0;
      case NGHTTP2_RST_STREAM:
        s.count(&Http2CodecStats::tx_reset);
        // The codes of our own resets are others: this one the peer provoked.
        if (frame->rst_stream.error_code == NGHTTP2_PROTOCOL_ERROR ||
            frame->rst_stream.error_code == NGHTTP2_FLOW_CONTROL_ERROR ||
            frame->rst_stream.error_code == NGHTTP2_STREAM_CLOSED ||
            frame->rst_stream.error_code == NGHTTP2_FRAME_SIZE_ERROR) {
          H2Stream* stream = s.find(frame->hd.stream_id);
          if (stream && stream->error == Errc::ok) stream->error = Errc::http_bad_message;
          const bool counted = stream && stream->provoked_;
          if (!counted && !s.accounting_.premature_reset()) s.flood_of_resets("provoked resets");  // its GOAWAY is next
        }
        return 0;
      case NGHTTP2_GOAWAY:
        s.count(&Http2CodecStats::goaway_sent);
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR && s.failed_ == Errc::ok) s.failed_ = Errc::http_bad_message;
        return 0;
      default: return 0;
    }
  }

  static int frame_not_sent(nghttp2_session*, const nghttp2_frame* frame, int, void* user) {
    // A request that never left may be tried elsewhere.
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
      if (H2Stream* stream = self(user).find(frame->hd.stream_id); stream && stream->error == Errc::ok)
        stream->error = self(user).goaway_received_ ? Errc::http_goaway : Errc::http_refused_stream;
    return 0;
  }

  static int stream_closed(nghttp2_session*, std::int32_t id, std::uint32_t code, void* user) {
    if (H2Stream* stream = self(user).find(id)) self(user).close(*stream, code);
    return 0;
  }

  static ssize_t read_data(nghttp2_session* session, std::int32_t id, std::uint8_t*, std::size_t length,
                           std::uint32_t* flags, nghttp2_data_source*, void* user) {
    H2Session& s = self(user);
    H2Stream* stream = s.find(id);
    if (!stream) return NGHTTP2_ERR_DEFERRED;  // detached: its RST_STREAM is queued
    const std::size_t n = std::min(length, stream->out.size());
    const bool all = n == stream->out.size() && stream->out_last;
    if (n == 0 && !all) {
      stream->deferred_ = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    *flags = NGHTTP2_DATA_FLAG_NO_COPY;
    if (!all) return static_cast<ssize_t>(n);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->out_trailers && stream->out_trailers->size() > 0) {
      Fields fields;
      fields.reserve(stream->out_trailers->size());
      if (!append(fields, *stream->out_trailers) ||
          nghttp2_submit_trailer(session, id, fields.data(), fields.size()) != 0)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    }
    return static_cast<ssize_t>(n);
  }

  static int send_data(nghttp2_session*, nghttp2_frame* frame, const std::uint8_t* head, std::size_t length,
                       nghttp2_data_source*, void* user) {
    H2Session& s = self(user);
    H2Stream* stream = s.find(frame->hd.stream_id);
    if (!stream) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    s.append_data(*stream, view(head, 9), length);
    return s.pending_.size() >= high_water ? NGHTTP2_ERR_PAUSE : 0;
  }

  static nghttp2_session_callbacks* make() {
    nghttp2_session_callbacks* callbacks = nullptr;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) throw std::bad_alloc();
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, frame_received);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, invalid_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, frame_sent);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, frame_not_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, stream_closed);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    return callbacks;
  }
  /// One for the process: read-only after this.
  static const nghttp2_session_callbacks* shared() {
    static const nghttp2_session_callbacks* const callbacks = make();
    return callbacks;
  }

  static nghttp2_option* make_options() {
    nghttp2_option* option = nullptr;
    if (nghttp2_option_new(&option) != 0) throw std::bad_alloc();
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(option,
                                                                     1);  // trimmed by add_field, as Envoy has it
    nghttp2_option_set_max_outbound_ack(option, max_control_queue);
    // It counts each read of a part of a frame's head, too: the default of 8 would make trickling an error.
    nghttp2_option_set_max_continuations(option, max_continuations);
    nghttp2_option_set_max_send_header_block_length(option, 1024 * 1024);
    // Ours is by ratio (H2Accounting): a busy connection whose client cancels a few in a hundred is no attack.
    nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX / 2, UINT64_MAX / 2);
    return option;
  }
  static const nghttp2_option* options() {
    static const nghttp2_option* const option = make_options();
    return option;
  }
};

H2Session::H2Session(Owner& owner, const H2Options& options) : owner_(owner), options_(options) {
  const auto make = options.server ? nghttp2_session_server_new3 : nghttp2_session_client_new3;
  nghttp2_mem hooks = memory_.hooks();
  if (make(&session_, Callbacks::shared(), this, Callbacks::options(), &hooks) != 0) throw std::bad_alloc();
  memory_.made();
  if (!options.server) pending();  // the preface, out of the memory that others use too
  std::array<nghttp2_settings_entry, 5> entries;
  std::size_t n = 0;
  entries[n++] = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.stream_window};
  entries[n++] = {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1};
  if (options.server) {
    entries[n++] = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.max_concurrent_streams};
    if (options.extended_connect) entries[n++] = {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1};
  } else {
    entries[n++] = {NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
  }
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, entries.data(), n);
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<std::int32_t>(options.connection_window));
}

void H2Session::rest() {
  if (streams_.empty() && pending_.empty()) memory_.rest();
}

H2Session::~H2Session() {
  assert(streams_.empty());
  nghttp2_session_del(session_);
}

Result<void> H2Session::feed(Buffer& bytes, TimePoint now) {
  now_ = now;
  input_ = &bytes;
  while (!bytes.empty() && failed_ == Errc::ok) {
    const std::string_view front = bytes.front();
    input_at_ = front.data();
    const ssize_t n =
        nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(front.data()), front.size());
    if (n < 0) {
      if (failed_ == Errc::ok && n == NGHTTP2_ERR_FLOODED)
        flood("frames to answer", &Http2CodecStats::outbound_control_flood);
      if (failed_ == Errc::ok) {
        failed_ = Errc::http_bad_message;  // such as a bad connection preface
        nghttp2_session_terminate_session(session_, NGHTTP2_PROTOCOL_ERROR);
      }
      break;
    }
    bytes.consume(static_cast<std::size_t>(front.data() + n - input_at_));
  }
  input_ = nullptr;
  if (failed_ == Errc::ok) return {};
  bytes.clear();
  return Error{failed_};
}

int H2Session::flood(const char* what, Counter Http2CodecStats::* counter) {
  CLEW_LOG(http2, debug, "flood of {} after {} streams", what, streams_.size());
  if (counter) count(counter);
  return fail(Errc::http_flood, NGHTTP2_ENHANCE_YOUR_CALM);
}

int H2Session::flood_of_resets(const char* what) {
  too_many_resets_ = true;
  return flood(what);
}

int H2Session::fail(Errc cause, std::uint32_t code) {
  failed_ = cause;
  nghttp2_session_terminate_session(session_, code);
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

Buffer& H2Session::pending() {
  while (pending_.size() < high_water) {
    const std::uint8_t* data = nullptr;
    const ssize_t n = nghttp2_session_mem_send(session_, &data);
    if (n < 0 && failed_ == Errc::ok) failed_ = Errc::internal;
    if (n <= 0) break;
    pending_.append(view(data, static_cast<std::size_t>(n)));
  }
  return pending_;
}

bool H2Session::wants_write() const { return !pending_.empty() || nghttp2_session_want_write(session_); }

bool H2Session::over() const {
  return failed_ != Errc::ok || (!nghttp2_session_want_read(session_) && !nghttp2_session_want_write(session_));
}

void H2Session::append_data(H2Stream& stream, std::string_view frame_header, std::size_t length) {
  pending_.append(frame_header);
  pending_.append(stream.out, length);
  if (length > 0) stream.on_sent();
}

int H2Session::data_received(std::int32_t id, std::size_t size, bool end) {
  if (size == 0 && !end) {
    if (!accounting_.empty_frame()) return flood("empty DATA frames", &Http2CodecStats::inbound_empty_frames_flood);
    return 0;
  }
  accounting_.useful_frame();
  if (!end) return 0;
  if (H2Stream* stream = find(id); stream && stream->error == Errc::ok) {
    stream->in_ended = true;
    stream->on_received();
  }
  return 0;
}

// ---- sending

Result<void> H2Session::send_head(H2Stream& stream, const ResponseHead& head, bool end_stream) {
  if (stream.closed || stream.error != Errc::ok)
    return Error{stream.error == Errc::ok ? Errc::http_stream_reset : stream.error};
  char status[3];
  if (head.status < 100 || head.status > 999) return Error{Errc::http_bad_message};
  std::to_chars(status, status + 3, head.status);
  Fields fields;
  fields.reserve(head.headers.size() + 1);
  append(fields, ":status", {status, 3}, known_name);
  if (!append(fields, head.headers)) return Error{Errc::http_bad_message};
  int rv = 0;
  if (head.status < 200) {
    rv = nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream.id, nullptr, fields.data(), fields.size(), nullptr);
  } else {
    const nghttp2_data_provider data = provider(&Callbacks::read_data);
    stream.head_sent_ = true;
    rv = nghttp2_submit_response(session_, stream.id, fields.data(), fields.size(), end_stream ? nullptr : &data);
  }
  if (rv != 0) return Error{Errc::internal};
  return {};
}

Result<void> H2Session::send_head(H2Stream& stream, const RequestHead& head, bool end_stream) {
  Fields fields;
  fields.reserve(head.headers.size() + 5);
  const bool extended = !head.upgrade.empty();
  for (const std::string_view value : {head.method, head.scheme, head.authority, head.path, head.upgrade})
    if (!clean(value)) return Error{Errc::http_bad_message};
  append(fields, ":method", extended ? std::string_view("CONNECT") : head.method, known_name);
  if (extended) append(fields, ":protocol", head.upgrade, known_name);
  if (extended || head.method != "CONNECT") {
    append(fields, ":scheme", head.scheme, known_name);
    append(fields, ":path", head.path, known_name);
  }
  append(fields, ":authority", head.authority, known_name);
  if (!append(fields, head.headers)) return Error{Errc::http_bad_message};
  const nghttp2_data_provider data = provider(&Callbacks::read_data);
  const std::int32_t id =
      nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), end_stream ? nullptr : &data, &stream);
  if (id < 0) return Error{Errc::http_refused_stream};  // stream ids ran out, or GOAWAY: nothing was sent
  accounting_.stream_opened();
  attach(stream, id);
  return {};
}

void H2Session::send_more(H2Stream& stream) {
  if (!stream.deferred_ || stream.closed) return;
  stream.deferred_ = false;
  nghttp2_session_resume_data(session_, stream.id);
}

void H2Session::consume(H2Stream& stream, std::size_t n) {
  if (n > 0) nghttp2_session_consume(session_, stream.id, n);
}

void H2Session::discard(H2Stream& stream) {
  stream.discarding_ = true;
  if (stream.in.empty()) return;
  nghttp2_session_consume_connection(session_, stream.in.size());
  stream.in.clear();
}

void H2Session::reset(H2Stream& stream, H2Code code) {
  if (stream.closed || stream.id == 0) return;
  if (block_.stream == &stream) block_.stream = nullptr;
  if (stream.error == Errc::ok) stream.error = Errc::canceled;
  if (!stream.in_ended) discard(stream);
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id, static_cast<std::uint32_t>(code));
}

void H2Session::detach(H2Stream& stream, H2Code code) {
  if (stream.id == 0) return;
  discard(stream);
  if (stream.closed) return;
  reset(stream, code);
  nghttp2_session_set_stream_user_data(session_, stream.id, nullptr);
  remove(stream);
}

// ---- connection

void H2Session::shutdown_notice() { nghttp2_submit_shutdown_notice(session_); }

void H2Session::goaway(H2Code code) {
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session_),
                        static_cast<std::uint32_t>(code), nullptr, 0);
}

void H2Session::ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

void H2Session::abort(Errc cause) {
  if (failed_ == Errc::ok) failed_ = cause;
  while (!streams_.empty()) {
    H2Stream& stream = *streams_.back();
    if (stream.error == Errc::ok) stream.error = cause;
    nghttp2_session_set_stream_user_data(session_, stream.id, nullptr);
    remove(stream);
    stream.on_closed();
  }
}

std::uint32_t H2Session::peer_max_concurrent_streams() const {
  return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

bool H2Session::peer_allows_extended_connect() const {
  return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

bool H2Session::can_open() const {
  return failed_ == Errc::ok && !goaway_received_ && nghttp2_session_check_request_allowed(session_) &&
         streams_.size() < peer_max_concurrent_streams();
}

// ---- streams

H2Stream* H2Session::find(std::int32_t id) const {
  return static_cast<H2Stream*>(nghttp2_session_get_stream_user_data(session_, id));
}

void H2Session::attach(H2Stream& stream, std::int32_t id) {
  stream.id = id;
  stream.opened = now_;
  stream.slot_ = streams_.size();
  streams_.push_back(&stream);
  if (options_.stats) options_.stats->streams_active.add();
}

void H2Session::remove(H2Stream& stream) {
  streams_[stream.slot_] = streams_.back();
  streams_[stream.slot_]->slot_ = stream.slot_;
  streams_.pop_back();
  if (options_.stats) options_.stats->streams_active.sub();
  stream.closed = true;
  if (stream.in_ended) closed_.ended_by_peer(stream.id);
}

void H2Session::close(H2Stream& stream, std::uint32_t code) {
  if (block_.stream == &stream) block_.stream = nullptr;
  if (stream.error == Errc::ok) {
    if (code == NGHTTP2_REFUSED_STREAM && !options_.server)
      stream.error = goaway_received_ && stream.id > peer_last_stream_ ? Errc::http_goaway : Errc::http_refused_stream;
    else if (code != NGHTTP2_NO_ERROR || !stream.in_ended || !stream.out_done)
      stream.error = Errc::http_stream_reset;
  }
  remove(stream);
  stream.on_closed();
}

}  // namespace clew
