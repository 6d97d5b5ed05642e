// Secrets from the agent's socket: SotW SecretDiscoveryService/StreamSecrets, one stream for each name, as Envoy does
// it (the agent serves no other form). Rotations are pushed; an ended stream is opened again with back-off. Control
// thread only.
#pragma once

#include "config/xds/backoff.h"
#include "proxy/base/log_pace.h"
#include "proxy/grpc/stream.h"

#include <functional>
#include <memory>
#include <string>

namespace google::protobuf {
class Any;
}

namespace clew {

class SdsClient {
 public:
  /// Applies a Secret; returns why it was refused, or nothing.
  using OnSecret = std::function<std::string(const google::protobuf::Any& resource, const std::string& version)>;

  SdsClient(Worker& worker, Forwarder& forwarder, std::string cluster, std::string node, std::string name,
            OnSecret on_secret);
  SdsClient(const SdsClient&) = delete;

  Task<void> run();
  void stop();

 private:
  Task<void> serve_stream();
  bool answer(GrpcStream& stream, const std::string& bytes);

  Worker& worker_;
  Forwarder& forwarder_;
  const std::string cluster_, node_, name_;
  OnSecret on_secret_;
  std::unique_ptr<GrpcStream> stream_;
  std::string version_;  // of the last accepted secret
  bool stopped_ = false;
  Backoff backoff_;
  LogPace refusals_;
};

}  // namespace clew
