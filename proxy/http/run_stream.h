// The one function a request lives in: route, request filters in order, forward, response filters in reverse, body
// pulled, on_done exactly once. h1, h2 and gRPC, inbound and outbound, all take it.
#pragma once

#include "proxy/http/forwarder.h"

namespace clew {

/// What a stream ends with besides its answer: implemented by proxy/telemetry, called once after every filter's
/// on_done.
class StreamObserver {
 public:
  virtual ~StreamObserver() = default;
  virtual void on_stream_done(const Stream& stream) noexcept = 0;
};

/// request_body is null when request.end_stream. Returns what the writer's respond() returned; the caller decides
/// whether the connection can go on.
Task<Result<void>> run_stream(Stream& stream, BodyPtr request_body, Forwarder& forwarder, ResponseWriter& writer,
                              StreamObserver& observer);

/// A request whose head never became one (cause: what the codec or a timeout said): answered, counted and logged
/// without a route or filters. details: the codec's name for it; empty: the cause's own.
Task<void> refuse_stream(Stream& stream, Errc cause, std::string_view details, ResponseWriter& writer,
                         StreamObserver& observer);

}  // namespace clew
