// What happens between accept and the choice of a filter chain: the destination is restored, the first bytes are looked
// at and kept for whoever comes next.
#pragma once

#include "config/snapshot/listener.h"
#include "proxy/net/connection_info.h"
#include "proxy/net/socket_transport.h"
#include "proxy/net/worker.h"

namespace clew {

/// The most bytes held before a chain is chosen; what it takes to see a ClientHello of max_client_hello in records of
/// usual size.
inline constexpr std::size_t max_sniffed_bytes = Buffer::slab_size;

/// Runs the listener's filters in order; fills `connection`, and `initial` with what was read. Ends with
/// listener_filter_timeout (and not continue_on_listener_filters_timeout), what ended the socket, or
/// listener_filter_refused for a broken PROXY header or an oversized ClientHello.
Task<Result<void>> run_listener_filters(Worker& worker, SocketTransport& socket, const Listener& listener,
                                        ConnectionInfo& connection, Buffer& initial);

}  // namespace clew
