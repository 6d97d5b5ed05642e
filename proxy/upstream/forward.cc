#include "proxy/upstream/forward.h"

#include "proxy/http/server_connection.h"
#include "proxy/upstream/rewrite.h"
#include "proxy/upstream/upstream_call.h"

namespace clew {
namespace {

/// For a stream without a route (a gRPC client of ours names its cluster only): no timeout, no retry.
const ForwardAction& bare_action() {
  static const ForwardAction action = [] {
    ForwardAction made;
    made.timeout = Duration::zero();
    return made;
  }();
  return action;
}

const ForwardAction& action_of(const Stream& stream) {
  const auto* const action = stream.route ? std::get_if<ForwardAction>(&stream.route->action) : nullptr;
  return action ? *action : bare_action();
}

/// Routing has drawn by weight; a route with one cluster need not have been drawn.
std::string_view cluster_name(const Stream& stream, const ForwardAction& action) {
  if (stream.cluster) return stream.cluster->cluster;
  return action.clusters.empty() ? std::string_view() : std::string_view(action.clusters.front().cluster);
}

const RetryPolicy* retry_policy(const Stream& stream, const ForwardAction& action) {
  if (action.retry) return action.retry.get();
  return stream.virtual_host ? stream.virtual_host->retry.get() : nullptr;
}

Task<UpstreamCall::Answer> cluster_not_found(Stream& stream, const ForwardAction& action, BodyPtr request_body) {
  if (stream.http_stats) stream.http_stats->no_cluster.add();
  if (request_body) request_body->cancel(Errc::cluster_not_found);
  LocalReply reply;
  reply.status = action.cluster_not_found_status;
  reply.details = "cluster_not_found";
  reply.flag = ResponseFlag::no_cluster_found;
  co_return reply;
}

}  // namespace

Task<UpstreamCall::Answer> UpstreamForwarder::forward(Stream& stream, BodyPtr request_body, ResponseWriter& writer) {
  const ForwardAction& action = action_of(stream);
  stream.info.upstream_cluster = cluster_name(stream, action);
  std::shared_ptr<ClusterState> cluster = clusters_.find(stream.info.upstream_cluster);
  if (!cluster) return cluster_not_found(stream, action, std::move(request_body));
  stream.info.cluster = cluster->cluster();
  auto call = make_recycled<UpstreamCall>(clusters_, std::move(cluster), stream, action, retry_policy(stream, action));
  return UpstreamCall::run(std::move(call), std::move(request_body), writer);
}

void UpstreamForwarder::finalize_direct_response(Stream& stream) { finalize_response(stream); }

}  // namespace clew
