// The masks of /config_dump: which fields of a message are shown.
#pragma once

#include <string>
#include <string_view>

namespace google::protobuf {
class Message;
}

namespace clew {

/// Keeps of `message` the fields that `mask` names («cluster.name,last_updated»), also inside an Any; a repeated field
/// is kept whole. False when a path names no field: the message is then in no particular state.
bool trim(google::protobuf::Message& message, std::string_view mask);

}  // namespace clew
