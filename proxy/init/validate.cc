#include "proxy/init/validate.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <utility>
#include <vector>

namespace clew {

namespace {

class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&&) = delete;
  ~Fd() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

class Endpoint {
 public:
  Endpoint(const IpAddress& ip, std::uint16_t port)
      : size_(static_cast<socklen_t>(Address(ip, port).to_sockaddr(storage_))) {}
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }

 private:
  sockaddr_storage storage_{};
  socklen_t size_;
};

Fd open_socket(bool v6) { return Fd(socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)); }

std::uint16_t original_port(int fd, bool v6) {
  constexpr int so_original_dst = 80;  // linux/netfilter_ipv4.h, which does not go together with netinet/in.h
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, so_original_dst, &storage, &size) != 0) return 0;
  return Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&storage), size).port();
}

/// Accepts what waits; true if one of them was meant for the probe port.
bool accept_probe(int listener, bool v6, std::uint16_t probe_port) {
  for (;;) {
    const Fd connection(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (connection.get() < 0) return false;
    if (original_port(connection.get(), v6) == probe_port) return true;
  }
}

}  // namespace

std::optional<InitError> prove_capture(const InitConfig& config) {
  using Clock = std::chrono::steady_clock;
  const bool v6 = config.host_is_v6;
  const IpAddress local = *IpAddress::parse(v6 ? "::1" : "127.0.0.1");
  std::vector<Fd> listeners;
  std::vector<pollfd> polled;
  for (std::uint16_t port : {config.proxy_port, config.inbound_port}) {
    Fd fd = open_socket(v6);
    const int one = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    const Endpoint where(local, port);
    if (bind(fd.get(), where.get(), where.size()) != 0 || listen(fd.get(), 16) != 0) continue;
    polled.push_back({fd.get(), POLLIN, 0});
    listeners.push_back(std::move(fd));
  }
  if (listeners.empty())
    return InitError{InitExit::not_captured, "the test could listen on neither of the proxy's ports"};

  const auto end = Clock::now() + std::chrono::milliseconds(config.probe_timeout_ms);
  const Endpoint from(local, 0), to(*IpAddress::parse(v6 ? "::6" : "127.0.0.6"), config.probe_port);
  while (Clock::now() < end) {
    const Fd client = open_socket(v6);
    if (bind(client.get(), from.get(), from.size()) == 0) (void)connect(client.get(), to.get(), to.size());
    const auto round = std::min(end, Clock::now() + std::chrono::seconds(1));
    for (auto now = Clock::now(); now < round; now = Clock::now()) {
      const auto wait = std::chrono::ceil<std::chrono::milliseconds>(round - now);
      if (poll(polled.data(), polled.size(), static_cast<int>(wait.count())) <= 0) break;
      for (const auto& entry : polled)
        if (accept_probe(entry.fd, v6, config.probe_port)) return {};
    }
  }
  return InitError{InitExit::not_captured,
                   "no connection reached the proxy's ports, so the rules are not in force; with Istio CNI a pod may "
                   "start before its node "
                   "is ready, and has to be started again"};
}

}  // namespace clew
