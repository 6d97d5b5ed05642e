// bench_closing LISTEN UPSTREAM
// The floor under connect, one request, close: one thread, edge-triggered epoll, a pool of upstream connections that
// are kept, as every proxy keeps them. It looks at no more than the word that asks for the end and at the answer's
// length, and makes the system calls that cannot be left out. A request is one read; nothing here is fit for use.
#include "bench/load/common.h"

#include <fcntl.h>
#include <sys/epoll.h>

#include <string_view>
#include <utility>

namespace clew::bench {
namespace {

/// A connection to a client or upstream, by its descriptor.
struct Side {
  enum : char { none, client, upstream } kind = none;
  bool watched = false;
  int peer = -1;         // the other side, while there is an answer to come
  std::size_t left = 0;  // bytes of an answer under way
};

class Floor {
 public:
  Floor(const sockaddr_in& listen, const sockaddr_in& upstream)
      : upstream_(upstream), listener_(listen_on(listen, SOCK_NONBLOCK)), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
    no_delay(listener_);  // what is accepted inherits it
    watch(listener_);
  }

  [[noreturn]] void run() {
    for (;;) {
      epoll_event events[128];
      const int n = ::epoll_wait(epoll_, events, 128, -1);
      for (int i = 0; i < n; ++i) {
        const int fd = events[i].data.fd;
        if (fd == listener_)
          accept_all();
        else if (side(fd).kind == Side::client)
          ask(fd);
        else if (side(fd).kind == Side::upstream)
          answer(fd);
      }
    }
  }

 private:
  Side& side(int fd) {
    if (sides_.size() <= static_cast<std::size_t>(fd)) sides_.resize(static_cast<std::size_t>(fd) + 1);
    return sides_[static_cast<std::size_t>(fd)];
  }

  void watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    event.data.fd = fd;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  void accept_all() {
    for (;;) {
      sockaddr_in peer;
      socklen_t length = sizeof(peer);
      const int fd = ::accept4(listener_, reinterpret_cast<sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      side(fd) = {Side::client};
      ask(fd);
    }
  }

  /// A client's request goes to an upstream connection; one that has not come is waited for.
  void ask(int client) {
    if (side(client).peer >= 0) return;
    const ssize_t n = ::recv(client, chunk_, sizeof(chunk_), 0);
    if (n < 0 && errno == EAGAIN) {
      if (!std::exchange(side(client).watched, true)) watch(client);
      return;
    }
    if (n <= 0) return end(client);
    replace(static_cast<std::size_t>(n), "Connection: close", "Connection: keep-");  // no more said to upstream
    const int up = take();
    side(up).peer = client;
    side(client).peer = up;
    if (::send(up, chunk_, static_cast<std::size_t>(n), MSG_NOSIGNAL) != n) die("send upstream");
  }

  /// The answer, whole in one read or more. Its end and the connection's share a packet.
  void answer(int up) {
    const int client = side(up).peer;
    const ssize_t n = ::recv(up, chunk_, sizeof(chunk_), 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0 || client < 0) die("upstream");
    if (side(up).left == 0) {
      const std::size_t head = std::string_view(chunk_, static_cast<std::size_t>(n)).find("\r\n\r\n");
      const char* length =
          static_cast<const char*>(::memmem(chunk_, static_cast<std::size_t>(n), "Content-Length: ", 16));
      if (head == std::string_view::npos || !length) die("an answer without length");
      replace(static_cast<std::size_t>(n), "Connection: keep-alive", "Connection: close     ");
      side(up).left = head + 4 + std::strtoul(length + 16, nullptr, 10);
    }
    side(up).left -= static_cast<std::size_t>(n);
    const bool last = side(up).left == 0;
    ::send(client, chunk_, static_cast<std::size_t>(n), MSG_NOSIGNAL | (last ? MSG_MORE : 0));
    if (!last) return;
    side(up).peer = -1;
    idle_.push_back(up);
    end(client);
  }

  int take() {
    if (!idle_.empty()) {
      const int up = idle_.back();
      idle_.pop_back();
      return up;
    }
    const int up = connect_to(upstream_);
    if (::fcntl(up, F_SETFL, O_NONBLOCK) != 0) die("fcntl");
    side(up) = {Side::upstream};
    watch(up);
    return up;
  }

  void replace(std::size_t size, std::string_view what, std::string_view by) {
    if (void* at = ::memmem(chunk_, size, what.data(), what.size())) std::memcpy(at, by.data(), by.size());
  }

  void end(int fd) {
    side(fd) = {};
    ::close(fd);
  }

  const sockaddr_in upstream_;
  const int listener_, epoll_;
  std::vector<Side> sides_;
  std::vector<int> idle_;
  char chunk_[16 * 1024];
};

}  // namespace
}  // namespace clew::bench

int main(int argc, char** argv) {
  using namespace clew::bench;
  if (argc != 3) {
    std::fprintf(stderr, "usage: bench_closing LISTEN UPSTREAM\n");
    return 2;
  }
  Floor(parse_address(argv[1]), parse_address(argv[2])).run();
}
