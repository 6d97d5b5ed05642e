#include "proxy/telemetry/log_sink.h"

#include "proxy/stats/stat_snapshot.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

using namespace clew;

namespace {

struct Folder {
  Folder() { REQUIRE(mkdtemp(path)); }
  ~Folder() {
    for (const char* name : {"/log", "/old", "/fifo", "/other"}) std::remove((path + std::string(name)).c_str());
    rmdir(path);
  }
  std::string operator/(const char* name) const { return path + std::string("/") + name; }
  char path[32] = "/tmp/clew_log_XXXXXX";
};

std::string content(const std::string& path) {
  std::stringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

std::uint64_t stat(const StatSource& source, std::string_view name) {
  StatSnapshot snapshot;
  source.collect(snapshot);
  const auto it = snapshot.entries().find(name);
  REQUIRE(it != snapshot.entries().end());
  return it->second.number;
}

}  // namespace

TEST_CASE("a file that cannot be opened is refused with its cause") {
  LogSinks sinks;
  std::string error;
  CHECK(sinks.open("/nonexistent/folder/log", &error) == nullptr);
  CHECK(error == "unable to open file '/nonexistent/folder/log': No such file or directory");
  CHECK(sinks.open("/tmp", &error) == nullptr);
  CHECK(sinks.open("", &error) == nullptr);
  CHECK(sinks.open("/nonexistent/folder/log") == nullptr);
}

TEST_CASE("chunks are appended in order, and all of them before the end") {
  Folder folder;
  std::ofstream(folder / "log") << "before\n";
  {
    LogSinks sinks;
    LogFile* file = sinks.open(folder / "log");
    REQUIRE(file);
    CHECK(sinks.open(folder / "log") == file);
    for (int i = 0; i < 100; ++i) CHECK(sinks.write(*file, std::to_string(i) + "\n"));
    sinks.flush();
    CHECK(content(folder / "log").ends_with("\n98\n99\n"));
    CHECK(stat(sinks, "filesystem.write_completed") == 100);
    CHECK(stat(sinks, "filesystem.write_total_buffered") == 0);
    sinks.write(*file, "last\n");
  }
  CHECK(content(folder / "log").starts_with("before\n0\n1\n"));
  CHECK(content(folder / "log").ends_with("\n99\nlast\n"));
}

TEST_CASE("a pipe that nobody empties costs a bound of memory, loses what is beyond, and holds up nobody else") {
  Folder folder;
  REQUIRE(mkfifo((folder / "fifo").c_str(), 0600) == 0);
  const int reader = ::open((folder / "fifo").c_str(), O_RDONLY | O_NONBLOCK);
  REQUIRE(reader >= 0);
  std::size_t accepted = 0;
  {
    LogSinks sinks({.max_waiting_bytes = 256 * 1024});
    LogFile* blocked = sinks.open(folder / "fifo");
    LogFile* other = sinks.open(folder / "other");
    REQUIRE((blocked && other));
    const std::string chunk(64 * 1024, 'x');
    for (int i = 0; i < 100; ++i)
      if (sinks.write(*blocked, std::string(chunk))) ++accepted;
    CHECK(accepted < 100);
    CHECK(accepted >= 4);
    CHECK(stat(sinks, "filesystem.write_total_buffered") <= 256 * 1024);
    CHECK(sinks.write(*other, "free\n"));
    while (stat(sinks, "filesystem.write_completed") == 0 || content(folder / "other").empty()) usleep(1000);
    CHECK(content(folder / "other") == "free\n");

    // Emptied again, everything that was accepted comes through.
    std::size_t got = 0;
    std::string buffer(64 * 1024, '\0');
    while (got < accepted * chunk.size()) {
      const ssize_t n = read(reader, buffer.data(), buffer.size());
      if (n > 0)
        got += static_cast<std::size_t>(n);
      else
        usleep(1000);
    }
    CHECK(got == accepted * chunk.size());
    sinks.flush();
    CHECK(stat(sinks, "filesystem.write_total_buffered") == 0);
  }
  close(reader);
}

TEST_CASE("a reader that goes away is an error that is counted, not the end") {
  Folder folder;
  REQUIRE(mkfifo((folder / "fifo").c_str(), 0600) == 0);
  const int reader = ::open((folder / "fifo").c_str(), O_RDONLY | O_NONBLOCK);
  LogSinks sinks;
  LogFile* file = sinks.open(folder / "fifo");
  REQUIRE(file);
  close(reader);
  CHECK(sinks.write(*file, "lost\n"));
  sinks.flush();
  CHECK(stat(sinks, "filesystem.write_failed") == 1);
  CHECK(stat(sinks, "filesystem.write_completed") == 0);
}

TEST_CASE("after a rotation the path is opened again; while it cannot be, the old file goes on") {
  Folder folder;
  LogSinks sinks;
  LogFile* file = sinks.open(folder / "log");
  REQUIRE(file);
  sinks.write(*file, "one\n");
  REQUIRE(std::rename((folder / "log").c_str(), (folder / "old").c_str()) == 0);
  sinks.write(*file, "two\n");
  sinks.reopen();
  sinks.write(*file, "three\n");
  sinks.flush();
  // What was handed over before the call may be written after it, to either file, but nothing is lost.
  CHECK(content(folder / "old") + content(folder / "log") == "one\ntwo\nthree\n");
  while (access((folder / "log").c_str(), F_OK) != 0) usleep(1000);
  sinks.write(*file, "four\n");
  sinks.flush();
  CHECK(content(folder / "log").ends_with("four\n"));

  std::remove((folder / "old").c_str());
  REQUIRE(std::rename((folder / "log").c_str(), (folder / "old").c_str()) == 0);
  REQUIRE(mkdir((folder / "log").c_str(), 0700) == 0);
  sinks.reopen();
  while (stat(sinks, "filesystem.reopen_failed") == 0) usleep(1000);
  sinks.write(*file, "five\n");
  sinks.flush();
  CHECK(content(folder / "old").ends_with("five\n"));
  rmdir((folder / "log").c_str());
}
