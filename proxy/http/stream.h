// One request and its response, from the last byte of the request's head to on_done. Owned by run_stream's caller (the
// server connection), used on its worker only.
#pragma once

#include "config/snapshot/snapshot.h"
#include "proxy/base/arena.h"
#include "proxy/http/body.h"
#include "proxy/http/message.h"
#include "proxy/net/connection_info.h"
#include "proxy/net/stream_info.h"
#include "proxy/net/worker.h"

#include <functional>
#include <memory>
#include <string>
#include <variant>

namespace clew {

/// An answer made here: by a filter, by the router, or for an error.
struct LocalReply {
  std::uint32_t status = 500;
  std::string body;     // text/plain; a gRPC request gets it as grpc-message
  std::string details;  // %RESPONSE_CODE_DETAILS%
  std::vector<std::pair<std::string, std::string>> headers;
  std::optional<ResponseFlag> flag;
  std::optional<std::uint32_t> grpc_status;  // nothing: derived from status
};

/// The connection's side that answers, seen from a stream. Implemented by the h1 and h2 server connections and by
/// tests.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;
  /// 100, 103: sent at once, may be called several times before respond().
  virtual Task<Result<void>> inform(const ResponseHead& head) = 0;
  /// The head and then all of the body (null: none, head.end_stream is set); head and what the body has already leave
  /// in one write. Ends with the body's or the connection's error, after telling the peer (reset or close).
  virtual Task<Result<void>> respond(ResponseHead& head, Body* body) = 0;
  /// A time is over while respond() is under way: it ends with `cause`, after telling the peer.
  virtual void abort(Errc) noexcept {}
};

struct HttpServerStats;  // proxy/http/server_connection.h

struct Stream {
  Stream(Worker& w, const ConnectionInfo& c, const HttpConnectionManager& m)
      : worker(w), connection(c), hcm(m), snapshot(w.snapshot()) {}

  Arena arena;
  Worker& worker;
  const ConnectionInfo& connection;
  const HttpConnectionManager& hcm;
  HttpServerStats* http_stats = nullptr;  // of the connection manager; null: a stream of our own, not counted
  SnapshotPtr snapshot;                   // the request sees one snapshot from head to on_done
  RequestHead request{arena};
  ResponseHead response{arena};
  HeaderMap* response_trailers = nullptr;
  StreamInfo info;

  // what routing decided; route is null when none matched
  std::shared_ptr<const RouteTable> route_table;
  const VirtualHost* virtual_host = nullptr;
  const Route* route = nullptr;
  const WeightedCluster* cluster = nullptr;  // the one drawn by weight

  /// The application protocols to offer upstream instead of the cluster's; set by istio.alpn. Null: the cluster's own.
  const std::vector<std::string>* upstream_alpn = nullptr;
  bool is_grpc = false;
  /// Who asked: the connection's peer, or the address that trusted proxies name in x-forwarded-for (port 0 then). What
  /// policies and logs call the remote address; the peer itself is connection.direct_remote.
  Address remote;
  /// The request came from a peer inside (x-envoy-internal, as Envoy decides it).
  bool internal = false;
  /// Set by the forwarder while it works for this stream, cleared after: forward() then ends soon, with an answer that
  /// nobody will read. A waiting filter may use it the same way.
  std::function<void(Errc)> abandon;
  /// Ends the stream from outside: the server connection when the client is gone (reset, closed), run_stream when a
  /// time is over. The first cause counts and is kept.
  void cancel(Errc cause) {
    if (canceled != Errc::ok) return;
    canceled = cause;
    if (abandon) abandon(cause);
  }
  Errc canceled = Errc::ok;
};

}  // namespace clew
