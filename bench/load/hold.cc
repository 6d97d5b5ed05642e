// bench_hold PORT N
// Opens N connections, one after the other, each with one HTTP/1.1 request for /body, and holds them until stdin ends.
// Prints JSON when all are there.
#include "bench/load/common.h"

namespace clew::bench {
namespace {

constexpr std::string_view kRequest = "GET /body HTTP/1.1\r\nHost: bench\r\n\r\n";
constexpr std::size_t kLeast = 1024;  // of an answer: its body

void connect_and_hold(const sockaddr_in& address, std::size_t connections) {
  for (std::size_t i = 0; i < connections; ++i) {
    const int fd = connect_to(address);
    constexpr timeval patience{10, 0};
    if (::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0) die("setsockopt");
    if (::send(fd, kRequest.data(), kRequest.size(), MSG_NOSIGNAL) < 0) die("send");
    std::size_t got = 0;
    for (char answer[8192]; got < kLeast;) {
      const ssize_t n = ::recv(fd, answer, sizeof(answer), 0);
      if (n <= 0 || (got == 0 && std::strncmp(answer, "HTTP/1.1 200", 12) != 0)) die("an answer that is not 200");
      got += static_cast<std::size_t>(n);
    }
  }
  std::printf("{\"completed\": %zu}\n", connections);
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
}

}  // namespace
}  // namespace clew::bench

int main(int argc, char** argv) {
  using namespace clew::bench;
  if (argc != 3) {
    std::fprintf(stderr, "usage: bench_hold PORT N\n");
    return 2;
  }
  connect_and_hold(parse_address(argv[1]), std::stoul(argv[2]));
}
