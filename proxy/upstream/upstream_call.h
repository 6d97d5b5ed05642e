// One request at its upstream, over all its tries: what forward() begins and the response's body ends. Everything that
// may outlive forward()'s frame lives here.
#pragma once

#include "proxy/http/forwarder.h"
#include "proxy/upstream/cluster_manager.h"
#include "proxy/upstream/hash_policy.h"
#include "proxy/upstream/request_pump.h"
#include "proxy/upstream/retry.h"
#include "proxy/upstream/timeouts.h"

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace clew {

/// How a try failed before a response head came.
struct TryFailure {
  Errc cause = Errc::ok;  // no_healthy_upstream, a timeout, canceled, or what the pool or exchange said
  std::string reason;     // transport failure reason
};

class UpstreamCall {
 public:
  UpstreamCall(ClusterManager& clusters, std::shared_ptr<ClusterState> cluster, Stream& stream,
               const ForwardAction& action, const RetryPolicy* policy);
  UpstreamCall(const UpstreamCall&) = delete;
  ~UpstreamCall();

  using Answer = std::variant<UpstreamResponse, LocalReply>;
  /// All of it: tries until an answer stands.
  static Task<Answer> run(std::shared_ptr<UpstreamCall> call, BodyPtr body, ResponseWriter& writer);

  // for the response's body
  void response_bytes(std::size_t n);
  /// The response is complete, or broke (cause). Idempotent.
  void response_ended(Errc cause, const HeaderMap* trailers);
  void response_canceled();
  /// Nobody reads on: ends what is left. The stream may go away now.
  void leave();
  /// The cause that a reader is to see: a timeout of ours rather than its effect.
  Errc cause_of(Errc error) const { return aborted_ == Errc::ok ? error : aborted_; }
  Attempt& attempt() const { return *attempt_; }

 private:
  void begin(BodyPtr body);
  Task<std::optional<TryFailure>> try_once(ResponseWriter& writer);
  std::optional<TryFailure> find_pool(std::shared_ptr<Pool>& pool);
  Task<std::optional<TryFailure>> read_response(ResponseWriter& writer);
  std::optional<TryFailure> failed(Errc cause, std::string_view reason = {}) const;
  Result<void> send_head();
  void record_endpoint(const Host& host);
  void record_connection();
  Host* draw();
  void prepare_retry();
  Task<void> back_off();
  bool may_retry();
  bool retry_after_failure(const TryFailure& failure);
  bool retry_after_response();
  void deliver();
  LocalReply reply(const TryFailure& failure);
  std::uint32_t outlier_status() const;
  LocalReply reset_reply(const TryFailure& failure);
  LocalReply timeout_reply(Errc cause);
  std::string_view timeout_details(Errc cause) const;
  void drop_attempt(Errc cause);

  struct TryTimers {
    explicit TryTimers(UpstreamCall& call);
    void cancel() {
      whole.cancel();
      idle.cancel();
    }
    Timer whole, idle;
  };

  void abort(Errc cause);
  void cancel_timers();
  void request_complete();
  void arm_try_timers();
  void touch_idle();
  void on_timeout(Errc cause);
  Duration since_start() const;
  bool suppress() const { return stream_->hcm.suppress_envoy_headers; }
  ClusterStats& stats() const { return *stats_; }

  ClusterManager& clusters_;
  Worker& worker_;
  std::shared_ptr<ClusterState> cluster_;
  const std::shared_ptr<ClusterStats> stats_;
  Stream* stream_;  // null once it may be gone
  const ForwardAction& action_;
  RetryState retry_;
  Timeouts timeouts_;
  RequestHash hash_;
  std::uint32_t avoid_attempts_ = 0;  // previous_hosts
  std::vector<std::shared_ptr<EndpointState>> tried_;

  std::shared_ptr<RequestPump> pump_;  // null: the request has no body
  std::shared_ptr<EndpointState> endpoint_;
  std::shared_ptr<Attempt> attempt_;
  PendingLease* waiting_ = nullptr;
  ResourceToken retry_token_;
  Event wake_;  // ends a back-off
  Timer total_timer_;
  std::unique_ptr<TryTimers> try_timers_;  // null: tries are not limited

  Errc aborted_ = Errc::ok;  // why the current try (or all) was given up by us
  bool over_ = false;        // aborted for good: no other try
  bool sent_ = false;        // a head of some try has left
  bool retrying_ = false;    // this is not the first try
  bool head_delivered_ = false, interim_came_ = false, response_done_ = false;
  bool grpc_deferred_ = false;  // success is judged by the trailers
  bool idle_timed_out_ = false;
  bool alternative_timeout_status_ = false;  // 204 instead of 504, by a header
  std::optional<TimePoint> request_completed_;
};

}  // namespace clew
