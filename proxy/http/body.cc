#include "proxy/http/body.h"

#include <algorithm>

namespace clew {
namespace {

class WholeBody final : public Body {
 public:
  explicit WholeBody(std::string_view bytes) { bytes_.append(bytes); }

  Result<std::size_t> try_read(Buffer& into, std::size_t max) override {
    if (canceled_ != Errc::ok) return Error{canceled_};
    if (bytes_.empty()) return Error{Errc::eof};
    const std::size_t n = std::min(max, bytes_.size());
    into.append(bytes_, n);
    return n;
  }
  Task<Result<void>> readable() override { co_return Result<void>(); }
  void cancel(Errc cause) noexcept override {
    canceled_ = cause;
    bytes_.clear();
  }

 private:
  Buffer bytes_;
  Errc canceled_ = Errc::ok;
};

}  // namespace

BodyPtr make_body(std::string_view bytes) { return std::make_unique<WholeBody>(bytes); }

}  // namespace clew
