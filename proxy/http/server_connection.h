// The server's side of a connection whose filter chain ends in an HttpConnectionManager. One coroutine owns the
// connection; the streams of an h2 connection are its children and joined by it.
#pragma once

#include "proxy/http/run_stream.h"
#include "proxy/net/connection_info.h"
#include "proxy/net/drain_signal.h"
#include "proxy/net/transport.h"
#include "proxy/stats/stats.h"

#include <cstdint>
#include <functional>

namespace clew {

/// Counters of one connection manager's stat_prefix on one worker: Envoy's http.PREFIX.*
struct HttpServerStats {
  Counter downstream_cx_total, downstream_cx_destroy, downstream_cx_http1_total, downstream_cx_http2_total,
      downstream_cx_protocol_error, downstream_cx_idle_timeout, downstream_cx_max_duration_reached,
      downstream_cx_drain_close;
  Gauge downstream_cx_active, downstream_rq_active;
  Counter downstream_rq_total, downstream_rq_http1_total, downstream_rq_http2_total, downstream_rq_1xx,
      downstream_rq_2xx, downstream_rq_3xx, downstream_rq_4xx, downstream_rq_5xx, downstream_rq_completed,
      downstream_rq_rx_reset, downstream_rq_tx_reset, downstream_rq_timeout, downstream_rq_idle_timeout,
      downstream_rq_max_duration_reached, downstream_rq_too_large, no_route, rs_too_large;
  Histogram downstream_rq_time, downstream_cx_length_ms;

  /// prefix: «http.STAT_PREFIX».
  void collect(std::string_view prefix, StatSink& sink) const;
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
