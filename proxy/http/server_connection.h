// The server's side of a connection whose filter chain ends in an HttpConnectionManager. One coroutine owns the
// connection; the streams of an h2 connection are its children and joined by it.
#pragma once

#include "proxy/http/codec_stats.h"
#include "proxy/http/run_stream.h"
#include "proxy/net/connection_info.h"
#include "proxy/net/drain_signal.h"
#include "proxy/net/transport.h"
#include "proxy/stats/stats.h"

#include <cstdint>
#include <functional>

namespace clew {

// clang-format off
// X(member): http.STAT_PREFIX.member
#define CLEW_HTTP_SERVER_COUNTERS(X) \
  X(downstream_cx_delayed_close_timeout) X(downstream_cx_destroy) X(downstream_cx_destroy_active_rq) \
  X(downstream_cx_destroy_local) X(downstream_cx_destroy_local_active_rq) X(downstream_cx_destroy_remote) \
  X(downstream_cx_destroy_remote_active_rq) X(downstream_cx_drain_close) X(downstream_cx_http1_total) \
  X(downstream_cx_http2_total) X(downstream_cx_idle_timeout) X(downstream_cx_max_duration_reached) \
  X(downstream_cx_max_requests_reached) X(downstream_cx_protocol_error) X(downstream_cx_ssl_total) \
  X(downstream_cx_total) X(downstream_cx_upgrades_total) X(downstream_rq_1xx) X(downstream_rq_2xx) \
  X(downstream_rq_3xx) X(downstream_rq_4xx) X(downstream_rq_5xx) X(downstream_rq_completed) \
  X(downstream_rq_failed_path_normalization) X(downstream_rq_header_timeout) X(downstream_rq_http1_total) \
  X(downstream_rq_http2_total) X(downstream_rq_idle_timeout) X(downstream_rq_max_duration_reached) \
  X(downstream_rq_non_relative_path) X(downstream_rq_redirected_with_normalized_path) \
  X(downstream_rq_response_before_rq_complete) X(downstream_rq_rx_reset) X(downstream_rq_timeout) \
  X(downstream_rq_too_large) X(downstream_rq_too_many_premature_resets) X(downstream_rq_total) \
  X(downstream_rq_tx_reset) X(downstream_rq_ws_on_non_ws_route) X(rs_too_large) \
  /* of the router */ \
  X(no_cluster) X(no_route) X(rq_direct_response) X(rq_redirect) X(rq_reset_after_downstream_response_started) \
  X(rq_total)

#define CLEW_HTTP_SERVER_GAUGES(X) \
  X(downstream_cx_active) X(downstream_cx_http1_active) X(downstream_cx_http2_active) X(downstream_cx_ssl_active) \
  X(downstream_cx_upgrades_active) X(downstream_rq_active)
// clang-format on

/// Counters of one connection manager's stat_prefix on one worker: Envoy's http.PREFIX.*
struct HttpServerStats {
#define CLEW_COUNTER(name) Counter name;
#define CLEW_GAUGE(name) Gauge name;
  CLEW_HTTP_SERVER_COUNTERS(CLEW_COUNTER)
  CLEW_HTTP_SERVER_GAUGES(CLEW_GAUGE)
#undef CLEW_COUNTER
#undef CLEW_GAUGE
  ByteCounters bytes;
  Http1CodecStats http1;
  Http2CodecStats http2;
  Histogram downstream_rq_time, downstream_cx_length_ms;

  /// A connection is over. remote: the client ended it; active: with a request under way.
  void count_end(bool remote, bool active);
  /// prefix: «http.STAT_PREFIX». What the codecs count has no prefix.
  void collect(std::string_view prefix, StatSink& sink) const;
  /// What is told of each listener apart; prefix: «listener.ADDRESS.http.STAT_PREFIX».
  void collect_answers(std::string_view prefix, StatSink& sink) const;
};

/// What a server connection works with; everything outlives the connection.
struct HttpService {
  Worker& worker;
  Forwarder& forwarder;
  StreamObserver& observer;
  HttpServerStats& stats;
};

/// How long a connection may be without a request; 0 or less: for ever.
Duration idle_time(const HttpConnectionManager& hcm);
/// How long the head of a request may take to come: request_headers_timeout, or the time in which a stream may be idle
/// where that is shorter. Zero: for ever.
Duration head_time(const HttpConnectionManager& hcm);

/// Serves until the peer leaves, an error, idle timeout or drain. Codec automatic: TLS ALPN «h2», else the first bytes
/// (PRI preface), decide. initial: bytes that were read from the transport already. Closes the transport.
Task<void> serve_http(HttpService service, Transport& transport, Buffer initial, const ConnectionInfo& connection,
                      const HttpConnectionManager& hcm, DrainSignal& drain);

// for the codecs

/// A connection and what it is served with; counted while it lives.
struct ServedConnection {
  ServedConnection(HttpService with, Transport& bytes, const ConnectionInfo& about,
                   const HttpConnectionManager& manager, DrainSignal& signal);
  ServedConnection(ServedConnection&& other) noexcept;
  ~ServedConnection();

  HttpService service;
  Transport& transport;
  const ConnectionInfo& info;
  const HttpConnectionManager& hcm;
  DrainSignal& drain;

 private:
  bool counted_ = true;
};
/// Hands over to serve_http2 where the codec is automatic and the preface comes.
Task<void> serve_http1(ServedConnection connection, Buffer initial);
Task<void> serve_http2(ServedConnection connection, Buffer initial);

}  // namespace clew
