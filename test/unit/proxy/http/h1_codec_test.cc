#include "proxy/http/h1_codec.h"

#include <catch2/catch.hpp>

#include <array>
#include <string>
#include <vector>

using namespace clew;

namespace {

struct Decoded {
  Errc head = Errc::ok;
  std::string details;
  std::string shown;  // «GET a /x | x-a: b» or «200 | x-a: b»
  std::string body;
  Errc end = Errc::ok;  // how the body ended
  std::string rest;     // bytes that were not taken
  bool keep_alive = false;
  Http1Decoder::Framing framing{};
};

std::string show(const HeaderMap& headers) {
  std::string out;
  for (const auto& field : headers.fields()) out += " | " + std::string(field.name) + ": " + std::string(field.value);
  return out;
}

template <class Head>
Decoded drive(Http1Decoder& decoder, const Head& head, std::string_view bytes, std::size_t piece, bool end) {
  Decoded out;
  Buffer input;
  Buffer body;
  std::size_t fed = 0;
  const auto feed = [&] {
    if (fed == bytes.size()) return false;
    const std::size_t n = std::min(piece, bytes.size() - fed);
    input.append(bytes.substr(fed, n));
    fed += n;
    return true;
  };
  for (;;) {
    const Result<void> result = decoder.read_head(input);
    if (result) break;
    out.head = result.error().code;
    if (out.head != Errc::would_block) {
      out.details = std::string(decoder.details());
      return out;
    }
    if (feed()) continue;
    if (!end) return out;
    decoder.end_of_input();
    end = false;
  }
  out.head = Errc::ok;
  out.framing = decoder.framing();
  out.shown = show(head.headers);
  for (;;) {
    const Result<std::size_t> result = decoder.read_body(input, body, 1000);
    if (result) continue;
    out.end = result.error().code;
    if (out.end != Errc::would_block || !feed()) {
      if (out.end != Errc::would_block || !end) break;
      decoder.end_of_input();
      end = false;
    }
  }
  out.details = std::string(decoder.details());
  out.body = body.to_string();
  while (feed()) {
  }
  out.rest = input.to_string();
  out.keep_alive = decoder.keep_alive();
  return out;
}

Decoded request(std::string_view bytes, Http1Options options = {}, std::size_t piece = SIZE_MAX, bool end = false) {
  Arena arena;
  RequestHead head(arena);
  Http1Decoder decoder(Http1Decoder::Kind::request, options);
  decoder.begin(head);
  Decoded out = drive(decoder, head, bytes, piece, end);
  if (out.head == Errc::ok)
    out.shown = std::string(head.method) + " " + std::string(head.authority) + " " + std::string(head.path) + out.shown;
  return out;
}

Decoded response(std::string_view bytes, bool end = false, std::string_view method = "GET",
                 std::string_view upgrade = {}, std::size_t piece = SIZE_MAX) {
  Arena arena;
  RequestHead asked(arena);
  asked.method = method;
  asked.upgrade = upgrade;
  ResponseHead head(arena);
  Http1Decoder decoder(Http1Decoder::Kind::response, {});
  decoder.begin(head, Http1Decoder::Asked::of(asked));
  Decoded out = drive(decoder, head, bytes, piece, end);
  if (out.head == Errc::ok) out.shown = std::to_string(head.status) + out.shown;
  return out;
}

const std::string post = "POST / HTTP/1.1\r\nHost: a\r\n";
const std::string chunked = post + "Transfer-Encoding: chunked\r\n\r\n";

}  // namespace

TEST_CASE("h1: heads that are refused") {
  struct Case {
    std::string bytes;
    Errc cause;
    std::string details;
  };
  const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n";
  const Case cases[] = {
      // framing that could be read in two ways
      {post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", Errc::http_bad_framing,
       "http1.content_length_and_chunked_not_allowed"},
      {post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", Errc::http_bad_framing,
       "http1.content_length_and_chunked_not_allowed"},
      {post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", Errc::http_bad_framing, "http1.codec_error"},
      {post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", Errc::http_bad_framing, "http1.codec_error"},
      {post + "Content-Length: 3, 3\r\n\r\n", Errc::http_bad_framing, "http1.codec_error"},
      {post + "Content-Length: +3\r\n\r\n", Errc::http_bad_framing, "http1.codec_error"},
      {post + "Content-Length: -3\r\n\r\n", Errc::http_bad_framing, "http1.codec_error"},
      {post + "Content-Length: 0x3\r\n\r\n", Errc::http_bad_framing, "http1.codec_error"},
      {post + "Content-Length: 1 1\r\n\r\n", Errc::http_bad_framing, "http1.codec_error"},
      {post + "Content-Length:\r\n\r\n", Errc::http_bad_framing, "http1.codec_error"},
      {post + "Content-Length: 99999999999999999999\r\n\r\n", Errc::http_bad_framing, "http1.codec_error"},
      // codings
      {post + "Transfer-Encoding: gzip\r\n\r\n", Errc::http_transfer_coding, "http1.invalid_transfer_encoding"},
      {post + "Transfer-Encoding: gzip, chunked\r\n\r\n", Errc::http_transfer_coding,
       "http1.invalid_transfer_encoding"},
      {post + "Transfer-Encoding: chunked, gzip\r\n\r\n", Errc::http_transfer_coding,
       "http1.invalid_transfer_encoding"},
      {post + "Transfer-Encoding: chunked, identity\r\n\r\n", Errc::http_transfer_coding,
       "http1.invalid_transfer_encoding"},
      {post + "Transfer-Encoding: xchunked\r\n\r\n", Errc::http_transfer_coding, "http1.invalid_transfer_encoding"},
      {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", Errc::http_transfer_coding,
       "http1.invalid_transfer_encoding"},
      {post + "Transfer-Encoding: identity\r\n\r\n", Errc::http_transfer_coding, "http1.invalid_transfer_encoding"},
      {post + "Transfer-Encoding:\r\n\r\n", Errc::http_transfer_coding, "http1.invalid_transfer_encoding"},
      {post + "Transfer-Encoding:\x0b"
              "chunked\r\n\r\n",
       Errc::http_bad_message, "http1.codec_error"},
      // line ends, white space
      {"GET / HTTP/1.1\nHost: a\n\n", Errc::http_bad_message, "http1.codec_error"},
      {"GET / HTTP/1.1\r\nHost: a\nX-B: c\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {get + "X-B: c\rd\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {get + "\rX", Errc::http_bad_message, "http1.codec_error"},
      {get + "X-A: b\r\n c\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {"GET / HTTP/1.1\r\n X-A: b\r\nHost: a\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {get + "X-A : b\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      // names and values
      {get + "X(A: b\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {get + "X\xe9"
             "A: b\r\n\r\n",
       Errc::http_bad_message, "http1.codec_error"},
      {get + ": b\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {get + "Xbb\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {get + std::string("X-A: b\0c\r\n\r\n", 12), Errc::http_bad_message, "http1.codec_error"},
      {get + "X-A: b\x01\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {get + "X-A: b\x7f\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      // versions and methods
      {"GET / HTTP/1.0\r\nHost: a\r\n\r\n", Errc::http_protocol_version, "low_version"},
      {"GET /\r\n\r\n", Errc::http_protocol_version, "low_version"},
      {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", Errc::http_protocol_version, "low_version"},
      {"GET / http/1.1\r\nHost: a\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {"get / HTTP/1.1\r\nHost: a\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {"\x16\x03\x01\x02", Errc::http_bad_message, "http1.codec_error"},
      // targets and authorities
      {"GET foo HTTP/1.1\r\nHost: a\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", Errc::http_bad_message, "http1.invalid_url"},
      {"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", Errc::http_bad_message, "http1.codec_error"},
      {"GET ftp://b/x HTTP/1.1\r\nHost: a\r\n\r\n", Errc::http_bad_message, "http1.invalid_scheme"},
      {"GET http://b:99999/ HTTP/1.1\r\nHost: a\r\n\r\n", Errc::http_bad_message, "http1.invalid_url"},
      {"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", Errc::http_bad_message, "http1.invalid_url"},
      {"CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", Errc::http_bad_message, "http1.invalid_url"},
      {"CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", Errc::http_bad_message, "http1.invalid_url"},
      {"CONNECT a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", Errc::http_bad_message,
       "http1.body_disallowed"},
      {"CONNECT a:80 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", Errc::http_transfer_coding,
       "http1.invalid_transfer_encoding"},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Errc::http_bad_message, "http1.multiple_host_headers"},
      {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Errc::http_bad_message, "http.invalid_authority"},
      {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Errc::http_bad_message, "http.invalid_authority"},
      {"GET / HTTP/1.1\r\nHost: a\"<\r\n\r\n", Errc::http_bad_message, "http.invalid_authority"},
      // Connection
      {get + "Connection: X-Forwarded-For\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n", Errc::http_bad_message,
       "http1.connection_header_rejected"},
      {get + "Connection: close, :path\r\n\r\n", Errc::http_bad_message, "http1.connection_header_rejected"},
      {get + "Connection: a,b,c,d,e,f,g,h,i,j\r\n\r\n", Errc::http_bad_message, "http1.connection_header_rejected"},
      {get + "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\n", Errc::http_bad_message,
       "http1.body_disallowed"},
  };
  for (const Case& c : cases) {
    for (const std::size_t piece : {SIZE_MAX, std::size_t(1)}) {
      CAPTURE(c.bytes, piece);
      const Decoded out = request(c.bytes, {}, piece);
      CHECK(to_string(out.head) == to_string(c.cause));
      CHECK(out.details == c.details);
    }
  }
}

TEST_CASE("h1: heads that are understood") {
  struct Case {
    std::string bytes, shown;
  };
  const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n";
  const Case cases[] = {
      {get + "\r\n", "GET a /"},
      {"\r\n\r\n" + get + "\r\n", "GET a /"},
      {get + "X-A:  b c \t\r\nx-b:\r\n\r\n", "GET a / | x-a: b c | x-b: "},
      {get + "X-A: b\xe9\r\nX_Y: 1\r\n\r\n", "GET a / | x-a: b\xe9 | x_y: 1"},
      {"GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET  /"},
      {"GET /x?y=%zz HTTP/1.1\r\nHost: ABC:80\r\n\r\n", "GET ABC:80 /x?y=%zz"},
      {"GET http://b.example/x?y HTTP/1.1\r\nHost: a\r\n\r\n", "GET b.example /x?y"},
      {"GET HTTPS://u:p@b.example:8443 HTTP/1.1\r\n\r\n", "GET b.example:8443 /"},
      {"GET http://b.example?q HTTP/1.1\r\nHost: a\r\n\r\n", "GET b.example /?q"},
      {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS a *"},
      {"CONNECT a:80 HTTP/1.1\r\nHost: b\r\n\r\n", "CONNECT a:80 "},
      {get + "Connection: X-A, keep-alive, te\r\nX-A: b\r\nKeep-Alive: 5\r\nTE: trailers, gzip\r\nProxy-Connection: "
             "x\r\n\r\n",
       "GET a / | te: trailers"},
      {get + "Connection: a,b,c,d,e,f,g,h,i\r\na: b\r\nj: k\r\n\r\n", "GET a / | j: k"},
      {get + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", "GET a /"},
      {get + "Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\nraw", "GET a /"},
      {post + "Content-Length: 0003\r\n\r\nabc", "POST a / | content-length: 3"},
  };
  for (const Case& c : cases) {
    for (const std::size_t piece : {SIZE_MAX, std::size_t(1), std::size_t(7)}) {
      CAPTURE(c.bytes, piece);
      const Decoded out = request(c.bytes, {}, piece);
      CHECK(to_string(out.head) == "ok");
      CHECK(out.shown == c.shown);
    }
  }
}

TEST_CASE("h1: options change what is accepted") {
  using Underscores = HttpConnectionManager::Underscores;
  const std::string under = "GET / HTTP/1.1\r\nHost: a\r\nX_A: b\r\nX-C: d\r\n\r\n";
  Http1Options options;
  options.underscores = Underscores::drop_header;
  CHECK(request(under, options).shown == "GET a / | x-c: d");
  options.underscores = Underscores::reject_request;
  CHECK(request(under, options).details == "http1.unexpected_underscore");

  Http1Options old;
  old.accept_http_10 = true;
  old.default_host = "d.example";
  CHECK(request("GET / HTTP/1.0\r\n\r\n", old).shown == "GET d.example /");
  CHECK(request("GET / HTTP/1.0\r\n\r\n", old).keep_alive == false);
  CHECK(request("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", old).keep_alive);
  CHECK(request("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", old).head == Errc::http_transfer_coding);

  Http1Options relative;
  relative.allow_absolute_url = false;
  CHECK(request("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", relative).details == "http1.invalid_url");
}

TEST_CASE("h1: heads have bounds") {
  const std::string get = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (const std::size_t piece : {SIZE_MAX, std::size_t(100)}) {
    CHECK(request(get + "X: " + std::string(62000, 'a') + "\r\n\r\n", {}, piece).head == Errc::http_headers_too_large);
    CHECK(request("GET /" + std::string(62000, 'a') + " HTTP/1.1\r\n\r\n", {}, piece).head ==
          Errc::http_headers_too_large);
    CHECK(request(get + "X:" + std::string(100000, ' '), {}, piece).head == Errc::http_headers_too_large);
    CHECK(request(std::string(100000, '\n'), {}, piece).head != Errc::would_block);
    CHECK(request(get + "X: " + std::string(60000, 'a') + "\r\n\r\n", {}, piece).head == Errc::ok);
    std::string many = get;
    for (int i = 0; i < 99; ++i) many += "X-" + std::to_string(i) + ": a\r\n";
    CHECK(request(many + "\r\n", {}, piece).head == Errc::ok);
    CHECK(request(many + "One: more\r\n\r\n", {}, piece).head == Errc::http_too_many_headers);
  }
}

TEST_CASE("h1: request bodies end where they end") {
  struct Case {
    std::string bytes, body, rest;
    Errc end;
  };
  const Case cases[] = {
      {post + "\r\nGET", "", "GET", Errc::eof},
      {post + "Content-Length: 0\r\n\r\nGET", "", "GET", Errc::eof},
      {post + "Content-Length: 3\r\n\r\nabcGET", "abc", "GET", Errc::eof},
      {post + "Content-Length: 3 \t\r\n\r\nab", "ab", "", Errc::would_block},
      {chunked + "3\r\nabc\r\n0\r\n\r\nGET", "abc", "GET", Errc::eof},
      {chunked + "3;a=b;c=\"d;e\"\r\nabc\r\n0\r\n\r\n", "abc", "", Errc::eof},
      {chunked + "0\r\n\r\n\r\n", "", "\r\n", Errc::eof},
      {chunked + "3\r\nabc\r\n0\r\nX-T: 1\r\nHost: evil\r\n\r\nG", "abc", "G", Errc::eof},
      {chunked + "3\r\nabc\r\n2\r\nd", "abcd", "", Errc::would_block},
      {chunked + "A\r\n0123456789\r\n00\r\n\r\n", "0123456789", "", Errc::eof},
  };
  for (const Case& c : cases) {
    for (const std::size_t piece : {SIZE_MAX, std::size_t(1), std::size_t(5)}) {
      CAPTURE(c.bytes, piece);
      const Decoded out = request(c.bytes, {}, piece);
      CHECK(to_string(out.head) == "ok");
      CHECK(out.body == c.body);
      CHECK(to_string(out.end) == to_string(c.end));
      CHECK(out.rest == c.rest);
    }
  }
}

TEST_CASE("h1: small chunks do not pin large slabs") {
  Arena arena;
  RequestHead head(arena);
  Http1Decoder decoder(Http1Decoder::Kind::request, {});
  decoder.begin(head);
  Buffer input, body;
  input.append(chunked);
  REQUIRE(decoder.read_head(input).has_value());
  for (int i = 0; i < 1000; ++i) input.append("1\r\na\r\n");
  REQUIRE(decoder.read_body(input, body, 100'000).value() == 1000);
  std::array<iovec, 8> slices;
  CHECK(body.peek(slices) <= 2);
  CHECK(body.to_string() == std::string(1000, 'a'));
}

TEST_CASE("h1: a client may ask a proxy to close") {
  for (const auto& [said, kept] :
       {std::pair("close", false), std::pair("CLOSE", false), std::pair("keep-alive", true)}) {
    CAPTURE(said);
    const std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\nProxy-Connection: " + std::string(said) + "\r\n\r\n";
    CHECK(request(bytes).keep_alive == kept);
  }
}

TEST_CASE("h1: chunks that are refused") {
  const std::string bad[] = {
      "0x3\r\nabc\r\n0\r\n\r\n",
      "3\nabc\n0\n\n",
      "\r\nabc\r\n0\r\n\r\n",
      "11111111111111111\r\nabc",
      "3 \r\nabc\r\n0\r\n\r\n",
      "3;a\nb\r\nabc\r\n0\r\n\r\n",
      "-3\r\nabc",
      "3\r\nabcd\r\n0\r\n\r\n",
      "3\r\nabc\r\n0\r\nX T: 1\r\n\r\n",
      "3\r\nabc\r\n0\r\n\rX",
      "3;" + std::string(5000, 'a') + "\r\nabc\r\n0\r\n\r\n",
      "3\r\nabc\n0\r\n\r\n",
  };
  for (const std::string& bytes : bad) {
    for (const std::size_t piece : {SIZE_MAX, std::size_t(1)}) {
      CAPTURE(bytes, piece);
      CHECK(request(chunked + bytes, {}, piece).end == Errc::http_bad_message);
    }
  }
  std::string trailers = chunked + "0\r\n";
  for (int i = 0; i < 200; ++i) trailers += "X: a\r\n";
  CHECK(request(trailers + "\r\n").end == Errc::http_too_many_headers);
  CHECK(request(chunked + "0\r\nX: " + std::string(70000, 'a') + "\r\n\r\n", {}, 1000).end ==
        Errc::http_headers_too_large);
}

TEST_CASE("h1: a peer that leaves early") {
  CHECK(request("", {}, SIZE_MAX, true).head == Errc::eof);
  CHECK(request("GET / HT", {}, SIZE_MAX, true).head == Errc::downstream_closed);
  CHECK(request(post + "Content-Length: 3\r\n\r\nab", {}, SIZE_MAX, true).end == Errc::downstream_closed);
  CHECK(request(chunked + "3\r\nabc\r\n", {}, SIZE_MAX, true).end == Errc::downstream_closed);
  CHECK(response("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", true).end == Errc::upstream_closed);
  CHECK(response("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", true).end ==
        Errc::upstream_closed);
}

TEST_CASE("h1: responses") {
  using Framing = Http1Decoder::Framing;
  struct Case {
    std::string bytes, method, upgrade, shown, body;
    Framing framing;
    bool keep_alive;
    std::string rest;
  };
  const Case cases[] = {
      {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcX", "GET", "", "200 | content-length: 3", "abc", Framing::length,
       true, "X"},
      {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\nX", "GET", "", "200 | content-length: 0", "", Framing::none, true,
       "X"},
      {"HTTP/1.1 200 OK\r\n\r\nabc", "GET", "", "200", "abc", Framing::until_close, false, ""},
      {"HTTP/1.0 200 OK\r\n\r\nabc", "GET", "", "200", "abc", Framing::until_close, false, ""},
      {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "GET", "", "200 | content-length: 1", "a", Framing::length,
       false, ""},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-T: 1\r\n\r\n", "GET", "", "200", "a",
       Framing::chunked, true, ""},
      {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nX", "HEAD", "", "200 | content-length: 5", "", Framing::none, true,
       "X"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nX", "HEAD", "", "200", "", Framing::none, true, "X"},
      {"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nX", "GET", "", "304 | content-length: 5", "",
       Framing::none, true, "X"},
      {"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\nX", "GET", "", "204", "", Framing::none, true, "X"},
      {"HTTP/1.1 100 Continue\r\n\r\nX", "GET", "", "100", "", Framing::none, true, "X"},
      {"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nX", "GET", "", "103 | link: x", "", Framing::none, true, "X"},
      {"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nabc", "GET", "websocket", "101",
       "abc", Framing::raw, false, ""},
      {"HTTP/1.1 200 OK\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\na", "GET", "websocket",
       "200 | content-length: 1", "a", Framing::length, true, ""},
      {"HTTP/1.1 200 OK\r\n\r\nabc", "CONNECT", "", "200", "abc", Framing::raw, false, ""},
      {"HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\na", "CONNECT", "", "403 | content-length: 1", "a", Framing::length,
       true, ""},
      {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", "GET", "", "200 | content-length: 1", "a",
       Framing::length, false, ""},
      {"HTTP/1.1 999 X\r\nContent-Length: 0\r\nKeep-Alive: 5\r\n\r\n", "GET", "", "999 | content-length: 0", "",
       Framing::none, true, ""},
  };
  for (const Case& c : cases) {
    for (const std::size_t piece : {SIZE_MAX, std::size_t(1)}) {
      CAPTURE(c.bytes, c.method, piece);
      const Decoded out = response(c.bytes, true, c.method, c.upgrade, piece);
      CHECK(to_string(out.head) == "ok");
      CHECK(out.shown == c.shown);
      CHECK(out.body == c.body);
      CHECK(out.end == Errc::eof);
      CHECK(out.framing == c.framing);
      CHECK(out.keep_alive == c.keep_alive);
      CHECK(out.rest == c.rest);
    }
  }
}

TEST_CASE("h1: responses that are refused") {
  const std::string bad[] = {
      "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
      "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
      "HTTP/1.1 204 OK\r\ncontent-length: 5\r\n\r\n",
      "HTTP/1.1 204 OK\r\ntransfer-encoding: chunked\r\n\r\n",
      "HTTP/1.1 100 OK\r\ncontent-length: 5\r\n\r\n",
      "HTTP/1.1 101 OK\r\n\r\n",
      "HTTP/1.1 99 OK\r\n\r\n",
      "HTTP/1.1 099 OK\r\n\r\n",
      "HTTP/2.0 200 OK\r\n\r\n",
      "HTTQ/1.1 200 OK\r\n\r\n",
      "HTTP/1.1 200 OK\nx: y\n\n",
      "HTTP/1.1 200 OK\r\nx: y\r\n z\r\n\r\n",
  };
  for (const std::string& bytes : bad) {
    CAPTURE(bytes);
    const Decoded out = response(bytes);
    CHECK(out.head != Errc::ok);
    CHECK(out.head != Errc::would_block);
    CHECK(out.head != Errc::eof);
  }
}

TEST_CASE("h1: one decoder, several messages") {
  Http1Decoder decoder(Http1Decoder::Kind::request, {});
  Buffer input;
  input.append(
      chunked +
      "1\r\na\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
  for (const std::string_view path : {"/", "/2", "/3"}) {
    Arena arena;
    RequestHead head(arena);
    Buffer body;
    decoder.begin(head);
    REQUIRE(decoder.read_head(input).has_value());
    CHECK(head.path == path);
    while (decoder.read_body(input, body, 100)) {
    }
    CHECK(decoder.complete());
    CHECK(body.size() == (path == "/" ? 1 : 0));
    CHECK(decoder.keep_alive() == (path != "/2"));
  }
  CHECK(input.empty());
}

TEST_CASE("h1: names keep their spelling when asked") {
  Http1Options options;
  options.preserve_case = true;
  Arena arena;
  RequestHead head(arena);
  Http1Decoder decoder(Http1Decoder::Kind::request, options);
  decoder.begin(head);
  Buffer input;
  input.append("GET / HTTP/1.1\r\nHOST: a\r\nX-fOO: 1\r\nbar: 2\r\n\r\n");
  REQUIRE(decoder.read_head(input).has_value());
  head.headers.add("x-new", "3");
  Buffer out;
  encode_request_head(out, head, true, true);
  CHECK(out.to_string() == "GET / HTTP/1.1\r\nHOST: a\r\nX-fOO: 1\r\nbar: 2\r\nx-new: 3\r\n\r\n");
  out.clear();
  encode_request_head(out, head, true, false);
  CHECK(out.to_string() == "GET / HTTP/1.1\r\nhost: a\r\nx-foo: 1\r\nbar: 2\r\nx-new: 3\r\n\r\n");
}

namespace {

std::string encoded_request(std::string_view method, bool end_stream,
                            std::vector<std::pair<std::string, std::string>> fields, std::string_view body = {},
                            std::string_view upgrade = {}) {
  Arena arena;
  RequestHead head(arena);
  head.method = method;
  head.authority = "a:80";
  head.path = "/p";
  head.upgrade = upgrade;
  for (const auto& [name, value] : fields) head.headers.add(name, value);
  Buffer out;
  Http1BodyEncoder encoder = encode_request_head(out, head, end_stream, false);
  Buffer bytes;
  bytes.append(body);
  if (!encoder.encode(out, bytes)) return "too much";
  if (!encoder.finish(out)) return "too little";
  return out.to_string();
}

std::string encoded_response(std::uint32_t status, bool end_stream,
                             std::vector<std::pair<std::string, std::string>> fields, std::string_view body = {},
                             std::string_view method = "GET", bool close = false,
                             HttpVersion version = HttpVersion::http11) {
  Arena arena;
  RequestHead asked(arena);
  asked.method = method;
  asked.version = version;
  asked.upgrade = "websocket";
  ResponseHead head(arena);
  head.status = status;
  head.upgraded = status == 101;
  for (const auto& [name, value] : fields) head.headers.add(name, value);
  Buffer out;
  Http1BodyEncoder encoder = encode_response_head(out, head, {asked, end_stream, close, false});
  Buffer bytes;
  bytes.append(body);
  if (!encoder.encode(out, bytes)) return "too much";
  if (!encoder.finish(out)) return "too little";
  return out.to_string();
}

}  // namespace

TEST_CASE("h1: requests are written with exactly one framing") {
  const std::string start = " /p HTTP/1.1\r\nhost: a:80\r\n";
  CHECK(encoded_request("GET", true, {{"x-a", "b"}}) == "GET" + start + "x-a: b\r\n\r\n");
  CHECK(encoded_request("POST", true, {}) == "POST" + start + "content-length: 0\r\n\r\n");
  CHECK(encoded_request("POST", true, {{"content-length", "0"}}) == "POST" + start + "content-length: 0\r\n\r\n");
  CHECK(encoded_request("POST", true, {{"content-length", "7"}}) == "POST" + start + "content-length: 0\r\n\r\n");
  CHECK(encoded_request("POST", false, {{"content-length", "3"}}, "abc") ==
        "POST" + start + "content-length: 3\r\n\r\nabc");
  CHECK(encoded_request("POST", false, {}, "abc") ==
        "POST" + start + "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  CHECK(encoded_request("POST", false, {{"content-length", "3"}}, "abcd") == "too much");
  CHECK(encoded_request("POST", false, {{"content-length", "3"}}, "ab") == "too little");
  CHECK(encoded_request("POST", true, {}, "x") == "too much");
  // a filter's ideas about the connection do not get out
  CHECK(encoded_request("GET", true,
                        {{"connection", "close"}, {"transfer-encoding", "gzip"}, {"host", "evil"}, {"te", "gzip"}}) ==
        "GET" + start + "\r\n");
  CHECK(encoded_request("GET", false, {}, "raw", "websocket") ==
        "GET" + start + "connection: upgrade\r\nupgrade: websocket\r\n\r\nraw");
}

TEST_CASE("h1: responses are written with exactly one framing") {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  CHECK(encoded_response(200, true, {}) == ok + "content-length: 0\r\n\r\n");
  CHECK(encoded_response(200, false, {{"content-length", "1"}}, "a") == ok + "content-length: 1\r\n\r\na");
  CHECK(encoded_response(200, false, {}, "a") == ok + "transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n");
  CHECK(encoded_response(200, false, {{"content-length", "2"}}, "a") == "too little");
  CHECK(encoded_response(200, true, {{"content-length", "5"}}, "", "HEAD") == ok + "content-length: 5\r\n\r\n");
  CHECK(encoded_response(200, true, {}, "", "HEAD") == ok + "\r\n");
  CHECK(encoded_response(304, true, {{"content-length", "5"}}) ==
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n");
  CHECK(encoded_response(204, true, {{"content-length", "5"}}) == "HTTP/1.1 204 No Content\r\n\r\n");
  CHECK(encoded_response(100, true, {}) == "HTTP/1.1 100 Continue\r\n\r\n");
  CHECK(encoded_response(101, false, {}, "raw") ==
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nraw");
  CHECK(encoded_response(200, true, {}, "", "GET", true) == ok + "content-length: 0\r\nconnection: close\r\n\r\n");
  CHECK(encoded_response(200, false, {}, "a", "GET", false, HttpVersion::http10) ==
        "HTTP/1.0 200 OK\r\nconnection: close\r\n\r\na");
  CHECK(encoded_response(200, true, {}, "", "GET", false, HttpVersion::http10) ==
        "HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: keep-alive\r\n\r\n");
  CHECK(encoded_response(299, true, {}) == "HTTP/1.1 299 Unknown\r\ncontent-length: 0\r\n\r\n");
}
