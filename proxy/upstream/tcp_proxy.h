// The end of a TCP filter chain: draws a cluster and an endpoint, connects, relays both ways until both have ended.
#pragma once

#include "config/snapshot/listener.h"
#include "proxy/net/connection_info.h"
#include "proxy/net/stream_info.h"
#include "proxy/net/transport.h"
#include "proxy/stats/stats.h"
#include "proxy/upstream/cluster_manager.h"

#include <functional>
#include <memory>
#include <string_view>

namespace clew {

/// Envoy's tcp.PREFIX.* on one worker.
struct TcpProxyStats {
  Counter downstream_cx_total, downstream_cx_no_route, idle_timeout, max_downstream_connection_duration;
  ByteCounters bytes;
  Gauge downstream_cx_active;
  /// prefix: «tcp.STAT_PREFIX».
  void collect(std::string_view prefix, StatSink& sink) const;
};

/// Puts what speaks before the bytes (metadata exchange) on an upstream connection.
using WrapUpstream = std::function<std::unique_ptr<Transport>(std::unique_ptr<Transport> upstream,
                                                              const Cluster& cluster, StreamInfo& info)>;

/// What a TCP connection works with; everything outlives it.
struct TcpService {
  ClusterManager& clusters;
  TcpProxyStats& stats;
  const WrapUpstream& wrap_upstream;  // may be empty
};

/// Returns when the connection is over, with `downstream` closed and `info` filled (bytes, flags, upstream): the caller
/// logs it. `initial` was read from downstream already. Closing `downstream` from outside ends it.
Task<void> proxy_tcp(TcpService service, Transport& downstream, Buffer initial, const ConnectionInfo& connection,
                     const TcpProxy& config, StreamInfo& info);

}  // namespace clew
