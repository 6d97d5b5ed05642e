#include "proxy/http/h1_codec.h"

#include "proxy/base/strings.h"
#include "proxy/http/url.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace clew {
namespace {

constexpr std::size_t max_extension_bytes = 4096;  // of chunk extensions in one message
constexpr std::size_t max_connection_options = 9;
constexpr std::size_t copy_below = 512;  // smaller pieces are copied: a slice pins its whole slab

/// Calls f for each element of a comma-separated list; stops at false.
template <class F>
bool each_token(std::string_view list, F&& f) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    const std::string_view token = trim(list.substr(0, comma));
    if (!token.empty() && !f(token)) return false;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return true;
}

}  // namespace

void Http1Decoder::Text::append(Arena& arena, const char* at, std::size_t n) {
  if (size + n > capacity) {
    const std::size_t want =
        size == 0 ? n : 2 * (size + n);  // a text in one piece, the usual case, takes no more than it needs
    char* grown = arena.allocate(want);
    if (size != 0) std::memcpy(grown, data, size);
    data = grown;
    capacity = want;
  }
  if (n != 0) std::memcpy(data + size, at, n);
  size += n;
}

struct Http1Decoder::Callbacks {
  static Http1Decoder& self(llhttp_t* parser) { return *static_cast<Http1Decoder*>(parser->data); }

  static int on_url(llhttp_t* parser, const char* at, std::size_t n) {
    Http1Decoder& d = self(parser);
    d.target_.append(d.headers_->arena(), at, n);
    return 0;
  }
  static int on_field(llhttp_t* parser, const char* at, std::size_t n) {
    Http1Decoder& d = self(parser);
    if (d.head_complete_) {
      d.trailer_bytes_ += n;
      return d.trailer_bytes_ > d.options_.max_head_bytes ? HPE_USER : 0;
    }
    d.name_.append(d.headers_->arena(), at, n);
    return 0;
  }
  static int on_value(llhttp_t* parser, const char* at, std::size_t n) {
    Http1Decoder& d = self(parser);
    if (d.head_complete_) {
      d.trailer_bytes_ += n;
      return d.trailer_bytes_ > d.options_.max_head_bytes ? HPE_USER : 0;
    }
    d.value_.append(d.headers_->arena(), at, n);
    return 0;
  }
  static int on_value_complete(llhttp_t* parser) {
    Http1Decoder& d = self(parser);
    if (d.head_complete_) {
      ++d.fields_;
      return d.fields_ > d.options_.max_fields ? HPE_USER : 0;
    }
    return d.field_done() ? 0 : HPE_USER;
  }
  static int on_headers_complete(llhttp_t* parser) {
    self(parser).head_complete_ = true;
    return HPE_PAUSED;
  }
  static int on_body(llhttp_t* parser, const char* at, std::size_t n) {
    Http1Decoder& d = self(parser);
    d.input_->consume(static_cast<std::size_t>(at - d.mark_));
    if (n < copy_below && !d.into_->empty()) {
      d.into_->append(std::string_view(at, n));
      d.input_->consume(n);
    } else {
      d.into_->append(*d.input_, n);  // the slab stays: `into` refers to it now
    }
    d.mark_ = at + n;
    d.produced_ += n;
    return 0;
  }
  static int on_extension(llhttp_t* parser, const char*, std::size_t n) {
    Http1Decoder& d = self(parser);
    d.extension_bytes_ += n;
    return d.extension_bytes_ > max_extension_bytes ? HPE_USER : 0;
  }
  static int on_message_complete(llhttp_t* parser) {
    self(parser).message_complete_ = true;
    return HPE_PAUSED;
  }

  static const llhttp_settings_t& settings() {
    static const llhttp_settings_t made = [] {
      llhttp_settings_t s;
      llhttp_settings_init(&s);
      s.on_url = on_url;
      s.on_header_field = on_field;
      s.on_header_value = on_value;
      s.on_header_value_complete = on_value_complete;
      s.on_headers_complete = on_headers_complete;
      s.on_body = on_body;
      s.on_chunk_extension_name = on_extension;
      s.on_chunk_extension_value = on_extension;
      s.on_message_complete = on_message_complete;
      return s;
    }();
    return made;
  }
};

Http1Decoder::Http1Decoder(Kind kind, const Http1Options& options) : options_(options), kind_(kind) {
  llhttp_init(&parser_, kind == Kind::request ? HTTP_REQUEST : HTTP_RESPONSE, &Callbacks::settings());
}

void Http1Decoder::reset(HeaderMap& headers) {
  llhttp_init(&parser_, kind_ == Kind::request ? HTTP_REQUEST : HTTP_RESPONSE, &Callbacks::settings());
  parser_.data = this;
  headers_ = &headers;
  state_ = State::head;
  framing_ = Framing::none;
  keep_alive_ = true;
  head_complete_ = message_complete_ = close_ = keep_ = upgrade_named_ = false;
  error_ = Error{Errc::ok};
  details_ = {};
  target_ = name_ = value_ = Text{};
  host_ = coding_ = upgrade_ = {};
  hosts_ = lengths_ = codings_ = 0;
  length_.reset();
  remaining_ = 0;
  head_bytes_ = fields_ = trailer_bytes_ = extension_bytes_ = 0;
}

void Http1Decoder::begin(RequestHead& head) {
  reset(head.headers);
  request_ = &head;
}

void Http1Decoder::begin(ResponseHead& head, const Asked& asked) {
  reset(head.headers);
  response_ = &head;
  asked_ = asked;
}

Error Http1Decoder::fail(Errc code, std::string_view details) {
  state_ = State::failed;
  error_ = Error{code};
  details_ = details;
  keep_alive_ = false;
  return error_;
}

Error Http1Decoder::fail_by_parser() {
  const std::string_view reason = parser_.reason ? parser_.reason : "";
  switch (llhttp_get_errno(&parser_)) {
    case HPE_USER:
    case HPE_CB_HEADER_VALUE_COMPLETE:
      if (error_.code != Errc::ok) return fail(error_.code, details_);
      if (extension_bytes_ > max_extension_bytes) return fail(Errc::http_bad_message, "http1.codec_error");
      if (trailer_bytes_ > options_.max_head_bytes)
        return fail(Errc::http_headers_too_large, "http1.trailers_too_large");
      return fail(Errc::http_too_many_headers, "http1.too_many_trailers");
    case HPE_INVALID_VERSION:
      if (reason.starts_with("Expected"))
        return fail(Errc::http_bad_message, "http1.codec_error");  // a line end, in truth
      return fail(Errc::http_protocol_version, "low_version");
    case HPE_INVALID_TRANSFER_ENCODING:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_CONTENT_LENGTH:
      if (reason.find("can't be present") != std::string_view::npos)
        return fail(Errc::http_bad_framing, "http1.content_length_and_chunked_not_allowed");
      if (llhttp_get_errno(&parser_) == HPE_INVALID_TRANSFER_ENCODING)
        return fail(Errc::http_transfer_coding, "http1.invalid_transfer_encoding");
      return fail(Errc::http_bad_framing, "http1.codec_error");
    default: return fail(Errc::http_bad_message, "http1.codec_error");
  }
}

Result<void> Http1Decoder::read_head(Buffer& input) {
  if (state_ == State::failed) return error_;
  while (!input.empty()) {
    // One byte more than allowed is looked at, so that an endless line is seen to be one.
    const std::size_t limit = options_.max_head_bytes + 4 * options_.max_fields;
    const std::string_view bytes = input.front().substr(0, limit + 1 - head_bytes_);
    const llhttp_errno_t code = llhttp_execute(&parser_, bytes.data(), bytes.size());
    std::size_t used = bytes.size();
    if (code != HPE_OK) {
      const char* stop = llhttp_get_error_pos(&parser_);
      if (stop) used = static_cast<std::size_t>(stop - bytes.data());
    }
    head_bytes_ += used;
    input.consume(std::min(used, bytes.size()));
    if (code == HPE_PAUSED && head_complete_) return head_done();
    if (code != HPE_OK) return fail_by_parser();
    if (head_bytes_ > limit) return fail(Errc::http_headers_too_large, "http1.headers_too_large");
  }
  if (!input_ended_) return Error{Errc::would_block};
  if (!started()) return Error{Errc::eof};
  return fail(closed_early(), {});
}

/// A field of the head is complete; false: error_ says why it is refused.
bool Http1Decoder::field_done() {
  using Underscores = HttpConnectionManager::Underscores;
  if (++fields_ > options_.max_fields) {
    error_ = Error{Errc::http_too_many_headers};
    details_ = "http1.too_many_headers";
    return false;
  }
  if (options_.preserve_case) {
    auto& originals = request_ ? request_->original_names : response_->original_names;
    originals.push_back(headers_->arena().copy(name_.view()));
  }
  std::transform(name_.data, name_.data + name_.size, name_.data, ascii_lower);
  const std::string_view name = name_.view();
  const std::string_view value = trim(value_.view());
  name_ = value_ = Text{};
  if (options_.underscores != Underscores::allow && name.find('_') != std::string_view::npos) {
    const bool drop = options_.underscores == Underscores::drop_header;
    if (Http1CodecStats* stats = options_.stats)
      (drop ? stats->dropped_headers_with_underscores : stats->requests_rejected_with_underscores_in_headers).add();
    if (drop) return true;
    error_ = Error{Errc::http_bad_message};
    details_ = "http1.unexpected_underscore";
    return false;
  }
  const HeaderId id = header_id(name);
  switch (id) {
    case HeaderId::host:
      ++hosts_;
      host_ = value;
      return true;
    case HeaderId::transfer_encoding:
      ++codings_;
      coding_ = value;
      return true;
    case HeaderId::content_length:
      ++lengths_;
      length_ = parse_uint(value);
      break;
    case HeaderId::upgrade: upgrade_ = value; return true;
    default: break;
  }
  headers_->add_view(id, name, value);
  return true;
}

/// Reads Connection and removes what it names, and everything else that belongs to this connection alone. False: it
/// names a field that policies rely on, or more than anybody has a use for (Envoy's bound).
bool Http1Decoder::connection_options() {
  Arena& arena = headers_->arena();
  const std::string_view list = headers_->get_all("connection").value_or("");
  std::size_t options = 0;
  const bool sane = each_token(list, [&](std::string_view token) {
    if (++options > max_connection_options && kind_ == Kind::request) return false;
    if (equals_ignore_case(token, "close"))
      close_ = true;
    else if (equals_ignore_case(token, "keep-alive"))
      keep_ = true;
    else if (equals_ignore_case(token, "upgrade"))
      upgrade_named_ = true;
    else if (kind_ == Kind::request) {
      char* lower = arena.allocate(token.size());
      std::transform(token.begin(), token.end(), lower, ascii_lower);
      const std::string_view name{lower, token.size()};
      const HeaderId id = header_id(name);
      if (id == HeaderId::x_forwarded_for || id == HeaderId::x_forwarded_host || id == HeaderId::x_forwarded_proto ||
          name.find(':') != std::string_view::npos)
        return false;
      if (id == HeaderId::host) hosts_ = 0;
      if (id != HeaderId::te && id != HeaderId::content_length) headers_->remove(name);
    }
    return true;
  });
  // An old client's way to say it.
  if (const auto proxy = headers_->get(HeaderId::proxy_connection); proxy && equals_ignore_case(*proxy, "close"))
    close_ = true;
  // Of TE only «trailers» has a meaning that outlives the hop.
  const std::string_view te = headers_->get_all("te").value_or("");
  const bool trailers = !each_token(te, [](std::string_view token) { return !equals_ignore_case(token, "trailers"); });
  headers_->remove_if([](const HeaderMap::Field& field) { return hop_by_hop(field.id); });
  if (trailers && kind_ == Kind::request) headers_->add_view(HeaderId::te, "te", "trailers");
  return sane;
}

Result<void> Http1Decoder::head_done() {
  if (codings_ != 0 && lengths_ != 0)
    return fail(Errc::http_bad_framing, "http1.content_length_and_chunked_not_allowed");
  if (lengths_ > 1 || (lengths_ == 1 && !length_)) return fail(Errc::http_bad_framing, "http1.codec_error");
  // «0003» and «3» are one length: the one that we understood is the one that goes on.
  if (length_ && headers_->get(HeaderId::content_length)->front() == '0' &&
      headers_->get(HeaderId::content_length)->size() > 1)
    headers_->set(HeaderId::content_length, fmt::format_int(*length_).c_str());
  if (!connection_options()) return fail(Errc::http_bad_message, "http1.connection_header_rejected");
  return kind_ == Kind::request ? request_done() : response_done();
}

Result<void> Http1Decoder::request_done() {
  RequestHead& head = *request_;
  const bool http11 = parser_.http_major == 1 && parser_.http_minor == 1;
  const bool http10 = parser_.http_major == 1 && parser_.http_minor == 0;
  if (!http11 && !(http10 && options_.accept_http_10)) return fail(Errc::http_protocol_version, "low_version");
  head.version = http11 ? HttpVersion::http11 : HttpVersion::http10;
  head.keep_alive = keep_alive_ = http11 ? !close_ : keep_ && !close_;
  head.method = llhttp_method_name(static_cast<llhttp_method_t>(parser_.method));
  const bool connect = parser_.method == HTTP_CONNECT;

  if (codings_ != 0 && (codings_ > 1 || connect || http10 || !equals_ignore_case(coding_, "chunked")))
    return fail(Errc::http_transfer_coding, "http1.invalid_transfer_encoding");
  if (connect && length_.value_or(0) != 0) return fail(Errc::http_bad_message, "http1.body_disallowed");
  if (hosts_ > 1) return fail(Errc::http_bad_message, "http1.multiple_host_headers");
  if (hosts_ == 1)
    head.authority = host_.empty() ? std::string_view("") : host_;  // null: there was none
  else if (http10 && !options_.default_host.empty())
    head.authority = options_.default_host;
  if (const Result<void> target = request_target(); !target) return target;
  if (!valid_authority(head.authority)) return fail(Errc::http_bad_message, "http.invalid_authority");

  // h2c (RFC 7540 3.2) is not offered: the request goes on without its Upgrade.
  if (upgrade_named_ && !upgrade_.empty() && !equals_ignore_case(upgrade_, "h2c")) {
    if (codings_ != 0 || length_.value_or(0) != 0) return fail(Errc::http_bad_message, "http1.body_disallowed");
    char* lower = headers_->arena().allocate(upgrade_.size());
    std::transform(upgrade_.begin(), upgrade_.end(), lower, ascii_lower);
    head.upgrade = {lower, upgrade_.size()};
  }
  const std::optional<std::string_view> expect = headers_->get(HeaderId::expect);
  head.expect_continue = expect && equals_ignore_case(*expect, "100-continue");
  if (connect || !head.upgrade.empty()) {
    framing_ = Framing::raw;  // a length of zero says nothing about it
    headers_->remove(HeaderId::content_length);
    length_.reset();
  } else if (codings_ != 0) {
    framing_ = Framing::chunked;
  } else if (length_.value_or(0) != 0) {
    framing_ = Framing::length;
  }
  head.content_length = length_;
  remaining_ = length_.value_or(0);
  head.end_stream = framing_ == Framing::none;
  state_ = head.end_stream ? State::done : State::body;
  return Result<void>();
}

/// The four forms of RFC 9112 3.2.
Result<void> Http1Decoder::request_target() {
  RequestHead& head = *request_;
  const std::string_view target = target_.view();
  if (!visible_ascii(target)) return fail(Errc::http_bad_message, "http1.invalid_characters");
  if (parser_.method == HTTP_CONNECT) {
    if (!valid_connect_target(target)) return fail(Errc::http_bad_message, "http1.invalid_url");
    head.authority = target;
    return Result<void>();
  }
  if (!target.empty() && (target.front() == '/' || (target == "*" && parser_.method == HTTP_OPTIONS))) {
    head.path = target;
    return Result<void>();
  }
  const std::optional<AbsoluteUrl> url = parse_absolute_url(target);
  if (!url || !options_.allow_absolute_url) return fail(Errc::http_bad_message, "http1.invalid_url");
  if (!equals_ignore_case(url->scheme, "http") && !equals_ignore_case(url->scheme, "https"))
    return fail(Errc::http_bad_message, "http1.invalid_scheme");
  head.authority = url->authority;  // whatever Host said: RFC 9112 3.2.2
  head.path = url->path.empty() || url->path.front() != '/' ? headers_->arena().concat("/", url->path) : url->path;
  return Result<void>();
}

Result<void> Http1Decoder::response_done() {
  ResponseHead& head = *response_;
  if (parser_.http_major != 1) return fail(Errc::http_protocol_version, "http1.codec_error");
  const bool http11 = parser_.http_minor == 1;
  head.version = http11 ? HttpVersion::http11 : HttpVersion::http10;
  head.status = parser_.status_code;
  if (head.status < 100) return fail(Errc::http_bad_message, "http1.codec_error");
  keep_alive_ = http11 ? !close_ : keep_ && !close_;
  if (codings_ != 0 && (codings_ > 1 || !equals_ignore_case(coding_, "chunked")))
    return fail(Errc::http_transfer_coding, "http1.invalid_transfer_encoding");

  const bool tunnel = asked_.connect && head.status / 100 == 2;
  if (head.status < 200 || head.status == 204) {
    if (codings_ != 0) return fail(Errc::http_bad_framing, "http1.transfer_encoding_not_allowed");
    if (length_.value_or(0) != 0) return fail(Errc::http_bad_framing, "http1.content_length_not_allowed");
    headers_->remove(HeaderId::content_length);
    length_.reset();
  }
  if (head.status == 101 && !asked_.upgrade) return fail(Errc::http_bad_message, "http1.unexpected_upgrade");
  if (tunnel && codings_ != 0) return fail(Errc::http_transfer_coding, "http1.invalid_transfer_encoding");
  head.content_length = length_;

  if (head.status == 101 || tunnel) {
    head.upgraded = true;
    framing_ = Framing::raw;
  } else if (head.status < 200 || head.status == 204 || head.status == 304 || asked_.head)
    framing_ = Framing::none;
  else if (codings_ != 0)
    framing_ = Framing::chunked;
  else if (length_)
    framing_ = *length_ == 0 ? Framing::none : Framing::length;
  else
    framing_ = Framing::until_close;
  if (framing_ == Framing::until_close || framing_ == Framing::raw) keep_alive_ = false;
  remaining_ = length_.value_or(0);
  head.end_stream = framing_ == Framing::none;
  state_ = head.end_stream ? State::done : State::body;
  return Result<void>();
}

Result<std::size_t> Http1Decoder::read_body(Buffer& input, Buffer& into, std::size_t max) {
  if (state_ == State::failed) return error_;
  if (state_ == State::done) return Error{Errc::eof};
  if (framing_ == Framing::chunked) return read_chunked(input, into, max);
  std::size_t n = std::min(max, input.size());
  if (framing_ == Framing::length) n = static_cast<std::size_t>(std::min<std::uint64_t>(n, remaining_));
  if (n == 0) {
    if (!input_ended_) return Error{Errc::would_block};
    if (framing_ == Framing::length) return fail(closed_early(), {});
    state_ = State::done;
    return Error{Errc::eof};
  }
  into.append(input, n);
  if (framing_ == Framing::length && (remaining_ -= n) == 0) state_ = State::done;
  return n;
}

Result<std::size_t> Http1Decoder::read_chunked(Buffer& input, Buffer& into, std::size_t max) {
  input_ = &input;
  into_ = &into;
  produced_ = 0;
  while (!input.empty() && produced_ < max && !message_complete_) {
    // No more than max bytes are fed, so no more than max come out.
    const std::string_view bytes = input.front().substr(0, max - produced_);
    if (llhttp_get_errno(&parser_) == HPE_PAUSED) {
      parser_.upgrade = 0;  // an Upgrade that is not followed does not end the body
      llhttp_resume(&parser_);
    }
    mark_ = bytes.data();
    const llhttp_errno_t code = llhttp_execute(&parser_, bytes.data(), bytes.size());
    const char* stop = code == HPE_OK ? nullptr : llhttp_get_error_pos(&parser_);
    if (!stop) stop = bytes.data() + bytes.size();
    if (stop > mark_) input.consume(static_cast<std::size_t>(stop - mark_));
    if (code != HPE_OK && !(code == HPE_PAUSED && message_complete_)) {
      fail_by_parser();  // what came before the fault is given first
      break;
    }
  }
  if (message_complete_) state_ = State::done;
  if (produced_ != 0) return produced_;
  if (state_ == State::failed) return error_;
  if (state_ == State::done) return Error{Errc::eof};
  if (input_ended_) return fail(closed_early(), {});
  return Error{Errc::would_block};
}

}  // namespace clew
