// Two connected transports without a kernel between them, for tests of everything above sockets.
#pragma once

#include "proxy/net/connection_info.h"
#include "proxy/net/event.h"
#include "proxy/net/transport.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace clew {

/// One end. Either may be destroyed first; the other then sees the end of the stream.
class MemoryTransport final : public Transport {
 public:
  using Pair = std::pair<std::unique_ptr<MemoryTransport>, std::unique_ptr<MemoryTransport>>;

  /// capacity: how many bytes each direction holds before try_write says would_block.
  static Pair make(std::size_t capacity = 64 * 1024);
  ~MemoryTransport() override;

  Result<std::size_t> try_read(Buffer& into, std::size_t max) override;
  Result<std::size_t> try_write(Buffer& from) override;
  void end_follows() override { last_write_ = writes_.size(); }
  Task<Result<void>> readable() override;
  Task<Result<void>> writable() override;
  Result<void> shutdown_write() override;
  void close(Errc cause, bool reset = false) noexcept override;
  const TlsInfo* tls() const override { return tls_.get(); }
  std::uint64_t wire_bytes_read() const override { return read_; }
  std::uint64_t wire_bytes_written() const override { return written_; }
  void count_into(ByteCounters& counters) override { counters_ = &counters; }

  // for tests: this end as a person's hand
  /// Sends to the other end, whatever the capacity.
  void send(std::string_view bytes);
  /// Takes everything the other end has sent so far.
  std::string receive();
  /// The other end has ended its direction and all of it was received.
  bool at_end() const;
  /// The other end was reset, or both ends by inject_reset().
  bool was_reset() const;
  /// As if the network had broken: both ends give connection_reset from now on.
  void inject_reset();

  // for tests: what was done to this end
  /// The bytes of each successful try_write, in order.
  const std::vector<std::string>& writes() const { return writes_; }
  /// How many there were when it was said that the end follows the next one; nothing: it was not said.
  std::optional<std::size_t> last_write() const { return last_write_; }
  bool write_ended() const { return write_ended_; }
  bool closed() const { return cause_.has_value(); }
  Errc close_cause() const { return cause_.value_or(Errc::ok); }
  bool closed_with_reset() const { return closed_with_reset_; }
  /// Someone waits in readable() (writable()).
  bool reading() const;
  bool writing() const;
  /// The most that one try_read gives: small values test that code lives with pieces.
  void set_max_read(std::size_t max) { max_read_ = max; }
  void set_tls(TlsInfo info) { tls_ = std::make_shared<TlsInfo>(std::move(info)); }

 private:
  /// One direction, shared by its two ends.
  struct Pipe {
    Buffer bytes;
    std::size_t capacity = 0;
    bool ended = false;
    bool reset = false;
    Event readable, writable;
    void wake() {
      readable.notify();
      writable.notify();
    }
  };

  MemoryTransport(std::shared_ptr<Pipe> in, std::shared_ptr<Pipe> out) : in_(std::move(in)), out_(std::move(out)) {}

  std::shared_ptr<Pipe> in_, out_;
  std::vector<std::string> writes_;
  std::optional<std::size_t> last_write_;
  std::shared_ptr<const TlsInfo> tls_;
  std::optional<Errc> cause_;
  bool write_ended_ = false, closed_with_reset_ = false;
  std::size_t max_read_ = SIZE_MAX;
  std::uint64_t read_ = 0, written_ = 0;
  ByteCounters* counters_ = nullptr;
};

}  // namespace clew
