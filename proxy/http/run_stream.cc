#include "proxy/http/run_stream.h"

#include "proxy/http/local_reply.h"
#include "proxy/http/request_policy.h"
#include "proxy/http/stream_run.h"

#include <utility>

namespace clew {

Task<Result<void>> run_stream(Stream& stream, BodyPtr request_body, Forwarder& forwarder, ResponseWriter& writer,
                              StreamObserver& observer) {
  StreamRun run(stream, forwarder, writer);
  run.begin();
  BodyPtr body = run.meter_request(std::move(request_body));
  BodyPtr response_body;

  std::optional<LocalReply> reply = prepare_request(stream);
  if (reply && reply->status == 400) stream.request.keep_alive = false;  // as Envoy: what follows is not read
  if (!reply) {
    run.route();
    run.name_operation();
    reply = run.refuse_upgrade();
    if (!reply) reply = co_await run.request_filters(body);
    if (!reply) reply = run.route_reply();
  }
  if (!reply && stream.canceled == Errc::ok) {
    if (run.answers_expectation()) {
      const Result<void> invited = co_await run.answer_expectation();
      (void)invited;  // a client that is gone is seen when it is answered
    }
    auto forwarding = forwarder.forward(stream, std::move(body), run);
    std::variant<UpstreamResponse, LocalReply> answer = co_await std::move(forwarding);
    if (auto* upstream = std::get_if<UpstreamResponse>(&answer))
      response_body = std::move(upstream->body);
    else
      reply = std::move(std::get<LocalReply>(answer));
  }
  const bool forwarded = !reply;
  if (std::optional<LocalReply> interruption = run.interruption()) reply = std::move(interruption);
  if (reply) {
    if (body) body->cancel(Errc::canceled);
    if (response_body) response_body->cancel(Errc::canceled);
    response_body = apply_local_reply(stream, *reply);
  } else if (forwarded && stream.info.response_code_details.empty()) {
    stream.info.response_code_details = "via_upstream";
  }

  Result<void> answered = Error{stream.canceled};
  if (stream.response.status != 0) {
    run.response_filters(response_body);
    run.name_operation_in_response();
    prepare_response(stream);
    answered = co_await run.respond(response_body);
  }
  run.finish(answered);
  observer.on_stream_done(stream);
  co_return answered;
}

Task<void> refuse_stream(Stream& stream, Errc cause, std::string_view details, ResponseWriter& writer,
                         StreamObserver& observer) {
  struct NoForwarder final : Forwarder {
    Task<std::variant<UpstreamResponse, LocalReply>> forward(Stream&, BodyPtr, ResponseWriter&) override {
      co_return LocalReply();
    }
  } nowhere;
  StreamRun run(stream, nowhere, writer);
  run.begin();
  stream.remote = stream.connection.remote;
  LocalReply reply = local_reply(cause, false);
  if (cause == Errc::request_timeout) {
    reply.body = "request header timeout";
    reply.details = "request_header_timeout";
  }
  if (!details.empty()) reply.details = details;
  Result<void> answered = Error{cause};
  BodyPtr body = apply_local_reply(stream, reply);
  if (stream.response.status != 0) {
    prepare_response(stream);
    answered = co_await run.respond(body);
  }
  run.finish(answered);
  observer.on_stream_done(stream);
}

}  // namespace clew
