#include "test/support/memory_transport.h"

#include <algorithm>

namespace clew {

MemoryTransport::Pair MemoryTransport::make(std::size_t capacity) {
  auto up = std::make_shared<Pipe>(), down = std::make_shared<Pipe>();
  up->capacity = down->capacity = capacity;
  return {std::unique_ptr<MemoryTransport>(new MemoryTransport(down, up)),
          std::unique_ptr<MemoryTransport>(new MemoryTransport(up, down))};
}

MemoryTransport::~MemoryTransport() { close(Errc::canceled); }

Result<std::size_t> MemoryTransport::try_read(Buffer& into, std::size_t max) {
  if (cause_) return Error{*cause_};
  if (in_->reset) return Error{Errc::connection_reset};
  if (in_->bytes.empty()) return Error{in_->ended ? Errc::eof : Errc::would_block};
  const std::size_t n = std::min({max, max_read_, in_->bytes.size()});
  // Copied: slices that two owners share would hide use after free.
  std::size_t left = n;
  while (left > 0) {
    const std::string_view piece = in_->bytes.front().substr(0, left);
    into.append(piece);
    left -= piece.size();
    in_->bytes.consume(piece.size());
  }
  read_ += n;
  if (counters_) counters_->read.add(n);
  in_->writable.notify();
  return n;
}

Result<std::size_t> MemoryTransport::try_write(Buffer& from) {
  if (cause_) return Error{*cause_};
  if (out_->reset) return Error{Errc::connection_reset};
  if (write_ended_) return Error{Errc::internal};
  if (from.empty()) return std::size_t{0};
  if (out_->bytes.size() >= out_->capacity) return Error{Errc::would_block};
  std::size_t left = std::min(from.size(), out_->capacity - out_->bytes.size());
  std::string taken;
  while (left > 0) {
    const std::string_view piece = from.front().substr(0, left);
    taken += piece;
    left -= piece.size();
    from.consume(piece.size());
  }
  out_->bytes.append(taken);
  out_->readable.notify();
  written_ += taken.size();
  if (counters_) counters_->written.add(taken.size());
  const std::size_t n = taken.size();
  writes_.push_back(std::move(taken));
  return n;
}

Task<Result<void>> MemoryTransport::readable() {
  while (!cause_ && !in_->reset && !in_->ended && in_->bytes.empty()) co_await in_->readable.wait();
  if (cause_) co_return Error{*cause_};
  co_return Result<void>();
}

Task<Result<void>> MemoryTransport::writable() {
  while (!cause_ && !out_->reset && out_->bytes.size() >= out_->capacity) co_await out_->writable.wait();
  if (cause_) co_return Error{*cause_};
  co_return Result<void>();
}

Result<void> MemoryTransport::shutdown_write() {
  if (cause_) return Error{*cause_};
  write_ended_ = true;
  out_->ended = true;
  out_->readable.notify();
  return Result<void>();
}

void MemoryTransport::close(Errc cause, bool reset) noexcept {
  if (cause_) return;
  cause_ = cause;
  closed_with_reset_ = reset;
  out_->ended = true;
  // What we will not read: the peer's writes fail, as after a FIN from a socket that is gone.
  in_->reset = true;
  if (reset) out_->reset = true;
  in_->wake();
  out_->wake();
}

void MemoryTransport::send(std::string_view bytes) {
  out_->bytes.append(bytes);
  out_->readable.notify();
}

std::string MemoryTransport::receive() {
  std::string all = in_->bytes.to_string();
  in_->bytes.clear();
  in_->writable.notify();
  return all;
}

bool MemoryTransport::at_end() const { return in_->ended && in_->bytes.empty(); }

bool MemoryTransport::was_reset() const { return in_->reset; }

void MemoryTransport::inject_reset() {
  in_->reset = out_->reset = true;
  in_->wake();
  out_->wake();
}

bool MemoryTransport::reading() const { return in_->readable.waiting(); }
bool MemoryTransport::writing() const { return out_->writable.waiting(); }

}  // namespace clew
