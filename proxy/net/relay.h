// Copies bytes both ways between two connections until both directions have ended: TCP proxying and upgraded HTTP.
#pragma once

#include "proxy/base/clock.h"
#include "proxy/net/transport.h"
#include "proxy/net/worker.h"

#include <cstdint>

namespace clew {

/// Counted as they are read, so that long connections can be reported while they live.
struct RelayBytes {
  std::uint64_t from_downstream = 0, from_upstream = 0;
};

struct RelayEnd {
  /// ok: both directions ended orderly. Else what ended the first one: connection_reset, idle_timeout, the cause of a
  /// close() from outside, …
  Errc cause = Errc::ok;
  bool downstream = false;  // that cause, or the last orderly end, came from downstream's side
};

/// to_upstream and to_downstream: bytes that were read before, sent first. A direction that ends (FIN) ends the other
/// side's writing and nothing else; an error ends all, as a reset where it was one. Both transports are closed at the
/// end. idle_timeout: without any byte either way; 0: none. At most 256 KiB are held in each direction.
Task<RelayEnd> relay(Worker& worker, Transport& downstream, Transport& upstream, Buffer to_upstream,
                     Buffer to_downstream, RelayBytes& bytes, Duration idle_timeout);

}  // namespace clew
