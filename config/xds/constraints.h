// What Envoy's API demands of the fields of its messages (protoc-gen-validate): what breaks a rule is refused, as Envoy
// does. The rules are generated (third_party/constraints); nothing here knows a message by name.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace google::protobuf {
class Descriptor;
class Message;
}  // namespace google::protobuf

namespace clew {

struct Constraint;

/// The rules for one type of message, its own fields alone: messages below have theirs. Any thread, no I/O.
class Constraints {
 public:
  explicit Constraints(const google::protobuf::Descriptor& type);
  Constraints(Constraints&&) noexcept;
  Constraints& operator=(Constraints&&) noexcept;
  ~Constraints();

  struct Violation {
    std::string field;  // or oneof
    std::string what;   // «must be above 0»
  };
  /// The first rule that the message breaks.
  std::optional<Violation> violated_by(const google::protobuf::Message& message) const;

 private:
  std::vector<Constraint> rules_;
};

}  // namespace clew
