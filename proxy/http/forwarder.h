// The seam between a stream and its upstream: proxy/http calls it, proxy/upstream implements it, tests fake it.
#pragma once

#include "proxy/http/stream.h"

#include <variant>

namespace clew {

/// An upstream's answer: Stream::response holds the head, body the rest (null when head.end_stream).
struct UpstreamResponse {
  BodyPtr body;
};

class Forwarder {
 public:
  virtual ~Forwarder() = default;

  /// Sends stream.request, with the body, to the cluster that stream.cluster (or the route) names; retries within the
  /// route's policy and the replay bound; fills stream.response and stream.info. The request body goes on being sent
  /// while the response is read: both end together, and the returned body's end (or destruction) ends what is left of
  /// it. 1xx other than 101 go to `writer`. A cause that no retry cured comes back as a LocalReply with Envoy's status,
  /// text, flag and details (proxy/http/local_reply.h). stream.abandon is the forwarder's while it waits.
  virtual Task<std::variant<UpstreamResponse, LocalReply>> forward(Stream& stream, BodyPtr request_body,
                                                                   ResponseWriter& writer) = 0;
  /// Applies the route's response header mutations to an answer that the route gave itself: a redirect, a direct
  /// response.
  virtual void finalize_direct_response(Stream&) {}
};

}  // namespace clew
