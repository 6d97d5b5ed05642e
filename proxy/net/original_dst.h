// Where a connection was going before the kernel redirected it to us.
#pragma once

#include "proxy/net/connection_info.h"

#include <optional>

namespace clew {

/// SO_ORIGINAL_DST of a REDIRECTed connection; nothing when the kernel knows of none. local: the socket's own address.
std::optional<Address> original_destination(int fd, const Address& local);

/// Sets local and local_restored of a connection that did not dial the listener itself. transparent: the listener is,
/// so that TPROXY may have brought the connection, and local is the destination already.
void restore_destination(int fd, bool transparent, ConnectionInfo& connection);

}  // namespace clew
