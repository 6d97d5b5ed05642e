#include "proxy/base/strings.h"

#include "proxy/base/result.h"

#include <catch2/catch.hpp>

using namespace clew;

TEST_CASE("a token is what a header can be called") {
  for (const char* none : {"", " ", "a b", "a:", "a\r", "(", "\xc3\xa4", "a/b"}) CHECK_FALSE(is_token(none));
  for (const char* token : {"a", "X-9", "!#$%&'*+-.^_`|~"}) CHECK(is_token(token));
}

TEST_CASE("what is not a plain decimal number is refused") {
  for (const char* text : {"", "-1", "+1", " 1", "1 ", "0x1", "1.0", "18446744073709551616", "1e3"})
    CHECK_FALSE(parse_uint(text));
  CHECK(parse_uint("18446744073709551615") == UINT64_MAX);
  CHECK(parse_uint("007") == 7u);
}

TEST_CASE("case and space") {
  CHECK(equals_ignore_case("Content-LENGTH", "content-length"));
  CHECK_FALSE(equals_ignore_case("a", "ab"));
  CHECK_FALSE(equals_ignore_case("@", "`"));
  CHECK(to_lower("AZ[]Ä") == "az[]Ä");
  CHECK(trim(" \t a b\t") == "a b");
  CHECK(trim(" \t ").empty());
  CHECK(trim("\r\n") == "\r\n");
}

TEST_CASE("maps are looked up by view") {
  StringMap<int> map{{"a", 1}};
  CHECK(map.find(std::string_view("a"))->second == 1);
  CHECK(map.find(std::string_view("b")) == map.end());
}

TEST_CASE("an ignored error names its cause") {
  const Result<int> result = Error{Errc::http_flood};
  CHECK_THROWS_WITH(result.value(), Catch::Contains("http_flood"));
}
