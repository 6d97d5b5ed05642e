// make_http1_client: one request after the other on a connection to an endpoint. A connection whose state is in any
// doubt (bytes that nobody asked for, an end that is not one, an answer before its request was sent) is never used
// again.
#include "config/snapshot/cluster.h"
#include "proxy/http/client_connection.h"
#include "proxy/http/h1_codec.h"
#include "proxy/http/read_watch.h"

#include <algorithm>
#include <utility>

namespace clew {
namespace {

constexpr std::size_t read_size = Buffer::slab_size;

/// Everything of the connection. Shared by whoever holds the connection, its exchange and the coroutine that watches
/// it, so that any of them may go first.
class Http1Core : public std::enable_shared_from_this<Http1Core> {
 public:
  Http1Core(Worker& worker, std::unique_ptr<Transport> transport, const UpstreamHttpOptions& options,
            std::shared_ptr<ClientStats> stats);

  bool can_open() const { return !closed && !busy && !draining; }
  /// Takes it for an exchange, unless it turns out to be no good.
  bool take();
  /// The exchange is over. reusable: both messages were complete and nothing speaks against others.
  void give_back(bool reusable);
  Result<std::size_t> fill();
  void close(Errc cause);
  /// Tells the pool, soon and once.
  void changed();

  Worker& worker;
  const std::shared_ptr<ClientStats> stats;  // null: not counted
  const std::unique_ptr<Transport> transport;
  Http1Decoder decoder;
  ReadWatch watch;
  Buffer input, output;
  Event written;
  ClientConnection* facade = nullptr;  // null when nobody holds it any more
  const bool preserve_case;
  bool busy = false, draining = false, closed = false, writing = false;

 private:
  void readable_while_idle();
  bool told_ = false;
};

class Http1Exchange final : public ClientExchange, public Body {
 public:
  explicit Http1Exchange(std::shared_ptr<Http1Core> core) : core_(std::move(core)) {}
  ~Http1Exchange() override;

  Result<void> send_head(const RequestHead& head, bool end_stream) override;
  Task<Result<void>> send_body(Buffer& bytes, bool last) override;
  /// HTTP/1 upstreams get no trailers, as from Envoy without enable_trailers: the body ends.
  Task<Result<void>> send_trailers(const HeaderMap& trailers) override;
  Task<Result<void>> flush() override;
  Task<Result<void>> read_head(ResponseHead& into) override;
  Body& body() override { return *this; }
  void reset(Errc cause) noexcept override;

  Result<std::size_t> try_read(Buffer& into, std::size_t max) override;
  Task<Result<void>> readable() override;
  void cancel(Errc cause) noexcept override { reset(cause); }

 private:
  Error fail(Errc cause);
  Result<void> end_body();

  const std::shared_ptr<Http1Core> core_;
  Http1BodyEncoder encoder_;
  Http1Decoder::Asked asked_;
  Errc error_ = Errc::ok;
  bool begun_ = false, request_done_ = false, final_head_ = false, upgraded_ = false;
};

/// What people hold.
class Http1Connection final : public ClientConnection {
 public:
  explicit Http1Connection(std::shared_ptr<Http1Core> core) : core_(std::move(core)) { core_->facade = this; }
  ~Http1Connection() override {
    core_->facade = nullptr;
    core_->draining = true;
    if (!core_->busy) core_->close(Errc::canceled);
  }

  std::unique_ptr<ClientExchange> open() override {
    if (!core_->take()) return nullptr;
    return std::make_unique<Http1Exchange>(core_);
  }
  bool can_open() const override { return core_->can_open(); }
  std::size_t active() const override { return core_->busy ? 1 : 0; }
  bool closed() const override { return core_->closed; }
  void drain() override {
    core_->draining = true;
    if (!core_->busy) core_->close(Errc::canceled);
    core_->changed();
  }
  void close(Errc cause) noexcept override { core_->close(cause); }
  Transport& transport() override { return *core_->transport; }
  std::string_view protocol() const override { return to_string(HttpVersion::http11); }

 private:
  const std::shared_ptr<Http1Core> core_;
};

// ---- Http1Core

Http1Options client_options(const UpstreamHttpOptions& options) {
  Http1Options out;
  out.max_head_bytes = 80 * 1024;  // Envoy's default for answers
  out.preserve_case = options.preserve_header_case;
  return out;
}

Http1Core::Http1Core(Worker& w, std::unique_ptr<Transport> t, const UpstreamHttpOptions& options,
                     std::shared_ptr<ClientStats> s)
    : worker(w),
      stats(std::move(s)),
      transport(std::move(t)),
      decoder(Http1Decoder::Kind::response, client_options(options)),
      watch(w, *transport),
      preserve_case(options.preserve_header_case) {
  if (stats) transport->count_into(stats->bytes);
  watch.on_ready = [this] {
    if (!busy && !closed) readable_while_idle();
  };
}

bool Http1Core::take() {
  if (!can_open()) return false;
  // An answer to no question, or the end, that came while it lay in the pool.
  readable_while_idle();
  if (closed) return false;
  busy = true;
  return true;
}

void Http1Core::readable_while_idle() {
  const Result<std::size_t> got = fill();
  if (got) return close(Errc::upstream_protocol_error);
  if (got.error().code != Errc::would_block) return close(Errc::upstream_closed);
  watch.start(shared_from_this());
}

void Http1Core::give_back(bool reusable) {
  busy = false;
  if (!reusable || draining || !input.empty() || !output.empty()) return close(Errc::canceled);
  readable_while_idle();
  changed();
}

Result<std::size_t> Http1Core::fill() { return transport->try_read(input, read_size); }

void Http1Core::close(Errc cause) {
  if (std::exchange(closed, true)) return;
  transport->close(cause);
  watch.stop();
  changed();
}

void Http1Core::changed() {
  if (!facade || std::exchange(told_, true)) return;
  worker.post([self = shared_from_this()] {
    self->told_ = false;
    if (self->facade && self->facade->on_change) self->facade->on_change();
  });
}

// ---- Http1Exchange

Http1Exchange::~Http1Exchange() {
  const bool whole = error_ == Errc::ok && request_done_ && final_head_ && core_->decoder.complete();
  core_->give_back(!begun_ || (whole && core_->decoder.keep_alive()));
}

Error Http1Exchange::fail(Errc cause) {
  if (error_ == Errc::ok) error_ = cause;
  core_->close(error_);
  return Error{error_};
}

void Http1Exchange::reset(Errc cause) noexcept {
  if (final_head_ && request_done_ && core_->output.empty() && core_->decoder.complete()) return;
  if (!begun_)
    error_ = cause;  // the next one can have the connection
  else
    fail(cause);
}

Result<void> Http1Exchange::send_head(const RequestHead& head, bool end_stream) {
  if (error_ != Errc::ok) return Error{error_};
  begun_ = true;
  asked_ = Http1Decoder::Asked::of(head);
  encoder_ = encode_request_head(core_->output, head, end_stream, core_->preserve_case);
  request_done_ = end_stream;
  return Result<void>();
}

Task<Result<void>> Http1Exchange::send_body(Buffer& bytes, bool last) {
  if (error_ != Errc::ok) co_return Error{error_};
  // What was not agreed upon is no request's body, and would be read as the next request.
  if (encoder_.framing() == Http1Decoder::Framing::raw && !upgraded_) co_return fail(Errc::http_upgrade_refused);
  if (!encoder_.encode(core_->output, bytes)) co_return fail(Errc::http_bad_framing);
  if (last) {
    if (const Result<void> ended = end_body(); !ended) co_return ended;
  }
  const Result<void> sent = co_await flush();
  if (sent && last && upgraded_) co_return core_->transport->shutdown_write();
  co_return sent;
}

Task<Result<void>> Http1Exchange::send_trailers(const HeaderMap&) {
  if (error_ != Errc::ok) co_return Error{error_};
  if (const Result<void> ended = end_body(); !ended) co_return ended;
  co_return co_await flush();
}

Result<void> Http1Exchange::end_body() {
  if (!encoder_.finish(core_->output)) return fail(Errc::http_bad_framing);
  request_done_ = true;
  return Result<void>();
}

/// Both halves may want it: one writes, for both.
Task<Result<void>> Http1Exchange::flush() {
  const std::shared_ptr<Http1Core> core = core_;
  while (core->writing) co_await core->written.wait();
  if (core->closed) co_return Error{error_ == Errc::ok ? Errc::upstream_closed : error_};
  core->writing = true;
  const Result<void> sent = co_await write_all(*core->transport, core->output);
  core->writing = false;
  core->written.notify();
  if (!sent) core->output.clear();
  co_return sent ? sent : Result<void>(Error{Errc::upstream_closed});
}

Task<Result<void>> Http1Exchange::read_head(ResponseHead& into) {
  if (error_ != Errc::ok) co_return Error{error_};
  if (!core_->output.empty() && !core_->writing)
    co_await flush();  // a failure shows in what can be read: maybe an answer
  into.headers.clear();
  into.original_names.clear();
  into.upgraded = false;
  core_->decoder.begin(into, asked_);
  for (;;) {
    const Result<void> result = core_->decoder.read_head(core_->input);
    if (result) break;
    if (result.error().code == Errc::eof)
      co_return fail(Errc::upstream_closed);  // half a head is worse: see the next line
    if (result.error().code != Errc::would_block) co_return fail(Errc::upstream_protocol_error);
    const Result<std::size_t> got = core_->fill();
    if (got) continue;
    if (error_ != Errc::ok) co_return Error{error_};
    if (got.error().code != Errc::would_block)
      core_->decoder.end_of_input();
    else
      co_await core_->watch.wait(core_);
  }
  final_head_ = into.status >= 200 || into.upgraded;
  upgraded_ = into.upgraded;
  co_return Result<void>();
}

Result<std::size_t> Http1Exchange::try_read(Buffer& into, std::size_t max) {
  for (;;) {
    if (error_ != Errc::ok) return Error{error_};
    const Result<std::size_t> got = core_->decoder.read_body(core_->input, into, max);
    if (got) return got;
    // As Envoy: an upgraded connection has no half-close, and its end is no end of a message.
    if (got.error().code == Errc::eof) return upgraded_ ? Result<std::size_t>(fail(Errc::upstream_closed)) : got;
    // A length that is not delivered too: an end in the middle breaks the protocol.
    if (got.error().code != Errc::would_block) return fail(Errc::upstream_protocol_error);
    const Result<std::size_t> read = core_->fill();
    if (read) continue;
    if (read.error().code == Errc::would_block) return read;
    // A reset is no orderly end, and only an orderly one ends a body that has no other. One that has breaks the
    // protocol by any end in its middle, as Envoy tells it.
    if (read.error().code != Errc::eof) {
      const auto framing = core_->decoder.framing();
      const bool open = framing == Http1Decoder::Framing::until_close || framing == Http1Decoder::Framing::raw;
      return fail(open ? Errc::upstream_closed : Errc::upstream_protocol_error);
    }
    core_->decoder.end_of_input();
  }
}

Task<Result<void>> Http1Exchange::readable() {
  if (error_ == Errc::ok && !core_->closed) co_await core_->watch.wait(core_);
  co_return Result<void>();
}

}  // namespace

std::unique_ptr<ClientConnection> make_http1_client(Worker& worker, std::unique_ptr<Transport> transport,
                                                    const UpstreamHttpOptions& options,
                                                    std::shared_ptr<ClientStats> stats) {
  return std::make_unique<Http1Connection>(
      std::make_shared<Http1Core>(worker, std::move(transport), options, std::move(stats)));
}

}  // namespace clew
