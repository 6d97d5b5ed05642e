// Opens connections to upstreams.
#pragma once

#include "config/snapshot/cluster.h"
#include "proxy/base/address.h"
#include "proxy/base/clock.h"
#include "proxy/base/result.h"
#include "proxy/net/connection_info.h"
#include "proxy/net/transport.h"
#include "proxy/net/worker.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace clew {

struct ConnectTarget {
  Address address;                                // IP and port, or a unix socket
  std::optional<Address> source;                  // bound before connecting; port 0: the kernel's choice at connect
  Duration timeout = std::chrono::seconds(5);     // 0 or less: none
  std::optional<OriginalSource> original_source;  // wins over source
  std::optional<TcpKeepalive> keepalive;
};

struct Connected {
  std::unique_ptr<Transport> transport;  // null: error says why
  Address local;
  /// ok, connection_refused, connect_timeout, connect_failed, or bind_failed (source).
  Errc error = Errc::ok;
  /// For %UPSTREAM_TRANSPORT_FAILURE_REASON%, as Envoy puts it: «delayed connect error: Connection refused». Empty
  /// after a timeout.
  std::string failure;
  explicit operator bool() const { return transport != nullptr; }
};

/// A connect() under way, as who does not want it any more sees it. It must outlive the call.
class ConnectAttempt {
 public:
  /// It ends as failed; nothing happens once it has ended.
  void abandon() {
    if (transport_) transport_->close(Errc::canceled);
  }

 private:
  friend Task<Connected> connect(Worker&, ConnectTarget, ConnectAttempt*);
  Transport* transport_ = nullptr;  // while it waits
};

/// TCP sockets have TCP_NODELAY. Does not resolve names. Ends by its timeout, or when `attempt` is abandoned.
Task<Connected> connect(Worker& worker, ConnectTarget target, ConnectAttempt* attempt = nullptr);

}  // namespace clew
