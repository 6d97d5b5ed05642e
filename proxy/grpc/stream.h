// A gRPC client stream over our own HTTP/2 and clusters: for ADS, SDS, ext_authz, access-log, rate-limit and OTLP
// services. It obeys the cluster that the config names, because it is an ordinary Stream given to an ordinary
// Forwarder.
#pragma once

#include "proxy/http/forwarder.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace clew {

struct GrpcStatus {
  std::uint32_t code = 2;  // UNKNOWN until the trailers (or a bare HTTP status) say otherwise
  std::string message;     // percent-decoded
};

struct GrpcCall {
  std::string cluster;
  std::string path;       // «/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources»
  std::string authority;  // empty: the cluster's name
  std::vector<std::pair<std::string, std::string>> metadata;
  Duration timeout{0};                          // 0: none; sent as grpc-timeout and enforced here
  std::size_t max_message = 256 * 1024 * 1024;  // a longer one ends the stream with RESOURCE_EXHAUSTED (8)
};

/// A bidirectional stream that we never end first. One coroutine receives; send() may be called from any place on the
/// same worker. Destroying it cancels.
class GrpcStream {
 public:
  GrpcStream(Worker& worker, Forwarder& forwarder, GrpcCall call);
  ~GrpcStream();

  /// Queues a message; the bytes leave as soon as the window allows. The stream is opened by the first receive().
  void send(std::string_view message);
  /// The next message; eof after the last (then status() is final).
  Task<Result<std::string>> receive();
  const GrpcStatus& status() const;
  void cancel() noexcept;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace clew
