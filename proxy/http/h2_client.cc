// make_http2_client: one HTTP/2 connection to an endpoint, shared by exchanges.
#include "config/snapshot/cluster.h"
#include "proxy/http/client_connection.h"
#include "proxy/http/h2_io.h"
#include "proxy/net/task_group.h"

#include <algorithm>
#include <list>
#include <utility>

namespace clew {
namespace {

constexpr std::size_t high_water = 64 * 1024;  // of body that waits for the peer's window
constexpr std::size_t low_water = 16 * 1024;
constexpr std::size_t max_early_heads = 16;  // interim ones, that nobody has read yet
/// What the transport's end means to an exchange.
Errc cause_of(Errc end) {
  switch (end) {
    case Errc::http_bad_message:
    case Errc::http_flood: return Errc::upstream_protocol_error;
    case Errc::eof:
    case Errc::connection_reset: return Errc::upstream_closed;
    default: return end;
  }
}

/// Everything of the connection. Shared by its coroutines, its exchanges and the ClientConnection that people hold, so
/// that any of them may go first.
class H2ClientCore final : public H2Session::Owner {
 public:
  H2ClientCore(Worker& worker, std::unique_ptr<Transport> transport, const UpstreamHttpOptions& options,
               std::shared_ptr<ClientStats> stats);

  static Task<void> run(std::shared_ptr<H2ClientCore> self);
  static Task<void> write(std::shared_ptr<H2ClientCore> self) { co_await self->io.write(); }

  H2Stream* on_stream() override { return nullptr; }  // pushed streams are refused
  void on_goaway() override { changed(); }
  void on_settings() override { changed(); }
  void on_ping_ack() override { pong_timer_.cancel(); }

  bool can_open() const {
    return !closed && !draining_ && session.can_open() &&
           open_ < std::min(max_streams_, session.peer_max_concurrent_streams());
  }
  std::size_t open_exchanges() const { return open_; }
  void exchange_opened() { ++open_; }
  void exchange_closed();
  void drain();
  void close(Errc cause) { transport->close(cause); }
  /// Tells the pool, soon and once.
  void changed();

  Worker& worker;
  const std::shared_ptr<ClientStats> stats;  // null: not counted
  const std::unique_ptr<Transport> transport;
  H2Session session;
  H2Io io;
  ClientConnection* facade = nullptr;  // null when nobody holds it any more
  std::weak_ptr<H2ClientCore> self;
  bool closed = false;

 private:
  void ping();
  void end_if_drained();

  const std::uint32_t max_streams_;
  const Duration ping_interval_, ping_timeout_;
  Timer ping_timer_, pong_timer_;
  std::size_t open_ = 0;
  bool draining_ = false, told_ = false;
};

class H2Exchange final : public ClientExchange, public H2Stream {
 public:
  explicit H2Exchange(std::shared_ptr<H2ClientCore> core);
  ~H2Exchange() override;

  Result<void> send_head(const RequestHead& head, bool end_stream) override;
  Task<Result<void>> send_body(Buffer& bytes, bool last) override;
  Task<Result<void>> send_trailers(const HeaderMap& trailers) override;
  Task<Result<void>> flush() override;
  Task<Result<void>> read_head(ResponseHead& into) override;
  Body& body() override { return body_; }
  void reset(Errc cause) noexcept override;

  HeaderMap& headers_for(bool trailers) override;
  void on_head(const H2Head& head) override;
  void on_received() override { body_.wake(); }
  void on_sent() override {
    if (out_done || out.size() <= low_water) sending_.notify();
  }
  void on_closed() override;

 private:
  /// A head that came before read_head() asked.
  struct Early {
    H2Head head;
    HeaderMap headers;
  };

  bool failed() const { return error != Errc::ok; }
  void wake();
  void fill(ResponseHead& into, const H2Head& head) const;
  void take_early(ResponseHead& into);

  const std::shared_ptr<H2ClientCore> core_;
  Arena arena_;                                        // trailers of both directions, early heads
  std::list<Early, RecyclingAllocator<Early>> early_;  // whole ones
  std::optional<HeaderMap> decoding_;                  // the early head that is coming
  std::optional<HeaderMap> trailers_, out_trailers_copy_;
  H2Body body_;
  Event sending_, head_;
  ResponseHead* wanted_ = nullptr;  // read_head() waits for it
  bool delivered_ = false;          // *wanted_ is complete
  bool extended_connect_ = false;
  bool sent_ = false;
};

// ---- H2ClientCore

H2Options client_options(const UpstreamHttpOptions& from, ClientStats* stats) {
  H2Options options;
  options.server = false;
  options.stream_window = from.initial_stream_window;
  options.connection_window = from.initial_connection_window;
  if (stats) options.stats = &stats->http2;
  return options;
}

H2ClientCore::H2ClientCore(Worker& w, std::unique_ptr<Transport> t, const UpstreamHttpOptions& options,
                           std::shared_ptr<ClientStats> s)
    : worker(w),
      stats(std::move(s)),
      transport(std::move(t)),
      session(*this, client_options(options, stats.get())),
      io(w, *transport, session),
      max_streams_(options.max_concurrent_streams),
      ping_interval_(options.keepalive_interval.value_or(Duration::zero())),
      ping_timeout_(options.keepalive_timeout.value_or(std::chrono::seconds(20))),
      ping_timer_(w.timers(), [this] { ping(); }),
      pong_timer_(w.timers(), [this] {
        if (stats) stats->http2.keepalive_timeout.add();
        close(Errc::upstream_closed);
      }) {
  if (stats) transport->count_into(stats->bytes);
  if (ping_interval_ > Duration::zero()) ping_timer_.arm(ping_interval_);
}

Task<void> H2ClientCore::run(std::shared_ptr<H2ClientCore> self) {
  Errc end = co_await self->io.read(Buffer(), [] {});
  if (self->session.failed() != Errc::ok) end = self->session.failed();  // the transport was closed for it
  self->closed = true;
  self->ping_timer_.cancel();
  self->pong_timer_.cancel();
  self->session.abort(cause_of(end));
  self->changed();
  self->io.finish();
  co_await self->io.linger();
  self->transport->close(cause_of(end));
  self->io.flush();
}

void H2ClientCore::exchange_closed() {
  --open_;
  io.flush();
  changed();
  end_if_drained();
}

void H2ClientCore::drain() {
  if (std::exchange(draining_, true)) return;
  end_if_drained();
  changed();
}

/// The GOAWAY comes last: an exchange that is open may have its head still to send, and there are servers that take no
/// request after a GOAWAY (Go's).
void H2ClientCore::end_if_drained() {
  if (!draining_ || open_ > 0 || closed) return;
  session.goaway();
  io.finish();
}

void H2ClientCore::changed() {
  if (std::exchange(told_, true)) return;
  worker.post([weak = self] {
    const std::shared_ptr<H2ClientCore> core = weak.lock();
    if (!core) return;
    core->told_ = false;
    if (core->facade && core->facade->on_change) core->facade->on_change();
  });
}

void H2ClientCore::ping() {
  session.ping();
  io.flush();
  if (!pong_timer_.armed()) pong_timer_.arm(ping_timeout_);
  ping_timer_.arm(ping_interval_);
}

// ---- H2Exchange

H2Exchange::H2Exchange(std::shared_ptr<H2ClientCore> core)
    : core_(std::move(core)), body_(core_->session, core_->io, *this) {
  core_->exchange_opened();
  body_.on_cancel = [this](Errc cause) {
    if (!in_ended) reset(cause);
  };
}

H2Exchange::~H2Exchange() {
  body_.detach(error == Errc::ok ? Errc::canceled : error);
  core_->session.detach(*this);
  core_->exchange_closed();
}

Result<void> H2Exchange::send_head(const RequestHead& head, bool end_stream) {
  if (failed()) return Error{error};
  if (core_->closed) return Error{Errc::http_refused_stream};  // it ended while we were on our way: nothing was sent
  extended_connect_ = !head.upgrade.empty();
  sent_ = true;
  return core_->session.send_head(*this, head, end_stream);
}

Task<Result<void>> H2Exchange::send_body(Buffer& bytes, bool last) {
  if (!failed()) {
    out.append(std::move(bytes));
    out_last = last;
    core_->session.send_more(*this);
    core_->io.flush();
  }
  while (!failed() && out.size() >= high_water) co_await sending_.wait();
  if (failed()) co_return Error{error};
  co_return Result<void>();
}

Task<Result<void>> H2Exchange::send_trailers(const HeaderMap& trailers) {
  if (failed()) co_return Error{error};
  HeaderMap& copy = out_trailers_copy_.emplace(arena_);
  for (const HeaderMap::Field& field : trailers.fields()) copy.add(field.name, field.value);
  out_trailers = &copy;
  out_last = true;
  core_->session.send_more(*this);
  core_->io.flush();
  co_return Result<void>();
}

Task<Result<void>> H2Exchange::flush() {
  core_->session.send_more(*this);
  core_->io.flush();
  if (failed()) co_return Error{error};
  co_return Result<void>();
}

Task<Result<void>> H2Exchange::read_head(ResponseHead& into) {
  core_->io.flush();
  wanted_ = &into;
  while (!delivered_ && early_.empty() && !failed() && !(closed && sent_)) co_await head_.wait();
  wanted_ = nullptr;
  if (std::exchange(delivered_, false)) co_return Result<void>();
  if (early_.empty()) co_return Error{failed() ? error : Errc::upstream_protocol_error};
  take_early(into);
  co_return Result<void>();
}

void H2Exchange::take_early(ResponseHead& into) {
  const Early& first = early_.front();
  fill(into, first.head);
  into.headers.clear();
  for (const HeaderMap::Field& field : first.headers.fields()) into.headers.add(field.name, field.value);
  early_.pop_front();
}

void H2Exchange::reset(Errc cause) noexcept {
  if (!failed()) error = cause;
  core_->session.reset(*this, H2Code::cancel);
  core_->io.flush();
  wake();
}

HeaderMap& H2Exchange::headers_for(bool trailers) {
  if (trailers) return trailers_.emplace(arena_);
  if (!wanted_ || delivered_ || !early_.empty()) return decoding_.emplace(arena_);
  decoding_.reset();
  wanted_->headers.clear();
  return wanted_->headers;
}

void H2Exchange::fill(ResponseHead& into, const H2Head& head) const {
  into.status = head.status;
  into.version = HttpVersion::http2;
  into.content_length = head.content_length;
  into.end_stream = head.end_stream;
  into.upgraded = extended_connect_ && head.status == 200;
  if (into.upgraded) into.status = 101;  // as everybody above the codecs knows it
}

void H2Exchange::on_head(const H2Head& head) {
  if (decoding_) {
    early_.push_back({head, std::move(*decoding_)});
    decoding_.reset();
    if (early_.size() > max_early_heads) return reset(Errc::upstream_protocol_error);
  } else {
    fill(*wanted_, head);
    delivered_ = true;
  }
  wake();
}

void H2Exchange::on_closed() { wake(); }

void H2Exchange::wake() {
  body_.wake();
  sending_.notify();
  head_.notify();
}

// ---- the ClientConnection

class H2Client final : public ClientConnection {
 public:
  explicit H2Client(std::shared_ptr<H2ClientCore> core) : core_(std::move(core)) { core_->facade = this; }
  ~H2Client() override {
    core_->facade = nullptr;
    core_->close(Errc::canceled);
  }

  std::unique_ptr<ClientExchange> open() override {
    if (!core_->can_open()) return nullptr;
    return std::make_unique<H2Exchange>(core_);
  }
  bool can_open() const override { return core_->can_open(); }
  std::size_t active() const override { return core_->open_exchanges(); }
  bool closed() const override { return core_->closed; }
  void drain() override { core_->drain(); }
  void close(Errc cause) noexcept override { core_->close(cause); }
  Transport& transport() override { return *core_->transport; }
  std::string_view protocol() const override { return to_string(HttpVersion::http2); }

 private:
  const std::shared_ptr<H2ClientCore> core_;
};

}  // namespace

std::unique_ptr<ClientConnection> make_http2_client(Worker& worker, std::unique_ptr<Transport> transport,
                                                    const UpstreamHttpOptions& options,
                                                    std::shared_ptr<ClientStats> stats) {
  auto core = std::make_shared<H2ClientCore>(worker, std::move(transport), options, std::move(stats));
  core->self = core;
  auto client = std::make_unique<H2Client>(core);
  spawn(worker.loop(), H2ClientCore::run(core));
  spawn(worker.loop(), H2ClientCore::write(core));
  return client;
}

}  // namespace clew
