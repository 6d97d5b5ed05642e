#include "proxy/net/sniff.h"
#include "proxy/net/proxy_header.h"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

namespace clew {
namespace {

using namespace std::string_literals;

std::string u8(std::size_t n) { return std::string(1, static_cast<char>(n)); }
std::string u16(std::size_t n) { return u8(n >> 8) + u8(n & 255); }
std::string u24(std::size_t n) { return u8(n >> 16) + u16(n & 65535); }
std::string counted8(const std::string& s) { return u8(s.size()) + s; }
std::string counted16(const std::string& s) { return u16(s.size()) + s; }

std::string server_name(const std::string& host) { return u16(0) + counted16(counted16(u8(0) + counted16(host))); }
std::string alpn(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += counted8(name);
  return u16(16) + counted16(counted16(list));
}

std::string hello_body(const std::string& extensions) {
  return "\x03\x03"s + std::string(32, 'r') + counted8(std::string(32, 's')) + counted16("\x13\x01\x13\x02"s) +
         counted8("\0"s) + (extensions.empty() ? std::string() : counted16(extensions));
}
std::string message(const std::string& body) { return "\x01"s + u24(body.size()) + body; }
std::string record(const std::string& bytes) { return "\x16\x03\x01"s + counted16(bytes); }
std::string hello(const std::string& extensions) { return record(message(hello_body(extensions))); }

/// The answer, which must be the same however the bytes arrive.
Sniffed sniff_at_every_cut(const std::string& bytes, ClientHello& out) {
  const Sniffed whole = sniff_client_hello(bytes, out);
  bool decided = false;
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    ClientHello part;
    const Sniffed cut = sniff_client_hello(std::string_view(bytes).substr(0, n), part);
    if (cut == Sniffed::need_more) {
      REQUIRE_FALSE(decided);
      continue;
    }
    decided = true;
    REQUIRE(cut == whole);
    REQUIRE(part.server_name == out.server_name);
    REQUIRE(part.alpn == out.alpn);
  }
  return whole;
}

TEST_CASE("client hello: names and protocols, at every cut") {
  ClientHello out;
  REQUIRE(sniff_at_every_cut(hello(server_name("Outbound_.80_._.b.svc") + alpn({"istio", "h2"})), out) ==
          Sniffed::found);
  REQUIRE(out.server_name == "Outbound_.80_._.b.svc");
  REQUIRE(out.alpn == std::vector<std::string>{"istio", "h2"});
  // what follows does not matter
  REQUIRE(sniff_at_every_cut(hello(alpn({"h2"})) + "more", out) == Sniffed::found);
  REQUIRE(out.server_name.empty());
  REQUIRE(sniff_at_every_cut(hello(""), out) == Sniffed::found);
  REQUIRE(out.alpn.empty());
  // GREASE and other extensions
  REQUIRE(sniff_at_every_cut(hello("\x0a\x0a\0\0"s + server_name("x") + "\x2a\x2a\0\1\0"s), out) == Sniffed::found);
  REQUIRE(out.server_name == "x");
}

TEST_CASE("client hello: cut into many records") {
  const std::string whole = message(hello_body(server_name("a.example") + alpn({"h2", "http/1.1"})));
  for (const std::size_t size : {1, 3, 4, 5, 50}) {
    std::string bytes;
    for (std::size_t at = 0; at < whole.size(); at += size) bytes += record(whole.substr(at, size));
    ClientHello out;
    REQUIRE(sniff_at_every_cut(bytes, out) == Sniffed::found);
    REQUIRE(out.server_name == "a.example");
    REQUIRE(out.alpn.size() == 2);
  }
}

TEST_CASE("client hello: other protocols and broken hellos are something else") {
  ClientHello out;
  for (const std::string& bytes : std::vector<std::string>{"GET / HTTP/1.1\r\n",
                                                           "\x15\x03\x01\0\2\1\0"s,
                                                           "\x16\x02\x01"s,
                                                           "\x16\x03\x01\0\0"s,
                                                           "\x16\x03\x01\x40\x01"s,
                                                           record("\x02"s + u24(10)),
                                                           record(message("")),
                                                           record(message(hello_body("") + "x")),
                                                           hello(server_name("")),
                                                           hello(server_name("a\0b"s)),
                                                           hello(server_name(std::string(256, 'a'))),
                                                           hello(server_name("a") + server_name("a")),
                                                           hello(alpn({})),
                                                           hello(alpn({"h2", ""})),
                                                           hello(u16(0) + counted16("")),
                                                           hello(u16(0) + counted16(counted16(u8(1) + counted16("a")))),
                                                           hello("\0\x10"s),
                                                           hello(u16(16) + u16(9) + "abc"),
                                                           record(message("\x02\x03"s + hello_body("").substr(2))),
                                                           record(message(hello_body("").substr(0, 60)))}) {
    INFO(Catch::StringMaker<std::string>::convert(bytes));
    REQUIRE(sniff_at_every_cut(bytes, out) == Sniffed::other);
  }
}

TEST_CASE("client hello: as large as allowed, and one byte more") {
  const std::string extension = u16(21);
  ClientHello out;
  std::string body = hello_body(server_name("big") + extension + counted16(""));
  const std::size_t room = max_client_hello - body.size();
  body = hello_body(server_name("big") + extension + counted16(std::string(room, '\0')));
  REQUIRE(body.size() == max_client_hello);
  const auto records = [](const std::string& bytes) {
    std::string all;
    for (std::size_t at = 0; at < bytes.size(); at += 16384) all += record(bytes.substr(at, 16384));
    return all;
  };
  REQUIRE(sniff_client_hello(records(message(body)), out) == Sniffed::found);
  REQUIRE(out.server_name == "big");
  // refused as soon as its length is known
  REQUIRE(sniff_client_hello(record(("\x01"s + u24(max_client_hello + 1))), out) == Sniffed::bad);
}

TEST_CASE("http: what the first line says") {
  struct Row {
    std::string bytes;
    Sniffed sniffed;
    HttpProtocol protocol = HttpProtocol::http11;
  };
  for (const Row& row :
       std::vector<Row>{{"", Sniffed::need_more},
                        {"G", Sniffed::need_more},
                        {"GET", Sniffed::need_more},
                        {"GET /", Sniffed::need_more},
                        {"GET / HTTP/1.1", Sniffed::need_more},
                        {"GET / HTTP/1.1\r", Sniffed::need_more},
                        {"GET / HTTP/1.1\r\n", Sniffed::found, HttpProtocol::http11},
                        {"GET / HTTP/1.1\n", Sniffed::found, HttpProtocol::http11},
                        {"POST http://a/b?c HTTP/1.0\r\nHost:", Sniffed::found, HttpProtocol::http10},
                        {"M-SEARCH * HTTP/1.1\r\n", Sniffed::found, HttpProtocol::http11},
                        {"CONNECT a:1 HTTP/1.1\r\n", Sniffed::found, HttpProtocol::http11},
                        {"P", Sniffed::need_more},
                        {"PRI * HTTP/2.0\r\n\r\nSM\r\n", Sniffed::need_more},
                        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Sniffed::found, HttpProtocol::h2c},
                        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0"s, Sniffed::found, HttpProtocol::h2c},
                        {"PRI * HTTP/2.0\r\n\r\nSX", Sniffed::other},
                        {"PRI * HTTP/1.1\r\n", Sniffed::other},
                        {"GET / HTTP/2.0\r\n", Sniffed::other},
                        {"GET / HTTP/1.2\r\n", Sniffed::other},
                        {"GET  HTTP/1.1\r\n", Sniffed::other},
                        {"GET HTTP/1.1\r\n", Sniffed::other},
                        {"GET /\r\n", Sniffed::other},
                        {"get / HTTP/1.1\r\n", Sniffed::found, HttpProtocol::http11},
                        {"BREW /pot HTTP/1.1\r\n", Sniffed::found, HttpProtocol::http11},
                        {"GETX", Sniffed::need_more},
                        {"G(T", Sniffed::other},
                        {std::string(65, 'A'), Sniffed::other},
                        {"GET bad HTTP/1.1\r\n", Sniffed::other},
                        {"GET a:1 HTTP/1.1\r\n", Sniffed::other},
                        {"GET /a /b HTTP/1.1\r\n", Sniffed::other},
                        {"GET /\xff", Sniffed::other},
                        {"HELO mail.example\r\n", Sniffed::other},
                        {"HE", Sniffed::need_more},
                        {"USER me\r\n", Sniffed::other},
                        {"\x16\x03\x01", Sniffed::other},
                        {"GET /\x01 HTTP/1.1\r\n", Sniffed::found, HttpProtocol::http11},  // the codec answers 400
                        {"\0"s, Sniffed::other},
                        {" GET", Sniffed::other},
                        {"GET /" + std::string(max_request_line, 'x'), Sniffed::other},
                        {"GET /" + std::string(max_request_line - 20, 'x') + " HTTP/1.1\r\n", Sniffed::found,
                         HttpProtocol::http11}}) {
    INFO(row.bytes.substr(0, 60));
    HttpProtocol protocol = HttpProtocol::http11;
    REQUIRE(sniff_http(row.bytes, protocol) == row.sniffed);
    if (row.sniffed == Sniffed::found) REQUIRE(protocol == row.protocol);
    // an answer stays, however much follows
    bool decided = false;
    for (std::size_t n = 0; n <= row.bytes.size() && n < 200; ++n) {
      HttpProtocol part;
      const Sniffed cut = sniff_http(std::string_view(row.bytes).substr(0, n), part);
      REQUIRE_FALSE((decided && cut == Sniffed::need_more));
      if (cut == Sniffed::need_more) continue;
      decided = true;
      REQUIRE(cut == row.sniffed);
    }
  }
  REQUIRE(to_string(HttpProtocol::http10) == "http/1.0");
  REQUIRE(to_string(HttpProtocol::http11) == "http/1.1");
  REQUIRE(to_string(HttpProtocol::h2c) == "h2c");
}

const std::string v2 = "\r\n\r\n\0\r\nQUIT\n"s;

TEST_CASE("PROXY protocol: both versions") {
  struct Row {
    std::string bytes;
    Sniffed sniffed;
    std::string source, destination;  // empty: none
  };
  const std::string v4 = "\1\2\3\4\5\6\7\x08\x03\xe8\0\x50"s;
  const std::string v6 = std::string(15, '\0') + "\1" + std::string(15, '\0') + "\2" + "\0\x0a\0\x0b"s;
  const std::string long_line = "PROXY UNKNOWN " + std::string(107 - 14 - 2, 'x') + "\r\n";
  for (const Row& row : std::vector<Row>{
           {"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n", Sniffed::found, "1.2.3.4:1000", "5.6.7.8:80"},
           {"PROXY TCP6 ::1 2001:db8::2 1 65535\r\n", Sniffed::found, "[::1]:1", "[2001:db8::2]:65535"},
           {"PROXY UNKNOWN\r\n", Sniffed::found, "", ""},
           {"PROXY UNKNOWN what ever 1 2\r\n", Sniffed::found, "", ""},
           {long_line, Sniffed::found, "", ""},
           {"PROXY UNKNOWN " + std::string(107 - 14 - 1, 'x') + "\r\n", Sniffed::bad, "", ""},
           {"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80", Sniffed::need_more, "", ""},
           {"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r", Sniffed::need_more, "", ""},
           {"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80 \r\n", Sniffed::bad, "", ""},
           {"PROXY TCP4 1.2.3.4 5.6.7.8 1000\r\n", Sniffed::bad, "", ""},
           {"PROXY TCP4 1.2.3.4  5.6.7.8 1000 80\r\n", Sniffed::bad, "", ""},
           {"PROXY TCP4 1.2.3.4 5.6.7.8 1000 65536\r\n", Sniffed::bad, "", ""},
           {"PROXY TCP4 1.2.3.4 5.6.7.8 -1 80\r\n", Sniffed::bad, "", ""},
           {"PROXY TCP4 1.2.3.4 5.6.7.8 01 80\r\n", Sniffed::bad, "", ""},
           {"PROXY TCP4 1.2.3.400 5.6.7.8 1 80\r\n", Sniffed::bad, "", ""},
           {"PROXY TCP4 ::1 ::2 1 80\r\n", Sniffed::bad, "", ""},
           {"PROXY TCP6 1.2.3.4 5.6.7.8 1 80\r\n", Sniffed::bad, "", ""},
           {"PROXY TCP6 fe80::1%lo ::2 1 80\r\n", Sniffed::bad, "", ""},
           {"PROXY UDP4 1.2.3.4 5.6.7.8 1 80\r\n", Sniffed::bad, "", ""},
           {"PROXY \r\n", Sniffed::bad, "", ""},
           {"PROXYTCP4", Sniffed::other, "", ""},
           {"GET / HTTP/1.1\r\n", Sniffed::other, "", ""},
           {"", Sniffed::need_more, "", ""},
           {"PROX", Sniffed::need_more, "", ""},
           {v2.substr(0, 11), Sniffed::need_more, "", ""},
           {v2.substr(0, 11) + "x", Sniffed::other, "", ""},
           {v2 + "\x21\x11"s + u16(12) + v4, Sniffed::found, "1.2.3.4:1000", "5.6.7.8:80"},
           {v2 + "\x21\x11"s + u16(11) + v4, Sniffed::bad, "", ""},
           {v2 + "\x21\x21"s + u16(36) + v6, Sniffed::found, "[::1]:10", "[::2]:11"},
           {v2 + "\x21\x21"s + u16(12) + v4, Sniffed::bad, "", ""},
           {v2 + "\x21\x11"s + u16(12 + 4) + v4 + "\4\0\1x"s, Sniffed::found, "1.2.3.4:1000", "5.6.7.8:80"},
           {v2 + "\x21\x11"s + u16(12 + 4) + v4 + "\4\0\2x"s, Sniffed::bad, "", ""},
           {v2 + "\x21\x11"s + u16(12 + 2) + v4 + "\4\0"s, Sniffed::bad, "", ""},
           {v2 + "\x20\x00"s + u16(0), Sniffed::found, "", ""},
           {v2 + "\x20\x11"s + u16(12) + v4, Sniffed::found, "", ""},
           {v2 + "\x20\x00"s + u16(5) + "ab", Sniffed::need_more, "", ""},
           {v2 + "\x21\x12"s + u16(12) + v4, Sniffed::bad, "", ""},
           {v2 + "\x21\x31"s + u16(216), Sniffed::bad, "", ""},
           {v2 + "\x22\x11"s + u16(12) + v4, Sniffed::bad, "", ""},
           {v2 + "\x11\x11"s + u16(12) + v4, Sniffed::bad, "", ""},
           {v2 + "\x21\x11"s + u16(65535), Sniffed::bad, "", ""}}) {
    INFO(Catch::StringMaker<std::string>::convert(row.bytes));
    ProxyHeader header;
    REQUIRE(sniff_proxy_header(row.bytes, header) == row.sniffed);
    if (row.sniffed != Sniffed::found) continue;
    REQUIRE(header.size == row.bytes.size());
    REQUIRE((header.source ? header.source->to_string() : "") == row.source);
    REQUIRE((header.destination ? header.destination->to_string() : "") == row.destination);
    REQUIRE(sniff_proxy_header(row.bytes + "GET /", header) == Sniffed::found);
    REQUIRE(header.size == row.bytes.size());
    for (std::size_t n = 0; n < row.bytes.size(); ++n)
      REQUIRE(sniff_proxy_header(row.bytes.substr(0, n), header) == Sniffed::need_more);
  }
}

ConnectionInfo connection(const char* client, const char* dialled) {
  ConnectionInfo out;
  out.remote = Address(*IpAddress::parse(client), 1000);
  out.local = Address(*IpAddress::parse(dialled), 80);
  return out;
}

constexpr auto v1_header = ProxyProtocol::Version::v1, v2_header = ProxyProtocol::Version::v2;

TEST_CASE("PROXY protocol: headers that are written") {
  const ConnectionInfo v4 = connection("1.2.3.4", "5.6.7.8"), v6 = connection("::1", "2001:db8::2");
  CHECK(make_proxy_header({v1_header, {}}, v4) == "PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n");
  CHECK(make_proxy_header({v1_header, {}}, v6) == "PROXY TCP6 ::1 2001:db8::2 1000 80\r\n");
  CHECK(make_proxy_header({v2_header, {}}, v4) == v2 + "\x21\x11"s + u16(12) + "\1\2\3\4\5\6\7\x08\x03\xe8\0\x50"s);
  // Nobody's connection, and one whose addresses do not go together.
  ConnectionInfo piped = connection("1.2.3.4", "5.6.7.8");
  piped.local = Address::pipe("/x");
  const ConnectionInfo owns[] = {ConnectionInfo(), connection("1.2.3.4", "::1"), std::move(piped)};
  for (const ConnectionInfo& own : owns) {
    CHECK(make_proxy_header({v1_header, {}}, own) == "PROXY UNKNOWN\r\n");
    CHECK(make_proxy_header({v2_header, "\4\0\1x"s}, own) == v2 + "\x20\0\0\0"s);
  }
}

TEST_CASE("PROXY protocol: the length that is written is that of what follows") {
  for (const bool six : {false, true}) {
    const ConnectionInfo client = six ? connection("::1", "::2") : connection("1.2.3.4", "5.6.7.8");
    const std::size_t addresses = six ? 36 : 12;
    for (std::size_t n = 3; n <= ProxyProtocol::max_extensions; ++n) {
      const std::string header = make_proxy_header({v2_header, "\xea"s + u16(n - 3) + std::string(n - 3, 'x')}, client);
      const std::size_t written = 256u * static_cast<std::uint8_t>(header[14]) + static_cast<std::uint8_t>(header[15]);
      if (written != addresses + n || header.size() != 16 + written) FAIL(n << " bytes of extensions: " << written);
      if (header.size() > max_proxy_header) continue;
      ProxyHeader read;
      if (sniff_proxy_header(header + "GET /", read) != Sniffed::found || read.size != header.size() ||
          read.source != client.remote || read.destination != client.local)
        FAIL(n << " bytes of extensions are not read back");
    }
  }
}

}  // namespace
}  // namespace clew
