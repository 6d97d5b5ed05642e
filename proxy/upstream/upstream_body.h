// The answer's body as the stream sees it: counts, and ends the call with it.
#pragma once

#include "proxy/upstream/upstream_call.h"

namespace clew {

class UpstreamBody final : public Body {
 public:
  explicit UpstreamBody(std::shared_ptr<UpstreamCall> call) : call_(std::move(call)) {}
  ~UpstreamBody() override { call_->leave(); }

  Result<std::size_t> try_read(Buffer& into, std::size_t max) override;
  Task<Result<void>> readable() override;
  HeaderMap* trailers() override;
  void cancel(Errc cause) noexcept override;

 private:
  std::shared_ptr<UpstreamCall> call_;
  Errc ended_ = Errc::ok;  // eof, or what broke it
};

}  // namespace clew
