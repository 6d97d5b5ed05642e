// serve_http1: an HTTP/1 connection from a client. One coroutine owns it and serves one request after the other; what a
// client pipelines waits, unread beyond one piece.
#include "proxy/base/log.h"
#include "proxy/http/h1_codec.h"
#include "proxy/http/read_watch.h"
#include "proxy/http/server_connection.h"

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

class Http1Server final : public ResponseWriter {
 public:
  Http1Server(HttpService service, Transport& transport, const ConnectionInfo& connection,
              const HttpConnectionManager& hcm, DrainSignal& drain);

  Task<void> run(Buffer initial);

  Task<Result<void>> inform(const ResponseHead& head) override;
  Task<Result<void>> respond(ResponseHead& head, Body* body) override;
  void abort(Errc cause) noexcept override { transport_.close(cause); }

 private:
  friend class RequestBody;

  Task<bool> serve_one();
  Task<bool> wait_for_request();
  Task<Result<void>> read_head();
  Result<std::size_t> fill();
  Task<Result<void>> send_body(Body& body);
  Task<void> linger();
  void client_ready();
  void client_gone(Errc cause);
  bool must_close() const;

  HttpService service_;
  Transport& transport_;
  const ConnectionInfo& connection_;
  const HttpConnectionManager& hcm_;
  DrainSignal& drain_;
  Http1Decoder decoder_;
  ReadWatch watch_;
  Buffer input_, output_;
  Http1BodyEncoder encoder_;
  Stream* stream_ = nullptr;             // the one being served
  RequestBody* request_body_ = nullptr;  // while somebody has it
  Body* response_body_ = nullptr;        // while respond() pulls it
  Timer idle_timer_, life_timer_, drain_timer_, head_timer_, watch_timer_;
  std::uint64_t requests_ = 0;
  bool idle_ = false, closing_ = false, head_late_ = false, draining_ = false;
};

// ---- RequestBody

RequestBody::RequestBody(Http1Server& server) : server_(&server) { server.request_body_ = this; }

Result<std::size_t> RequestBody::try_read(Buffer& into, std::size_t max) {
  if (ended_) return Error{Errc::eof};
  if (!server_) return Error{cause_};
  Http1Server& server = *server_;
  for (;;) {
    const Result<std::size_t> got = server.decoder_.read_body(server.input_, into, max);
    if (got) return got;
    if (got.error().code == Errc::would_block) {
      const Result<std::size_t> read = server.fill();
      if (read || server.decoder_.input_ended()) continue;
      return read;
    }
    if (got.error().code == Errc::eof) {
      // As in Envoy an upgraded connection has no half-close. The end is told at the second question: what came before
      // it is sent by then.
      if (server.decoder_.framing() == Http1Decoder::Framing::raw) {
        if (!std::exchange(leaving_, true)) return Error{Errc::would_block};
        server.client_gone(Errc::downstream_closed);
        return Error{Errc::downstream_closed};
      }
      ended_ = true;
      detach(Errc::ok);
      server.watch_timer_.arm(watch_delay);
    } else {
      server.closing_ = true;  // whoever reads ends the stream
    }
    return got;
  }
}

Task<Result<void>> RequestBody::readable() {
  if (server_ && !ended_) co_await server_->watch_.wait();
  co_return Result<void>();
}

void RequestBody::cancel(Errc cause) noexcept { detach(cause); }

void RequestBody::detach(Errc cause) {
  if (!server_) return;
  cause_ = cause;
  server_->request_body_ = nullptr;
  std::exchange(server_, nullptr)->watch_.interrupt();
}

// ---- Http1Server

Http1Options server_options(const HttpConnectionManager& hcm) {
  Http1Options options;
  options.max_head_bytes = std::size_t{hcm.max_headers_kb} * 1024;
  options.max_fields = hcm.max_headers_count;
  options.accept_http_10 = hcm.accept_http_10;
  options.allow_absolute_url = hcm.allow_absolute_url;
  options.preserve_case = hcm.preserve_header_case;
  options.default_host = hcm.default_host_for_http_10;
  options.underscores = hcm.headers_with_underscores;
  return options;
}

Http1Server::Http1Server(HttpService service, Transport& transport, const ConnectionInfo& connection,
                         const HttpConnectionManager& hcm, DrainSignal& drain)
    : service_(service),
      transport_(transport),
      connection_(connection),
      hcm_(hcm),
      drain_(drain),
      decoder_(Http1Decoder::Kind::request, server_options(hcm)),
      watch_(service.worker, transport),
      idle_timer_(service.worker.timers(),
                  [this] {
                    service_.stats.downstream_cx_idle_timeout.add();
                    transport_.close(Errc::idle_timeout);
                  }),
      life_timer_(service.worker.timers(),
                  [this] {
                    service_.stats.downstream_cx_max_duration_reached.add();
                    draining_ = true;
                    drain_timer_.arm(hcm_.drain_timeout);
                  }),
      drain_timer_(service.worker.timers(),
                   [this] {
                     if (idle_) transport_.close(Errc::idle_timeout);
                   }),
      head_timer_(service.worker.timers(),
                  [this] {
                    head_late_ = true;
                    watch_.interrupt();
                  }),
      watch_timer_(service.worker.timers(), [this] { watch_.start(); }) {
  watch_.on_ready = [this] { client_ready(); };
}

Task<void> Http1Server::run(Buffer initial) {
  service_.stats.downstream_cx_http1_total.add();
  if (hcm_.max_connection_duration && *hcm_.max_connection_duration > Duration::zero())
    life_timer_.arm(*hcm_.max_connection_duration);
  input_ = std::move(initial);
  for (bool more = true; more;) {
    more = co_await wait_for_request();
    if (more) more = co_await serve_one();
  }
  for (Timer* timer : {&idle_timer_, &life_timer_, &drain_timer_, &head_timer_, &watch_timer_}) timer->cancel();
  co_await linger();
  transport_.close(Errc::eof);
  co_await watch_.join();
}

/// One request, from its first byte to its end; an idle connection has no stream. Whether it can serve another one.
Task<bool> Http1Server::serve_one() {
  Stream stream(service_.worker, connection_, hcm_);
  stream.http_stats = &service_.stats;
  stream.info.connection = &connection_;
  stream.info.start = service_.worker.clock().now();
  stream.info.start_wall = service_.worker.clock().wall();
  stream.info.protocol = to_string(HttpVersion::http11);
  stream_ = &stream;
  decoder_.begin(stream.request);
  const Result<void> head = co_await read_head();
  ++requests_;
  if (!head) {
    closing_ = true;
    if (head.error().code == Errc::eof) {
      stream_ = nullptr;
      co_return false;  // nothing but line ends came
    }
    if (head.error().code != Errc::downstream_closed && head.error().code != Errc::request_timeout)
      service_.stats.downstream_cx_protocol_error.add();
    co_await refuse_stream(stream, head.error().code, decoder_.details(), *this, service_.observer);
    stream_ = nullptr;
    co_return false;
  }
  stream.info.protocol = to_string(stream.request.version);
  service_.stats.downstream_rq_http1_total.add();
  BodyPtr body;
  if (stream.request.end_stream)
    watch_timer_.arm(watch_delay);
  else
    body = std::make_unique<RequestBody>(*this);
  Task<Result<void>> running = run_stream(stream, std::move(body), service_.forwarder, *this, service_.observer);
  const Result<void> answered = co_await std::move(running);
  watch_timer_.cancel();
  if (request_body_) request_body_->detach(Errc::canceled);
  stream_ = nullptr;
  co_return answered.has_value() && !closing_;
}

/// Between requests: false when none will come.
Task<bool> Http1Server::wait_for_request() {
  idle_ = true;
  const Duration timeout = hcm_.idle_timeout.value_or(std::chrono::hours(1));
  if (input_.empty() && timeout > Duration::zero()) idle_timer_.arm(timeout);
  bool there = true;
  while (input_.empty()) {
    const Result<std::size_t> got = fill();
    if (got) break;
    if (got.error().code != Errc::would_block) {
      there = false;
      break;
    }
    co_await watch_.wait_plainly();
  }
  idle_timer_.cancel();
  idle_ = false;
  co_return there;
}

Task<Result<void>> Http1Server::read_head() {
  head_late_ = false;
  Result<void> result = decoder_.read_head(input_);
  if (result || result.error().code != Errc::would_block) co_return result;
  if (hcm_.request_headers_timeout > Duration::zero()) head_timer_.arm(hcm_.request_headers_timeout);
  idle_timer_.arm(hcm_.stream_idle_timeout > Duration::zero() ? hcm_.stream_idle_timeout
                                                              : hcm_.idle_timeout.value_or(std::chrono::hours(1)));
  while (!result && result.error().code == Errc::would_block) {
    const Result<std::size_t> got = fill();
    if (!got && got.error().code == Errc::would_block) co_await watch_.wait();
    result = head_late_ ? Result<void>(Error{Errc::request_timeout}) : decoder_.read_head(input_);
  }
  head_timer_.cancel();
  idle_timer_.cancel();
  co_return result;
}

/// Reads what there is, one piece. The end of the stream is told to the decoder.
Result<std::size_t> Http1Server::fill() {
  const Result<std::size_t> got = transport_.try_read(input_, read_size);
  if (!got && got.error().code != Errc::would_block) {
    decoder_.end_of_input();
    closing_ = true;
  }
  return got;
}

/// The background watch: while a request that is complete is being served, nobody else reads.
void Http1Server::client_ready() {
  if (!stream_ || !input_.empty()) return;  // a pipelined request hides whether its sender is still there
  const Result<std::size_t> got = fill();
  if (got) return;
  if (got.error().code == Errc::would_block) return watch_.start();
  client_gone(Errc::downstream_closed);
}

void Http1Server::client_gone(Errc cause) {
  if (!stream_) return;
  if (response_body_) response_body_->cancel(cause);
  stream_->cancel(cause);
}

bool Http1Server::must_close() const {
  const bool enough = hcm_.max_requests_per_connection != 0 && requests_ >= hcm_.max_requests_per_connection;
  return closing_ || enough || draining_ || drain_.draining() || !stream_->request.keep_alive || !decoder_.complete();
}

Task<Result<void>> Http1Server::inform(const ResponseHead& head) {
  if (stream_->request.version == HttpVersion::http10) co_return Result<void>();  // RFC 9110 15.2
  const ResponseEncoding encoding{stream_->request, true, false, hcm_.preserve_header_case};
  encode_response_head(output_, head, encoding);
  co_return co_await write_all(transport_, output_);
}

Task<Result<void>> Http1Server::respond(ResponseHead& head, Body* body) {
  if (!head.upgraded && must_close()) {
    if (drain_.draining() && !closing_) service_.stats.downstream_cx_drain_close.add();
    closing_ = true;
  }
  const ResponseEncoding encoding{stream_->request, body == nullptr, closing_, hcm_.preserve_header_case};
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
    sent = co_await write_all(transport_, output_);
  }
  if (!sent) {
    closing_ = true;
    if (body) body->cancel(sent.error().code);
    // Only a reset tells a client that a body which the connection's end would end is not whole.
    transport_.close(sent.error().code, framing == Http1Decoder::Framing::until_close);
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
      co_return co_await write_all(transport_, output_);
    } else if (got.error().code != Errc::would_block) {
      const Result<void> flushed = co_await write_all(transport_, output_);  // what was whole is delivered
      co_return flushed ? Result<void>(got.error()) : flushed;
    }
    const Result<void> written = co_await write_all(transport_, output_);
    if (!written) co_return written;
    if (got) continue;
    const Result<void> ready = co_await body.readable();
    (void)ready;  // try_read says it
  }
}

/// Our last words are said; bytes that the client still sends are read and forgotten for a while.
Task<void> Http1Server::linger() {
  if (!transport_.shutdown_write()) co_return;
  Timer enough(service_.worker.timers(), [this] { transport_.close(Errc::idle_timeout); });
  enough.arm(linger_timeout);
  for (;;) {
    input_.clear();
    const Result<std::size_t> got = transport_.try_read(input_, read_size);
    if (got) continue;
    if (got.error().code != Errc::would_block) co_return;
    co_await watch_.wait_plainly();
  }
}

}  // namespace

Task<void> serve_http1(HttpService service, Transport& transport, Buffer initial, const ConnectionInfo& connection,
                       const HttpConnectionManager& hcm, DrainSignal& drain) {
  Http1Server server(service, transport, connection, hcm, drain);
  co_await server.run(std::move(initial));
}

}  // namespace clew
