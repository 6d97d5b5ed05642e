// Whether a failed try is made again, and when: the route's policy and the request's x-envoy-retry-* headers merged, as
// Envoy's RetryStateImpl does. Pure.
#pragma once

#include "config/snapshot/route.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/http/message.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace clew {

/// Why a try ended without a response head. Envoy's Http::StreamResetReason, as far as upstreams give it.
enum class ResetReason : std::uint8_t {
  local_reset,  // per try timeout, too
  local_connection_failure,
  remote_connection_failure,
  connection_timeout,
  connection_termination,  // the connection ended under the request
  overflow,                // circuit breaker
  remote_reset,
  remote_refused_stream,
  protocol_error,
};
/// Envoy's words: «remote connection failure».
std::string_view to_string(ResetReason reason);
/// What a pool or an exchange said.
ResetReason reset_reason(Errc error);

class RetryState {
 public:
  /// Takes x-envoy-retry-on, -retry-grpc-on, -max-retries, -retriable-status-codes, -retriable-header-names off the
  /// request. policy may be null; it must outlive this.
  RetryState(const RetryPolicy* policy, RequestHead& request);

  bool enabled() const { return on_ != 0; }
  /// No retry from now on.
  void disable() { on_ = 0; }

  /// Ignores how many are left.
  bool wants(const ResponseHead& response) const;
  /// sent: some byte of some try of this request has left.
  bool wants(ResetReason reason, bool sent) const;

  /// Takes one of those left; false: limit reached.
  bool take();
  std::uint32_t remaining() const { return remaining_; }
  /// Fully jittered exponential back-off: before the first retry up to base_interval, doubled each time up to
  /// max_interval.
  Duration next_backoff(std::uint64_t random);

 private:
  std::uint32_t on_ = 0;
  std::uint32_t remaining_ = 0;
  const RetryPolicy* policy_;
  std::vector<std::uint32_t> status_codes_;  // of the request's header
  std::vector<std::string> header_names_;    // of the request's header: present is enough
  Duration interval_;
};

}  // namespace clew
