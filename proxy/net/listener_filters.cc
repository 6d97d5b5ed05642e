#include "proxy/net/listener_filters.h"

#include "proxy/base/strings.h"
#include "proxy/net/original_dst.h"
#include "proxy/net/sniff.h"

namespace clew {

namespace {

using Kind = ListenerFilter::Kind;

constexpr std::size_t read_size = 4096;

Sniffed sniff_tls(std::string_view bytes, ConnectionInfo& connection) {
  ClientHello hello;
  const Sniffed sniffed = sniff_client_hello(bytes, hello);
  if (sniffed == Sniffed::found) {
    connection.transport_protocol = "tls";
    connection.server_name = to_lower(hello.server_name);
    connection.offered_alpn = std::move(hello.alpn);
  }
  return sniffed;
}

Sniffed sniff_plain_http(std::string_view bytes, ConnectionInfo& connection) {
  HttpProtocol protocol;
  const Sniffed sniffed = sniff_http(bytes, protocol);
  if (sniffed == Sniffed::found) connection.offered_alpn = {std::string(to_string(protocol))};
  return sniffed;
}

Sniffed take_proxy_header(std::string_view bytes, const ListenerFilter& filter, ConnectionInfo& connection,
                          Buffer& initial) {
  ProxyHeader header;
  const Sniffed sniffed = sniff_proxy_header(bytes, header);
  if (sniffed == Sniffed::other) return filter.proxy_protocol_optional ? Sniffed::other : Sniffed::bad;
  if (sniffed != Sniffed::found) return sniffed;
  initial.consume(header.size);
  if (header.source) connection.remote = *header.source;
  if (header.destination && *header.destination != connection.local) {
    connection.local = *header.destination;
    connection.local_restored = true;
  }
  return sniffed;
}

Sniffed look(const ListenerFilter& filter, std::string_view bytes, ConnectionInfo& connection, Buffer& initial) {
  switch (filter.kind) {
    case Kind::tls_inspector: return sniff_tls(bytes, connection);
    case Kind::http_inspector: return sniff_plain_http(bytes, connection);
    case Kind::proxy_protocol: return take_proxy_header(bytes, filter, connection, initial);
    case Kind::original_dst:
    case Kind::original_src: break;
  }
  return Sniffed::other;
}

/// More bytes into `initial`; eof, or what ended the wait.
Task<Result<void>> read_more(SocketTransport& socket, Buffer& initial) {
  for (;;) {
    const Result<std::size_t> n = socket.try_read(initial, std::min(read_size, max_sniffed_bytes - initial.size()));
    if (n) co_return Result<void>();
    if (n.error().code != Errc::would_block) co_return n.error();
    const Result<void> ready = co_await socket.readable();
    if (!ready) co_return ready;
  }
}

Task<Result<void>> inspect(SocketTransport& socket, const ListenerFilter& filter, ConnectionInfo& connection,
                           Buffer& initial) {
  for (;;) {
    const Sniffed sniffed =
        initial.empty() ? Sniffed::need_more : look(filter, initial.pull_up(initial.size()), connection, initial);
    if (sniffed == Sniffed::bad) co_return Error{Errc::listener_filter_refused};
    if (sniffed != Sniffed::need_more) co_return Result<void>();
    if (initial.size() >= max_sniffed_bytes) co_return Error{Errc::listener_filter_refused};
    // A client that leaves before it is known what it speaks is let go, as Envoy does.
    const Result<void> more = co_await read_more(socket, initial);
    if (!more) co_return more;
  }
}

}  // namespace

Task<Result<void>> run_listener_filters(Worker& worker, SocketTransport& socket, const Listener& listener,
                                        ConnectionInfo& connection, Buffer& initial) {
  bool late = false;
  Timer timer(worker.timers(), [&] {
    late = true;
    socket.interrupt();
  });
  if (listener.listener_filters_timeout > Duration::zero()) timer.arm(listener.listener_filters_timeout);
  for (const ListenerFilter& filter : listener.listener_filters) {
    if (filter.disabled && filter.disabled->matches(connection.local.port())) continue;
    if (filter.kind == Kind::original_dst) {
      restore_destination(socket.fd(), listener.transparent, connection);
    } else if (filter.kind == Kind::original_src) {
      if (!connection.remote.is_pipe()) connection.original_source = {connection.remote.ip(), filter.mark};
    } else if (filter.kind != Kind::http_inspector || connection.transport_protocol != "tls") {
      const Result<void> seen = co_await inspect(socket, filter, connection, initial);
      if (seen) continue;
      if (!late) co_return seen;
      if (!listener.continue_on_listener_filters_timeout) co_return Error{Errc::listener_filter_timeout};
      break;
    }
  }
  co_return Result<void>();
}

}  // namespace clew
