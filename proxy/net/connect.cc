#include "proxy/net/connect.h"

#include "proxy/net/socket_transport.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

namespace clew {

namespace {

Connected failure(std::string_view what, int error) {
  Connected out;
  out.error = error == ECONNREFUSED ? Errc::connection_refused
              : error == ETIMEDOUT  ? Errc::connect_timeout
                                    : Errc::connect_failed;
  out.failure = fmt::format("{}: {}", what, std::strerror(error));
  return out;
}

/// 0, or errno.
int prepare(int fd, const ConnectTarget& target) {
  const bool v6 = !target.address.is_pipe() && !target.address.ip().is_v4();
  const int on = 1;
  if (!target.address.is_pipe()) set_no_delay(fd);
  if (target.keepalive) set_keepalive(fd, *target.keepalive);
  if (target.address.is_pipe()) return 0;
  std::optional<Address> source = target.source;
  if (const auto& original = target.original_source) {
    source = Address(original->address, 0);
    if (original->mark != 0 && ::setsockopt(fd, SOL_SOCKET, SO_MARK, &original->mark, sizeof(original->mark)) != 0)
      return errno;
    if (::setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on, sizeof(on)) != 0)
      return errno;
  }
  if (!source) return 0;
  // The port is chosen when the destination is known: many more connections from one source address.
  if (source->port() == 0) ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  sockaddr_storage storage{};
  const std::size_t length = source->to_sockaddr(storage);
  return ::bind(fd, reinterpret_cast<sockaddr*>(&storage), static_cast<socklen_t>(length)) == 0 ? 0 : errno;
}

}  // namespace

Task<Connected> connect(Worker& worker, ConnectTarget target, ConnectAttempt* attempt) {
  sockaddr_storage storage{};
  const std::size_t length = target.address.to_sockaddr(storage);
  if (length == 0) co_return failure("immediate connect error", ENAMETOOLONG);
  const int fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) co_return failure("immediate connect error", errno);
  if (const int error = prepare(fd, target)) {
    ::close(fd);
    Connected out = failure("failed to bind", error);
    out.error = Errc::bind_failed;
    co_return out;
  }
  int error = ::connect(fd, reinterpret_cast<sockaddr*>(&storage), static_cast<socklen_t>(length)) == 0 ? 0 : errno;
  auto transport = std::make_unique<SocketTransport>(worker, fd, error == EINPROGRESS);
  if (error == EINPROGRESS) {
    bool late = false;
    Timer timer(worker.timers(), [&] {
      late = true;
      transport->close(Errc::connect_timeout);
    });
    if (target.timeout > Duration::zero()) timer.arm(target.timeout);
    if (attempt) attempt->transport_ = transport.get();
    const Result<void> ready = co_await transport->writable();
    if (attempt) attempt->transport_ = nullptr;
    if (late) {
      Connected out;
      out.error = Errc::connect_timeout;
      co_return out;
    }
    socklen_t size = sizeof(error);
    if (!ready || ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = EIO;
    if (error != 0) co_return failure("delayed connect error", error);
  } else if (error != 0) {
    co_return failure("immediate connect error", error);
  }
  Connected out;
  out.local = local_address(fd);
  out.transport = std::move(transport);
  co_return out;
}

}  // namespace clew
