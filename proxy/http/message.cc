#include "proxy/http/message.h"

#include "proxy/base/strings.h"

#include <algorithm>

namespace clew {
namespace {

/// A value as it may stand on a line: what would end the line, or the value, is left out, whoever made it up.
std::string_view copy_value(Arena& arena, std::string_view value) {
  const auto breaks = [](char c) { return c == '\r' || c == '\n' || c == '\0'; };
  if (std::none_of(value.begin(), value.end(), breaks)) return arena.copy(value);
  char* out = arena.allocate(value.size());
  char* const end = std::remove_copy_if(value.begin(), value.end(), out, breaks);
  return {out, static_cast<std::size_t>(end - out)};
}

std::string_view copy_lower(Arena& arena, std::string_view name) {
  char* out = arena.allocate(name.size());
  std::transform(name.begin(), name.end(), out, ascii_lower);
  return {out, name.size()};
}

}  // namespace

std::optional<std::string_view> HeaderMap::get(HeaderId id) const {
  for (const Field& field : fields_)
    if (field.id == id) return field.value;
  return std::nullopt;
}

std::optional<std::string_view> HeaderMap::get(std::string_view lower_name) const {
  const HeaderId id = header_id(lower_name);
  if (id != HeaderId::unknown) return get(id);
  for (const Field& field : fields_)
    if (field.id == HeaderId::unknown && field.name == lower_name) return field.value;
  return std::nullopt;
}

std::optional<std::string_view> HeaderMap::get_all(std::string_view lower_name) const {
  const HeaderId id = header_id(lower_name);
  const auto same = [&](const Field& field) {
    return field.id == id && (id != HeaderId::unknown || field.name == lower_name);
  };
  std::size_t count = 0;
  std::size_t bytes = 0;
  std::string_view first;
  for (const Field& field : fields_) {
    if (!same(field)) continue;
    if (count++ == 0) first = field.value;
    bytes += field.value.size() + 1;
  }
  if (count == 0) return std::nullopt;
  if (count == 1) return first;
  char* const begin = arena_->allocate(bytes);
  char* out = begin;
  for (const Field& field : fields_) {
    if (!same(field)) continue;
    if (out != begin) *out++ = ',';
    out = std::copy(field.value.begin(), field.value.end(), out);
  }
  return std::string_view(begin, static_cast<std::size_t>(out - begin));
}

void HeaderMap::push(const Field& field) {
  if (fields_.capacity() == 0) fields_.reserve(24);  // most heads fit: one allocation for all
  fields_.push_back(field);
}

void HeaderMap::add(HeaderId id, std::string_view value) { push({header_name(id), copy_value(*arena_, value), id}); }

void HeaderMap::add(std::string_view name, std::string_view value) {
  const std::string_view lower = copy_lower(*arena_, name);
  push({lower, copy_value(*arena_, value), header_id(lower)});
}

void HeaderMap::add_view(HeaderId id, std::string_view lower_name, std::string_view value) {
  push({lower_name, value, id});
}

void HeaderMap::set(HeaderId id, std::string_view value) {
  const auto first = std::find_if(fields_.begin(), fields_.end(), [id](const Field& field) { return field.id == id; });
  if (first == fields_.end()) return add(id, value);
  first->value = copy_value(*arena_, value);
  fields_.erase(std::remove_if(first + 1, fields_.end(), [id](const Field& field) { return field.id == id; }),
                fields_.end());
}

void HeaderMap::set(std::string_view name, std::string_view value) {
  const std::string_view lower = copy_lower(*arena_, name);
  const HeaderId id = header_id(lower);
  if (id != HeaderId::unknown) return set(id, value);
  const std::string_view kept = copy_value(*arena_, value);  // before removal: value may lie in a field that goes
  remove(lower);
  push({lower, kept, id});
}

void HeaderMap::append(HeaderId id, std::string_view value, std::string_view separator) {
  for (Field& field : fields_) {
    if (field.id != id) continue;
    const std::string_view more = copy_value(*arena_, value);
    field.value = field.value.empty() ? more : arena_->concat(field.value, separator, more);
    return;
  }
  add(id, value);
}

std::size_t HeaderMap::remove(HeaderId id) {
  return std::erase_if(fields_, [id](const Field& field) { return field.id == id; });
}

std::size_t HeaderMap::remove(std::string_view lower_name) {
  const HeaderId id = header_id(lower_name);
  if (id != HeaderId::unknown) return remove(id);
  return std::erase_if(fields_,
                       [&](const Field& field) { return field.id == HeaderId::unknown && field.name == lower_name; });
}

std::size_t HeaderMap::bytes() const {
  std::size_t total = 0;
  for (const Field& field : fields_) total += field.name.size() + field.value.size() + 32;
  return total;
}

std::string_view to_string(HttpVersion version) {
  switch (version) {
    case HttpVersion::http10: return "HTTP/1.0";
    case HttpVersion::http11: return "HTTP/1.1";
    case HttpVersion::http2: return "HTTP/2";
  }
  return "";
}

}  // namespace clew
