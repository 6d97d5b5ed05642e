// What a worker counts of one cluster and of its endpoints, under Envoy's names (docs: «cluster_stats», «/clusters»).
// Written by the worker that owns the block; blocks outlive the cluster's configuration while a stream still counts.
#pragma once

#include "proxy/http/codec_stats.h"
#include "proxy/stats/stats.h"

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>

namespace clew {

// clang-format off
// X(member): cluster.NAME.member
#define CLEW_CLUSTER_COUNTERS(X) \
  X(bind_errors) X(lb_healthy_panic) X(lb_local_cluster_not_ok) X(lb_recalculate_zone_structures) \
  X(original_dst_host_invalid) X(retry_or_shadow_abandoned) \
  X(upstream_cx_close_notify) X(upstream_cx_connect_attempts_exceeded) X(upstream_cx_connect_fail) \
  X(upstream_cx_connect_timeout) X(upstream_cx_destroy) X(upstream_cx_destroy_local) \
  X(upstream_cx_destroy_local_with_active_rq) X(upstream_cx_destroy_remote) \
  X(upstream_cx_destroy_remote_with_active_rq) X(upstream_cx_destroy_with_active_rq) X(upstream_cx_http1_total) \
  X(upstream_cx_http2_total) X(upstream_cx_idle_timeout) X(upstream_cx_max_duration_reached) \
  X(upstream_cx_max_requests) X(upstream_cx_none_healthy) X(upstream_cx_overflow) X(upstream_cx_pool_overflow) \
  X(upstream_cx_protocol_error) X(upstream_cx_total) \
  X(upstream_rq_1xx) X(upstream_rq_2xx) X(upstream_rq_3xx) X(upstream_rq_4xx) \
  X(upstream_rq_5xx) X(upstream_rq_cancelled) X(upstream_rq_completed) X(upstream_rq_maintenance_mode) \
  X(upstream_rq_max_duration_reached) X(upstream_rq_pending_failure_eject) X(upstream_rq_pending_overflow) \
  X(upstream_rq_pending_total) X(upstream_rq_per_try_idle_timeout) X(upstream_rq_per_try_timeout) \
  X(upstream_rq_retry) X(upstream_rq_retry_backoff_exponential) X(upstream_rq_retry_limit_exceeded) \
  X(upstream_rq_retry_overflow) X(upstream_rq_retry_success) X(upstream_rq_rx_reset) X(upstream_rq_timeout) \
  X(upstream_rq_total) X(upstream_rq_tx_reset)

// Summed over workers at scrape.
#define CLEW_CLUSTER_GAUGES(X) \
  X(upstream_cx_active) X(upstream_rq_active) X(upstream_rq_pending_active)

// cluster.NAME.ssl.member
#define CLEW_CLUSTER_TLS_COUNTERS(X) \
  X(handshake) X(connection_error) X(fail_verify_error) X(fail_verify_no_cert) X(fail_verify_san) \
  X(session_reused)

// cluster.NAME.outlier_detection.member
#define CLEW_CLUSTER_OUTLIER_COUNTERS(X) \
  X(ejections_enforced_total) X(ejections_overflow) X(ejections_detected_consecutive_5xx) \
  X(ejections_enforced_consecutive_5xx) X(ejections_detected_consecutive_gateway_failure) \
  X(ejections_enforced_consecutive_gateway_failure) X(ejections_detected_consecutive_local_origin_failure) \
  X(ejections_enforced_consecutive_local_origin_failure)
// clang-format on

struct ClusterStats {
#define CLEW_COUNTER(name) Counter name;
#define CLEW_GAUGE(name) Gauge name;
  CLEW_CLUSTER_COUNTERS(CLEW_COUNTER)
  CLEW_CLUSTER_GAUGES(CLEW_GAUGE)
  struct {
    CLEW_CLUSTER_TLS_COUNTERS(CLEW_COUNTER)
  } ssl;
  struct {
    CLEW_CLUSTER_OUTLIER_COUNTERS(CLEW_COUNTER)
    Gauge ejections_active;  // one worker may eject, another let in: the sum is right
  } outlier;
#undef CLEW_COUNTER
#undef CLEW_GAUGE
  ClientStats http;
  Histogram upstream_cx_connect_ms, upstream_cx_length_ms;

  /// Counts a response (or an answer made for a failure of the cluster) by class and code; internal: the request was
  /// (x-envoy-internal).
  void count_status(std::uint32_t status, bool internal);
  /// From the end of a request to the end of its answer.
  void record_time(double milliseconds, bool internal) {
    auto& histogram = upstream_rq_time_[internal ? 1 : 0];
    if (!histogram) histogram = std::make_unique<Histogram>();
    histogram->record(milliseconds);
  }
  /// Every metric under «PREFIX.»; prefix is «cluster.NAME».
  void collect(std::string_view prefix, StatSink& sink, bool with_outlier_detection) const;

 private:
  struct Code {
    std::uint32_t status;
    Counter count, internal;
  };
  std::deque<Code> codes_;                                      // upstream_rq_200, …: only those that were seen
  std::array<std::unique_ptr<Histogram>, 2> upstream_rq_time_;  // of external and internal requests, once there are any
};

/// cx_* and rq_* of one endpoint, for /clusters.
struct EndpointStats {
  Counter cx_total, cx_connect_fail, rq_total, rq_success, rq_error, rq_timeout;
  Gauge cx_active, rq_active;
};

}  // namespace clew
