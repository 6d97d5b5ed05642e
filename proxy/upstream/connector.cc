#include "proxy/upstream/connector.h"

#include "proxy/net/tls_transport.h"

#include <algorithm>

namespace clew {
namespace {

ConnectTarget socket_target(const UpstreamTarget& target, const Address& address, Duration left) {
  ConnectTarget out;
  out.address = address;
  out.timeout = left;
  out.keepalive = target.keepalive;
  out.original_source = target.original_source;
  if (address.is_pipe()) return out;
  const auto source = std::find_if(target.sources.begin(), target.sources.end(),
                                   [&](const IpAddress& ip) { return ip.is_v4() == address.ip().is_v4(); });
  if (source != target.sources.end()) out.source = Address(*source, 0);
  return out;
}

/// Sends the bytes that go before all others. A failure closes the socket and stands in it.
Task<void> send_preface(Worker& worker, Connected& socket, std::string_view preface, Duration timeout) {
  Buffer bytes;
  bytes.append(preface);
  bool late = false;
  Timer timer(worker.timers(), [&] {
    late = true;
    socket.transport->close(Errc::connect_timeout);
  });
  if (timeout > Duration::zero()) timer.arm(timeout);
  const Result<void> sent = co_await write_all(*socket.transport, bytes);
  if (sent) co_return;
  socket.transport.reset();
  socket.error = late ? Errc::connect_timeout : Errc::connect_failed;
  if (!late) socket.failure = "the PROXY header was not taken";
}

}  // namespace

Task<Connected> NetConnector::connect(Worker& worker, const UpstreamTarget& target) {
  const bool bounded = target.timeout > Duration::zero();
  const TimePoint deadline = worker.clock().now() + target.timeout;
  const auto left = [&] { return bounded ? std::max(deadline - worker.clock().now(), Duration(1)) : Duration::zero(); };

  Connected socket = co_await clew::connect(worker, socket_target(target, target.address, left()));
  for (const Address& address : target.additional) {
    if (socket || (bounded && worker.clock().now() >= deadline)) break;
    socket = co_await clew::connect(worker, socket_target(target, address, left()));
  }
  if (socket && !target.preface.empty()) co_await send_preface(worker, socket, target.preface, left());
  if (!socket || !target.tls) co_return socket;

  TlsClientOptions options;
  options.sni = target.sni;
  options.alpn = target.alpn.empty() ? nullptr : &target.alpn;
  options.verify_name = target.expected_san;
  options.session_key = target.address.to_string();
  options.timeout = left();
  TlsHandshake tls = co_await tls_client(worker, std::move(socket.transport), target.context.get(), std::move(options));
  socket.transport = std::move(tls.transport);
  socket.error = tls.error == Errc::handshake_timeout ? Errc::connect_timeout : tls.error;
  socket.failure = std::move(tls.failure);
  co_return socket;
}

}  // namespace clew
