#include "proxy/http/h2_io.h"

#include "proxy/net/fair_share.h"

#include <algorithm>
#include <utility>

namespace clew {

H2Io::H2Io(Worker& worker, Transport& transport, H2Session& session)
    : worker_(worker),
      transport_(transport),
      session_(session),
      give_up_(worker.timers(), [this] { transport_.close(Errc::idle_timeout); }) {}

Task<Errc> H2Io::read(Buffer initial, std::function<void()> fed) {
  FairShare share(worker_.loop());
  Buffer in = std::move(initial);
  for (;;) {
    const std::size_t size = in.size();
    if (size > 0) {
      const Result<void> eaten = session_.feed(in, worker_.clock().now());
      fed();
      flush();
      if (!eaten) co_return eaten.error().code;
    }
    if (session_.over()) co_return Errc::eof;
    if (size > 0 && share.spent(size)) co_await worker_.loop().yield();
    const Result<std::size_t> got = transport_.try_read(in, read_size);
    if (got) continue;
    if (got.error().code != Errc::would_block) co_return got.error().code;
    const Result<void> ready = co_await transport_.readable();
    if (!ready) co_return ready.error().code;
  }
}

Task<void> H2Io::write() {
  FairShare share(worker_.loop());
  for (;;) {
    Buffer& out = session_.pending();
    if (session_.failed() != Errc::ok) finish();
    if (out.empty()) {
      if (finishing_) break;
      co_await wake_.wait();
      continue;
    }
    const Result<std::size_t> written = transport_.try_write(out);
    if (written) {
      if (share.spent(*written)) co_await worker_.loop().yield();
      continue;
    }
    if (written.error().code != Errc::would_block) {
      transport_.close(written.error().code);
      co_return;
    }
    const Result<void> ready = co_await transport_.writable();
    if (!ready) co_return;
  }
  for (;;) {
    const Result<void> ended = transport_.shutdown_write();
    if (ended || ended.error().code != Errc::would_block) break;
    const Result<void> ready = co_await transport_.writable();
    if (!ready) co_return;
  }
  give_up_.arm(linger_timeout);
}

void H2Io::finish() {
  if (finishing_) return;
  finishing_ = true;
  give_up_.arm(flush_timeout);
  flush();
}

Task<void> H2Io::linger() {
  FairShare share(worker_.loop());
  Buffer forgotten;
  for (;;) {
    const Result<std::size_t> got = transport_.try_read(forgotten, read_size);
    forgotten.clear();
    if (got) {
      if (share.spent(*got)) co_await worker_.loop().yield();
      continue;
    }
    if (got.error().code != Errc::would_block) co_return;
    const Result<void> ready = co_await transport_.readable();
    if (!ready) co_return;
  }
}

// ---- H2Body

H2Body::~H2Body() { cancel(Errc::canceled); }

Result<std::size_t> H2Body::try_read(Buffer& into, std::size_t max) {
  if (!stream_) return Error{cause_};
  if (stream_->error != Errc::ok && !stream_->in_ended) return Error{stream_->error};
  if (stream_->in.empty()) return Error{stream_->in_ended ? Errc::eof : Errc::would_block};
  const std::size_t n = std::min(max, stream_->in.size());
  into.append(stream_->in, n);
  session_->consume(*stream_, n);
  if (session_->wants_write()) io_->flush();
  return n;
}

Task<Result<void>> H2Body::readable() {
  while (!something()) co_await changed_.wait();
  co_return Result<void>();
}

void H2Body::cancel(Errc cause) noexcept {
  if (!stream_) return;
  if (on_cancel) std::exchange(on_cancel, nullptr)(cause);
  session_->discard(*stream_);
  if (session_->wants_write()) io_->flush();
  detach(cause);
}

void H2Body::detach(Errc cause) {
  if (!stream_) return;
  cause_ = cause == Errc::ok ? Errc::eof : cause;
  stream_ = nullptr;
  changed_.notify();
}

}  // namespace clew
