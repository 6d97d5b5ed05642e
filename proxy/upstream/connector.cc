#include "proxy/upstream/connector.h"

#include "proxy/net/task_group.h"
#include "proxy/net/tls_transport.h"

#include <algorithm>

namespace clew {
namespace {

constexpr Duration next_address_after = std::chrono::milliseconds(300);  // as Envoy; RFC 8305 recommends 250

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

/// Attempts at the addresses of one endpoint.
struct Race {
  Connected first;  // the first socket; until then the last failure
  std::size_t under_way = 0;
  bool next_is_due = true;
  Event changed;
};

Task<void> attempt_in(Race& race, Worker& worker, ConnectTarget target, ConnectAttempt& attempt) {
  ++race.under_way;
  Connected socket = co_await clew::connect(worker, std::move(target), &attempt);
  --race.under_way;
  race.next_is_due = true;
  if (!race.first) race.first = std::move(socket);
  race.changed.notify();
}

/// The next address is tried when one has failed or has not answered for a while; the first that answers is taken. An
/// endpoint whose IPv6 leads nowhere costs its clients a moment, not the whole timeout.
Task<Connected> connect_to_any(Worker& worker, const UpstreamTarget& target, TimePoint deadline) {
  const bool bounded = target.timeout > Duration::zero();
  Race race;
  TaskGroup group(worker.loop());
  std::vector<ConnectAttempt> attempts(1 + target.additional.size());
  Timer due(worker.timers(), [&race] {
    race.next_is_due = true;
    race.changed.notify();
  });
  for (std::size_t next = 0; !race.first;) {
    const Duration left = bounded ? deadline - worker.clock().now() : Duration::zero();
    const bool another = next < attempts.size() && (!bounded || left > Duration::zero());
    if (another && race.next_is_due) {
      race.next_is_due = false;
      due.arm(next_address_after);
      const Address& address = next == 0 ? target.address : target.additional[next - 1];
      group.spawn(attempt_in(race, worker, socket_target(target, address, left), attempts[next]));
      ++next;
    } else if (race.under_way > 0) {
      co_await race.changed.wait();
    } else {
      break;
    }
  }
  for (ConnectAttempt& attempt : attempts) attempt.abandon();
  co_await group.join();
  co_return std::move(race.first);
}

}  // namespace

Task<Connected> NetConnector::connect(Worker& worker, const UpstreamTarget& target) {
  const bool bounded = target.timeout > Duration::zero();
  const TimePoint deadline = worker.clock().now() + target.timeout;
  const auto left = [&] { return bounded ? std::max(deadline - worker.clock().now(), Duration(1)) : Duration::zero(); };

  Task<Connected> connecting = target.additional.empty()
                                   ? clew::connect(worker, socket_target(target, target.address, left()))
                                   : connect_to_any(worker, target, deadline);
  Connected socket = co_await std::move(connecting);
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
