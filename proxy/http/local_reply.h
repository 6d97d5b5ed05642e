// Answers made here: the one list of causes with status, flag, details and text, and how an answer is put into words
// for the client that asked. Texts are Envoy's: people and tests match on them.
#pragma once

#include "proxy/base/result.h"
#include "proxy/http/stream.h"

#include <string_view>

namespace clew {

/// What a cause that is not the upstream's looks like to the client. request_complete decides between 408 and 504.
LocalReply local_reply(Errc cause, bool request_complete = true);

/// Fills stream.response, and the log's record, with an answer; returns its body, or null. A gRPC request gets status
/// 200 and grpc-status, without body.
BodyPtr apply_local_reply(Stream& stream, const LocalReply& reply);

/// gRPC's code for an HTTP status, as Envoy maps it.
std::uint32_t grpc_status_of(std::uint32_t http_status);
/// content-type application/grpc, with a subtype or not.
bool is_grpc_request(const RequestHead& request);
/// A grpc-message as it may stand in a header.
std::string percent_encode_grpc_message(std::string_view message);

}  // namespace clew
