// serve_http2: an HTTP/2 connection from a client. The reader's coroutine owns the connection; each request is a child
// that runs run_stream; one writer sends what all of them made.
#include "proxy/base/log.h"
#include "proxy/base/strings.h"
#include "proxy/http/h2_io.h"
#include "proxy/http/server_connection.h"
#include "proxy/net/task_group.h"

#include <algorithm>
#include <list>
#include <utility>
#include <vector>

namespace clew {
namespace {

class H2Server;
class ServerStream;
using Streams = std::list<ServerStream, RecyclingAllocator<ServerStream>>;

/// A request on its way, and the side that answers it.
class ServerStream final : public H2Stream, public ResponseWriter {
 public:
  ServerStream(H2Server& server, const ConnectionInfo& connection);
  ~ServerStream() override;

  HeaderMap& headers_for(bool trailers) override;
  void on_head(const H2Head& head) override;
  void on_received() override {
    if (body_) body_->wake();
  }
  void on_sent() override {
    if (out_done || out.size() <= low_water) progress_.notify();
  }
  void on_closed() override;

  Task<Result<void>> inform(const ResponseHead& head) override;
  Task<Result<void>> respond(ResponseHead& head, Body* body) override;
  void abort(Errc cause) noexcept override;

  /// Null when none follows.
  BodyPtr request_body();

  Stream stream;
  Streams::iterator self;    // in the connection's list
  bool started = false;      // run_stream has it
  std::string_view refusal;  // Envoy's name for why the head was no request

 private:
  /// The most that waits for the peer's window.
  static constexpr std::size_t high_water = 64 * 1024;
  static constexpr std::size_t low_water = 16 * 1024;

  void refuse(std::string_view why);
  bool gone() const { return closed || error != Errc::ok; }
  Errc cause() const { return error == Errc::ok ? Errc::http_stream_reset : error; }
  Task<Result<void>> pull(Body& body);
  Task<void> wait_for_progress();

  H2Server& server_;
  std::optional<HeaderMap> trailers_;
  H2Body* body_ = nullptr;  // the request's, while it lives
  Body* pulled_ = nullptr;  // the response's, while respond() reads it
  Event progress_;
  bool extended_connect_ = false;
};

class H2Server final : public H2Session::Owner, public ServedConnection, public Recycled {
 public:
  explicit H2Server(ServedConnection connection);

  /// The connection's coroutine.
  static Task<void> run(std::unique_ptr<H2Server> self, Buffer initial);

  H2Stream* on_stream() override;
  void on_ping_ack() override {
    if (draining_) last_goaway();
  }
  /// A head is complete: run_stream may have it once the session can be called again.
  void head_done(ServerStream& stream) { ready_.push_back(&stream); }
  void refuse(ServerStream& stream) { refused_.push_back(&stream); }
  /// Closed, or refused, before run_stream had it.
  void forget_unstarted(ServerStream& stream);
  /// Complete, or given up.
  void head_over(ServerStream& stream);

  H2Session session;
  H2Io io;

 private:
  void begin();
  void over(Errc why);
  void after_feed();
  Task<void> serve(ServerStream& stream);
  Task<void> bury(Streams stream);
  void bury_dead();
  void start_drain();
  void last_goaway();
  bool busy() const { return serving_ > 0 || head_of_ || !ready_.empty(); }
  void rest();
  void idle_for_long();

  /// Without a stream for so long, none is expected soon.
  static constexpr Duration rest_after = std::chrono::seconds(1);

  TaskGroup requests_, writer_;
  Streams streams_, dead_;
  std::vector<ServerStream*> ready_, refused_;
  ServerStream* head_of_ = nullptr;  // whose head is coming: one at a time, RFC 9113 4.3
  std::size_t serving_ = 0;          // requests that run_stream has
  Timer idle_timer_, life_timer_, drain_timer_, head_timer_;
  TimePoint idle_since_{};  // while idle_timer_ is armed
  std::uint64_t requests_seen_ = 0;
  bool draining_ = false, goaway_sent_ = false;
};

// ---- ServerStream

ServerStream::ServerStream(H2Server& server, const ConnectionInfo& connection)
    : stream(server.service.worker, connection, server.hcm), server_(server) {
  StreamInfo& info = stream.info;
  info.connection = &connection;
  info.start = server.service.worker.clock().now();
  info.start_wall = server.service.worker.clock().wall();
  info.protocol = to_string(HttpVersion::http2);
  stream.request.version = HttpVersion::http2;
  stream.http_stats = &server.service.stats;
}

ServerStream::~ServerStream() {
  if (body_) body_->detach(cause());
}

HeaderMap& ServerStream::headers_for(bool trailers) {
  if (!trailers) return stream.request.headers;
  return trailers_.emplace(stream.arena);
}

void ServerStream::on_head(const H2Head& head) {
  server_.head_over(*this);
  RequestHead& request = stream.request;
  request.method = head.method;
  request.scheme = head.scheme;
  request.authority = head.authority;
  request.path = head.path;
  request.content_length = head.content_length;
  request.end_stream = head.end_stream;
  if (!head.protocol.empty()) {
    // What an extended CONNECT asks for is an upgrade: everybody behind the codec sees it as HTTP/1 has it.
    extended_connect_ = true;
    request.method = "GET";
    char* lower = stream.arena.allocate(head.protocol.size());
    std::transform(head.protocol.begin(), head.protocol.end(), lower, ascii_lower);
    request.upgrade = {lower, head.protocol.size()};
  }
  if (const auto expect = request.headers.get(HeaderId::expect))
    request.expect_continue = equals_ignore_case(*expect, "100-continue");
  if (head.authority.find('@') != std::string_view::npos)  // RFC 9113 8.3.1
    return refuse("http2.violation.of.messaging.rule");
  using Underscores = HttpConnectionManager::Underscores;
  if (server_.hcm.headers_with_underscores != Underscores::allow) {
    const auto underscored = [](const HeaderMap::Field& field) {
      return field.name.find('_') != std::string_view::npos;
    };
    const std::size_t before = request.headers.size();
    request.headers.remove_if(underscored);
    const std::size_t dropped = before - request.headers.size();
    Http2CodecStats& stats = server_.service.stats.http2;
    if (server_.hcm.headers_with_underscores == Underscores::drop_header) {
      stats.dropped_headers_with_underscores.add(dropped);
    } else if (dropped > 0) {
      stats.requests_rejected_with_underscores_in_headers.add();
      return refuse("http2.unexpected_underscore");
    }
  }
  server_.head_done(*this);
}

void ServerStream::refuse(std::string_view why) {
  error = Errc::http_bad_message;
  refusal = why;
  server_.refuse(*this);
}

void ServerStream::on_closed() {
  if (!started) return server_.forget_unstarted(*this);
  on_received();
  progress_.notify();
  if (error == Errc::ok) return;
  if (pulled_) pulled_->cancel(error);
  stream.cancel(error);
}

void ServerStream::abort(Errc cause) noexcept {
  if (gone()) return;
  error = cause;
  server_.session.reset(*this, H2Code::cancel);
  server_.io.flush();
  progress_.notify();
  if (pulled_) pulled_->cancel(cause);
}

BodyPtr ServerStream::request_body() {
  if (stream.request.end_stream) return nullptr;
  auto body = std::make_unique<H2Body>(server_.session, server_.io, *this);
  body_ = body.get();
  body->on_cancel = [this](Errc) { body_ = nullptr; };
  return body;
}

Task<Result<void>> ServerStream::inform(const ResponseHead& head) {
  const Result<void> queued = server_.session.send_head(*this, head, false);
  server_.io.flush();
  co_return queued;
}

Task<Result<void>> ServerStream::respond(ResponseHead& head, Body* body) {
  if (!refusal.empty()) {
    // The reset of its stream was the answer.
    stream.info.response_code = 0;
    if (body) body->cancel(error);
    co_return Result<void>();
  }
  if (extended_connect_ && head.status == 101) head.status = 200;
  const Result<void> queued = server_.session.send_head(*this, head, body == nullptr);
  if (!queued) {
    if (body) body->cancel(queued.error().code);
    server_.session.reset(*this, H2Code::internal_error);
    server_.io.flush();
    co_return queued;
  }
  if (body) {
    pulled_ = body;
    const Result<void> pulled = co_await pull(*body);
    pulled_ = nullptr;
    if (!pulled) {
      if (!gone()) server_.session.reset(*this, H2Code::internal_error);
      server_.io.flush();
      co_return pulled;
    }
  }
  server_.session.pending();  // frames it at once when the windows allow, so that nothing is to be waited for
  server_.io.flush();
  while (!out_done && !gone()) co_await wait_for_progress();
  if (!out_done) co_return Error{cause()};
  co_return Result<void>();
}

/// Moves the body into `out`, never more than high_water ahead of what the peer takes.
Task<Result<void>> ServerStream::pull(Body& body) {
  for (;;) {
    if (gone()) {
      body.cancel(cause());
      co_return Error{cause()};
    }
    if (out.size() >= high_water) {
      server_.session.send_more(*this);
      server_.io.flush();
      co_await wait_for_progress();
      continue;
    }
    const Result<std::size_t> got = body.try_read(out, high_water - out.size());
    if (got) continue;
    if (got.error().code == Errc::eof) {
      out_last = true;
      out_trailers = body.trailers();
      server_.session.send_more(*this);
      co_return Result<void>();
    }
    if (got.error().code != Errc::would_block) co_return got.error();
    server_.session.send_more(*this);
    server_.io.flush();
    const Result<void> ready = co_await body.readable();
    (void)ready;  // try_read says it
  }
}

/// A peer that keeps its window shut is given the stream's idle timeout.
Task<void> ServerStream::wait_for_progress() {
  Timer patience(server_.service.worker.timers(), [this] {
    server_.service.stats.http2.tx_flush_timeout.add();
    abort(Errc::stream_idle_timeout);
  });
  if (server_.hcm.stream_idle_timeout > Duration::zero()) patience.arm(server_.hcm.stream_idle_timeout);
  co_await progress_.wait();
}

// ---- H2Server

H2Options server_options(const HttpConnectionManager& hcm, Http2CodecStats& stats) {
  H2Options options;
  options.server = true;
  options.max_concurrent_streams = hcm.max_concurrent_streams;
  options.stream_window = hcm.initial_stream_window;
  options.connection_window = hcm.initial_connection_window;
  options.max_header_bytes = std::size_t{hcm.max_headers_kb} * 1024;
  options.max_header_count = hcm.max_headers_count;
  options.extended_connect = !hcm.upgrades.empty();
  options.stats = &stats;
  return options;
}

H2Server::H2Server(ServedConnection connection)
    : ServedConnection(std::move(connection)),
      session(*this, server_options(hcm, service.stats.http2)),
      io(service.worker, transport, session),
      requests_(service.worker.loop()),
      writer_(service.worker.loop()),
      idle_timer_(service.worker.timers(), [this] { idle_for_long(); }),
      life_timer_(service.worker.timers(),
                  [this] {
                    service.stats.downstream_cx_max_duration_reached.add();
                    start_drain();
                  }),
      drain_timer_(service.worker.timers(), [this] { last_goaway(); }),
      head_timer_(service.worker.timers(), [this] {
        service.stats.downstream_rq_header_timeout.add();
        transport.close(Errc::request_timeout);
      }) {}

Task<void> H2Server::run(std::unique_ptr<H2Server> self, Buffer initial) {
  H2Server& server = *self;
  server.begin();
  const Errc why = co_await server.io.read(std::move(initial), [&server] { server.after_feed(); });
  server.over(why);
  co_await server.requests_.join();
  server.io.finish();
  co_await server.io.linger();
  server.transport.close(Errc::eof);
  co_await server.writer_.join();
  server.service.stats.downstream_cx_http2_active.sub();
}

void H2Server::begin() {
  service.stats.downstream_cx_http2_total.add();
  service.stats.downstream_cx_http2_active.add();
  if (hcm.max_connection_duration && *hcm.max_connection_duration > Duration::zero())
    life_timer_.arm(*hcm.max_connection_duration);
  drain.set_hook([this] { start_drain(); });
  if (drain.draining()) start_drain();
  rest();
  writer_.spawn(io.write());
}

void H2Server::over(Errc why) {
  if (why == Errc::http_bad_message || why == Errc::http_flood || session.failed() == Errc::http_bad_message)
    service.stats.downstream_cx_protocol_error.add();
  if (session.too_many_resets()) service.stats.downstream_rq_too_many_premature_resets.add();
  service.stats.count_end(!session.over() && ended_by_peer(why), session.active() > 0);
  CLEW_LOG(http2, debug, "connection {}: {} after {} requests", info.id, to_string(why), requests_seen_);

  drain.set_hook(nullptr);
  for (Timer* timer : {&idle_timer_, &life_timer_, &drain_timer_, &head_timer_}) timer->cancel();
  session.abort(Errc::downstream_closed);
  bury_dead();
}

H2Stream* H2Server::on_stream() {
  idle_timer_.cancel();
  head_timer_.cancel();
  ServerStream& stream = streams_.emplace_back(*this, info);
  stream.self = std::prev(streams_.end());
  head_of_ = &stream;
  return &stream;
}

void H2Server::head_over(ServerStream& stream) {
  if (head_of_ != &stream) return;
  head_of_ = nullptr;
  head_timer_.cancel();
}

void H2Server::forget_unstarted(ServerStream& stream) {
  head_over(stream);
  session.discard(stream);
  dead_.splice(dead_.end(), streams_, stream.self);
  if (!busy()) rest();
}

void H2Server::after_feed() {
  for (ServerStream* stream : refused_) {
    if (stream->closed) continue;  // reset in the same breath
    session.detach(*stream, H2Code::protocol_error);
    forget_unstarted(*stream);
  }
  refused_.clear();
  for (ServerStream* stream : ready_) {
    if (stream->closed) continue;
    stream->started = true;
    ++serving_;
    ++requests_seen_;
    requests_.spawn(serve(*stream));
  }
  ready_.clear();
  bury_dead();
  if (!busy()) rest();
  const Duration late = head_of_ ? head_time(hcm) : Duration::zero();
  if (late > Duration::zero() && !head_timer_.armed()) head_timer_.arm(late);
  if (hcm.max_requests_per_connection > 0 && requests_seen_ >= hcm.max_requests_per_connection) {
    if (!draining_) service.stats.downstream_cx_max_requests_reached.add();
    start_drain();
  }
}

/// A head that was none is logged like a request, whatever its stream came to.
void H2Server::bury_dead() {
  while (!dead_.empty()) {
    Streams one;
    one.splice(one.end(), dead_, dead_.begin());
    ServerStream& stream = one.front();
    if (stream.error == Errc::http_headers_too_large || stream.error == Errc::http_too_many_headers)
      stream.refusal = "http2.too_many_headers";
    if (stream.error == Errc::http_bad_message && stream.refusal.empty())
      stream.refusal = "http2.violation.of.messaging.rule";
    if (!stream.refusal.empty()) requests_.spawn(bury(std::move(one)));
  }
}

Task<void> H2Server::bury(Streams stream) {
  ServerStream& refused = stream.front();
  service.stats.downstream_rq_http2_total.add();
  co_await refuse_stream(refused.stream, refused.error, refused.refusal, refused, service.observer);
}

Task<void> H2Server::serve(ServerStream& stream) {
  HttpServerStats& stats = service.stats;
  stats.downstream_rq_http2_total.add();
  BodyPtr body = stream.request_body();
  const Result<void> answered =
      co_await run_stream(stream.stream, std::move(body), service.forwarder, stream, service.observer);
  // A connection that ends resets what is under way on it.
  if (stream.error == Errc::http_stream_reset || stream.error == Errc::downstream_closed)
    stats.downstream_rq_rx_reset.add();
  if (!stream.closed && (!answered || !stream.out_done)) stats.downstream_rq_tx_reset.add();
  // A request that is still coming has its answer: RFC 9113 8.1.
  session.detach(stream, stream.out_done ? H2Code::no_error : H2Code::internal_error);
  streams_.erase(stream.self);
  io.flush();
  --serving_;
  if (!busy()) rest();
}

/// No request is under way.
void H2Server::rest() {
  if (goaway_sent_ || session.failed() != Errc::ok) return io.finish();
  if (idle_timer_.armed()) return;
  idle_since_ = service.worker.clock().now();
  const Duration timeout = idle_time(hcm);
  idle_timer_.arm(timeout > Duration::zero() ? std::min(timeout, rest_after) : rest_after);
}

void H2Server::idle_for_long() {
  const Duration timeout = idle_time(hcm), left = timeout - (service.worker.clock().now() - idle_since_);
  if (timeout <= Duration::zero()) return session.rest();
  if (left > Duration::zero()) {
    session.rest();
    return idle_timer_.arm(left);
  }
  service.stats.downstream_cx_idle_timeout.add();
  last_goaway();
}

/// A first GOAWAY asks to open no more; the one that names the last stream follows when the peer has seen it.
void H2Server::start_drain() {
  if (std::exchange(draining_, true)) return;
  service.stats.downstream_cx_drain_close.add();
  session.shutdown_notice();
  session.ping();
  drain_timer_.arm(std::max(hcm.drain_timeout, Duration(std::chrono::milliseconds(1))));
  io.flush();
}

void H2Server::last_goaway() {
  if (std::exchange(goaway_sent_, true)) return;
  drain_timer_.cancel();
  session.goaway();
  io.flush();
  if (!busy()) io.finish();
}

}  // namespace

Task<void> serve_http2(ServedConnection connection, Buffer initial) {
  return H2Server::run(std::make_unique<H2Server>(std::move(connection)), std::move(initial));
}

}  // namespace clew
