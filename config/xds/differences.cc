#include "config/xds/compatibility.h"

namespace clew {

std::string_view http_differences() {
  return R"(
## HTTP: where clew does not do as Envoy does

Everything else is compared with Envoy in the same run (`test/mesh`, `test/attacks`). Where clew is stricter, what it refuses can be
read in two ways by what comes behind it; the answer is 400, or 502 to an upstream, and the connection ends.

| what comes | Envoy 1.40 | clew |
|---|---|---|
| two Host fields, equal or not | the first counts | refused (RFC 9112 3.2) |
| a tab, or CR, or spaces behind the version, in a request line | read over | refused |
| a folded line; a line of spaces; bare LF; CR without LF, in heads and answers | made one line; read over | refused (RFC 9112 2.2, 5.2) |
| a chunk longer than its size; one whose size or data ends in LF; space behind a size | read over | refused (RFC 9112 7.1) |
| chunk extensions without a name, with NUL, LF or a line end in quotes, or beyond 4 KiB in all | read over | refused |
| trailers that are folded, or more than `max_headers_count` | dropped | refused, 400 or 431 |
| an Upgrade with a body | passed on | refused |
| the body of an answer, not 101, to an Upgrade | dropped | passed on |
| a target `http://host?query` | no route: its path is `?query` | its path is `/?query` (RFC 9112 3.2.2) |
| Content-Length named in Connection | removed, the body goes on in chunks | stays: it frames the body |
| an HTTP/1 answer with a status below 100 or above 999; 101 that nobody asked for | passed on | refused |
| interim answers, with `proxy_100_continue` | the first, if it is 100, 102 or 103 | all, 16 at most (RFC 9110 15.2) |
| Content-Length or Host in HTTP/2 trailers | passed on | dropped (RFC 9110 6.5.1) |
| HTTP/2 heads for a stream that their sender has ended or passed over | read over | GOAWAY (RFC 9113 5.1) |
| a malformed HTTP/2 request | the connection ends | its stream is reset, the connection goes on (RFC 9113 8.1.1) |
| HTTP/2 floods | the connection is closed, some with GOAWAY | GOAWAY ENHANCE_YOUR_CALM, then closed |
| an SSLv2 hello | its library reads on | no TLS: the chain for plain text, or closed |
)";
}

}  // namespace clew
