// Heads of HTTP messages in the one form that every layer sees, whatever the wire said: RFC 9110 fields with lower-case
// names, pseudo-headers apart. Names and values are spans into the message's own storage.
#pragma once

#include "proxy/base/arena.h"
#include "proxy/base/recycled.h"
#include "proxy/http/header_names.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace clew {

/// Header fields in the order they arrived. Values and names live in the arena given at construction (add) or in
/// storage that outlives the map (add_view). Lookup by id is a scan of small integers.
class HeaderMap {
 public:
  struct Field {
    std::string_view name;   // lower case
    std::string_view value;  // no leading or trailing white space, no NUL, CR, LF
    HeaderId id;             // unknown for names outside header_names.h
  };

  using Fields = std::vector<Field, RecyclingAllocator<Field>>;

  explicit HeaderMap(Arena& arena) : arena_(&arena) {}

  /// First value.
  std::optional<std::string_view> get(HeaderId id) const;
  std::optional<std::string_view> get(std::string_view lower_name) const;
  /// All values joined with «,» (arena-allocated when there are several).
  std::optional<std::string_view> get_all(std::string_view lower_name) const;
  bool has(HeaderId id) const { return get(id).has_value(); }

  void add(HeaderId id, std::string_view value);                                    // copies value
  void add(std::string_view name, std::string_view value);                          // copies both, lowers the name
  void add_view(HeaderId id, std::string_view lower_name, std::string_view value);  // copies nothing
  void set(HeaderId id, std::string_view value);                                    // replaces all
  void set(std::string_view name, std::string_view value);
  /// «old,value», or value alone.
  void append(HeaderId id, std::string_view value, std::string_view separator = ",");
  std::size_t remove(HeaderId id);
  std::size_t remove(std::string_view lower_name);
  template <class Predicate>
  void remove_if(Predicate&& predicate) {
    std::erase_if(fields_, std::forward<Predicate>(predicate));
  }

  const Fields& fields() const { return fields_; }
  std::size_t size() const { return fields_.size(); }
  /// Names, values and 32 bytes for each field (RFC 9113 6.5.2).
  std::size_t bytes() const;
  Arena& arena() const { return *arena_; }
  void clear() { fields_.clear(); }

 private:
  void push(const Field& field);

  Fields fields_;
  Arena* arena_;
};

enum class HttpVersion : std::uint8_t { http10, http11, http2 };
std::string_view to_string(HttpVersion version);  // «HTTP/1.1»

struct RequestHead {
  explicit RequestHead(Arena& arena) : headers(arena) {}
  std::string_view method, scheme, authority, path;  // in the arena; path includes the query
  HeaderMap headers;  // without Host, Connection and other hop-by-hop fields; Content-Length kept when it was given
  HttpVersion version = HttpVersion::http11;
  std::optional<std::uint64_t> content_length;
  bool end_stream = false;       // no body follows
  bool keep_alive = true;        // HTTP/1: the client wants the connection kept
  bool expect_continue = false;  // Expect: 100-continue (the field stays in headers)
  std::string_view upgrade;      // «websocket» (h1 Upgrade, or h2 :protocol); lower case; empty: none
  /// All header names as they were spelled; only when preserve_header_case is on. Output looks its spelling up here.
  std::vector<std::string_view> original_names;
};

struct ResponseHead {
  explicit ResponseHead(Arena& arena) : headers(arena) {}
  std::uint32_t status = 0;
  HeaderMap headers;
  HttpVersion version = HttpVersion::http11;
  std::optional<std::uint64_t> content_length;
  bool end_stream = false;
  bool upgraded = false;                         // 101, or 200 to an extended CONNECT: bytes follow, not a body
  std::vector<std::string_view> original_names;  // as in RequestHead
};

}  // namespace clew
