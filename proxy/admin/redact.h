// Key material out of what the admin interface shows: private keys, passwords, ticket keys and generic secrets,
// wherever in a message they are, inside an Any or a TypedStruct too.
#pragma once

namespace google::protobuf {
class Message;
}

namespace clew {

/// Puts «[redacted]» in their place; whether there was any. What cannot be looked into, an Any of an unknown type or
/// with broken bytes, is blanked whole.
bool redact(google::protobuf::Message& message);

}  // namespace clew
