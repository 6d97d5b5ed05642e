#include "config/xds/ads_client.h"

#include "config/xds/scope.h"
#include "config/xds/type_urls.h"
#include "proxy/base/log.h"

#include "envoy/service/discovery/v3/discovery.pb.h"

#include <google/protobuf/arena.h>

#include <malloc.h>

#include <algorithm>

namespace clew {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;

namespace {

constexpr std::string_view ads_path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";
// What istiod logs of a NACK, and what a person reads there; more of it is in our own log.
constexpr std::size_t max_error_detail = 8 * 1024, max_logged_detail = 64 * 1024;
// One that leaves large holes in the heap. They are given back at once: nothing as large may come for days.
constexpr std::size_t large_message = 1024 * 1024;

}  // namespace

AdsClient::AdsClient(Worker& worker, Forwarder& forwarder, Options options, AdsHandler& handler)
    : worker_(worker), forwarder_(forwarder), options_(std::move(options)), handler_(handler) {
  for (std::size_t i = 0; i < watches_.size(); ++i) watches_[i].type_url = type_url::all[i];
}

AdsClient::Watch* AdsClient::find(std::string_view type_url) {
  const auto it =
      std::find_if(watches_.begin(), watches_.end(), [&](const Watch& w) { return w.type_url == type_url; });
  return it == watches_.end() ? nullptr : &*it;
}

void AdsClient::stop() {
  stopped_ = true;
  if (stream_) stream_->cancel();
}

void AdsClient::send(DeltaDiscoveryRequest& request) {
  if (!node_sent_) {
    request.mutable_node()->ParseFromString(options_.node);
    node_sent_ = true;
  }
  stream_->send(request.SerializeAsString());
}

void AdsClient::open_watch(Watch& watch) {
  if (!watch.wildcard && watch.names.empty()) return;
  DeltaDiscoveryRequest request;
  request.set_type_url(std::string(watch.type_url));
  for (const auto& name : watch.names) request.add_resource_names_subscribe(name);
  for (const auto& [name, version] : watch.held) (*request.mutable_initial_resource_versions())[name] = version;
  watch.opened = true;
  send(request);
}

void AdsClient::watch_all(std::string_view type_url) {
  Watch* watch = find(type_url);
  if (!watch || watch->wildcard) return;
  watch->wildcard = true;
  if (stream_) open_watch(*watch);
}

void AdsClient::set_names(std::string_view type_url, const std::set<std::string>& names) {
  Watch* watch = find(type_url);
  if (!watch || watch->names == names) return;
  DeltaDiscoveryRequest request;
  for (const auto& name : names)
    if (!watch->names.contains(name)) request.add_resource_names_subscribe(name);
  for (const auto& name : watch->names) {
    if (names.contains(name)) continue;
    request.add_resource_names_unsubscribe(name);
    watch->held.erase(name);
  }
  watch->names = names;
  if (!stream_) return;  // the next stream opens with the names of that moment
  if (!watch->opened) return open_watch(*watch);
  request.set_type_url(std::string(type_url));
  send(request);
}

Task<void> AdsClient::run() {
  while (!stopped_) {
    co_await serve_stream();
    if (stopped_) break;
    const Duration wait = backoff_.next(worker_.random());
    CLEW_LOG(config, debug, "ADS reconnects in {} ms",
             std::chrono::duration_cast<std::chrono::milliseconds>(wait).count());
    co_await sleep_for(worker_, wait);
  }
}

Task<void> AdsClient::serve_stream() {
  GrpcCall call;
  call.cluster = options_.cluster;
  call.path = ads_path;
  stream_ = std::make_unique<GrpcStream>(worker_, forwarder_, std::move(call));
  node_sent_ = false;
  for (auto& watch : watches_) watch.opened = false;
  for (auto& watch : watches_) open_watch(watch);
  for (;;) {
    Result<std::string> message = co_await stream_->receive();
    if (!message) break;
    if (!connected_) {
      connected_ = true;
      handler_.on_connected(true);
    }
    backoff_.reset();
    const bool large = message->size() >= large_message;
    receive(*message);
    message = std::string();
    if (large) ::malloc_trim(0);
  }
  const GrpcStatus status = stream_->status();
  if (!stopped_) {
    // istiod ends streams on purpose (maximum connection age): that is no warning.
    if (status.code == 0)
      CLEW_LOG(config, info, "ADS stream ended, reconnecting");
    else
      CLEW_LOG(config, warning, "ADS stream to {} ended: gRPC status {}, {}", options_.cluster, status.code,
               status.message);
  }
  stream_.reset();
  connected_ = false;
  handler_.on_connected(false);
}

void AdsClient::receive(const std::string& bytes) {
  google::protobuf::Arena arena;
  auto& response = *google::protobuf::Arena::CreateMessage<DeltaDiscoveryResponse>(&arena);
  if (!response.ParseFromString(bytes)) {
    CLEW_LOG(config, error, "ADS sent {} bytes that are no DeltaDiscoveryResponse; the stream is started again",
             bytes.size());
    stream_->cancel();
    return;
  }
  Watch* watch = find(response.type_url());
  Refusals refused;
  if (!watch) {
    refused.detail = "type " + response.type_url() + " was not asked for";
  } else {
    refused = handler_.on_response(response);
    for (const auto& name : response.removed_resources()) watch->held.erase(name);
    // A refused version is not held: a server that compares versions must send it again after a reconnect.
    for (const auto& resource : response.resources())
      if (!refused.names.contains(resource.name())) watch->held[resource.name()] = resource.version();
  }
  acknowledge(response, refused.detail);
}

void AdsClient::acknowledge(const DeltaDiscoveryResponse& response, const std::string& refused) {
  DeltaDiscoveryRequest answer;
  answer.set_type_url(response.type_url());
  answer.set_response_nonce(response.nonce());
  if (!refused.empty()) {
    if (const auto more = refusals_.turn(worker_.clock().now()))
      CLEW_LOG(config, warning, "{} refused: {}{}", response.type_url(), printable(refused, max_logged_detail), *more);
    auto* detail = answer.mutable_error_detail();
    detail->set_code(3);  // INVALID_ARGUMENT
    detail->set_message(printable(refused, max_error_detail));
  }
  send(answer);
}

}  // namespace clew
