#include "config/xds/sds_client.h"

#include "config/xds/type_urls.h"
#include "proxy/base/log.h"

#include "envoy/service/discovery/v3/discovery.pb.h"

namespace clew {

using envoy::service::discovery::v3::DiscoveryRequest;
using envoy::service::discovery::v3::DiscoveryResponse;

namespace {

constexpr std::string_view sds_path = "/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets";

DiscoveryRequest request_for(const std::string& name, const std::string& version) {
  DiscoveryRequest request;
  request.set_type_url(std::string(type_url::secret));
  request.add_resource_names(name);
  request.set_version_info(version);
  return request;
}

}  // namespace

SdsClient::SdsClient(Worker& worker, Forwarder& forwarder, std::string cluster, std::string node, std::string name,
                     OnSecret on_secret)
    : worker_(worker),
      forwarder_(forwarder),
      cluster_(std::move(cluster)),
      node_(std::move(node)),
      name_(std::move(name)),
      on_secret_(std::move(on_secret)) {}

void SdsClient::stop() {
  stopped_ = true;
  if (stream_) stream_->cancel();
}

Task<void> SdsClient::run() {
  while (!stopped_) {
    co_await serve_stream();
    if (stopped_) break;
    const Duration wait = backoff_.next(worker_.random());
    co_await sleep_for(worker_, wait);
  }
}

Task<void> SdsClient::serve_stream() {
  GrpcCall call;
  call.cluster = cluster_;
  call.path = sds_path;
  stream_ = std::make_unique<GrpcStream>(worker_, forwarder_, std::move(call));
  DiscoveryRequest first = request_for(name_, version_);
  first.mutable_node()->ParseFromString(node_);
  stream_->send(first.SerializeAsString());
  for (;;) {
    Result<std::string> message = co_await stream_->receive();
    if (!message) break;
    if (!answer(*stream_, *message)) break;
    backoff_.reset();
  }
  if (!stopped_) {
    const GrpcStatus& status = stream_->status();
    CLEW_LOG(secret, warning, "SDS stream of {} ended: gRPC status {}, {}", name_, status.code, status.message);
  }
  stream_.reset();
}

bool SdsClient::answer(GrpcStream& stream, const std::string& bytes) {
  DiscoveryResponse response;
  if (!response.ParseFromString(bytes)) {
    CLEW_LOG(secret, error, "SDS sent {} bytes for {} that are no DiscoveryResponse", bytes.size(), name_);
    return false;
  }
  std::string refused;
  for (const auto& resource : response.resources()) {
    std::string problem = on_secret_(resource, response.version_info());
    if (!problem.empty()) refused = std::move(problem);
  }
  if (refused.empty()) version_ = response.version_info();
  DiscoveryRequest request = request_for(name_, version_);
  request.set_response_nonce(response.nonce());
  if (!refused.empty()) {
    if (const auto more = refusals_.turn(worker_.clock().now()))
      CLEW_LOG(secret, warning, "secret {} refused: {}{}", name_, refused, *more);
    request.mutable_error_detail()->set_code(3);  // INVALID_ARGUMENT
    request.mutable_error_detail()->set_message(refused);
  }
  stream.send(request.SerializeAsString());
  return true;
}

}  // namespace clew
