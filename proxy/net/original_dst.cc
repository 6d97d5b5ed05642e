#include "proxy/net/original_dst.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <linux/netfilter_ipv4.h>  // after netinet/in.h, which it would redefine

namespace clew {

std::optional<Address> original_destination(int fd, const Address& local) {
  if (local.is_pipe()) return std::nullopt;
  const bool v4 = local.ip().is_v4();
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  // The option has one number for both families (IP6T_SO_ORIGINAL_DST).
  if (::getsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, SO_ORIGINAL_DST, &storage, &length) != 0) return std::nullopt;
  return Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length);
}

void restore_destination(int fd, bool transparent, ConnectionInfo& connection) {
  const auto destination = original_destination(fd, connection.local);
  if (destination && *destination != connection.local) {
    connection.local = *destination;
    connection.local_restored = true;
  }
  if (transparent) connection.local_restored = true;
}

}  // namespace clew
