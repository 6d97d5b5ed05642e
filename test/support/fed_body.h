// A message body in a test's hands.
#pragma once

#include "proxy/http/body.h"
#include "proxy/net/event.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

namespace clew {

/// A body that gives what a test puts into it, then its end or what broke it.
class FedBody final : public Body {
 public:
  struct State {
    Buffer bytes;
    bool ended = false;
    Errc broken = Errc::ok, canceled = Errc::ok;
    HeaderMap* trailers = nullptr;
    std::size_t taken = 0;
    Event changed;

    void feed(std::string_view text) {
      bytes.append(text);
      changed.notify();
    }
    void end() {
      ended = true;
      changed.notify();
    }
    void fail(Errc cause) {
      broken = cause;
      changed.notify();
    }
  };
  explicit FedBody(std::shared_ptr<State> state) : state_(std::move(state)) {}
  Result<std::size_t> try_read(Buffer& into, std::size_t max) override {
    if (state_->canceled != Errc::ok) return Error{state_->canceled};
    if (!state_->bytes.empty()) {
      const std::size_t n = std::min(max, state_->bytes.size());
      into.append(state_->bytes, n);
      state_->taken += n;
      return n;
    }
    if (state_->broken != Errc::ok) return Error{state_->broken};
    return Error{state_->ended ? Errc::eof : Errc::would_block};
  }
  Task<Result<void>> readable() override {
    while (state_->bytes.empty() && !state_->ended && state_->broken == Errc::ok && state_->canceled == Errc::ok)
      co_await state_->changed.wait();
    co_return Result<void>();
  }
  HeaderMap* trailers() override { return state_->trailers; }
  void cancel(Errc cause) noexcept override {
    if (state_->canceled == Errc::ok) state_->canceled = cause;
    state_->changed.notify();
  }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace clew
