// The receiving half of H2Session's heads: fields as HPACK gives them, counted, checked and joined into one view of the
// message.
#include "proxy/http/h2_session.h"

#include "proxy/base/strings.h"

#include <algorithm>
#include <utility>

namespace clew {
namespace {

constexpr std::size_t field_overhead = 32;  // RFC 9113 6.5.2

}  // namespace

int H2Session::begin_block(std::int32_t id, bool request) {
  block_.stream = nullptr;
  block_.bytes = block_.count = 0;
  block_.crumbs.clear();
  block_.host = {};
  H2Stream* stream = find(id);
  if (request && options_.server) {
    accounting_.stream_opened();
    closed_.opened(id);
    stream = owner_.on_stream();
    if (!stream) {
      nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    attach(*stream, id);
    nghttp2_session_set_stream_user_data(session_, id, stream);
  }
  if (!stream || stream->error != Errc::ok) return 0;
  block_.stream = stream;
  block_.trailers = stream->head_received_;
  block_.head = H2Head{};
  block_.head.headers = &stream->headers_for(block_.trailers);
  return 0;
}

int H2Session::add_field(std::string_view name, std::string_view value) {
  // Counted before anything is done with it, so that what is joined or dropped costs its sender too.
  block_.bytes += name.size() + value.size() + field_overhead;
  if (!block_.stream) return 0;
  const HeaderId id = header_id(name);
  const bool crumb = id == HeaderId::cookie && options_.server;
  if (!crumb || block_.crumbs.empty()) ++block_.count;
  if (block_.count > options_.max_header_count ||
      block_.bytes > options_.max_header_bytes + field_overhead * options_.max_header_count) {
    block_.stream->error =
        block_.count > options_.max_header_count ? Errc::http_too_many_headers : Errc::http_headers_too_large;
    count(&Http2CodecStats::header_overflow);
    block_.stream->on_received();
    block_.stream = nullptr;
    return accounting_.premature_reset() ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE : flood_of_resets("oversized heads");
  }
  if (!name.empty() && name.front() == ':') return add_pseudo(id, value) ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  HeaderMap& map = *block_.head.headers;
  Arena& arena = map.arena();
  value = arena.copy(trim(value));
  if (crumb) block_.crumbs.push_back(value);
  if (crumb && block_.crumbs.size() > 1) return 0;
  if (block_.trailers) {
    if (id == HeaderId::host || id == HeaderId::content_length) return 0;  // too late to say: RFC 9110 6.5.1
  } else {
    if (id == HeaderId::host) {
      block_.host = value;
      return 0;
    }
    if (id == HeaderId::http2_settings) return 0;
    if (id == HeaderId::content_length) block_.head.content_length = parse_uint(value);
  }
  map.add_view(id, id == HeaderId::unknown ? arena.copy(name) : header_name(id), value);
  return 0;
}

bool H2Session::add_pseudo(HeaderId id, std::string_view value) {
  H2Head& head = block_.head;
  if (id == HeaderId::pseudo_status) {
    const auto status = parse_uint(value);
    if (!status || value.size() != 3) return false;
    head.status = static_cast<std::uint32_t>(*status);
    return true;
  }
  value = head.headers->arena().copy(value);
  switch (id) {
    case HeaderId::pseudo_method: head.method = value; return true;
    case HeaderId::pseudo_scheme: head.scheme = value; return true;
    case HeaderId::pseudo_authority: head.authority = value; return true;
    case HeaderId::pseudo_path: head.path = value; return true;
    case HeaderId::pseudo_protocol: head.protocol = value; return true;
    default: return false;
  }
}

void H2Session::finish_cookie() {
  if (block_.crumbs.size() < 2) return;
  HeaderMap& map = *block_.head.headers;
  std::size_t size = 0;
  for (const std::string_view crumb : block_.crumbs) size += crumb.size() + 2;
  char* const begin = map.arena().allocate(size);
  char* at = begin;
  for (const std::string_view crumb : block_.crumbs) {
    if (at != begin) at = std::copy_n("; ", 2, at);
    at = std::copy(crumb.begin(), crumb.end(), at);
  }
  map.remove(HeaderId::cookie);
  map.add_view(HeaderId::cookie, header_name(HeaderId::cookie), {begin, static_cast<std::size_t>(at - begin)});
}

void H2Session::end_block(bool end_stream) {
  H2Stream* stream = std::exchange(block_.stream, nullptr);
  if (!stream) return;
  finish_cookie();
  if (block_.trailers) {
    count(&Http2CodecStats::trailers);
    stream->in_trailers = block_.head.headers;
    stream->in_ended = true;
    stream->on_received();
    return;
  }
  H2Head& head = block_.head;
  if (head.authority.empty()) head.authority = block_.host;
  head.end_stream = end_stream;
  if (options_.server || head.status >= 200) stream->head_received_ = true;
  if (end_stream) stream->in_ended = true;
  stream->on_head(head);
}

}  // namespace clew
