#include "proxy/grpc/framing.h"

#include <catch2/catch.hpp>

namespace clew {
namespace {

TEST_CASE("grpc messages: any chunking", "[grpc]") {
  Buffer whole;
  append_grpc_message(whole, "one");
  append_grpc_message(whole, "");
  append_grpc_message(whole, std::string(70000, 'x'));
  const std::string bytes = whole.to_string();
  CHECK(bytes.substr(0, 8) == std::string("\0\0\0\0\3one", 8));
  for (const std::size_t piece : {std::size_t{1}, std::size_t{4}, std::size_t{6}, bytes.size()}) {
    GrpcMessageReader reader(100000);
    std::vector<std::string> got;
    Buffer in;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
      in.append(std::string_view(bytes).substr(at, piece));
      for (;;) {
        auto message = reader.next(in);
        if (!message) {
          CHECK(message.error().code == Errc::would_block);
          break;
        }
        got.push_back(std::move(*message));
      }
    }
    REQUIRE(got.size() == 3);
    CHECK(got[0] == "one");
    CHECK(got[1].empty());
    CHECK(got[2].size() == 70000);
    CHECK(reader.between_messages());
  }
}

TEST_CASE("grpc messages: bounds and what cannot be", "[grpc]") {
  const auto first = [](std::string_view bytes) {
    GrpcMessageReader reader(10);
    Buffer in;
    in.append(bytes);
    return reader.next(in).error().code;
  };
  CHECK(first(std::string_view("\0\0\0\0\013", 5)) == Errc::out_of_memory_bound);
  CHECK(first(std::string_view("\0\xff\xff\xff\xff", 5)) == Errc::out_of_memory_bound);
  CHECK(first(std::string_view("\1\0\0\0\1x", 6)) == Errc::http_bad_message);
  CHECK(first(std::string_view("\0\0\0", 3)) == Errc::would_block);
}

TEST_CASE("grpc messages: an end inside one is seen", "[grpc]") {
  GrpcMessageReader reader(10);
  Buffer in;
  CHECK(reader.between_messages());
  in.append(std::string_view("\0\0", 2));
  CHECK_FALSE(reader.next(in).has_value());
  CHECK_FALSE(reader.between_messages());
  in.append(std::string_view("\0\0\2a", 4));
  CHECK_FALSE(reader.next(in).has_value());
  CHECK_FALSE(reader.between_messages());
}

TEST_CASE("grpc-message", "[grpc]") {
  CHECK(decode_grpc_message("a%20b%C3%a9") == "a b\xc3\xa9");
  CHECK(decode_grpc_message("100%") == "100%");
  CHECK(decode_grpc_message("%zz%4") == "%zz%4");
}

TEST_CASE("grpc-timeout", "[grpc]") {
  CHECK(grpc_timeout(std::chrono::milliseconds(100)) == "100m");
  CHECK(grpc_timeout(std::chrono::nanoseconds(1)) == "1m");
  CHECK(grpc_timeout(std::chrono::hours(24)) == "86400000m");
  CHECK(grpc_timeout(std::chrono::hours(24 * 365)) == "31536000S");
  CHECK(grpc_timeout(std::chrono::seconds(100'000'000)) == "1666666M");
  CHECK(grpc_timeout(-std::chrono::seconds(1)) == "0m");
}

}  // namespace
}  // namespace clew
