// gRPC over HTTP/2 as bytes: length-prefixed messages, statuses, grpc-timeout. No I/O.
#pragma once

#include "proxy/base/buffer.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace clew {

/// Code numbers that we act on; google.rpc.Code.
struct GrpcCode {
  enum : std::uint32_t {
    ok = 0,
    cancelled = 1,
    unknown = 2,
    deadline_exceeded = 4,
    resource_exhausted = 8,
    internal = 13,
    unavailable = 14,
  };
};

/// Adds one uncompressed message with its prefix.
void append_grpc_message(Buffer& out, std::string_view message);

/// Takes messages out of a byte stream.
class GrpcMessageReader {
 public:
  explicit GrpcMessageReader(std::size_t max_message) : max_message_(max_message) {}

  /// Consumes `in`. A message; would_block when more bytes are needed; out_of_memory_bound for a message above the
  /// bound; http_bad_message for a prefix that cannot be (compressed without having been offered).
  Result<std::string> next(Buffer& in);
  /// The stream may end here.
  bool between_messages() const { return !in_message_ && prefix_size_ == 0; }

 private:
  const std::size_t max_message_;
  char prefix_[5];
  std::size_t prefix_size_ = 0;
  bool in_message_ = false;
  std::size_t missing_ = 0;
  std::string message_;
};

/// grpc-message is percent-encoded UTF-8; what is not an escape stays as it is.
std::string decode_grpc_message(std::string_view text);
/// «100m»: in milliseconds, or the smallest larger unit that fits eight digits, rounded down (as Envoy).
std::string grpc_timeout(Duration timeout);

}  // namespace clew
