// A small delta ADS server for tests of the proxy in process, on our own HTTP/2 code (libgrpc brings another TLS
// library and threads). It serves what it is told and records what it is told back. One stream at a time, as istiod's
// agent does.
#pragma once

#include "proxy/http/server_connection.h"
#include "proxy/net/acceptor.h"
#include "proxy/net/task_group.h"

#include "envoy/service/discovery/v3/discovery.pb.h"

#include <deque>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace clew::test {

using DeltaRequest = envoy::service::discovery::v3::DeltaDiscoveryRequest;
using DeltaResponse = envoy::service::discovery::v3::DeltaDiscoveryResponse;

/// Lives on one worker, used on its thread only.
class AdsServer final : public Forwarder {
 public:
  AdsServer(Worker& worker, std::string socket_path);
  ~AdsServer() override;

  /// Adds or replaces a resource; goes out at once to whoever is subscribed (or with the next subscription).
  void set(const std::string& type_url, const std::string& name, const google::protobuf::Message& resource);
  /// Several of one type, serialized, in one response.
  void set(const std::string& type_url, const std::map<std::string, std::string>& resources);
  void remove(const std::string& type_url, const std::string& name);
  /// Says nothing of this type from now on, whatever is set or asked for, until it is let go again.
  void hold(const std::string& type_url, bool held);
  /// A response as it is, with a nonce of ours, which is returned; empty without a stream.
  std::string send(DeltaResponse response);
  /// Ends the stream as istiod does when a connection is too old; later streams are served.
  void end_stream();
  /// Stops listening and ends everything; it may be destroyed once idle().
  void stop();
  bool idle() const { return tasks_.empty(); }

  /// Everything received since the start, in order.
  const std::vector<DeltaRequest>& requests() const { return requests_; }
  std::size_t streams() const { return streams_; }
  /// The last ACK or NACK of a type; null before.
  const DeltaRequest* answer(const std::string& type_url) const;
  /// Told of each message as it comes.
  std::function<void(const DeltaRequest&)> on_request;

  Task<std::variant<UpstreamResponse, LocalReply>> forward(Stream& stream, BodyPtr request_body,
                                                           ResponseWriter& writer) override;

 private:
  class ResponseBody;
  Task<void> accept_loop();
  Task<void> serve(std::unique_ptr<Transport> transport);
  Task<void> receive(BodyPtr body, std::uint64_t stream_number);
  void handle(const DeltaRequest& request);
  void push(const std::string& type_url, const std::set<std::string>& names, const std::vector<std::string>& removed);

  Worker& worker_;
  Acceptor acceptor_;
  TaskGroup tasks_;
  HttpConnectionManager manager_;
  HttpServerStats stats_;
  std::map<std::string, std::map<std::string, std::string>> resources_;  // type → name → serialized
  std::map<std::string, std::set<std::string>> subscribed_;              // of the stream; «*»: all
  std::set<std::string> held_;                                           // types
  ResponseBody* out_ = nullptr;                                          // of the stream; owned by its response
  std::vector<DeltaRequest> requests_;
  std::vector<Transport*> connections_;
  std::uint64_t nonce_ = 0, streams_ = 0;
};

}  // namespace clew::test
