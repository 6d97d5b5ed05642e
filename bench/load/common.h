// What the load programs and the floor share: loopback sockets, a clock, latencies. Failures end the program with a
// sentence: these are tools of a benchmark, a run with an error in it says nothing.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

namespace clew::bench {

[[noreturn]] inline void die(const char* what) {
  std::fprintf(stderr, "%s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

inline std::int64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

/// "ADDRESS:PORT" or "PORT" on loopback.
inline sockaddr_in parse_address(const std::string& text) {
  const auto colon = text.find(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port =
      htons(static_cast<std::uint16_t>(std::stoi(text.substr(colon == std::string::npos ? 0 : colon + 1))));
  const std::string host = colon == std::string::npos ? "127.0.0.1" : text.substr(0, colon);
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) die(host.c_str());
  return address;
}

inline void no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

inline int connect_to(const sockaddr_in& address) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) die("connect");
  no_delay(fd);
  return fd;
}

inline int listen_on(const sockaddr_in& address, int flags = 0) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (fd < 0 || ::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(fd, 4096) != 0)
    die("listen");
  return fd;
}

/// Times in ns; every one is kept, so percentiles are exact.
class Latencies {
 public:
  void add(std::int64_t ns) { all_.push_back(ns); }
  std::size_t size() const { return all_.size(); }
  /// "p50": µs, …, as members of a JSON object.
  std::string json() {
    std::sort(all_.begin(), all_.end());
    const auto at = [&](double part) {
      if (all_.empty()) return 0.0;
      const auto i = static_cast<std::size_t>(part * static_cast<double>(all_.size()));
      return static_cast<double>(all_[std::min(i, all_.size() - 1)]) / 1000.0;
    };
    char text[200];
    std::snprintf(text, sizeof(text), "\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f",
                  at(0.5), at(0.9), at(0.99), at(0.999), at(1.0));
    return text;
  }

 private:
  std::vector<std::int64_t> all_;
};

}  // namespace clew::bench
