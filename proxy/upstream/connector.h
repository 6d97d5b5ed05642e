// Opens a transport to an endpoint: TCP or unix socket, then TLS where the endpoint's transport socket says so. The
// seam at which tests put memory transports.
#pragma once

#include "proxy/net/connect.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace clew {

class TlsContext;  // proxy/net/tls_context.h

struct UpstreamTarget {
  Address address;
  std::vector<Address> additional;                // RFC 8305: tried after address, within the same timeout
  std::vector<IpAddress> sources;                 // the one of the endpoint's family is bound
  std::optional<OriginalSource> original_source;  // wins over sources
  Duration timeout = std::chrono::seconds(5);     // socket and handshake together; 0 or less: none
  std::optional<TcpKeepalive> keepalive;

  std::string preface;  // PROXY header: goes first, before a handshake; empty: none
  bool tls = false;
  std::shared_ptr<const TlsContext> context;  // null although tls: a secret is missing, connecting fails
  std::string sni;                            // empty: none
  std::vector<std::string> alpn;              // offered instead of the context's own; empty: the context's own
  std::string expected_san;                   // auto_san_validation: DNS name (or IP) the certificate must be for
};

/// Worker's thread only; outlives every connection attempt.
class Connector {
 public:
  virtual ~Connector() = default;
  /// `target` must live until it ends.
  virtual Task<Connected> connect(Worker& worker, const UpstreamTarget& target) = 0;
};

/// The real one.
class NetConnector final : public Connector {
 public:
  Task<Connected> connect(Worker& worker, const UpstreamTarget& target) override;
};

}  // namespace clew
