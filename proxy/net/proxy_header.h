// Writes what sniff_proxy_header() (proxy/net/sniff.h) reads.
#pragma once

#include "config/snapshot/cluster.h"
#include "proxy/net/connection_info.h"

#include <string>

namespace clew {

/// The PROXY header of a connection to an upstream on behalf of `downstream`: its client, and what that dialled. LOCAL
/// (v1: UNKNOWN) for a connection of our own, and where the two addresses are not of one family.
std::string make_proxy_header(const ProxyProtocol& protocol, const ConnectionInfo& downstream);

}  // namespace clew
