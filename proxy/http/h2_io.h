// What an HTTP/2 connection needs between its session and its transport, the same for both roles: one coroutine that
// reads, one that writes, and a stream's body.
#pragma once

#include "proxy/http/body.h"
#include "proxy/http/h2_session.h"
#include "proxy/net/event.h"
#include "proxy/net/transport.h"
#include "proxy/net/worker.h"

#include <functional>

namespace clew {

/// All three must outlive the two coroutines. Worker's thread.
class H2Io {
 public:
  H2Io(Worker& worker, Transport& transport, H2Session& session);

  /// Feeds the session until it is over or the transport ends: why. Calls `fed` after each feed, when the session may
  /// be called again.
  Task<Errc> read(Buffer initial, std::function<void()> fed);
  /// Writes what the session has, all of it together, whenever flush() says that there may be something. Ends after
  /// finish(), or with the transport, which it then closes.
  Task<void> write();
  void flush() { wake_.notify(); }
  /// The writer shall send what is left and then our end. A peer that does not take it, or does not end its own
  /// direction, is cut off after some seconds.
  void finish();
  /// After finish(): reads and forgets until the peer's end, so that what we sent last is not lost to a reset.
  Task<void> linger();

 private:
  static constexpr std::size_t read_size = 64 * 1024;
  static constexpr Duration flush_timeout = std::chrono::seconds(5);
  static constexpr Duration linger_timeout = std::chrono::seconds(1);

  Worker& worker_;
  Transport& transport_;
  H2Session& session_;
  Event wake_;
  Timer give_up_;
  bool finishing_ = false;
};

/// The body of a request or response on a session. After cancel(), or detach() by the stream's owner, it touches
/// neither session nor stream.
class H2Body final : public Body {
 public:
  H2Body(H2Session& session, H2Io& io, H2Stream& stream) : session_(&session), io_(&io), stream_(&stream) {}
  ~H2Body() override;

  Result<std::size_t> try_read(Buffer& into, std::size_t max) override;
  Task<Result<void>> readable() override;
  HeaderMap* trailers() override { return stream_ ? stream_->in_trailers : nullptr; }
  void cancel(Errc cause) noexcept override;

  // for the stream's owner
  /// on_received() and on_closed() come here.
  void wake() { changed_.notify(); }
  /// The stream goes away: ends with `cause` unless all of it was read.
  void detach(Errc cause);
  /// Called by cancel() and the destructor, once, while the stream is there.
  std::function<void(Errc)> on_cancel;

 private:
  bool something() const { return !stream_ || !stream_->in.empty() || stream_->in_ended || stream_->error != Errc::ok; }

  H2Session* session_;
  H2Io* io_;
  H2Stream* stream_;  // null: detached
  Errc cause_ = Errc::ok;
  Event changed_;
};

}  // namespace clew
