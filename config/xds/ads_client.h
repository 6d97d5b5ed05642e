// Delta ADS over one gRPC stream, as istiod speaks it (through the agent's unix socket): what is watched, which names
// are subscribed, nonces, ACK and NACK, reconnects. It knows the protocol and nothing of the resources. Control thread
// only.
#pragma once

#include "config/xds/backoff.h"
#include "proxy/base/log_pace.h"
#include "proxy/base/strings.h"
#include "proxy/grpc/stream.h"

#include <array>
#include <functional>
#include <set>
#include <string>
#include <string_view>

namespace envoy::service::discovery::v3 {
class DeltaDiscoveryRequest;
class DeltaDiscoveryResponse;
}  // namespace envoy::service::discovery::v3

namespace clew {

/// What was refused of a response; empty: all of it was accepted.
struct Refusals {
  std::set<std::string> names;
  std::string detail;  // for error_detail: one sentence a resource, naming resource and field
};

/// What happens with what arrives.
class AdsHandler {
 public:
  virtual ~AdsHandler() = default;
  /// Applies each resource alone: good ones stand, whatever the others are.
  virtual Refusals on_response(const envoy::service::discovery::v3::DeltaDiscoveryResponse& response) = 0;
  /// connected: the first response of a stream came; not connected: one ended, or could not be opened.
  virtual void on_connected(bool connected) = 0;
};

class AdsClient {
 public:
  struct Options {
    std::string cluster;  // ads_config's envoy_grpc cluster
    std::string node;     // serialized envoy.config.core.v3.Node, sent unchanged in the first message of each stream
  };

  AdsClient(Worker& worker, Forwarder& forwarder, Options options, AdsHandler& handler);
  AdsClient(const AdsClient&) = delete;

  /// Serves until stop(); reconnects with back-off.
  Task<void> run();
  void stop();

  /// Asks for every resource of a type (CDS, LDS). The first request of the type carries no names.
  void watch_all(std::string_view type_url);
  /// Replaces the names asked for (EDS, RDS, SDS). What changed goes out as a request of its own, without a nonce; an
  /// empty set never opens a type, since that would be a wildcard.
  void set_names(std::string_view type_url, const std::set<std::string>& names);

 private:
  /// One resource type of the stream.
  struct Watch {
    std::string_view type_url;
    bool wildcard = false;
    bool opened = false;  // a first request went out on this stream
    std::set<std::string> names;
    StringMap<std::string> held;  // accepted resources and their versions, for initial_resource_versions
  };

  Watch* find(std::string_view type_url);
  void open_watch(Watch& watch);
  void send(envoy::service::discovery::v3::DeltaDiscoveryRequest& request);
  void receive(const std::string& bytes);
  void acknowledge(const envoy::service::discovery::v3::DeltaDiscoveryResponse& response, const std::string& refused);
  Task<void> serve_stream();

  Worker& worker_;
  Forwarder& forwarder_;
  const Options options_;
  AdsHandler& handler_;
  std::array<Watch, 5> watches_;
  std::unique_ptr<GrpcStream> stream_;  // null while disconnected
  bool node_sent_ = false;
  bool connected_ = false;
  bool stopped_ = false;
  Backoff backoff_;
  LogPace refusals_;
};

}  // namespace clew
