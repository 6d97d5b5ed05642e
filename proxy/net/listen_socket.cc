#include "proxy/net/listen_socket.h"

#include "proxy/net/socket_transport.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace clew {

namespace {

/// 0, or errno.
int set_up(int fd, const Listener* listener, const Address& address) {
  const int on = 1;
  const auto set = [fd, &on](int level, int name) { return ::setsockopt(fd, level, name, &on, sizeof(on)) == 0; };
  if (address.is_pipe()) {
    // Left over by a process before us; anything but a socket stays and makes bind fail.
    struct stat status{};
    const std::string path(address.path());
    if (::stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) ::unlink(path.c_str());
  } else {
    const bool v6 = !address.ip().is_v4();
    if (!set(SOL_SOCKET, SO_REUSEADDR) || (listener && !set(SOL_SOCKET, SO_REUSEPORT))) return errno;
    if (v6 && !set(IPPROTO_IPV6, IPV6_V6ONLY)) return errno;
    if (listener && listener->transparent &&
        !set(v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT))
      return errno;
    set_no_delay(fd);
  }
  sockaddr_storage storage{};
  const std::size_t length = address.to_sockaddr(storage);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&storage), static_cast<socklen_t>(length)) != 0) return errno;
  return ::listen(fd, listen_backlog) == 0 ? 0 : errno;
}

ListenSocket open(const Listener* listener, const Address& address) {
  sockaddr_storage storage{};
  int error = address.to_sockaddr(storage) == 0 ? ENAMETOOLONG : 0;
  ListenSocket out;
  if (error == 0) {
    out.fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    error = out.fd < 0 ? errno : set_up(out.fd, listener, address);
  }
  if (error == 0) return out;
  if (out.fd >= 0) ::close(out.fd);
  out.fd = -1;
  out.error = fmt::format("cannot bind '{}': {}", address.to_string(), std::strerror(error));
  return out;
}

}  // namespace

ListenSocket open_listen_socket(const Listener& listener, const Address& address) { return open(&listener, address); }

ListenSocket open_listen_socket(const Address& address) { return open(nullptr, address); }

}  // namespace clew
