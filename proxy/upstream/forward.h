// The end of every request's way in: draws an endpoint, takes a connection, sends, retries, hands the answer back.
#pragma once

#include "proxy/http/forwarder.h"
#include "proxy/upstream/cluster_manager.h"

namespace clew {

/// One per worker.
class UpstreamForwarder final : public Forwarder {
 public:
  explicit UpstreamForwarder(ClusterManager& clusters) : clusters_(clusters) {}
  Task<std::variant<UpstreamResponse, LocalReply>> forward(Stream& stream, BodyPtr request_body,
                                                           ResponseWriter& writer) override;
  void finalize_direct_response(Stream& stream) override;

 private:
  ClusterManager& clusters_;
};

}  // namespace clew
