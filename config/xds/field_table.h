// The one table of what clew does with each field of each message: honoured, harmless, or refused. A field that is set
// and is not in the table is refused. COMPATIBILITY.md is printed from it. To switch a field, change its row
// (field_table_*.cc).
#pragma once

#include "config/xds/scope.h"

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace google::protobuf {
class Message;
}

namespace clew {

enum class Support : std::uint8_t {
  honoured,  // it does what Envoy does with it
  harmless,  // accepted, nothing is done with it: no request's fate and no policy hangs on it
  refused,   // known, and a reason to refuse the resource
};

/// Fields of one message that are treated alike.
struct FieldRow {
  std::string_view fields;  // names, separated by a space; «*» is every field that has no row of its own
  Support support = Support::honoured;
  std::string_view why = {};  // of harmless and refused; a remark of honoured
  /// When not empty: the only values accepted, separated by a space (enum words, numbers, true or false, «0s»).
  std::string_view values = {};
  bool warn = false;  // harmless, but someone may miss it: said in the log when it is in the bootstrap
};

/// Calls visit(word) for each word of a list separated by spaces.
template <class F>
void for_each_word(std::string_view words, F&& visit) {
  while (!words.empty()) {
    const std::string_view word = words.substr(0, words.find(' '));
    if (!word.empty()) visit(word);
    words.remove_prefix(std::min(word.size() + 1, words.size()));
  }
}

struct MessageRows {
  std::string_view message;  // full name
  std::span<const FieldRow> rows;
  /// For messages that come in an Any: what they are called in Node.extensions and COMPATIBILITY.md
  /// («envoy.filters.http»).
  std::string_view category = {};
  std::string_view extension = {};  // the extension's usual name
};

/// Every row, grouped as COMPATIBILITY.md prints them.
struct TableSection {
  std::string_view title;
  std::span<const MessageRows> messages;
};
std::span<const TableSection> field_table();

struct Extension {
  std::string_view name, category, message;
};
/// The extensions that the table knows.
std::vector<Extension> supported_extensions();

/// Visits every field that is set, down through Any and TypedStruct, and notes the first that is refused, or not known,
/// in the scope. Istio objects found on the way (metadata) are named. warnings: what is harmless only because nothing
/// is done with it yet; may be null.
void check_fields(const google::protobuf::Message& message, Scope& scope, std::vector<std::string>* warnings = nullptr);

}  // namespace clew
