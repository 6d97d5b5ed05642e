// A message body as a source that is pulled: back-pressure is not reading. Owned by whoever pulls; one puller at a
// time.
#pragma once

#include "proxy/base/buffer.h"
#include "proxy/base/recycled.h"
#include "proxy/base/result.h"
#include "proxy/http/message.h"
#include "proxy/net/task.h"

#include <cstddef>
#include <memory>

namespace clew {

class Body : public Recycled {
 public:
  virtual ~Body() = default;

  /// Moves up to max bytes that are there into `into`: how many, would_block, eof after the last byte, or what broke it
  /// (http_stream_reset, upstream_closed, downstream_closed, …). eof is repeated.
  virtual Result<std::size_t> try_read(Buffer& into, std::size_t max) = 0;
  /// Until try_read is worth calling again.
  virtual Task<Result<void>> readable() = 0;
  /// After eof: the trailers, or null.
  virtual HeaderMap* trailers() { return nullptr; }
  /// No more of it is wanted; the peer is told where the protocol can (RST_STREAM, close). Idempotent. A readable()
  /// that is waiting returns (posted, not from inside cancel), and from now on the body touches nothing but itself: it
  /// may outlive the stream and the connection it came from.
  virtual void cancel(Errc cause) noexcept = 0;
};

using BodyPtr = std::unique_ptr<Body>;

/// A body that is all there, for local replies and tests.
BodyPtr make_body(std::string_view bytes);

}  // namespace clew
