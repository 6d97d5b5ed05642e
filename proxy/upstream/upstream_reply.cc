// How a call ends: answers made for failures, what is counted and recorded. The other half of upstream_call.cc.
#include "proxy/base/strings.h"
#include "proxy/http/server_connection.h"
#include "proxy/net/connection_info.h"
#include "proxy/upstream/rewrite.h"
#include "proxy/upstream/upstream_call.h"

#include <fmt/format.h>

#include <algorithm>

namespace clew {
namespace {

ResponseFlag flag_of(ResetReason reason) {
  switch (reason) {
    case ResetReason::local_connection_failure:
    case ResetReason::remote_connection_failure:
    case ResetReason::connection_timeout: return ResponseFlag::upstream_connection_failure;
    case ResetReason::connection_termination: return ResponseFlag::upstream_connection_termination;
    case ResetReason::overflow: return ResponseFlag::upstream_overflow;
    case ResetReason::remote_reset:
    case ResetReason::remote_refused_stream: return ResponseFlag::upstream_remote_reset;
    case ResetReason::protocol_error: return ResponseFlag::upstream_protocol_error;
    case ResetReason::local_reset: break;
  }
  return ResponseFlag::local_reset;
}

/// «upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}».
std::string reset_details(std::string_view when, ResetReason reason, std::string_view transport) {
  std::string details = fmt::format("{}{{{}", when, to_string(reason));
  if (!transport.empty()) details.append(1, '|').append(transport);
  details += '}';
  std::replace_if(details.begin(), details.end(), [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }, '_');
  return details;
}

bool is_timeout(Errc cause) {
  return cause == Errc::upstream_request_timeout || cause == Errc::upstream_per_try_timeout;
}

/// Envoy maps gRPC codes to HTTP's before it calls an answer a success.
bool grpc_success(const HeaderMap* headers) {
  const auto text = headers ? headers->get(HeaderId::grpc_status) : std::nullopt;
  const auto code = text ? parse_uint(*text) : std::nullopt;
  if (!code || *code > 16) return false;
  constexpr std::uint32_t as_5xx = 1u << 2 | 1u << 4 | 1u << 12 | 1u << 13 | 1u << 14 | 1u << 15;
  return !(as_5xx >> *code & 1u);
}

}  // namespace

bool UpstreamCall::may_retry() {
  if (over_ || head_delivered_ || interim_came_ || (pump_ && !pump_->replayable())) return false;
  if (!retry_.take()) {
    stats().upstream_rq_retry_limit_exceeded.add();
    stream_->info.flags.set(ResponseFlag::upstream_retry_limit_exceeded);
    return false;
  }
  if (const Priority priority = action_.priority;
      !cluster_->breakers(priority).take_retry(cluster_->limits(priority), retry_token_)) {
    stats().upstream_rq_retry_overflow.add();
    stream_->info.flags.set(ResponseFlag::upstream_overflow);
    return false;
  }
  stats().upstream_rq_retry.add();
  stats().upstream_rq_retry_backoff_exponential.add();
  if (endpoint_) endpoint_->stats.rq_error.add();
  return true;
}

bool UpstreamCall::retry_after_response() {
  retry_token_.release();
  cluster_->report(endpoint_, outlier_status());
  if (!retry_.enabled()) return false;
  if (retry_.wants(stream_->response)) return may_retry();
  if (retrying_) stats().upstream_rq_retry_success.add();
  return false;
}

bool UpstreamCall::retry_after_failure(const TryFailure& failure) {
  retry_token_.release();
  if (failure.cause == Errc::no_healthy_upstream) return false;
  const ResetReason reason = reset_reason(failure.cause);
  // A circuit breaker says nothing of the endpoint, and a client that goes neither.
  if (endpoint_ && reason != ResetReason::overflow && (!over_ || is_timeout(failure.cause)))
    cluster_->report(endpoint_, is_timeout(failure.cause) ? 504 : 503, true);
  if (attempt_) {
    switch (reason) {
      case ResetReason::connection_termination: stats().upstream_rq_pending_failure_eject.add(); break;
      case ResetReason::local_reset: stats().upstream_rq_tx_reset.add(); break;
      case ResetReason::protocol_error: stats().upstream_cx_protocol_error.add(); break;
      default: stats().upstream_rq_rx_reset.add(); break;
    }
  }
  return retry_.enabled() && retry_.wants(reason, sent_) && may_retry();
}

/// What outlier detection takes the answer for: a gRPC status in the head counts as the HTTP status it maps to.
std::uint32_t UpstreamCall::outlier_status() const {
  const ResponseHead& head = stream_->response;
  if (!stream_->is_grpc || !head.headers.has(HeaderId::grpc_status)) return head.status;
  return grpc_success(&head.headers) ? 200 : 503;
}

void UpstreamCall::record_endpoint(const Host& host) {
  StreamInfo& info = stream_->info;
  info.cluster = cluster_->cluster();
  info.upstream_remote = host.endpoint->address;
  info.upstream_endpoint = host.endpoint;
  info.upstream_local.reset();
  info.upstream_transport_failure_reason.clear();
}

void UpstreamCall::record_connection() {
  StreamInfo& info = stream_->info;
  const Lease& lease = attempt_->lease;
  info.upstream_local = lease.local_address();
  info.upstream_protocol = lease.connection().protocol();
  info.upstream_connection_id = lease.connection_id();
  const TlsInfo* const tls = lease.connection().transport().tls();
  info.upstream_tls = tls ? tls->shared_from_this() : nullptr;
}

/// The head stands: no other try.
void UpstreamCall::deliver() {
  Stream& stream = *stream_;
  ResponseHead& head = stream.response;
  head_delivered_ = true;
  retry_.disable();
  if (pump_) pump_->stop_keeping();
  if (request_completed_ && !suppress()) {
    const auto ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(worker_.clock().now() - *request_completed_).count();
    head.headers.set(HeaderId::x_envoy_upstream_service_time, fmt::format_int(ms).str());
  }
  stats().count_status(head.status, stream.internal);
  if (head.status >= 500) {
    endpoint_->stats.rq_error.add();
  } else if (stream.is_grpc && !head.end_stream) {
    grpc_deferred_ = true;
  } else {
    (!stream.is_grpc || grpc_success(&head.headers) ? endpoint_->stats.rq_success : endpoint_->stats.rq_error).add();
  }
  for (const std::string& cookie : hash_.set_cookies) head.headers.add(HeaderId::set_cookie, cookie);
  stream.info.response_code = head.status;
  stream.info.response_code_details = "via_upstream";
  finalize_response(stream);
  if (!head.upgraded) return;
  total_timer_.cancel();
  if (try_timers_) try_timers_->whole.cancel();
  if (pump_) RequestPump::attach(pump_, attempt_);
}

void UpstreamCall::response_bytes(std::size_t n) {
  stream_->info.upstream_bytes_received += n;
  touch_idle();
}

void UpstreamCall::response_ended(Errc cause, const HeaderMap* trailers) {
  if (response_done_) return;
  response_done_ = true;
  cancel_timers();
  StreamInfo& info = stream_->info;
  if (grpc_deferred_)
    (cause == Errc::ok && grpc_success(trailers) ? endpoint_->stats.rq_success : endpoint_->stats.rq_error).add();
  if (cause == Errc::ok) {
    const TimePoint now = worker_.clock().now();
    info.upstream_last_byte_received = now - info.start;
    if (request_completed_)
      stats().record_time(std::chrono::duration<double, std::milli>(now - *request_completed_).count(),
                          stream_->internal);
    if (attempt_->request_sent) return;
    // An answer before the request's end: what is left of the request is not wanted.
    stats().upstream_rq_tx_reset.add();
    if (pump_) pump_->stop(Errc::canceled);
    attempt_->exchange().reset(Errc::canceled);
    return;
  }
  if (stream_->http_stats) stream_->http_stats->rq_reset_after_downstream_response_started.add();
  if (is_timeout(cause)) {
    info.flags.set(ResponseFlag::upstream_request_timeout);
    info.response_code_details = timeout_details(cause);
    stats().upstream_rq_tx_reset.add();
  } else {
    const ResetReason reason = reset_reason(cause);
    info.flags.set(flag_of(reason));
    info.response_code_details = reset_details("upstream_reset_after_response_started", reason, {});
    stats().upstream_rq_rx_reset.add();
  }
  if (pump_) pump_->stop(cause);
}

/// The client does not want the rest.
void UpstreamCall::response_canceled() {
  if (response_done_) return;
  response_done_ = true;
  cancel_timers();
  if (grpc_deferred_) endpoint_->stats.rq_error.add();
  stats().upstream_rq_tx_reset.add();
}

void UpstreamCall::leave() {
  if (!stream_) return;
  if (attempt_ && !response_done_) {
    attempt_->exchange().reset(Errc::canceled);
    response_canceled();
  }
  response_done_ = true;
  cancel_timers();
  if (pump_) pump_->stop(Errc::canceled);
  retry_token_.release();
  stream_->abandon = nullptr;
  stream_ = nullptr;
  attempt_.reset();
}

std::string_view UpstreamCall::timeout_details(Errc cause) const {
  if (cause == Errc::upstream_request_timeout) return "response_timeout";
  return idle_timed_out_ ? "upstream_per_try_idle_timeout" : "upstream_per_try_timeout";
}

LocalReply UpstreamCall::timeout_reply(Errc cause) {
  LocalReply reply;
  reply.status = alternative_timeout_status_ ? 204 : 504;
  if (!alternative_timeout_status_) reply.body = "upstream request timeout";
  reply.details = timeout_details(cause);
  reply.flag = ResponseFlag::upstream_request_timeout;
  return reply;
}

LocalReply UpstreamCall::reset_reply(const TryFailure& failure) {
  const ResetReason reason = reset_reason(failure.cause);
  LocalReply reply;
  reply.status = reason == ResetReason::protocol_error ? 502 : 503;
  // The transport's reason is for the log alone: a client is not told about certificates (Envoy 1.40 leaves it out
  // too).
  reply.body = fmt::format("upstream connect error or disconnect/reset before headers. {}reset reason: {}",
                           retrying_ ? "retried and the latest " : "", to_string(reason));
  reply.details = reset_details("upstream_reset_before_response_started", reason, failure.reason);
  reply.flag = flag_of(reason);
  if (reason == ResetReason::overflow && !suppress()) reply.headers.emplace_back("x-envoy-overloaded", "true");
  return reply;
}

LocalReply UpstreamCall::reply(const TryFailure& failure) {
  LocalReply reply;
  if (over_ && !is_timeout(failure.cause)) {
    // The client is gone or its request broke: nothing of this is the upstream's doing.
    reply.status = 503;
    reply.details = to_string(failure.cause);
    stats().upstream_rq_cancelled.add();
    response_done_ = true;
    drop_attempt(failure.cause);
    leave();
    return reply;
  }
  if (failure.cause == Errc::no_healthy_upstream) {
    reply.status = 503;
    reply.body = "no healthy upstream";
    reply.details = "no_healthy_upstream";
    reply.flag = ResponseFlag::no_healthy_upstream;
  } else if (is_timeout(failure.cause)) {
    reply = timeout_reply(failure.cause);
  } else {
    reply = reset_reply(failure);
    stream_->info.upstream_transport_failure_reason = failure.reason;
  }
  if (endpoint_) endpoint_->stats.rq_error.add();
  stats().count_status(reply.status, stream_->internal);
  response_done_ = true;
  drop_attempt(failure.cause);
  leave();
  return reply;
}

}  // namespace clew
