// Carries a request body from the client to whichever try is under way, beside the reading of the response. What was
// sent is kept, up to a bound, so that another try can begin from the start. Shared by its coroutine and the forwarder:
// the answer may end before the request does.
#pragma once

#include "proxy/http/body.h"
#include "proxy/net/event.h"
#include "proxy/net/fair_share.h"
#include "proxy/upstream/pool.h"

#include <functional>
#include <memory>
#include <string>

namespace clew {

/// One try. Kept by whoever has a call of its exchange pending.
struct Attempt {
  explicit Attempt(Lease taken) : lease(std::move(taken)) {}
  Lease lease;
  bool request_sent = false;  // all of it has left
  ClientExchange& exchange() const { return lease.exchange(); }
};

class RequestPump {
 public:
  /// keep: how many bytes at most are kept for another try; 0: none.
  RequestPump(Loop& loop, BodyPtr body, std::size_t keep)
      : loop_(loop), share_(loop), body_(std::move(body)), keep_limit_(keep), keeping_(keep > 0) {}

  /// Begins to send to this try, from the request's first byte. Needs replayable() unless it is the first.
  static void attach(const std::shared_ptr<RequestPump>& pump, std::shared_ptr<Attempt> attempt);
  /// Sends no more to it: it failed.
  void detach();
  /// No other try will come: what was kept is forgotten.
  void stop_keeping();
  /// The answer is complete, or nobody wants it: the client's body is cancelled.
  void stop(Errc cause);

  bool replayable() const { return keeping_ || received_ == 0; }
  /// The client has sent all of it.
  bool complete() const { return body_ended_; }
  std::uint64_t received() const { return received_; }

  // Called from the pump's coroutine, not after stop().
  std::function<void()> on_complete;          // the client has sent all of it
  std::function<void(Errc)> on_client_error;  // the client's body broke
  std::function<void()> on_overflow;          // more than can be kept: no other try

 private:
  static constexpr std::size_t chunk = 64 * 1024;

  static Task<void> run(std::shared_ptr<RequestPump> self);
  static Task<void> wait_for_body(std::shared_ptr<RequestPump> self);
  Task<Result<void>> send_some(Attempt& attempt);
  Task<Result<void>> send_end(Attempt& attempt);
  Errc read_body(Buffer& into);
  void keep(const Buffer& bytes);
  void complete_now();

  Loop& loop_;
  FairShare share_;
  BodyPtr body_;
  const std::size_t keep_limit_;
  bool keeping_;
  bool running_ = false, waiting_ = false, stopped_ = false, body_ended_ = false;
  std::uint64_t received_ = 0;
  std::string kept_;
  std::size_t sent_ = 0;  // of kept_, to the current try
  std::shared_ptr<Attempt> attempt_;
  Event changed_;
};

}  // namespace clew
