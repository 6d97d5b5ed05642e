#include "filters/decoders.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

namespace clew {

std::string_view message_name(const google::protobuf::Message& message) { return message.GetDescriptor()->full_name(); }

}  // namespace clew
