#include "proxy/net/socket_transport.h"

#include "config/snapshot/cluster.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace clew {

namespace {

constexpr std::size_t max_slices = 64;
constexpr std::size_t max_slabs = 16;  // that one system call fills

struct Received {
  ssize_t result;  // of the system call
  int error;       // errno after it
  std::size_t offered;
};

Received receive(int fd, Buffer& into, std::size_t max) {
  const std::span<char> room = into.prepare(std::min(max, std::size_t{2048}));
  const std::size_t offered = std::min(room.size(), max);
  const ssize_t n = ::recv(fd, room.data(), offered, 0);
  const int error = errno;
  into.commit(n > 0 ? static_cast<std::size_t>(n) : 0);
  return {n, error, offered};
}

/// Into as many slabs as `max` bytes need, by one call: each call makes TCP tell the sender of the room there is again.
Received receive_many(int fd, Buffer& into, std::size_t max) {
  std::array<Buffer, max_slabs> slabs;
  std::array<iovec, max_slabs> slices;
  msghdr message{};
  message.msg_iov = slices.data();
  std::size_t& count = message.msg_iovlen;
  std::size_t offered = 0;
  for (; count < max_slabs && offered < max; ++count) {
    const std::span<char> room = slabs[count].prepare(Buffer::slab_size);
    slices[count] = {room.data(), std::min(room.size(), max - offered)};
    offered += slices[count].iov_len;
  }
  const ssize_t n = ::recvmsg(fd, &message, 0);
  const int error = errno;
  std::size_t left = n > 0 ? static_cast<std::size_t>(n) : 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t part = std::min(left, slices[i].iov_len);
    slabs[i].commit(part);
    into.append(std::move(slabs[i]));
    left -= part;
  }
  return {n, error, offered};
}

template <class T>
void set_option(int fd, int level, int name, const T& value) {
  ::setsockopt(fd, level, name, &value, sizeof(value));
}

}  // namespace

SocketTransport::SocketTransport(Worker& worker, int fd, bool connecting)
    : loop_(worker.loop()), fd_(fd), full_(connecting) {}

// close() is final here: no subclass adds to it.
SocketTransport::~SocketTransport() { SocketTransport::close(Errc::canceled); }

Result<std::size_t> SocketTransport::try_read(Buffer& into, std::size_t max) {
  if (cause_) return Error{*cause_};
  if (read_end_) return Error{*read_end_};
  if (drained_) return Error{Errc::would_block};
  if (max == 0) return std::size_t{0};
  const bool many = plenty_ && max > Buffer::slab_size;
  Received received;
  do {
    received = many ? receive_many(fd_, into, max) : receive(fd_, into, max);
  } while (received.result < 0 && received.error == EINTR);
  if (received.result <= 0) {
    if (received.result < 0 && received.error == EAGAIN) {
      drained_ = true;
      return Error{Errc::would_block};
    }
    read_end_ = received.result == 0 ? Errc::eof : Errc::connection_reset;
    return Error{*read_end_};
  }
  const auto got = static_cast<std::size_t>(received.result);
  plenty_ = got == received.offered;
  drained_ = !plenty_ && !ended_;
  read_ += got;
  if (counters_) counters_->read.add(got);
  return got;
}

Result<std::size_t> SocketTransport::try_write(Buffer& from) {
  if (cause_) return Error{*cause_};
  if (full_) return Error{Errc::would_block};
  std::size_t total = 0;
  while (!from.empty()) {
    std::array<iovec, max_slices> slices;
    msghdr message{};
    message.msg_iov = slices.data();
    message.msg_iovlen = from.peek(slices);
    std::size_t offered = 0;
    for (std::size_t i = 0; i < message.msg_iovlen; ++i) offered += slices[i].iov_len;
    ssize_t n;
    do {
      n = ::sendmsg(fd_, &message, MSG_NOSIGNAL | (end_follows_ ? MSG_MORE : 0));
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
      full_ = errno == EAGAIN;
      if (total > 0) break;  // the next call reports it
      // Else EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, …: the connection is gone.
      return Error{full_ ? Errc::would_block : Errc::connection_reset};
    }
    const auto sent = static_cast<std::size_t>(n);
    from.consume(sent);
    total += sent;
    written_ += sent;
    if (counters_) counters_->written.add(sent);
    if (sent < offered) {
      full_ = true;
      break;
    }
  }
  return total;
}

void SocketTransport::on_ready(std::uint32_t events) {
  constexpr std::uint32_t end = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
  ended_ |= (events & end) != 0;
  if ((events & (EPOLLIN | end)) && std::exchange(drained_, false) && readable_.waiting()) readable_.notify();
  if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) && std::exchange(full_, false) && writable_.waiting())
    writable_.notify();
}

Task<Result<void>> SocketTransport::readable() {
  if (drained_) watch(EPOLLIN | EPOLLRDHUP | EPOLLET);
  return wait(readable_, drained_);
}

Task<Result<void>> SocketTransport::writable() {
  if (full_) watch(EPOLLIN | EPOLLRDHUP | EPOLLOUT | EPOLLET);
  return wait(writable_, full_);
}

/// The kernel tells at once what is there already.
void SocketTransport::watch(std::uint32_t events) {
  if (cause_ || (watched_ & events) == events) return;
  if (std::exchange(watched_, watched_ | events) == 0)
    loop_.watch(fd_, watched_, *this);
  else
    loop_.rewatch(fd_, watched_, *this);
}

Task<Result<void>> SocketTransport::wait(Event& event, const bool& blocked) {
  ++waits_;
  while (blocked && !cause_ && !interrupted_) co_await event.wait();
  --waits_;
  if (cause_) co_return Error{*cause_};
  if (std::exchange(interrupted_, false)) co_return Error{Errc::would_block};
  co_return Result<void>();
}

Result<void> SocketTransport::shutdown_write() {
  if (cause_) return Error{*cause_};
  if (::shutdown(fd_, SHUT_WR) != 0 && errno != ENOTCONN) return Error{Errc::connection_reset};
  return Result<void>();
}

void SocketTransport::interrupt() {
  interrupted_ = waits_ > 0;
  if (readable_.waiting()) readable_.notify();
  if (writable_.waiting()) writable_.notify();
}

void SocketTransport::close(Errc cause, bool reset) noexcept {
  if (cause_) return;
  cause_ = cause;
  if (reset) set_option(fd_, SOL_SOCKET, SO_LINGER, linger{1, 0});
  loop_.close(std::exchange(fd_, -1), *this);
  if (readable_.waiting()) readable_.notify();
  if (writable_.waiting()) writable_.notify();
}

void set_no_delay(int fd) { set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); }

void set_keepalive(int fd, const TcpKeepalive& keepalive) {
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  if (keepalive.probes) set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, *keepalive.probes);
  if (keepalive.time_s) set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, *keepalive.time_s);
  if (keepalive.interval_s) set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, *keepalive.interval_s);
}

Address local_address(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length);
}

Address peer_address(int fd) {
  sockaddr_storage storage{};
  socklen_t length = sizeof(storage);
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &length) != 0) return {};
  return Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length);
}

}  // namespace clew
