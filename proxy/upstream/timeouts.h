// How long a request may take: route, x-envoy-upstream-rq-timeout-ms, per-try and grpc-timeout merged as Envoy's
// FilterUtility::finalTimeout does. Pure.
#pragma once

#include "config/snapshot/route.h"
#include "proxy/base/clock.h"
#include "proxy/http/message.h"

namespace clew {

struct Timeouts {
  Duration total{0};    // from the request's last byte to the response's; 0: none
  Duration per_try{0};  // to the response's last byte of one try; 0: none
  Duration per_try_idle{0};
  bool grpc = false;  // grpc-timeout is to be rewritten for the upstream

  /// Takes x-envoy-upstream-rq-timeout-ms and x-envoy-upstream-rq-per-try-timeout-ms off the request.
  static Timeouts of(const ForwardAction& action, const RetryPolicy* retry, RequestHead& request, bool is_grpc);
  /// Tells the upstream: x-envoy-expected-rq-timeout-ms (unless suppressed), grpc-timeout. elapsed: of total.
  void announce(RequestHead& request, Duration elapsed, bool suppress_envoy_headers) const;
};

/// «100m», «5S»: at most eight digits and a unit. Nothing when it is malformed.
std::optional<Duration> parse_grpc_timeout(std::string_view text);

}  // namespace clew
