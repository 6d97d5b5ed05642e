// A gRPC server in a test's hands, behind a Forwarder.
#pragma once

#include "proxy/grpc/framing.h"
#include "proxy/http/forwarder.h"
#include "test/support/fed_body.h"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace clew {

/// Takes a request's bytes as they come, answers when told. One stream at a time.
class FakeGrpcServer final : public Forwarder {
 public:
  Task<std::variant<UpstreamResponse, LocalReply>> forward(Stream& stream, BodyPtr body, ResponseWriter&) override {
    ++streams;
    headers.clear();
    path = stream.request.path;
    authority = stream.request.authority;
    cluster = stream.cluster->cluster;
    for (const auto& f : stream.request.headers.fields()) headers.emplace_back(f.name, f.value);
    request = std::move(body);
    stream.abandon = [this](Errc cause) {
      abandoned = cause;
      go.notify();
    };
    while (!answered && abandoned == Errc::ok) co_await go.wait();
    stream.abandon = nullptr;
    if (abandoned != Errc::ok || reply) co_return reply.value_or(LocalReply{});
    stream.response.status = status;
    for (const auto& [name, value] : response_headers) stream.response.headers.add(name, value);
    stream.response.end_stream = trailers_only;
    UpstreamResponse out;
    if (!trailers_only) out.body = std::make_unique<FedBody>(response);
    co_return out;
  }
  void answer() {
    answered = true;
    go.notify();
  }
  /// Ends the stream without a status; the next one finds all as at first.
  void break_off() {
    answered = false;
    std::exchange(response, std::make_shared<FedBody::State>())->end();
  }
  void message(std::string_view text) {
    append_grpc_message(response->bytes, text);
    response->changed.notify();
  }
  void end(std::string_view code, std::string_view text = {}) {
    trailers.add("grpc-status", code);
    if (!text.empty()) trailers.add("grpc-message", text);
    response->trailers = &trailers;
    response->ended = true;
    response->changed.notify();
  }
  std::string sent() {
    Buffer out;
    while (request->try_read(out, 1024)) {
    }
    return out.to_string();
  }
  bool request_ended() {
    Buffer out;
    return request->try_read(out, 1024).error().code == Errc::eof;
  }

  std::string path, authority, cluster;
  std::vector<std::pair<std::string, std::string>> headers, response_headers{{"content-type", "application/grpc"}};
  int streams = 0;
  std::uint32_t status = 200;
  bool answered = false, trailers_only = false;
  std::optional<LocalReply> reply;
  Errc abandoned = Errc::ok;
  BodyPtr request;
  std::shared_ptr<FedBody::State> response = std::make_shared<FedBody::State>();
  Arena arena;
  HeaderMap trailers{arena};
  Event go;
};

}  // namespace clew
