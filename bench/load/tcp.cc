// TCP load and its server.
//   bench_tcp serve PORT                                echoes (first byte E) or swallows (first byte S) each
//   connection bench_tcp pingpong PORT CONNECTIONS SECONDS SIZE    round trips of SIZE bytes bench_tcp bulk PORT
//   CONNECTIONS SECONDS             sends as much as goes through
// Prints one JSON object: completed (round trips or bytes), seconds, percentiles in µs.
#include "bench/load/common.h"

#include <sys/epoll.h>

namespace clew::bench {
namespace {

constexpr std::size_t kChunk = 256 * 1024;

/// One thread, edge-triggered; a partial echo waits for room by blocking, which 128-byte messages never need.
[[noreturn]] void serve(const sockaddr_in& address) {
  const int listener = listen_on(address);
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener;
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  std::vector<char> chunk(kChunk);
  std::vector<char> mode(70000, 0);
  for (;;) {
    epoll_event events[64];
    const int n = ::epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < n; ++i) {
      const int fd = events[i].data.fd;
      if (fd == listener) {
        const int peer = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (peer < 0) continue;
        no_delay(peer);
        mode[static_cast<std::size_t>(peer)] = 0;
        event.data.fd = peer;
        ::epoll_ctl(epoll, EPOLL_CTL_ADD, peer, &event);
        continue;
      }
      const ssize_t got = ::recv(fd, chunk.data(), chunk.size(), 0);
      if (got <= 0) {
        ::close(fd);
        continue;
      }
      char& way = mode[static_cast<std::size_t>(fd)];
      if (way == 0) way = chunk[0];
      if (way == 'E' && ::send(fd, chunk.data(), static_cast<std::size_t>(got), MSG_NOSIGNAL) != got) ::close(fd);
    }
  }
}

std::vector<int> connect_all(const sockaddr_in& address, std::size_t connections) {
  std::vector<int> fds(connections);
  for (int& fd : fds) fd = connect_to(address);
  return fds;
}

int watch(const std::vector<int>& fds, std::uint32_t events) {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  for (std::size_t i = 0; i < fds.size(); ++i) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = i;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event);
  }
  return epoll;
}

void pingpong(const sockaddr_in& address, std::size_t connections, double seconds, std::size_t size) {
  const auto fds = connect_all(address, connections);
  const int epoll = watch(fds, EPOLLIN);
  const std::string message(size, 'E');
  std::vector<std::size_t> got(connections);
  std::vector<std::int64_t> sent(connections);
  Latencies latencies;
  const auto ping = [&](std::size_t i) {
    got[i] = 0;
    sent[i] = now_ns();
    if (::send(fds[i], message.data(), size, MSG_NOSIGNAL) != static_cast<ssize_t>(size)) die("send");
  };
  const std::int64_t start = now_ns(), end = start + static_cast<std::int64_t>(seconds * 1e9);
  for (std::size_t i = 0; i < connections; ++i) ping(i);
  std::vector<char> chunk(size);
  while (now_ns() < end) {
    epoll_event events[64];
    const int n = ::epoll_wait(epoll, events, 64, 100);
    for (int e = 0; e < n; ++e) {
      const std::size_t i = events[e].data.u64;
      const ssize_t count = ::recv(fds[i], chunk.data(), size - got[i], 0);
      if (count <= 0) die("the connection ended");
      got[i] += static_cast<std::size_t>(count);
      if (got[i] < size) continue;
      latencies.add(now_ns() - sent[i]);
      ping(i);
    }
  }
  std::printf("{\"completed\": %zu, \"seconds\": %.3f, %s}\n", latencies.size(),
              static_cast<double>(now_ns() - start) / 1e9, latencies.json().c_str());
}

void bulk(const sockaddr_in& address, std::size_t connections, double seconds) {
  const auto fds = connect_all(address, connections);
  const int epoll = watch(fds, EPOLLOUT);
  const std::string chunk(kChunk, 'S');
  const std::int64_t start = now_ns(), end = start + static_cast<std::int64_t>(seconds * 1e9);
  std::uint64_t bytes = 0;
  while (now_ns() < end) {
    epoll_event events[64];
    const int n = ::epoll_wait(epoll, events, 64, 100);
    for (int e = 0; e < n; ++e) {
      const ssize_t count = ::send(fds[events[e].data.u64], chunk.data(), chunk.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count < 0 && errno != EAGAIN) die("send");
      bytes += count > 0 ? static_cast<std::uint64_t>(count) : 0;
    }
  }
  std::printf("{\"completed\": %llu, \"seconds\": %.3f}\n", static_cast<unsigned long long>(bytes),
              static_cast<double>(now_ns() - start) / 1e9);
}

}  // namespace
}  // namespace clew::bench

int main(int argc, char** argv) {
  using namespace clew::bench;
  const std::string mode = argc > 2 ? argv[1] : "";
  if (mode == "serve" && argc == 3) serve(parse_address(argv[2]));
  if (mode == "pingpong" && argc == 6)
    pingpong(parse_address(argv[2]), std::stoul(argv[3]), std::stod(argv[4]), std::stoul(argv[5]));
  else if (mode == "bulk" && argc == 5)
    bulk(parse_address(argv[2]), std::stoul(argv[3]), std::stod(argv[4]));
  else {
    std::fprintf(
        stderr,
        "usage: bench_tcp serve PORT | pingpong PORT CONNECTIONS SECONDS SIZE | bulk PORT CONNECTIONS SECONDS\n");
    return 2;
  }
}
