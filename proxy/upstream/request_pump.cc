#include "proxy/upstream/request_pump.h"

#include "proxy/net/task_group.h"

#include <algorithm>

namespace clew {

void RequestPump::attach(const std::shared_ptr<RequestPump>& pump, std::shared_ptr<Attempt> attempt) {
  pump->attempt_ = std::move(attempt);
  pump->sent_ = 0;
  pump->changed_.notify();
  if (!std::exchange(pump->running_, true)) spawn(pump->loop_, run(pump));
}

void RequestPump::detach() { attempt_.reset(); }

void RequestPump::stop_keeping() {
  keeping_ = false;
  changed_.notify();
}

void RequestPump::stop(Errc cause) {
  if (std::exchange(stopped_, true)) return;
  attempt_.reset();
  keeping_ = false;
  kept_.clear();
  if (body_) body_->cancel(cause);
  changed_.notify();
}

/// Until nothing is left to send and no other try can come. It keeps a try only while it sends to it: one that fails
/// meanwhile shall not hold its lease until the client has more.
Task<void> RequestPump::run(std::shared_ptr<RequestPump> self) {
  while (!self->stopped_) {
    std::shared_ptr<Attempt> attempt = self->attempt_;
    if (attempt && !attempt->request_sent) {
      const Result<void> sent = co_await self->send_some(*attempt);
      if (sent) continue;
      if (sent.error().code == Errc::would_block) {
        if (!std::exchange(self->waiting_, true)) spawn(self->loop_, wait_for_body(self));
      } else if (self->attempt_ == attempt) {
        self->attempt_.reset();  // the reader of the response sees the same error and decides
      }
    } else if (attempt && !self->keeping_) {
      break;
    }
    attempt.reset();
    co_await self->changed_.wait();
  }
  self->attempt_.reset();
  self->running_ = false;
}

/// Beside run(), which another try may want meanwhile.
Task<void> RequestPump::wait_for_body(std::shared_ptr<RequestPump> self) {
  const Result<void> ready = co_await self->body_->readable();
  (void)ready;  // try_read says it
  self->waiting_ = false;
  self->changed_.notify();
}

Errc RequestPump::read_body(Buffer& into) {
  while (into.size() < chunk) {
    const Result<std::size_t> got = body_->try_read(into, chunk - into.size());
    if (!got) return got.error().code;
  }
  return Errc::ok;
}

/// would_block: the client has no more yet.
Task<Result<void>> RequestPump::send_some(Attempt& attempt) {
  Buffer bytes;
  if (sent_ < kept_.size()) {
    const std::size_t n = std::min(chunk, kept_.size() - sent_);
    bytes.append(std::string_view(kept_).substr(sent_, n));
    sent_ += n;
    if (!keeping_ && sent_ == kept_.size()) {
      kept_ = std::string();
      sent_ = 0;
    }
    co_return co_await attempt.exchange().send_body(bytes, false);
  }
  if (body_ended_) co_return co_await send_end(attempt);

  const Errc state = read_body(bytes);
  if (!bytes.empty()) {
    received_ += bytes.size();
    keep(bytes);
    if (state == Errc::eof) complete_now();
    // Before they are sent and not after: an upstream that has all of them, but for the word that it is all, may
    // answer.
    if (share_.spent(bytes.size())) co_await loop_.yield();
    const bool last = body_ended_ && !body_->trailers();
    const Result<void> sent = co_await attempt.exchange().send_body(bytes, last);
    attempt.request_sent = last && sent;
    co_return sent;
  }
  if (state == Errc::eof) {
    complete_now();
    co_return co_await send_end(attempt);
  }
  if (state != Errc::would_block && on_client_error) on_client_error(state);
  co_return Error{state};
}

Task<Result<void>> RequestPump::send_end(Attempt& attempt) {
  Buffer nothing;
  const HeaderMap* const trailers = body_->trailers();
  Task<Result<void>> sending =
      trailers ? attempt.exchange().send_trailers(*trailers) : attempt.exchange().send_body(nothing, true);
  const Result<void> sent = co_await std::move(sending);
  attempt.request_sent = sent.has_value();
  co_return sent;
}

void RequestPump::keep(const Buffer& bytes) {
  if (!keeping_) return;
  if (kept_.size() + bytes.size() > keep_limit_) {
    keeping_ = false;
    kept_ = std::string();  // all of it is sent already, or it would not be read on
    sent_ = 0;
    if (on_overflow) on_overflow();
    return;
  }
  kept_.append(bytes.to_string());
  sent_ = kept_.size();
}

void RequestPump::complete_now() {
  if (std::exchange(body_ended_, true)) return;
  if (on_complete) on_complete();
}

}  // namespace clew
