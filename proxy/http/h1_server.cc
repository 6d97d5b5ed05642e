// serve_http1: an HTTP/1 connection from a client, or one whose first bytes are to say what it is. One coroutine owns
// it and serves one request after the other; what a client pipelines waits, unread beyond one piece.
#include "proxy/base/log.h"
#include "proxy/http/h1_codec.h"
#include "proxy/http/read_watch.h"
#include "proxy/http/server_connection.h"
#include "proxy/net/fair_share.h"
#include "proxy/net/sniff.h"

#include <algorithm>
#include <utility>

namespace clew {
namespace {

constexpr std::size_t read_size = Buffer::slab_size;
/// Output that is gathered before it is written.
constexpr std::size_t write_size = 64 * 1024;
/// How long a request goes on before its client is watched for having left: most are over by then, and cost nothing.
constexpr Duration watch_delay = std::chrono::milliseconds(25);
/// Envoy's delayed_close_timeout: for a peer to read our last words before unread bytes of its own make a reset of
/// them.
constexpr Duration linger_timeout = std::chrono::seconds(1);

class Http1Server;

/// A request's body, or the client's side of an upgraded connection. Cut off from the connection by cancel() or its
/// end.
class RequestBody final : public Body {
 public:
  explicit RequestBody(Http1Server& server);
  ~RequestBody() override { detach(Errc::canceled); }
  Result<std::size_t> try_read(Buffer& into, std::size_t max) override;
  Task<Result<void>> readable() override;
  void cancel(Errc cause) noexcept override;
  /// The connection goes on, or away, without this body.
  void detach(Errc cause);

 private:
  Http1Server* server_;
  Errc cause_ = Errc::ok;
  bool ended_ = false;
  bool leaving_ = false;  // the end of an upgraded connection was seen
};

class Http1Server final : public ResponseWriter, public Recycled, private ServedConnection {
 public:
  explicit Http1Server(ServedConnection connection)
      : ServedConnection(std::move(connection)),
        share_(service.worker.loop()),
        timer_(service.worker.timers(), [this] { time_over(); }) {}

  /// The connection's coroutine. What it holds while it waits for a request is what an idle connection costs.
  static Task<void> run(std::unique_ptr<Http1Server> self, Buffer initial);

  Task<Result<void>> inform(const ResponseHead& head) override;
  Task<Result<void>> respond(ResponseHead& head, Body* body) override;
  void abort(Errc cause) noexcept override { transport.close(cause); }

 private:
  friend class RequestBody;
  class Serving;

  /// What the connection begins with.
  enum class Opening : std::uint8_t { unknown, request, preface };
  /// What the timer is armed for.
  enum class Deadline : std::uint8_t { idle, head, watch, linger };

  void look_at_opening();
  static Task<void> hand_over(std::unique_ptr<Http1Server> self);
  void begin();
  void rest();
  bool starved();
  Task<bool> serve_one();
  Task<Result<void>> read_head();
  Result<std::size_t> fill();
  /// Where nobody interrupts.
  Task<Result<void>> readable() { return watch_ && watch_->pending() ? watch_->wait() : transport.readable(); }
  Task<Result<void>> send_body(Body& body);
  Task<Result<void>> send_last();
  Task<void> linger();
  Task<void> end();
  void arm(Deadline deadline, Duration after);
  void time_over();
  void life_over();
  ReadWatch& watch();
  void client_ready();
  void client_gone(Errc cause);
  void ended(Errc cause);
  bool must_close() const;
  bool enough_requests() const {
    return hcm.max_requests_per_connection != 0 && requests_ >= hcm.max_requests_per_connection;
  }

  std::unique_ptr<ReadWatch> watch_;  // from the first wait that is not for a request
  Buffer input_, output_;
  Http1BodyEncoder encoder_;
  // null while no request is being served
  std::unique_ptr<Http1Decoder> decoder_;
  Stream* stream_ = nullptr;
  RequestBody* request_body_ = nullptr;  // while somebody has it
  Body* response_body_ = nullptr;        // while respond() pulls it
  FairShare share_;
  Timer timer_;
  Deadline deadline_ = Deadline::idle;
  Opening opening_ = Opening::unknown;
  std::unique_ptr<Timer> life_;  // max_connection_duration, then drain_timeout; null: not limited
  std::uint64_t requests_ = 0;
  bool idle_ = false, closing_ = false, head_late_ = false, draining_ = false;
  bool ended_ = false, left_ = false, ended_active_ = false;  // the connection, by the client, amid a request
  bool last_ = false;  // the client says that nothing follows the request that was served
};

// ---- RequestBody

RequestBody::RequestBody(Http1Server& server) : server_(&server) { server.request_body_ = this; }

Result<std::size_t> RequestBody::try_read(Buffer& into, std::size_t max) {
  if (ended_) return Error{Errc::eof};
  if (!server_) return Error{cause_};
  Http1Server& server = *server_;
  for (;;) {
    const Result<std::size_t> got = server.decoder_->read_body(server.input_, into, max);
    if (got) return got;
    if (got.error().code == Errc::would_block) {
      const Result<std::size_t> read = server.fill();
      if (read || server.decoder_->input_ended()) continue;
      return read;
    }
    if (got.error().code == Errc::eof) {
      // As in Envoy an upgraded connection has no half-close. The end is told at the second question: what came before
      // it is sent by then.
      if (server.decoder_->framing() == Http1Decoder::Framing::raw) {
        if (!std::exchange(leaving_, true)) return Error{Errc::would_block};
        server.client_gone(Errc::downstream_closed);
        return Error{Errc::downstream_closed};
      }
      ended_ = true;
      detach(Errc::ok);
      server.arm(Http1Server::Deadline::watch, watch_delay);
    } else {
      server.closing_ = true;  // whoever reads ends the stream
    }
    return got;
  }
}

Task<Result<void>> RequestBody::readable() {
  if (server_ && !ended_) co_await server_->watch().wait();
  co_return Result<void>();
}

void RequestBody::cancel(Errc cause) noexcept { detach(cause); }

void RequestBody::detach(Errc cause) {
  if (!server_) return;
  cause_ = cause;
  server_->request_body_ = nullptr;
  if (ReadWatch* watch = std::exchange(server_, nullptr)->watch_.get()) watch->interrupt();
}

// ---- Http1Server

Http1Options server_options(const HttpConnectionManager& hcm, Http1CodecStats& stats) {
  Http1Options options;
  options.max_head_bytes = std::size_t{hcm.max_headers_kb} * 1024;
  options.max_fields = hcm.max_headers_count;
  options.accept_http_10 = hcm.accept_http_10;
  options.allow_absolute_url = hcm.allow_absolute_url;
  options.preserve_case = hcm.preserve_header_case;
  options.default_host = hcm.default_host_for_http_10;
  options.underscores = hcm.headers_with_underscores;
  options.stats = &stats;
  return options;
}

Task<void> Http1Server::run(std::unique_ptr<Http1Server> self, Buffer initial) {
  Http1Server& server = *self;
  server.input_ = std::move(initial);
  for (bool more = true; more;) {
    server.rest();
    while (server.starved()) {
      Task<Result<void>> there = server.readable();
      co_await std::move(there);
    }
    server.timer_.cancel();
    server.idle_ = false;
    if (server.opening_ == Opening::preface) {
      Task<void> other = hand_over(std::move(self));
      co_await std::move(other);
      co_return;
    }
    if (server.requests_ == 0) server.begin();
    more = !server.input_.empty();
    if (more) more = co_await server.serve_one();
    if (more && server.share_.spent(0)) co_await server.service.worker.loop().yield();
  }
  co_await server.end();
}

/// Without the frame and the object of HTTP/1.
Task<void> Http1Server::hand_over(std::unique_ptr<Http1Server> self) {
  Buffer input = std::move(self->input_);
  ServedConnection connection = std::move(*self);
  self.reset();
  return serve_http2(std::move(connection), std::move(input));
}

/// The first bytes are ours.
void Http1Server::begin() {
  service.stats.downstream_cx_http1_total.add();
  service.stats.downstream_cx_http1_active.add();
  if (!hcm.max_connection_duration || *hcm.max_connection_duration <= Duration::zero()) return;
  life_ = std::make_unique<Timer>(service.worker.timers(), [this] { life_over(); });
  life_->arm(*hcm.max_connection_duration);
}

/// Between requests.
void Http1Server::rest() {
  idle_ = true;
  arm(Deadline::idle, idle_time(hcm));
}

/// Nothing is there to serve, nor to tell the codec by; it may still come.
bool Http1Server::starved() {
  for (;;) {
    look_at_opening();
    if (!input_.empty() && opening_ != Opening::unknown) return false;
    const Result<std::size_t> got = fill();
    if (!got) return got.error().code == Errc::would_block;
  }
}

void Http1Server::look_at_opening() {
  if (opening_ != Opening::unknown) return;
  const std::string_view bytes = input_.pull_up(std::min(input_.size(), h2_preface.size()));
  if (hcm.codec != HttpConnectionManager::Codec::automatic || !h2_preface.starts_with(bytes))
    opening_ = Opening::request;
  else if (bytes.size() == h2_preface.size())
    opening_ = Opening::preface;
}

Task<void> Http1Server::end() {
  life_.reset();
  co_await linger();
  transport.close(Errc::eof);
  service.stats.downstream_cx_http1_active.sub();
  service.stats.count_end(left_, ended_active_);
  if (watch_) co_await watch_->join();
}

/// Zero: never.
void Http1Server::arm(Deadline deadline, Duration after) {
  deadline_ = deadline;
  if (after > Duration::zero())
    timer_.arm(after);
  else
    timer_.cancel();
}

void Http1Server::time_over() {
  switch (deadline_) {
    case Deadline::idle: service.stats.downstream_cx_idle_timeout.add(); return transport.close(Errc::idle_timeout);
    case Deadline::linger:
      service.stats.downstream_cx_delayed_close_timeout.add();
      return transport.close(Errc::idle_timeout);
    case Deadline::head: head_late_ = true; return watch().interrupt();
    case Deadline::watch: return watch().start();
  }
}

void Http1Server::life_over() {
  if (draining_) {
    if (idle_) transport.close(Errc::idle_timeout);
    return;
  }
  service.stats.downstream_cx_max_duration_reached.add();
  draining_ = true;
  life_->arm(hcm.drain_timeout);
}

ReadWatch& Http1Server::watch() {
  if (!watch_) {
    watch_ = std::make_unique<ReadWatch>(service.worker, transport);
    watch_->on_ready = [this] { client_ready(); };
  }
  return *watch_;
}

/// What is there while a request is being served.
class Http1Server::Serving {
 public:
  Serving(Http1Server& server, Stream& stream) : server_(server) {
    server.stream_ = &stream;
    server.decoder_ = std::make_unique<Http1Decoder>(Http1Decoder::Kind::request,
                                                     server_options(server.hcm, server.service.stats.http1));
    server.decoder_->begin(stream.request);
  }
  ~Serving() {
    server_.timer_.cancel();
    if (server_.request_body_) server_.request_body_->detach(Errc::canceled);
    server_.decoder_.reset();
    server_.stream_ = nullptr;
  }

 private:
  Http1Server& server_;
};

/// One request, from its first byte to its end. Whether the connection can serve another one.
Task<bool> Http1Server::serve_one() {
  Stream stream(service.worker, info, hcm);
  stream.http_stats = &service.stats;
  stream.info.connection = &info;
  stream.info.start = service.worker.clock().now();
  stream.info.start_wall = service.worker.clock().wall();
  stream.info.protocol = to_string(HttpVersion::http11);
  Serving serving(*this, stream);
  const Result<void> head = co_await read_head();
  ++requests_;
  if (!head) {
    closing_ = true;
    if (head.error().code == Errc::eof) co_return false;  // nothing but line ends came
    service.stats.downstream_rq_http1_total.add();
    if (head.error().code == Errc::request_timeout)
      service.stats.downstream_rq_header_timeout.add();
    else if (head.error().code != Errc::downstream_closed)
      service.stats.downstream_cx_protocol_error.add();
    co_await refuse_stream(stream, head.error().code, decoder_->details(), *this, service.observer);
    co_return false;
  }
  stream.info.protocol = to_string(stream.request.version);
  service.stats.downstream_rq_http1_total.add();
  BodyPtr body;
  if (stream.request.end_stream)
    arm(Deadline::watch, watch_delay);
  else
    body = std::make_unique<RequestBody>(*this);
  Task<Result<void>> running = run_stream(stream, std::move(body), service.forwarder, *this, service.observer);
  const bool said_close = !stream.request.keep_alive;  // not what we make of it
  const Result<void> answered = co_await std::move(running);
  last_ = said_close && decoder_->complete();
  co_return answered.has_value() && !closing_;
}

Task<Result<void>> Http1Server::read_head() {
  head_late_ = false;
  Result<void> result = decoder_->read_head(input_);
  if (result || result.error().code != Errc::would_block) co_return result;
  // The head's own time answers, the stream's closes.
  const Duration limit = head_time(hcm);
  arm(limit == hcm.request_headers_timeout ? Deadline::head : Deadline::idle, limit);
  while (!result && result.error().code == Errc::would_block) {
    const Result<std::size_t> got = fill();
    if (!got && got.error().code == Errc::would_block) co_await watch().wait();
    result = head_late_ ? Result<void>(Error{Errc::request_timeout}) : decoder_->read_head(input_);
  }
  timer_.cancel();
  co_return result;
}

/// Reads what there is, one piece. The end of the stream is told to the decoder.
Result<std::size_t> Http1Server::fill() {
  const Result<std::size_t> got = transport.try_read(input_, read_size);
  if (!got && got.error().code != Errc::would_block) {
    if (decoder_) decoder_->end_of_input();
    ended(got.error().code);
  }
  return got;
}

/// The connection is over, whoever ended it.
void Http1Server::ended(Errc cause) {
  if (!std::exchange(ended_, true)) {
    left_ = ended_by_peer(cause);
    ended_active_ = stream_ != nullptr;
    if (left_ && ended_active_) service.stats.downstream_rq_rx_reset.add();
  }
  closing_ = true;
}

/// The background watch: while a request that is complete is being served, nobody else reads.
void Http1Server::client_ready() {
  if (!stream_ || !input_.empty()) return;  // a pipelined request hides whether its sender is still there
  const Result<std::size_t> got = fill();
  if (got) return;
  if (got.error().code == Errc::would_block) return watch().start();
  client_gone(Errc::downstream_closed);
}

void Http1Server::client_gone(Errc cause) {
  if (!stream_) return;
  if (response_body_) response_body_->cancel(cause);
  stream_->cancel(cause);
}

bool Http1Server::must_close() const {
  return closing_ || enough_requests() || draining_ || drain.draining() || !stream_->request.keep_alive ||
         !decoder_->complete();
}

Task<Result<void>> Http1Server::inform(const ResponseHead& head) {
  if (stream_->request.version == HttpVersion::http10) co_return Result<void>();  // RFC 9110 15.2
  const ResponseEncoding encoding{stream_->request, true, false, hcm.preserve_header_case};
  encode_response_head(output_, head, encoding);
  co_return co_await write_all(transport, output_);
}

Task<Result<void>> Http1Server::respond(ResponseHead& head, Body* body) {
  if (!head.upgraded && must_close()) {
    if (drain.draining() && !closing_) service.stats.downstream_cx_drain_close.add();
    if (enough_requests() && !closing_) service.stats.downstream_cx_max_requests_reached.add();
    closing_ = true;
  }
  const ResponseEncoding encoding{stream_->request, body == nullptr, closing_, hcm.preserve_header_case};
  encoder_ = encode_response_head(output_, head, encoding);
  const auto framing = encoder_.framing();
  if (framing == Http1Decoder::Framing::raw || framing == Http1Decoder::Framing::until_close) closing_ = true;
  Result<void> sent;
  if (body && framing != Http1Decoder::Framing::none) {
    response_body_ = body;
    sent = co_await send_body(*body);
    response_body_ = nullptr;
  } else {
    if (body) body->cancel(Errc::canceled);  // HEAD, 204, 304: nothing follows, whatever there is
    sent = co_await send_last();
  }
  if (!sent) {
    ended(sent.error().code);
    if (body) body->cancel(sent.error().code);
    // Only a reset tells a client that a body which the connection's end would end is not whole.
    transport.close(sent.error().code, framing == Http1Decoder::Framing::until_close);
  }
  co_return sent;
}

Task<Result<void>> Http1Server::send_body(Body& body) {
  Buffer piece;
  for (;;) {
    const Result<std::size_t> got = body.try_read(piece, write_size - std::min(write_size - 1, output_.size()));
    if (got) {
      if (!encoder_.encode(output_, piece)) co_return Error{Errc::upstream_protocol_error};
      if (output_.size() < write_size) continue;
    } else if (got.error().code == Errc::eof) {
      if (!encoder_.finish(output_)) co_return Error{Errc::upstream_protocol_error};
      co_return co_await send_last();
    } else if (got.error().code != Errc::would_block) {
      const Result<void> flushed = co_await write_all(transport, output_);  // what was whole is delivered
      co_return flushed ? Result<void>(got.error()) : flushed;
    }
    const Result<void> written = co_await write_all(transport, output_);
    if (!written) co_return written;
    if (got) {
      if (share_.spent(write_size)) co_await service.worker.loop().yield();
      continue;
    }
    const Result<void> ready = co_await body.readable();
    (void)ready;  // try_read says it
  }
}

/// The end of an answer.
Task<Result<void>> Http1Server::send_last() {
  if (closing_) transport.end_follows();
  return write_all(transport, output_);
}

/// Our last words are said; bytes that the client still sends are read and forgotten for a while. One that said close
/// sends none (RFC 9112 9.6).
Task<void> Http1Server::linger() {
  if (!transport.shutdown_write()) co_return;
  arm(Deadline::linger, linger_timeout);
  for (;;) {
    input_.clear();
    const Result<std::size_t> got = transport.try_read(input_, read_size);
    if (got) {
      if (share_.spent(*got)) co_await service.worker.loop().yield();
      continue;
    }
    left_ |= got.error().code == Errc::eof;
    if (got.error().code != Errc::would_block || last_) break;
    Task<Result<void>> there = readable();
    co_await std::move(there);
  }
  timer_.cancel();
}

}  // namespace

Task<void> serve_http1(ServedConnection connection, Buffer initial) {
  return Http1Server::run(std::make_unique<Http1Server>(std::move(connection)), std::move(initial));
}

}  // namespace clew
