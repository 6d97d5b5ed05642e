#include "proxy/upstream/upstream_call.h"

#include "proxy/upstream/rewrite.h"
#include "proxy/upstream/upstream_body.h"

#include <fmt/format.h>

#include <algorithm>

namespace clew {
namespace {

constexpr std::uint32_t max_interim_heads = 16;
constexpr std::size_t most_kept = 1024 * 1024;  // Envoy's default per_connection_buffer_limit_bytes

/// Request bytes kept for another try.
std::size_t replay_bound(const Stream& stream) {
  const auto& listener = stream.connection.listener;
  return listener ? std::min<std::size_t>(most_kept, listener->connection_buffer_limit) : most_kept;
}

}  // namespace

UpstreamCall::UpstreamCall(ClusterManager& clusters, std::shared_ptr<ClusterState> cluster, Stream& stream,
                           const ForwardAction& action, const RetryPolicy* policy)
    : clusters_(clusters),
      worker_(clusters.worker()),
      cluster_(std::move(cluster)),
      stats_(cluster_->stats()),
      stream_(&stream),
      action_(action),
      retry_(policy, stream.request),
      timeouts_(Timeouts::of(action, policy, stream.request, stream.is_grpc)),
      total_timer_(worker_.timers(), [this] { on_timeout(Errc::upstream_request_timeout); }) {
  if (timeouts_.per_try > Duration(0) || timeouts_.per_try_idle > Duration(0))
    try_timers_ = std::make_unique<TryTimers>(*this);
  if (policy && policy->previous_hosts) avoid_attempts_ = std::max(1u, policy->host_selection_attempts);
  stream.abandon = [this](Errc cause) {
    over_ = true;
    abort(cause);
  };
  if (stream.canceled != Errc::ok) stream.abandon(stream.canceled);
}

UpstreamCall::TryTimers::TryTimers(UpstreamCall& call)
    : whole(call.worker_.timers(), [&call] { call.on_timeout(Errc::upstream_per_try_timeout); }),
      idle(call.worker_.timers(), [&call] { call.on_timeout(Errc::idle_timeout); }) {}

UpstreamCall::~UpstreamCall() { leave(); }

std::optional<TryFailure> UpstreamCall::failed(Errc cause, std::string_view reason) const {
  TryFailure failure;
  failure.cause = cause_of(cause);
  failure.reason = reason;
  return failure;
}

Duration UpstreamCall::since_start() const { return worker_.clock().now() - stream_->info.start; }

void UpstreamCall::begin(BodyPtr body) {
  Stream& stream = *stream_;
  finalize_request(stream, action_);
  hash_ = hash_request(action_.hash, stream.request, stream.connection, stream.remote);
  alternative_timeout_status_ = stream.request.headers.remove(HeaderId::x_envoy_upstream_rq_timeout_alt_response) > 0;
  timeouts_.announce(stream.request, Duration(0), suppress());
  if (!body) return request_complete();
  pump_ = make_recycled<RequestPump>(worker_.loop(), std::move(body), retry_.enabled() ? replay_bound(stream) : 0);
  pump_->on_complete = [this] { request_complete(); };
  pump_->on_client_error = [this](Errc cause) {
    over_ = true;
    abort(cause);
  };
  pump_->on_overflow = [this] {
    retry_.disable();
    stats().retry_or_shadow_abandoned.add();
  };
  // An upgrade's request does not end; its answer is waited for all the same.
  if (!stream.request.upgrade.empty() && timeouts_.total > Duration(0)) total_timer_.arm(timeouts_.total);
}

Task<UpstreamCall::Answer> UpstreamCall::run(std::shared_ptr<UpstreamCall> call, BodyPtr body, ResponseWriter& writer) {
  call->begin(std::move(body));
  for (;;) {
    const std::optional<TryFailure> failure = co_await call->try_once(writer);
    const bool again = failure ? call->retry_after_failure(*failure) : call->retry_after_response();
    if (!again && failure) co_return call->reply(*failure);
    if (!again) break;
    call->drop_attempt(Errc::canceled);
    co_await call->back_off();
    if (call->over_) co_return call->reply(*call->failed(call->aborted_));
    call->prepare_retry();
  }
  call->deliver();
  UpstreamResponse response;
  if (call->stream_->response.end_stream) {
    call->response_ended(Errc::ok, nullptr);
    call->leave();
  } else {
    response.body = std::make_unique<UpstreamBody>(call);
  }
  co_return response;
}

Task<std::optional<TryFailure>> UpstreamCall::try_once(ResponseWriter& writer) {
  Stream& stream = *stream_;
  if (over_) co_return failed(aborted_);
  aborted_ = Errc::ok;
  ++stream.info.attempts;
  if (stream.virtual_host && stream.virtual_host->include_request_attempt_count)
    stream.request.headers.set(HeaderId::x_envoy_attempt_count, fmt::format_int(stream.info.attempts).str());
  stream.response = ResponseHead(stream.arena);

  std::shared_ptr<Pool> pool;
  std::optional<TryFailure> failure = find_pool(pool);
  if (failure) co_return failure;
  {
    PendingLease pending;
    if (!Pool::try_acquire(pool, pending)) {
      waiting_ = &pending;
      co_await Pool::acquire(pool, pending);
      waiting_ = nullptr;
    }
    if (!pending.lease) co_return failed(pending.error, pending.reason);
    if (aborted_ != Errc::ok) co_return failed(aborted_);  // between the lease's coming and our turn
    attempt_ = make_recycled<Attempt>(std::move(pending.lease));
  }
  record_connection();
  if (request_completed_) arm_try_timers();
  if (const Result<void> sent = send_head(); !sent) co_return failed(sent.error().code);
  failure = co_await read_response(writer);
  co_return failure;
}

Host* UpstreamCall::draw() {
  DrawContext context;
  context.hash = hash_.value;
  if (stream_->connection.local_restored) context.original_destination = &stream_->connection.local;
  if (avoid_attempts_ > 0) {
    context.avoid = tried_;
    context.attempts = avoid_attempts_;
  }
  return cluster_->choose(context);
}

/// Of the endpoint that is drawn.
std::optional<TryFailure> UpstreamCall::find_pool(std::shared_ptr<Pool>& pool) {
  endpoint_.reset();
  Host* const host = draw();
  if (!host) return failed(Errc::no_healthy_upstream);
  endpoint_ = host->state;
  record_endpoint(*host);
  const HttpDemand demand{stream_->request.version == HttpVersion::http2, stream_->request.authority,
                          stream_->upstream_alpn, stream_->connection, action_.priority};
  pool = cluster_->http_pool(*host, demand);
  if (!pool) return failed(Errc::upstream_overflow);
  if (avoid_attempts_ > 0) tried_.push_back(endpoint_);
  return std::nullopt;
}

Result<void> UpstreamCall::send_head() {
  const Result<void> sent = attempt_->exchange().send_head(stream_->request, !pump_);
  if (!sent) return sent;
  sent_ = true;
  if (!stream_->info.upstream_first_byte_sent) stream_->info.upstream_first_byte_sent = since_start();
  // What an upgrade brings is held until the upstream has agreed: it is no part of the request.
  if (pump_ && stream_->request.upgrade.empty()) RequestPump::attach(pump_, attempt_);
  if (!pump_) attempt_->request_sent = true;
  return sent;
}

/// After an interim head there is no other try. The client sees it only where the configuration has it so, as with
/// Envoy: one that asked to be told to go on was told by us.
Task<std::optional<TryFailure>> UpstreamCall::read_response(ResponseWriter& writer) {
  ResponseHead& head = stream_->response;
  const std::shared_ptr<Attempt> attempt = attempt_;
  for (std::uint32_t interim = 0;; ++interim) {
    const Result<void> read = co_await attempt->exchange().read_head(head);
    if (!read) co_return failed(read.error().code);
    if (interim == 0) stream_->info.upstream_first_byte_received = since_start();
    touch_idle();
    if (head.status >= 200 || head.upgraded) co_return std::nullopt;
    if (head.status == 101 || interim == max_interim_heads) co_return failed(Errc::upstream_protocol_error);
    interim_came_ = true;
    retry_.disable();
    if (pump_) pump_->stop_keeping();
    stats().count_status(head.status, stream_->internal);
    if (stream_->hcm.proxy_100_continue) {
      const Result<void> informed = co_await writer.inform(head);
      if (!informed) {
        over_ = true;
        abort(informed.error().code);
        co_return failed(aborted_);
      }
    }
    head.headers.clear();
  }
}

void UpstreamCall::drop_attempt(Errc cause) {
  if (try_timers_) try_timers_->cancel();
  if (pump_) pump_->detach();
  if (!attempt_) return;
  // Whoever has a call pending on it keeps it until that has returned.
  attempt_->exchange().reset(cause);
  attempt_.reset();
}

Task<void> UpstreamCall::back_off() {
  wake_.reset();
  Timer over(worker_.timers(), [this] { wake_.notify(); });
  over.arm(retry_.next_backoff(worker_.random()));
  while (over.armed() && !over_) co_await wake_.wait();
}

void UpstreamCall::prepare_retry() {
  retrying_ = true;
  // The cluster may have gone, or come again, meanwhile.
  if (auto current = clusters_.find(stream_->info.upstream_cluster)) cluster_ = std::move(current);
  const Duration elapsed = request_completed_ ? worker_.clock().now() - *request_completed_ : Duration(0);
  timeouts_.announce(stream_->request, elapsed, suppress());
}

// Deadlines. The total one runs from the end of the request, a try's from its connection or the end of the request,
// whichever is later.

void UpstreamCall::request_complete() {
  request_completed_ = worker_.clock().now();
  stream_->info.request_complete = *request_completed_ - stream_->info.start;
  if (timeouts_.total > Duration(0) && !total_timer_.armed() && !response_done_) total_timer_.arm(timeouts_.total);
  if (attempt_ && !response_done_) arm_try_timers();
}

void UpstreamCall::arm_try_timers() {
  if (timeouts_.per_try > Duration(0)) try_timers_->whole.arm(timeouts_.per_try);
  touch_idle();
}

void UpstreamCall::touch_idle() {
  if (timeouts_.per_try_idle > Duration(0) && request_completed_ && !response_done_)
    try_timers_->idle.arm(timeouts_.per_try_idle);
}

void UpstreamCall::on_timeout(Errc cause) {
  if (response_done_) return;
  // An idle try ends like any other per-try timeout, under a name of its own.
  if (cause == Errc::idle_timeout) {
    stats().upstream_rq_per_try_idle_timeout.add();
    cause = Errc::upstream_per_try_timeout;
    idle_timed_out_ = true;
  } else {
    (cause == Errc::upstream_request_timeout ? stats().upstream_rq_timeout : stats().upstream_rq_per_try_timeout).add();
  }
  if (cause == Errc::upstream_request_timeout) over_ = true;
  if (endpoint_) endpoint_->stats.rq_timeout.add();
  abort(cause);
}

void UpstreamCall::cancel_timers() {
  total_timer_.cancel();
  if (try_timers_) try_timers_->cancel();
}

/// Ends what is waited for now; it returns with this cause.
void UpstreamCall::abort(Errc cause) {
  if (response_done_) return;
  aborted_ = cause;
  if (waiting_) {
    waiting_->cancel(cause);
  } else if (attempt_) {
    attempt_->exchange().reset(cause);
  }
  wake_.notify();
}

}  // namespace clew
