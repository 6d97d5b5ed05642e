// How a resource that arrived is filed among its versions (config/xds/resource.h). Control thread only.
#pragma once

#include "config/xds/resource.h"

#include <google/protobuf/arena.h>

#include <string>
#include <utility>

namespace clew {

/// A message that goes as a whole: its hundred parts are not allocated one by one.
template <class Message>
class Parsed {
 public:
  explicit Parsed(const std::string& bytes)
      : message_(google::protobuf::Arena::CreateMessage<Message>(&arena_)), good_(message_->ParseFromString(bytes)) {}
  explicit operator bool() const { return good_; }
  const Message& operator*() const { return *message_; }
  std::string problem() const { return "the bytes are no " + std::string(message_->GetTypeName()); }

 private:
  google::protobuf::Arena arena_;
  Message* message_;
  bool good_;
};

/// Leaves a new version in record.warming. Equal bytes are a no-op; a refusal leaves what serves alone.
/// decode(Accepted<T>&): sets value and needs; returns why it cannot, as this does.
template <class T, class Decode>
std::string accept(Record<T>& record, const std::string& bytes, const std::string& version, WallTime now,
                   Decode&& decode) {
  if (const auto* newest = record.newest(); newest && newest->bytes == bytes) {
    record.error.reset();
    return {};
  }
  auto accepted = std::make_unique<Accepted<T>>(Accepted<T>{bytes, version, now, nullptr});
  std::string problem = decode(*accepted);
  if (!problem.empty()) {
    record.error = std::make_unique<Refused>(Refused{bytes, version, problem, now});
    return problem;
  }
  record.error.reset();
  record.warming = std::move(accepted);
  return {};
}

}  // namespace clew
