// What the codecs of many connections count on one worker, under Envoy's names: http1.* and http2.* for the server's
// side (all listeners together), cluster.NAME.http1.* and .http2.* for a cluster. Written by the worker that owns the
// block.
#pragma once

#include "proxy/stats/stats.h"

#include <string>
#include <string_view>

namespace clew {

struct Http1CodecStats {
  Counter dropped_headers_with_underscores, requests_rejected_with_underscores_in_headers;
  /// prefix ends with a dot.
  void collect(std::string_view prefix, StatSink& sink) const;
};

// clang-format off
// The floods are those of H2Accounting, rx_messaging_error is a message that breaks a rule of HTTP.
#define CLEW_HTTP2_COUNTERS(X) \
  X(dropped_headers_with_underscores) X(goaway_sent) X(header_overflow) X(headers_cb_no_stream) \
  X(inbound_empty_frames_flood) X(inbound_priority_frames_flood) X(inbound_window_update_frames_flood) \
  X(keepalive_timeout) X(outbound_control_flood) X(requests_rejected_with_underscores_in_headers) \
  X(rx_messaging_error) X(rx_reset) X(stream_refused_errors) X(trailers) X(tx_flush_timeout) X(tx_reset)
// clang-format on

struct Http2CodecStats {
#define CLEW_COUNTER(name) Counter name;
  CLEW_HTTP2_COUNTERS(CLEW_COUNTER)
#undef CLEW_COUNTER
  Gauge streams_active;
  /// prefix ends with a dot.
  void collect(std::string_view prefix, StatSink& sink) const;
};

/// Of the connections to one cluster. Shared with each of them: one may end after its pool.
struct ClientStats {
  ByteCounters bytes;
  Http1CodecStats http1;
  Http2CodecStats http2;
};

}  // namespace clew
