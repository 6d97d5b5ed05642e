#include "proxy/upstream/upstream_body.h"

namespace clew {

Result<std::size_t> UpstreamBody::try_read(Buffer& into, std::size_t max) {
  if (ended_ != Errc::ok) return Error{ended_};
  Body& body = call_->attempt().exchange().body();
  const Result<std::size_t> got = body.try_read(into, max);
  if (got) {
    call_->response_bytes(*got);
    return got;
  }
  const Errc code = got.error().code;
  if (code == Errc::would_block) return got;
  ended_ = code == Errc::eof ? code : call_->cause_of(code);
  call_->response_ended(code == Errc::eof ? Errc::ok : ended_, code == Errc::eof ? body.trailers() : nullptr);
  return Error{ended_};
}

Task<Result<void>> UpstreamBody::readable() {
  if (ended_ != Errc::ok) co_return Result<void>();  // try_read says how
  Result<void> ready = co_await call_->attempt().exchange().body().readable();
  // What broke it is told, and counted, by try_read.
  if (!ready && ended_ == Errc::ok) co_return Result<void>();
  co_return ready;
}

HeaderMap* UpstreamBody::trailers() {
  return ended_ == Errc::eof ? call_->attempt().exchange().body().trailers() : nullptr;
}

void UpstreamBody::cancel(Errc cause) noexcept {
  if (ended_ != Errc::ok) return;
  ended_ = cause;
  call_->attempt().exchange().reset(cause);
  call_->response_canceled();
}

}  // namespace clew
