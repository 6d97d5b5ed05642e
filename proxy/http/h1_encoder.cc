#include "proxy/base/strings.h"
#include "proxy/http/h1_codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace clew {
namespace {

using Framing = Http1Decoder::Framing;

/// Appends many small texts to a buffer with few calls into it.
class Writer {
 public:
  explicit Writer(Buffer& out) : out_(out) {}
  Writer(const Writer&) = delete;
  ~Writer() { flush(); }

  Writer& operator<<(std::string_view text) {
    if (text.size() > room_.size() - used_) {
      flush();
      if (text.size() > 4096) {
        out_.append(text);
        return *this;
      }
      room_ = out_.prepare(std::max<std::size_t>(text.size(), 512));
    }
    if (!text.empty()) std::memcpy(room_.data() + used_, text.data(), text.size());
    used_ += text.size();
    return *this;
  }

 private:
  void flush() {
    if (used_ != 0) out_.commit(used_);
    used_ = 0;
    room_ = {};
  }
  Buffer& out_;
  std::span<char> room_;
  std::size_t used_ = 0;
};

/// How names are spelled: as received, where that was kept and is known.
class Spelling {
 public:
  Spelling(const std::vector<std::string_view>& originals, bool preserve)
      : originals_(preserve ? &originals : nullptr) {}
  std::string_view operator()(std::string_view lower) const {
    if (!originals_) return lower;
    for (const std::string_view original : *originals_)
      if (equals_ignore_case(original, lower)) return original;
    return lower;
  }

 private:
  const std::vector<std::string_view>* originals_;
};

void write_fields(Writer& out, const HeaderMap& headers, const Spelling& spelled, bool without_length) {
  for (const HeaderMap::Field& field : headers.fields()) {
    // Framing and the connection are this encoder's to speak of, whatever a filter or a route added.
    if (field.id == HeaderId::te) {
      if (field.value != "trailers") continue;
    } else if (hop_by_hop(field.id) || field.id == HeaderId::host ||
               (without_length && field.id == HeaderId::content_length)) {
      continue;
    }
    out << spelled(field.name) << ": " << field.value << "\r\n";
  }
}

std::optional<std::uint64_t> declared_length(const HeaderMap& headers) {
  const std::optional<std::string_view> value = headers.get(HeaderId::content_length);
  return value ? parse_uint(*value) : std::nullopt;
}

/// Methods that have no body and need not say so.
bool bodiless(std::string_view method) {
  return method == "GET" || method == "HEAD" || method == "DELETE" || method == "TRACE" || method == "CONNECT";
}

}  // namespace

bool Http1BodyEncoder::encode(Buffer& out, Buffer& bytes) {
  const std::size_t n = bytes.size();
  if (n == 0) return true;
  switch (framing_) {
    case Framing::none: return false;
    case Framing::length:
      if (n > remaining_) return false;
      remaining_ -= n;
      out.append(bytes, n);
      return true;
    case Framing::chunked: {
      std::array<char, 20> size;
      const auto end = fmt::format_to(size.data(), "{:x}\r\n", n);
      out.append(std::string_view(size.data(), static_cast<std::size_t>(end - size.data())));
      out.append(bytes, n);
      out.append("\r\n");
      return true;
    }
    case Framing::until_close:
    case Framing::raw: out.append(bytes, n); return true;
  }
  return false;
}

bool Http1BodyEncoder::finish(Buffer& out) {
  if (framing_ == Framing::length && remaining_ != 0) return false;
  if (framing_ == Framing::chunked) out.append("0\r\n\r\n");
  framing_ = Framing::none;
  return true;
}

Http1BodyEncoder encode_request_head(Buffer& buffer, const RequestHead& head, bool end_stream, bool preserve_case) {
  const Spelling spelled(head.original_names, preserve_case);
  Writer out(buffer);
  const bool connect = head.method == "CONNECT";
  const bool raw = connect || !head.upgrade.empty();
  out << head.method << " " << (connect ? head.authority : head.path) << " HTTP/1.1\r\n";
  out << spelled("host") << ": " << head.authority << "\r\n";
  const std::optional<std::uint64_t> length = declared_length(head.headers);
  const bool keep_length = length && !raw && !(end_stream && *length != 0);
  write_fields(out, head.headers, spelled, !keep_length);
  if (!head.upgrade.empty())
    out << spelled("connection") << ": upgrade\r\n" << spelled("upgrade") << ": " << head.upgrade << "\r\n";

  Http1BodyEncoder body;
  if (raw) {
    body = Http1BodyEncoder(Framing::raw, 0);
  } else if (end_stream) {
    if (!keep_length && !bodiless(head.method)) out << spelled("content-length") << ": 0\r\n";
  } else if (length) {
    body = Http1BodyEncoder(Framing::length, *length);
  } else {
    out << spelled("transfer-encoding") << ": chunked\r\n";
    body = Http1BodyEncoder(Framing::chunked, 0);
  }
  out << "\r\n";
  return body;
}

Http1BodyEncoder encode_response_head(Buffer& buffer, const ResponseHead& head, const ResponseEncoding& encoding) {
  const Spelling spelled(head.original_names, encoding.preserve_case);
  const bool http10 = encoding.request.version == HttpVersion::http10;
  const bool informational = head.status < 200 && !head.upgraded;
  const bool head_request = encoding.request.method == "HEAD";
  const bool no_content = head.status < 200 || head.status == 204;
  Writer out(buffer);
  out << (http10 ? "HTTP/1.0 " : "HTTP/1.1 ") << fmt::format_int(head.status).c_str() << " "
      << reason_phrase(head.status) << "\r\n";

  const std::optional<std::uint64_t> length = declared_length(head.headers);
  // A length that nothing follows would be a lie, except where a length describes what is not sent.
  const bool described = head_request || head.status == 304;
  const bool keep_length =
      length && !no_content && !head.upgraded && (described || !encoding.end_stream || *length == 0);
  write_fields(out, head.headers, spelled, !keep_length);

  Http1BodyEncoder body;
  if (head.upgraded) {
    body = Http1BodyEncoder(Framing::raw, 0);
    if (head.status == 101) out << "connection: upgrade\r\nupgrade: " << encoding.request.upgrade << "\r\n";
  } else if (informational) {
  } else if (encoding.end_stream || no_content || described) {
    if (!keep_length && !no_content && !described) out << spelled("content-length") << ": 0\r\n";
    if (!keep_length && head_request && !no_content && !http10 && !encoding.end_stream)
      out << "transfer-encoding: chunked\r\n";
  } else if (length) {
    body = Http1BodyEncoder(Framing::length, *length);
  } else if (http10) {
    body = Http1BodyEncoder(Framing::until_close, 0);
  } else {
    out << "transfer-encoding: chunked\r\n";
    body = Http1BodyEncoder(Framing::chunked, 0);
  }
  if (!informational && !head.upgraded) {
    if (encoding.close || body.framing() == Framing::until_close)
      out << "connection: close\r\n";
    else if (http10)
      out << "connection: keep-alive\r\n";
  }
  out << "\r\n";
  return body;
}

std::string_view reason_phrase(std::uint32_t status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 207: return "Multi-Status";
    case 208: return "Already Reported";
    case 226: return "IM Used";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 305: return "Use Proxy";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Payload Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Entity";
    case 423: return "Locked";
    case 424: return "Failed Dependency";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 506: return "Variant Also Negotiates";
    case 507: return "Insufficient Storage";
    case 508: return "Loop Detected";
    case 510: return "Not Extended";
    case 511: return "Network Authentication Required";
    default: return "Unknown";
  }
}

}  // namespace clew
