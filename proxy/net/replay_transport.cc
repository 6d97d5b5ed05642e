#include "proxy/net/replay_transport.h"

#include <algorithm>

namespace clew {

namespace {

class ReplayTransport final : public Transport {
 public:
  ReplayTransport(std::unique_ptr<Transport> below, Buffer initial)
      : below_(std::move(below)), initial_(std::move(initial)) {}

  Result<std::size_t> try_read(Buffer& into, std::size_t max) override {
    if (initial_.empty() || closed_) return below_->try_read(into, max);
    const std::size_t n = std::min(max, initial_.size());
    into.append(initial_, n);
    return n;
  }
  Result<std::size_t> try_write(Buffer& from) override { return below_->try_write(from); }
  void end_follows() override { below_->end_follows(); }
  Task<Result<void>> readable() override {
    if (initial_.empty() || closed_) co_return co_await below_->readable();
    co_return Result<void>();
  }
  Task<Result<void>> writable() override { return below_->writable(); }
  Result<void> shutdown_write() override { return below_->shutdown_write(); }
  void close(Errc cause, bool reset) noexcept override {
    closed_ = true;
    below_->close(cause, reset);
  }
  const TlsInfo* tls() const override { return below_->tls(); }
  std::uint64_t wire_bytes_read() const override { return below_->wire_bytes_read(); }
  std::uint64_t wire_bytes_written() const override { return below_->wire_bytes_written(); }
  void count_into(ByteCounters& counters) override {
    counters.read.add(initial_.size());
    below_->count_into(counters);
  }

 private:
  std::unique_ptr<Transport> below_;
  Buffer initial_;
  bool closed_ = false;
};

}  // namespace

std::unique_ptr<Transport> replay(std::unique_ptr<Transport> below, Buffer initial) {
  return std::make_unique<ReplayTransport>(std::move(below), std::move(initial));
}

}  // namespace clew
