#include "proxy/grpc/stream.h"

#include "proxy/base/strings.h"
#include "proxy/grpc/framing.h"
#include "proxy/http/local_reply.h"
#include "proxy/net/event.h"

#include <utility>

namespace clew {
namespace {

constexpr std::size_t read_size = 64 * 1024;

/// What send() queued, shared with the body that the forwarder pulls.
struct Outgoing {
  Buffer bytes;
  Errc canceled = Errc::ok;
  Event changed;
};

class OutgoingBody final : public Body {
 public:
  explicit OutgoingBody(std::shared_ptr<Outgoing> out) : out_(std::move(out)) {}

  Result<std::size_t> try_read(Buffer& into, std::size_t max) override {
    if (out_->canceled != Errc::ok) return Error{out_->canceled};
    if (out_->bytes.empty()) return Error{Errc::would_block};
    const std::size_t n = std::min(max, out_->bytes.size());
    into.append(out_->bytes, n);
    return n;
  }
  Task<Result<void>> readable() override {
    while (out_->bytes.empty() && out_->canceled == Errc::ok) co_await out_->changed.wait();
    if (out_->canceled != Errc::ok) co_return Error{out_->canceled};
    co_return Result<void>();
  }
  void cancel(Errc cause) noexcept override {
    if (out_->canceled == Errc::ok) out_->canceled = cause;
    out_->bytes.clear();
    out_->changed.notify();
  }

 private:
  std::shared_ptr<Outgoing> out_;
};

/// Interim heads say nothing to a gRPC client, and a final one does not come this way.
class NoWriter final : public ResponseWriter {
 public:
  Task<Result<void>> inform(const ResponseHead&) override { co_return Result<void>(); }
  Task<Result<void>> respond(ResponseHead&, Body*) override { co_return Error{Errc::internal}; }
};

const HttpConnectionManager& manager() {
  static const HttpConnectionManager value = [] {
    HttpConnectionManager hcm;
    hcm.stat_prefix = "grpc_client";
    hcm.generate_request_id = false;
    return hcm;
  }();
  return value;
}

}  // namespace

/// Shared with the coroutine that is in receive(), so that the GrpcStream may go away under it.
struct GrpcStream::Impl {
  Impl(Worker& worker, Forwarder& forwarder, GrpcCall c)
      : forwarder(forwarder),
        call(std::move(c)),
        target{call.cluster, 1, {}, {}},
        stream(worker, connection, manager()),
        reader(call.max_message),
        deadline(worker.timers(),
                 [this] { end(GrpcCode::deadline_exceeded, "deadline exceeded", Errc::request_timeout); }) {
    stream.info.connection = &connection;
    stream.info.start = worker.clock().now();
    stream.info.start_wall = worker.clock().wall();
    stream.info.protocol = "HTTP/2";
    stream.is_grpc = true;
    stream.internal = true;    // as Envoy counts what it asks for itself
    stream.cluster = &target;  // no route: no timeout or retry but the caller's
    make_head();
    if (call.timeout > Duration::zero()) deadline.arm(call.timeout);
  }

  void make_head() {
    RequestHead& head = stream.request;
    head.version = HttpVersion::http2;
    head.method = "POST";
    head.scheme = "http";
    head.authority = call.authority.empty() ? call.cluster : call.authority;
    head.path = call.path;
    head.headers.add(HeaderId::te, "trailers");
    head.headers.add(HeaderId::content_type, "application/grpc");
    if (call.timeout > Duration::zero()) head.headers.add(HeaderId::grpc_timeout, grpc_timeout(call.timeout));
    for (const auto& [name, value] : call.metadata) head.headers.add(name, value);
  }

  /// The first cause stands.
  void end(std::uint32_t code, std::string message, Errc cause) {
    if (ended) return;
    finish(code, std::move(message));
    OutgoingBody(out).cancel(cause);
    if (stream.abandon) stream.abandon(cause);
    if (body) body->cancel(cause);
  }
  void finish(std::uint32_t code, std::string message) {
    ended = true;
    status = {code, std::move(message)};
    deadline.cancel();
  }

  bool finish_by(const HeaderMap* headers) {
    const auto code = headers ? headers->get(HeaderId::grpc_status) : std::nullopt;
    if (!code) return false;
    const auto number = parse_uint(*code);
    finish(number && *number <= UINT32_MAX ? static_cast<std::uint32_t>(*number) : GrpcCode::unknown,
           decode_grpc_message(headers->get(HeaderId::grpc_message).value_or("")));
    return true;
  }

  /// Judges the head; false: the call is over.
  bool accept_head() {
    const ResponseHead& head = stream.response;
    if (head.end_stream || head.status != 200) {
      if (!finish_by(&head.headers)) finish(grpc_status_of(head.status), "HTTP status " + std::to_string(head.status));
    } else if (const auto type = head.headers.get(HeaderId::content_type).value_or("");
               !type.starts_with("application/grpc")) {
      finish(GrpcCode::unknown, "content type " + std::string(type));
    }
    return !ended;
  }

  void finish_at_end() {
    if (!reader.between_messages())
      finish(GrpcCode::internal, "the stream ended inside a message");
    else if (!finish_by(body->trailers()) && !finish_by(&stream.response.headers))
      finish(GrpcCode::unknown, "the stream ended without a status");
  }

  static Task<bool> open(std::shared_ptr<Impl> self);
  static Task<Result<std::string>> receive(std::shared_ptr<Impl> self);

  Forwarder& forwarder;
  const GrpcCall call;
  const WeightedCluster target;
  ConnectionInfo connection;
  Stream stream;
  NoWriter writer;
  std::shared_ptr<Outgoing> out = std::make_shared<Outgoing>();
  GrpcMessageReader reader;
  Timer deadline;
  Buffer in;
  BodyPtr body;
  bool opened = false;
  bool ended = false;
  GrpcStatus status;
};

Task<bool> GrpcStream::Impl::open(std::shared_ptr<Impl> self) {
  self->opened = true;
  BodyPtr request = std::make_unique<OutgoingBody>(self->out);
  auto answer = co_await self->forwarder.forward(self->stream, std::move(request), self->writer);
  if (auto* response = std::get_if<UpstreamResponse>(&answer)) self->body = std::move(response->body);
  // A stream may last for days, and would keep the snapshot of its first day.
  self->stream.snapshot.reset();
  if (self->ended) co_return false;
  if (const auto* reply = std::get_if<LocalReply>(&answer)) {
    self->finish(reply->grpc_status.value_or(grpc_status_of(reply->status)),
                 reply->body.empty() ? reply->details : reply->body);
    co_return false;
  }
  co_return self->accept_head();
}

Task<Result<std::string>> GrpcStream::Impl::receive(std::shared_ptr<Impl> self) {
  if (!self->opened && !self->ended) {
    const bool accepted = co_await open(self);
    if (!accepted && self->body) self->body->cancel(Errc::canceled);
  }
  while (!self->ended) {
    Result<std::string> message = self->reader.next(self->in);
    if (message) co_return message;
    if (message.error().code == Errc::out_of_memory_bound)
      self->end(GrpcCode::resource_exhausted, "message too long", Errc::canceled);
    if (message.error().code == Errc::http_bad_message)
      self->end(GrpcCode::internal, "compressed message", Errc::canceled);
    if (self->ended) break;
    const Result<std::size_t> taken = self->body->try_read(self->in, read_size);
    if (taken) continue;
    if (taken.error().code == Errc::would_block) {
      const Result<void> ready = co_await self->body->readable();
      (void)ready;  // the next try_read says it
    } else if (taken.error().code == Errc::eof) {
      self->finish_at_end();
    } else {
      self->end(GrpcCode::unavailable, std::string(to_string(taken.error().code)), taken.error().code);
    }
  }
  co_return Error{Errc::eof};
}

GrpcStream::GrpcStream(Worker& worker, Forwarder& forwarder, GrpcCall call)
    : impl_(std::make_shared<Impl>(worker, forwarder, std::move(call))) {}

GrpcStream::~GrpcStream() { cancel(); }

void GrpcStream::send(std::string_view message) {
  Outgoing& out = *impl_->out;
  if (out.canceled != Errc::ok) return;
  append_grpc_message(out.bytes, message);
  out.changed.notify();
}

Task<Result<std::string>> GrpcStream::receive() { return Impl::receive(impl_); }

const GrpcStatus& GrpcStream::status() const { return impl_->status; }

void GrpcStream::cancel() noexcept { impl_->end(GrpcCode::cancelled, "cancelled", Errc::canceled); }

}  // namespace clew
