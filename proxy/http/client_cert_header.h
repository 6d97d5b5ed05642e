// x-forwarded-client-cert: who the peer is, for the application and the next hop.
#pragma once

#include "config/snapshot/listener.h"
#include "proxy/http/message.h"
#include "proxy/net/connection_info.h"

#include <string>

namespace clew {

/// tls: null for plain text.
void forward_client_cert(HeaderMap& headers, const HttpConnectionManager& hcm, const TlsInfo* tls);

}  // namespace clew
