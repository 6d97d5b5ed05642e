// bench_open_loop ADDRESS:PORT RATE CONNECTIONS SECONDS [HOST]
// HTTP/1.1 load at a fixed rate: request i is meant for the moment start + i/RATE and its latency counts from there,
// whether or not a connection was free by then (no coordinated omission). Prints one JSON object.
#include "bench/load/common.h"

#include <sys/epoll.h>
#include <sys/prctl.h>

#include <deque>

namespace clew::bench {
namespace {

struct Connection {
  int fd = -1;
  std::int64_t intended = 0;  // of the request that is under way; 0: idle
  std::string answer;
};

class OpenLoop {
 public:
  OpenLoop(const sockaddr_in& address, double rate, std::size_t connections, double seconds, const std::string& host)
      : connections_(connections),
        rate_(rate),
        total_(static_cast<std::int64_t>(rate * seconds)),
        request_("GET /body HTTP/1.1\r\nHost: " + host + "\r\nAccept: */*\r\n\r\n") {
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    for (auto& connection : connections_) {
      connection.fd = connect_to(address);
      epoll_event event{};
      event.events = EPOLLIN;
      event.data.ptr = &connection;
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event);
      idle_.push_back(&connection);
    }
  }

  void run() {
    start_ = now_ns();
    while (static_cast<std::int64_t>(latencies_.size()) < total_) {
      send_due();
      wait();
    }
    const double took = static_cast<double>(now_ns() - start_) / 1e9;
    std::printf("{\"completed\": %zu, \"seconds\": %.3f, \"late\": %lld, %s}\n", latencies_.size(), took,
                static_cast<long long>(late_), latencies_.json().c_str());
  }

 private:
  std::int64_t intended(std::int64_t i) const {
    return start_ + static_cast<std::int64_t>(1e9 * static_cast<double>(i) / rate_);
  }

  void send_due() {
    while (next_ < total_ && !idle_.empty() && intended(next_) <= now_ns()) {
      Connection* connection = idle_.front();
      idle_.pop_front();
      connection->intended = intended(next_++);
      if (now_ns() - connection->intended > 1'000'000) ++late_;
      if (::send(connection->fd, request_.data(), request_.size(), MSG_NOSIGNAL) !=
          static_cast<ssize_t>(request_.size()))
        die("send");
    }
  }

  void wait() {
    timespec timeout{1, 0};
    if (next_ < total_ && !idle_.empty()) {
      const std::int64_t left = std::max<std::int64_t>(0, intended(next_) - now_ns());
      timeout = {left / 1'000'000'000, left % 1'000'000'000};
    }
    epoll_event events[64];
    const int n = ::epoll_pwait2(epoll_, events, 64, &timeout, nullptr);
    for (int i = 0; i < n; ++i) receive(*static_cast<Connection*>(events[i].data.ptr));
  }

  void receive(Connection& connection) {
    char chunk[16384];
    const ssize_t n = ::recv(connection.fd, chunk, sizeof(chunk), 0);
    if (n <= 0) die("the connection ended");
    connection.answer.append(chunk, static_cast<std::size_t>(n));
    const auto head = connection.answer.find("\r\n\r\n");
    if (head == std::string::npos || connection.answer.size() < head + 4 + content_length(connection.answer, head))
      return;
    if (connection.answer.compare(0, 12, "HTTP/1.1 200") != 0) {
      std::fprintf(stderr, "answer: %.60s\n", connection.answer.c_str());
      std::exit(1);
    }
    latencies_.add(now_ns() - connection.intended);
    connection.answer.clear();
    idle_.push_back(&connection);
  }

  static std::size_t content_length(const std::string& answer, std::size_t head) {
    const char* at = ::strcasestr(answer.c_str(), "\r\ncontent-length:");
    if (!at || at > answer.c_str() + head) die("an answer without content-length");
    return std::strtoul(at + 17, nullptr, 10);
  }

  std::vector<Connection> connections_;
  std::deque<Connection*> idle_;
  double rate_;
  std::int64_t total_, next_ = 0, start_ = 0, late_ = 0;
  std::string request_;
  int epoll_;
  Latencies latencies_;
};

}  // namespace
}  // namespace clew::bench

int main(int argc, char** argv) {
  using namespace clew::bench;
  if (argc < 5) {
    std::fprintf(stderr, "usage: bench_open_loop ADDRESS:PORT RATE CONNECTIONS SECONDS [HOST]\n");
    return 2;
  }
  ::prctl(PR_SET_TIMERSLACK, 1);
  OpenLoop(parse_address(argv[1]), std::stod(argv[2]), std::stoul(argv[3]), std::stod(argv[4]),
           argc > 5 ? argv[5] : "bench")
      .run();
}
