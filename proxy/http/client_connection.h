// The client's side of an HTTP connection to an endpoint, h1 or h2 alike. Made and pooled by proxy/upstream; the codecs
// live here. Worker's thread only. Sans policy: no retries, no timeouts, no balancing.
#pragma once

#include "proxy/http/body.h"
#include "proxy/http/message.h"
#include "proxy/net/transport.h"
#include "proxy/net/worker.h"

#include <functional>
#include <memory>

namespace clew {

struct ClientStats;  // proxy/http/codec_stats.h
struct UpstreamHttpOptions;

/// One request and its response on a client connection. Destroying it unfinished resets the stream (h2) or closes the
/// connection (h1); before send_head() it has cost nothing. Calls of the sending half and of the receiving half may
/// interleave; each half has one caller.
class ClientExchange : public Recycled {
 public:
  virtual ~ClientExchange() = default;

  // sending half
  /// Queues the head; it leaves with the first body bytes, or when flush() or read_head() finds nothing else to do.
  /// end_stream: no body and no trailers.
  virtual Result<void> send_head(const RequestHead& head, bool end_stream) = 0;
  /// Takes all of `bytes`, waiting for window and socket; last: nothing follows.
  virtual Task<Result<void>> send_body(Buffer& bytes, bool last) = 0;
  virtual Task<Result<void>> send_trailers(const HeaderMap& trailers) = 0;
  virtual Task<Result<void>> flush() = 0;

  // receiving half
  /// The next head: 1xx heads come one by one, then the final one. After status 101 (or 200 to an extended CONNECT)
  /// upgraded is set and body() is the raw bytes.
  virtual Task<Result<void>> read_head(ResponseHead& into) = 0;
  /// After the final head; owned by the exchange.
  virtual Body& body() = 0;

  /// Gives up: RST_STREAM(CANCEL) or close. Pending calls of both halves return `cause`. Idempotent.
  virtual void reset(Errc cause) noexcept = 0;
};

/// Owns its transport and the coroutines that serve it.
class ClientConnection {
 public:
  virtual ~ClientConnection() = default;

  /// Null when it cannot take another exchange now (h1: busy; h2: peer's MAX_CONCURRENT_STREAMS; or draining, closed).
  virtual std::unique_ptr<ClientExchange> open() = 0;
  virtual bool can_open() const = 0;
  virtual std::size_t active() const = 0;
  virtual bool closed() const = 0;
  /// Finishes what is under way, takes nothing new, closes when idle.
  virtual void drain() = 0;
  virtual void close(Errc cause) noexcept = 0;
  virtual Transport& transport() = 0;
  virtual std::string_view protocol() const = 0;  // «HTTP/1.1», «HTTP/2»

  /// Called (deferred, never from inside a call into this object) whenever active(), can_open() or closed() may have
  /// changed: the pool looks again.
  std::function<void()> on_change;
};

/// stats: null: not counted.
std::unique_ptr<ClientConnection> make_http1_client(Worker& worker, std::unique_ptr<Transport> transport,
                                                    const UpstreamHttpOptions& options,
                                                    std::shared_ptr<ClientStats> stats = nullptr);
std::unique_ptr<ClientConnection> make_http2_client(Worker& worker, std::unique_ptr<Transport> transport,
                                                    const UpstreamHttpOptions& options,
                                                    std::shared_ptr<ClientStats> stats = nullptr);

}  // namespace clew
