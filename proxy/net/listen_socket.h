// Opens listening sockets, one for each worker and address.
#pragma once

#include "config/snapshot/listener.h"
#include "proxy/base/address.h"

#include <string>

namespace clew {

/// Connections that may wait to be accepted; the kernel cuts it to net.core.somaxconn.
inline constexpr int listen_backlog = 4096;

struct ListenSocket {
  int fd = -1;        // -1: error says why; the caller closes it
  std::string error;  // «cannot bind '0.0.0.0:80': Permission denied»
};

/// Non-blocking, SO_REUSEPORT (the kernel spreads connections over the workers' sockets), TCP_NODELAY for what is
/// accepted, IPV6_V6ONLY for IPv6, IP_TRANSPARENT for transparent listeners.
ListenSocket open_listen_socket(const Listener& listener, const Address& address);
/// One that is nobody else's: non-blocking, without SO_REUSEPORT.
ListenSocket open_listen_socket(const Address& address);

}  // namespace clew
