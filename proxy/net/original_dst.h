// Where a connection was going before the kernel redirected it to us.
#pragma once

#include "proxy/base/address.h"

#include <optional>

namespace clew {

/// SO_ORIGINAL_DST of a REDIRECTed connection; nothing when the kernel knows of none. local: the socket's own address.
/// TPROXY needs none of this: there local is the destination already.
std::optional<Address> original_destination(int fd, const Address& local);

}  // namespace clew
