#include "proxy/base/log.h"
#include "proxy/base/log_pace.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

using namespace clew;

namespace {

/// What f writes to stderr.
template <class F>
std::string captured(F f) {
  char path[] = "/tmp/clew_log_test_XXXXXX";
  const int file = mkstemp(path);
  REQUIRE(file >= 0);
  unlink(path);
  const int saved = dup(2);
  dup2(file, 2);
  f();
  fflush(stderr);
  dup2(saved, 2);
  close(saved);
  std::string out(static_cast<std::size_t>(lseek(file, 0, SEEK_END)), '\0');
  REQUIRE(pread(file, out.data(), out.size(), 0) == static_cast<ssize_t>(out.size()));
  close(file);
  return out;
}

}  // namespace

TEST_CASE("levels by name") {
  LogLevel level = LogLevel::off;
  for (const char* text : {"", "INFO", "verbose", "inf", "err"}) CHECK_FALSE(parse_log_level(text, level));
  CHECK(level == LogLevel::off);
  CHECK((parse_log_level("warn", level) && level == LogLevel::warning));
  CHECK((parse_log_level("trace", level) && level == LogLevel::trace));
  CHECK(to_string(LogLevel::critical) == "critical");
}

TEST_CASE("loggers are found by name and have levels of their own") {
  CHECK(log::find("router") == &log::router);
  CHECK(log::find("nothing") == nullptr);
  log::set_level(LogLevel::error);
  log::router.set_level(LogLevel::debug);
  CHECK(log::router.enabled(LogLevel::debug));
  CHECK_FALSE(log::http.enabled(LogLevel::warning));
  CHECK(log::all().size() == 18);
  log::set_level(LogLevel::info);
}

TEST_CASE("arguments of a line that is not written are not evaluated") {
  int evaluated = 0;
  CHECK(captured([&] { CLEW_LOG(main, debug, "{}", ++evaluated); }).empty());
  CHECK(evaluated == 0);
}

TEST_CASE("a file instead of stderr, and another of the same name after it was rotated") {
  const std::string missing = log::open_file("/nonexistent/log");
  CHECK(missing == "/nonexistent/log: No such file or directory");
  CHECK_THAT(captured([] { CLEW_LOG(main, error, "still here"); }), Catch::Contains("still here"));
  char name[] = "/tmp/clew_log_test_XXXXXX";
  REQUIRE(close(mkstemp(name)) == 0);
  const std::string path = name, rotated = path + ".1";
  const auto content = [](const std::string& of) {
    std::ifstream in(of);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  REQUIRE(log::set_format("%v"));
  std::ofstream(path) << "before\n";
  CHECK(captured([&] {
          REQUIRE(log::open_file(path).empty());
          CLEW_LOG(main, error, "one");
          REQUIRE(rename(path.c_str(), rotated.c_str()) == 0);
          CLEW_LOG(main, error, "two");
          REQUIRE(log::open_file(path).empty());
          CLEW_LOG(main, error, "three");
        }).empty());
  REQUIRE(log::open_file("").empty());
  CHECK_THAT(captured([] { CLEW_LOG(main, error, "stderr again"); }), Catch::Contains("stderr again"));
  CHECK(content(rotated) == "before\none\ntwo\n");
  CHECK(content(path) == "three\n");
  unlink(path.c_str());
  unlink(rotated.c_str());
}

TEST_CASE("formats") {
  CHECK_FALSE(log::set_format(""));
  REQUIRE(log::set_format("%l|envoy %n|%v|%g"));
  const std::string line = captured([] { CLEW_LOG(upstream, warning, "no {} for {}", "host", 7); });
  CHECK_THAT(line, Catch::StartsWith("warning|envoy upstream|no host for 7|"));
  CHECK_THAT(line, Catch::EndsWith("test/unit/proxy/base/log_test.cc\n"));
  REQUIRE(log::set_format("{\"m\":\"%j\"}"));
  CHECK(captured([] { CLEW_LOG(main, error, "a\"b\\c\n\x01"); }) == "{\"m\":\"a\\\"b\\\\c\\n\\u0001\"}\n");
  // Bytes from outside make no line that is not UTF-8.
  CHECK(captured([] { CLEW_LOG(main, error, "caf\xe9 {}", "\xff"); }) == "{\"m\":\"caf\\u00e9 \\u00ff\"}\n");
  CHECK(captured([] { CLEW_LOG(main, error, "caf\xc3\xa9"); }) == "{\"m\":\"caf\xc3\xa9\"}\n");
  REQUIRE(log::set_format("%_"));
  CHECK(captured([] { CLEW_LOG(main, error, "a\nb"); }) == "a\\nb\n");
  REQUIRE(log::set_format("%Y-%m-%dT%T.%fZ"));
  CHECK(captured([] { CLEW_LOG(main, error, "x"); }).size() ==
        std::string_view("2026-11-21T10:00:00.123456Z\n").size());
}

TEST_CASE("what others cause a hundred times a second makes a few lines, and one each so often") {
  LogPace pace;
  TimePoint now{std::chrono::hours(GENERATE(0, 1000))};
  std::vector<std::string> written;
  for (int i = 0; i < 10'000; ++i, now += std::chrono::milliseconds(10))
    if (const auto more = pace.turn(now)) written.push_back(*more);
  REQUIRE(written.size() == LogPace::burst + 9);  // of 100 s
  for (std::size_t i = 0; i < LogPace::burst; ++i) CHECK(written[i].empty());
  CHECK(written.back() == " (999 such lines were left out before this one)");
  now += std::chrono::hours(1);
  std::size_t again = 0;
  for (int i = 0; i < 100; ++i) again += pace.turn(now).has_value();
  CHECK(again == LogPace::burst);
}
