#include "proxy/base/encoding.h"

#include <catch2/catch.hpp>

using namespace clew;

TEST_CASE("broken encodings are refused") {
  for (const char* text : {"a", "0g", "0x00", "a b"}) CHECK_FALSE(from_hex(text));
  for (const char* text :
       {"a", "Zg=", "Zg===", "Z===", "====", "=", "Z g=", "Zm9\n", "Zh==", "Zm9=", "Zm-_", "Zg==Zg=="})
    CHECK_FALSE(from_base64(text));
  CHECK_FALSE(from_base64("Zm+/", Base64::url));
  for (const char* text : {"%", "%4", "%4g", "abc%"}) CHECK_FALSE(percent_decode(text));
}

TEST_CASE("hex") {
  CHECK(to_hex(std::string_view("\x00\xff\x1a", 3)) == "00ff1a");
  CHECK(from_hex("00fF1A") == std::string("\x00\xff\x1a", 3));
  CHECK(from_hex("") == "");
}

TEST_CASE("base64, RFC 4648 section 10") {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : vectors) {
    CHECK(to_base64(plain) == coded);
    CHECK(from_base64(coded) == plain);
  }
  CHECK(from_base64("Zg") == "f");
  CHECK(to_base64("\xfb\xff", Base64::url) == "-_8");
  CHECK(from_base64("-_8", Base64::url) == "\xfb\xff");
  CHECK(from_base64("-_8=", Base64::url) == "\xfb\xff");
}

TEST_CASE("percent coding") {
  CHECK(percent_encode("a b/ü%", "/") == "a%20b/%C3%BC%25");
  CHECK(percent_encode("-._~") == "-._~");
  CHECK(percent_decode("a%20b%2f%C3%bc") == "a b/ü");
}

TEST_CASE("a UUID says version 4, variant 1") {
  const auto text = [](std::uint64_t high, std::uint64_t low) {
    const auto id = uuid_v4(high, low);
    return std::string(id.begin(), id.end());
  };
  CHECK(text(0, 0) == "00000000-0000-4000-8000-000000000000");
  CHECK(text(~0ull, ~0ull) == "ffffffff-ffff-4fff-bfff-ffffffffffff");
  CHECK(text(0x0123456789abcdef, 0x0123456789abcdef) == "01234567-89ab-4def-8123-456789abcdef");
}
