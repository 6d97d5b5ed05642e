// Filters of a connection, before the end of its chain: policies and counters on TCP. Bytes do not pass through them;
// what needs the bytes (TCP metadata exchange) wraps the transport.
#pragma once

#include "proxy/net/connection_info.h"
#include "proxy/net/transport.h"

#include <memory>
#include <string>
#include <variant>

namespace clew {

struct StreamInfo;

struct Deny {
  std::string details;  // for %CONNECTION_TERMINATION_DETAILS%
};
struct Accept {};
using ConnectionVerdict = std::variant<Accept, Deny>;

class NetworkFilter {
 public:
  virtual ~NetworkFilter() = default;
  virtual ConnectionVerdict on_connection(ConnectionInfo&) { return Accept{}; }
  /// Same transport: the filter is not on the bytes' way.
  virtual std::unique_ptr<Transport> wrap(std::unique_ptr<Transport> downstream, ConnectionInfo&) { return downstream; }
  /// Exactly once, when the connection is over.
  virtual void on_done(const ConnectionInfo&, const StreamInfo&) noexcept {}
};

/// A network filter with its config. Shared by all workers, immutable.
class NetworkFilterFactory {
 public:
  virtual ~NetworkFilterFactory() = default;
  virtual std::unique_ptr<NetworkFilter> make() const = 0;
};

}  // namespace clew
