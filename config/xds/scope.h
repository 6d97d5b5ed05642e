// Where a decoder is and what went wrong first. A decoder never stops half-way: it notes the problem, goes on with a
// default, and its caller looks at ok() once at the end. So a decoder reads like the value it makes.
#pragma once

#include <string>
#include <string_view>

namespace google::protobuf {
class Message;
}

namespace clew {

class Scope {
 public:
  /// resource: «cluster outbound|80||x»; starts each sentence. May be empty.
  explicit Scope(std::string resource = {}) : resource_(std::move(resource)) {}
  Scope(const Scope&) = delete;

  /// Steps into a field, and out of it at the end of its life.
  class Field {
   public:
    Field(Scope& scope, std::string_view name) : scope_(scope), length_(scope.path_.size()) { scope.step(name); }
    Field(Scope& scope, std::string_view name, std::size_t index) : Field(scope, name) { scope.step_index(index); }
    Field(Scope& scope, std::string_view name, std::string_view key) : Field(scope, name) { scope.step_key(key); }
    ~Field() { scope_.path_.resize(length_); }
    Field(const Field&) = delete;

   private:
    Scope& scope_;
    std::size_t length_;
  };

  /// While it lives, refusals name this Istio object (metadata.filter_metadata.istio.config); empty: the outer one.
  class Object {
   public:
    Object(Scope& scope, std::string name) : scope_(scope), outer_(scope.object_) {
      if (!name.empty()) scope.object_ = std::move(name);
    }
    ~Object() { scope_.object_ = std::move(outer_); }
    Object(const Object&) = delete;

   private:
    Scope& scope_;
    std::string outer_;
  };

  /// The first problem stands, later ones are its consequences or as bad.
  void fail(std::string_view what);
  /// The same with one more step in the path.
  void fail(std::string_view field, std::string_view what);
  bool ok() const { return problem_.empty(); }
  /// «RESOURCE: PATH: WHAT (OBJECT)»
  const std::string& problem() const { return problem_; }
  const std::string& path() const { return path_; }

 private:
  void step(std::string_view name);
  void step_index(std::size_t index);
  void step_key(std::string_view key);

  std::string resource_, path_, object_, problem_;
};

/// «/apis/networking.istio.io/v1/namespaces/shop/virtual-service/cart» as «VirtualService shop/cart»; other text
/// unchanged.
std::string istio_object_name(std::string_view path);

/// Bytes from outside as text for a log line or a NACK: bounded, no control characters.
std::string printable(std::string_view text, std::size_t limit = 200);

}  // namespace clew
