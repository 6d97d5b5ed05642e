// Bytes to and from a peer: plain socket, TLS over one, or memory (tests). Not a coroutine itself: what is there is
// taken without suspending, only readiness is awaited. One reader and one writer at a time, on the worker's thread.
#pragma once

#include "proxy/base/buffer.h"
#include "proxy/base/recycled.h"
#include "proxy/base/result.h"
#include "proxy/net/task.h"
#include "proxy/stats/stats.h"

#include <cstddef>
#include <cstdint>

namespace clew {

struct TlsInfo;  // proxy/net/connection_info.h

class Transport : public Recycled {
 public:
  virtual ~Transport() = default;

  /// Takes up to max bytes that are there: their number (> 0), would_block, eof, or what ended the connection.
  virtual Result<std::size_t> try_read(Buffer& into, std::size_t max) = 0;
  /// Sends and consumes what the peer takes now: the number of bytes (> 0), would_block, or what ended the connection.
  /// TLS: one record a slab-full, several records a system call. After would_block the next call must bring the same
  /// first bytes (more may follow them): they may be encrypted and partly under way. An empty buffer: 0.
  virtual Result<std::size_t> try_write(Buffer& from) = 0;
  /// The rest is written now and ends with shutdown_write() at once: it may wait for that, so that both share a packet.
  /// close() alone would lose it where the peer has sent what nobody has read.
  virtual void end_follows() {}
  /// Until try_read (try_write) is worth calling again, or close().
  virtual Task<Result<void>> readable() = 0;
  virtual Task<Result<void>> writable() = 0;
  /// Ends our direction (FIN; TLS: close_notify first); everything written before must have been taken. The other
  /// direction goes on. would_block: call again when writable.
  virtual Result<void> shutdown_write() = 0;
  /// Ends both directions at once; pending and later operations give `cause`. Idempotent.
  /// reset: with RST rather than FIN.
  virtual void close(Errc cause, bool reset = false) noexcept = 0;

  /// Null for plain text.
  virtual const TlsInfo* tls() const { return nullptr; }
  /// Bytes that crossed the wire.
  virtual std::uint64_t wire_bytes_read() const { return 0; }
  virtual std::uint64_t wire_bytes_written() const { return 0; }
  /// From now on what is read and written is added there, as it happens; TLS: the plain text, as Envoy has it.
  /// The counters outlive the transport.
  virtual void count_into(ByteCounters&) {}
};

/// Writes all of it (suspending as needed).
Task<Result<void>> write_all(Transport& transport, Buffer& bytes);

}  // namespace clew
