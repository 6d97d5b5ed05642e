// A stream socket, TCP or unix, as a Transport: direct non-blocking system calls; the loop tells when it is worth it.
#pragma once

#include "proxy/base/address.h"
#include "proxy/net/event.h"
#include "proxy/net/transport.h"
#include "proxy/net/worker.h"

#include <optional>

namespace clew {

struct TcpKeepalive;  // config/snapshot/cluster.h

class SocketTransport : public Transport, private Watched {
 public:
  /// Takes a non-blocking socket. One that is connecting is writable when that has ended, well or not.
  SocketTransport(Worker& worker, int fd, bool connecting = false);
  ~SocketTransport() override;

  Result<std::size_t> try_read(Buffer& into, std::size_t max) override;
  Result<std::size_t> try_write(Buffer& from) override;
  void end_follows() override { end_follows_ = true; }
  Task<Result<void>> readable() override;
  Task<Result<void>> writable() override;
  Result<void> shutdown_write() override;
  void close(Errc cause, bool reset = false) noexcept override;
  std::uint64_t wire_bytes_read() const override { return read_; }
  std::uint64_t wire_bytes_written() const override { return written_; }
  void count_into(ByteCounters& counters) override { counters_ = &counters; }

  /// Ends a pending wait with would_block, and nothing else; also one whose socket has just become ready.
  void interrupt();

  /// -1 once closed.
  int fd() const { return fd_; }

 private:
  void on_ready(std::uint32_t events) override;
  void watch(std::uint32_t events);
  Task<Result<void>> wait(Event& event, const bool& blocked);

  Loop& loop_;
  int fd_;
  std::uint32_t watched_ = 0;  // events: none before the first wait, so a short connection may do without
  std::optional<Errc> cause_;
  std::optional<Errc> read_end_;  // the kernel reports an error once, then an orderly end
  // A short read (write) has emptied (filled) the socket's buffer: the next call would only give EAGAIN, so it is not
  // made before the loop says that there is more. An end that has been told already is not told again: then it is.
  bool drained_ = false, full_ = false, ended_ = false;
  bool plenty_ = false;  // the last read filled the room it had: the next may take several slabs
  bool end_follows_ = false, interrupted_ = false;
  int waits_ = 0;  // under way: from the call until it resumes
  Event readable_, writable_;
  std::uint64_t read_ = 0, written_ = 0;
  ByteCounters* counters_ = nullptr;
};

// Options of sockets, for accept and connect. Failures are ignored where the connection works without.
void set_no_delay(int fd);
void set_keepalive(int fd, const TcpKeepalive& keepalive);
Address local_address(int fd);
Address peer_address(int fd);

}  // namespace clew
