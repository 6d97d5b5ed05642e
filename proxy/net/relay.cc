#include "proxy/net/relay.h"

#include "proxy/net/fair_share.h"
#include "proxy/net/task_group.h"

#include <algorithm>

namespace clew {

namespace {

constexpr std::size_t min_read = 4 * 1024, max_read = 256 * 1024;

struct Shared {
  Worker& worker;
  Transport& downstream;
  Transport& upstream;
  Duration idle_timeout;
  TimePoint last_byte;
  RelayEnd end;

  void fail(Errc cause, bool from_downstream) {
    if (end.cause == Errc::ok) end = {cause, from_downstream};
    const bool reset = cause == Errc::connection_reset;
    downstream.close(cause, reset);
    upstream.close(cause, reset);
  }
};

Task<Result<void>> end_writing(Transport& to) {
  for (;;) {
    const Result<void> ended = to.shutdown_write();
    if (ended || ended.error().code != Errc::would_block) co_return ended;
    const Result<void> ready = co_await to.writable();
    if (!ready) co_return ready;
  }
}

/// Reads what is there, up to `want`, which follows the sender's pace. Nothing read: why.
Result<std::size_t> take(Transport& from, Buffer& held, std::size_t& want) {
  std::size_t total = 0;
  while (total < want) {
    const Result<std::size_t> n = from.try_read(held, want - total);
    if (!n) {
      if (total == 0) return n;
      break;  // comes back with the next call
    }
    total += *n;
  }
  want = total == want ? std::min(max_read, want * 4) : std::max(min_read, total * 2);
  return total;
}

Task<void> copy(Shared& shared, Transport& from, Transport& to, Buffer& held, std::uint64_t& count) {
  const bool from_downstream = &from == &shared.downstream;
  std::size_t want = min_read;
  FairShare share(shared.worker.loop());
  for (;;) {
    if (const std::size_t bytes = held.size()) {
      const Result<void> written = co_await write_all(to, held);
      if (!written) co_return shared.fail(written.error().code, !from_downstream);
      shared.last_byte = shared.worker.clock().now();
      // Not before they are sent: they are in the processor's cache, and the next one reads into their slabs.
      if (share.spent(bytes)) co_await shared.worker.loop().yield();
    }
    const Result<std::size_t> n = take(from, held, want);
    if (n) {
      count += *n;
      shared.last_byte = shared.worker.clock().now();
      continue;
    }
    if (n.error().code == Errc::eof) {
      if (shared.end.cause == Errc::ok) shared.end.downstream = from_downstream;
      break;
    }
    if (n.error().code != Errc::would_block) co_return shared.fail(n.error().code, from_downstream);
    const Result<void> ready = co_await from.readable();
    if (!ready) co_return shared.fail(ready.error().code, from_downstream);
  }
  const Result<void> ended = co_await end_writing(to);
  if (!ended) shared.fail(ended.error().code, !from_downstream);
}

}  // namespace

Task<RelayEnd> relay(Worker& worker, Transport& downstream, Transport& upstream, Buffer to_upstream,
                     Buffer to_downstream, RelayBytes& bytes, Duration idle_timeout) {
  Shared shared{worker, downstream, upstream, idle_timeout, worker.clock().now(), {}};
  Timer* self = nullptr;
  // Looks when the timeout is over since the last look: a byte costs no re-arming.
  Timer timer(worker.timers(), [&shared, &self] {
    const Duration quiet = shared.worker.clock().now() - shared.last_byte;
    if (quiet >= shared.idle_timeout)
      shared.fail(Errc::idle_timeout, true);
    else
      self->arm(shared.idle_timeout - quiet);
  });
  self = &timer;
  if (idle_timeout > Duration::zero()) timer.arm(idle_timeout);

  TaskGroup group(worker.loop());
  group.spawn(copy(shared, upstream, downstream, to_downstream, bytes.from_upstream));
  co_await copy(shared, downstream, upstream, to_upstream, bytes.from_downstream);
  co_await group.join();
  timer.cancel();
  downstream.close(Errc::ok);
  upstream.close(Errc::ok);
  co_return shared.end;
}

}  // namespace clew
