// What run_stream works with: one stream's filters, timers and record. Only run_stream.cc includes it.
#pragma once

#include "proxy/http/filter.h"
#include "proxy/http/run_stream.h"

#include <memory>
#include <optional>
#include <vector>

namespace clew {

class MeteredBody;

/// To the forwarder it is the writer: of interim heads, within the stream's times.
class StreamRun final : public ResponseWriter {
 public:
  StreamRun(Stream& stream, Forwarder& forwarder, ResponseWriter& writer);
  StreamRun(const StreamRun&) = delete;
  ~StreamRun() override;

  void begin();
  /// The body as run_stream hands it on: counted, and an activity of the stream.
  BodyPtr meter_request(BodyPtr body);
  BodyPtr meter_response(BodyPtr body);

  /// Without proxy_100_continue a client is told to go on by us.
  bool answers_expectation() const { return stream_.request.expect_continue && !stream_.hcm.proxy_100_continue; }
  Task<Result<void>> answer_expectation();
  void route();
  /// Where tracing is configured, the proxies of client and server tell each other the operation's name: the server's
  /// only when it was not told. The applications never see it. As Envoy's connection manager.
  void name_operation();
  void name_operation_in_response();
  /// An upgrade that nobody allowed.
  std::optional<LocalReply> refuse_upgrade();
  /// Filters first to last.
  Task<std::optional<LocalReply>> request_filters(BodyPtr& body);
  /// What the route says itself: no route, https wanted, redirect, direct response.
  std::optional<LocalReply> route_reply();
  /// Last to first, of the filters whose on_request ran. May exchange the answer for one of a filter.
  void response_filters(BodyPtr& body);
  /// The stream was ended from outside, or its request broke: the answer to that, if there can be one.
  std::optional<LocalReply> interruption() const;
  Task<Result<void>> respond(BodyPtr& body);
  Task<Result<void>> inform(const ResponseHead& head) override;
  Task<Result<void>> respond(ResponseHead& head, Body* body) override { return writer_.respond(head, body); }
  void finish(const Result<void>& answered);

 private:
  friend class MeteredBody;

  bool inbound() const;
  std::unique_ptr<Timer> limit(Duration after, Errc cause);
  void time_over(Errc cause);
  void active();
  void request_ended();
  void count_answer();
  Duration elapsed() const { return stream_.worker.clock().now() - stream_.info.start; }

  Stream& stream_;
  Forwarder& forwarder_;
  ResponseWriter& writer_;
  std::vector<std::unique_ptr<Filter>, RecyclingAllocator<std::unique_ptr<Filter>>> filters_;
  MeteredBody* request_body_ = nullptr;  // while it lives
  MeteredBody* response_body_ = nullptr;
  Errc request_error_ = Errc::ok, response_error_ = Errc::ok;
  std::string_view operation_;  // the client's proxy did not say it
  bool request_complete_ = false, writing_ = false, direct_ = false, upgrade_counted_ = false;
  Duration idle_{0};
  Timer idle_timer_;
  std::unique_ptr<Timer> request_timer_, duration_timer_;  // null: not limited
};

}  // namespace clew
