#include "proxy/net/connect.h"
#include "proxy/net/socket_transport.h"

#include "test/support/test_worker.h"

#include <catch2/catch.hpp>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/tcp.h>  // tcp_info as the kernel has it: the C library's is older
#include <string>
#include <utility>

namespace clew {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// A bound (and listening) socket of the test, closed with it.
struct Listening {
  int fd = -1;
  Address address;
  explicit Listening(const Address& at, bool listen = true, int backlog = 16) {
    sockaddr_storage storage{};
    const auto length = static_cast<socklen_t>(at.to_sockaddr(storage));
    fd = ::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(fd >= 0);
    REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&storage), length) == 0);
    if (listen) REQUIRE(::listen(fd, backlog) == 0);
    address = at.is_pipe() ? at : local_address(fd);
  }
  ~Listening() { ::close(fd); }
};

Address loopback(std::uint16_t port = 0) { return {*IpAddress::parse("127.0.0.1"), port}; }

/// Two connected sockets as transports.
struct SocketPair {
  std::unique_ptr<SocketTransport> a, b;
  explicit SocketPair(Worker& worker) {
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0);
    a = std::make_unique<SocketTransport>(worker, fds[0]);
    b = std::make_unique<SocketTransport>(worker, fds[1]);
  }
};

Task<Result<void>> write_text(Transport& transport, std::string text) {
  Buffer bytes;
  bytes.append(text);
  co_return co_await write_all(transport, bytes);
}

Task<std::pair<std::string, Errc>> read_to_end(Transport& transport) {
  Buffer bytes;
  for (;;) {
    const Result<std::size_t> n = transport.try_read(bytes, 100000);
    if (n) continue;
    if (n.error().code != Errc::would_block) co_return std::pair(bytes.to_string(), n.error().code);
    const Result<void> ready = co_await transport.readable();
    if (!ready) co_return std::pair(bytes.to_string(), ready.error().code);
  }
}

TEST_CASE("socket: bytes, half-close, counters") {
  TestWorker t;
  SocketPair pair(t.worker);
  const std::string text(1000000, 'x');
  auto writing = t.start(write_text(*pair.a, text));
  REQUIRE_FALSE(writing.done());  // more than a socket holds
  auto reading = t.start(read_to_end(*pair.b));
  REQUIRE(t.wait(writing).has_value());
  REQUIRE(pair.a->shutdown_write().has_value());
  const auto [got, end] = t.wait(reading);
  REQUIRE(got == text);
  REQUIRE(end == Errc::eof);
  REQUIRE(pair.a->wire_bytes_written() == text.size());
  REQUIRE(pair.b->wire_bytes_read() == text.size());
  // the other direction goes on
  REQUIRE(t.run_io(write_text(*pair.b, "answer")).has_value());
  pair.b->close(Errc::ok);
  REQUIRE(t.run_io(read_to_end(*pair.a)).first == "answer");
}

TEST_CASE("socket: after a short read the next one makes no system call") {
  TestWorker t;
  SocketPair pair(t.worker);
  Buffer out, in;
  out.append("abc");
  REQUIRE(pair.a->try_write(out).value() == 3);
  REQUIRE(pair.b->try_read(in, 100).value() == 3);
  out.append("def");
  REQUIRE(pair.a->try_write(out).value() == 3);
  // It is there, but only the loop may say so.
  REQUIRE(pair.b->try_read(in, 100).error().code == Errc::would_block);
  REQUIRE(t.run_io(pair.b->readable()).has_value());
  REQUIRE(pair.b->try_read(in, 2).value() == 2);
  REQUIRE(pair.b->try_read(in, 2).value() == 1);  // max was reached, so there may be more
  REQUIRE(in.to_string() == "abcdef");
}

TEST_CASE("socket: who reads in bulk gets several slabs by one system call") {
  TestWorker t;
  SocketPair pair(t.worker);
  std::string text;
  while (text.size() < 100000) text += std::to_string(text.size()) + ' ';
  Buffer out, in;
  out.append(text);
  REQUIRE(pair.a->try_write(out).value() == text.size());
  REQUIRE(pair.b->try_read(in, 1 << 20).value() == Buffer::slab_size);  // it may be all
  REQUIRE(pair.b->try_read(in, 40000).value() == 40000);                // what was asked for and no more
  REQUIRE(pair.b->try_read(in, 1 << 20).value() == text.size() - 40000 - Buffer::slab_size);
  REQUIRE(in.to_string() == text);
  REQUIRE(pair.b->try_read(in, 1 << 20).error().code == Errc::would_block);
  REQUIRE(pair.b->wire_bytes_read() == text.size());
  pair.a->close(Errc::ok);
  REQUIRE(t.run_io(pair.b->readable()).has_value());
  REQUIRE(pair.b->try_read(in, 1 << 20).error().code == Errc::eof);
}

TEST_CASE("socket: the last bytes and the end share a packet") {
  const bool unread = GENERATE(true, false);
  TestWorker t;
  const Listening server(loopback());
  ConnectTarget target;
  target.address = server.address;
  Connected c = t.run_io(connect(t.worker, target));
  SocketTransport accepted(t.worker, ::accept4(server.fd, nullptr, nullptr, SOCK_NONBLOCK));
  if (unread) REQUIRE(t.run_io(write_text(*c.transport, "nobody reads this")).has_value());
  Buffer bytes;
  bytes.append("last words");
  accepted.end_follows();
  REQUIRE(accepted.try_write(bytes).value() == 10);
  REQUIRE(accepted.shutdown_write().has_value());
  tcp_info info{};
  socklen_t size = sizeof(info);
  const int fd = static_cast<SocketTransport&>(*c.transport).fd();
  REQUIRE(::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0);
  pollfd end{fd, POLLRDHUP, 0};
  REQUIRE(::poll(&end, 1, 0) == 1);
  REQUIRE(info.tcpi_data_segs_in == 1);
  if (!unread) REQUIRE(info.tcpi_segs_in == 2);  // the handshake's, and this one
  accepted.close(Errc::ok);
  REQUIRE(t.run_io(read_to_end(*c.transport)) == std::pair<std::string, Errc>("last words", Errc::eof));
}

TEST_CASE("socket: a read that finds nothing keeps no slab") {
  TestWorker t;
  SocketPair pair(t.worker);
  Buffer in;
  REQUIRE(pair.b->try_read(in, 100).error().code == Errc::would_block);
  REQUIRE(in.empty());
  REQUIRE(in.front().empty());
}

TEST_CASE("socket: close ends waits with its cause, from then on too") {
  TestWorker t;
  SocketPair pair(t.worker);
  auto reading = t.start(read_to_end(*pair.a));
  REQUIRE_FALSE(reading.done());
  pair.a->close(Errc::idle_timeout);
  pair.a->close(Errc::canceled);
  REQUIRE(t.wait(reading).second == Errc::idle_timeout);
  Buffer bytes;
  bytes.append("x");
  REQUIRE(pair.a->try_read(bytes, 1).error().code == Errc::idle_timeout);
  REQUIRE(pair.a->try_write(bytes).error().code == Errc::idle_timeout);
  REQUIRE(pair.a->shutdown_write().error().code == Errc::idle_timeout);
  REQUIRE(t.run(pair.a->writable()).error().code == Errc::idle_timeout);
  // the peer: EPIPE, not a signal
  REQUIRE(pair.b->try_write(bytes).error().code == Errc::connection_reset);
}

TEST_CASE("socket: an interruption ends a wait whose bytes have just come") {
  TestWorker t;
  SocketPair pair(t.worker);
  Buffer bytes;
  REQUIRE(pair.a->try_read(bytes, 100).error().code == Errc::would_block);
  auto waiting = t.start(pair.a->readable());
  Timer limit(t.worker.timers(), [&] { pair.a->interrupt(); });
  limit.arm(milliseconds(1));
  bytes.append("late");
  REQUIRE(pair.b->try_write(bytes).value() == 4);
  t.clock.advance(milliseconds(2));
  t.poll();  // one turn: the event, then the timer, and only then the one who waited
  REQUIRE(waiting.done());
  CHECK(waiting.get().error().code == Errc::would_block);
  CHECK(t.run(pair.a->readable()).has_value());
}

TEST_CASE("connect: reaches a listener, with a source address; a reset is seen as one") {
  TestWorker t;
  const Listening server(loopback());
  ConnectTarget target;
  target.address = server.address;
  target.source = Address(*IpAddress::parse("127.0.0.6"), 0);
  target.keepalive = TcpKeepalive{3, 7, 2};
  Connected c = t.run_io(connect(t.worker, target));
  REQUIRE(c);
  REQUIRE(c.error == Errc::ok);
  REQUIRE(c.local.ip().to_string() == "127.0.0.6");
  REQUIRE(c.local.port() != 0);
  const int accepted = ::accept4(server.fd, nullptr, nullptr, SOCK_NONBLOCK);
  REQUIRE(accepted >= 0);
  REQUIRE(peer_address(accepted) == c.local);
  int value = 0;
  socklen_t size = sizeof(value);
  const int fd = static_cast<SocketTransport&>(*c.transport).fd();
  REQUIRE(::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size) == 0);
  REQUIRE(value == 1);
  REQUIRE(::getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, &size) == 0);
  REQUIRE(value == 7);

  SocketTransport other(t.worker, accepted);
  auto reading = t.start(read_to_end(*c.transport));
  other.close(Errc::ok, true);
  REQUIRE(t.wait(reading).second == Errc::connection_reset);
}

TEST_CASE("connect: refused, with the text that Envoy gives") {
  TestWorker t;
  Address nobody;
  {
    const Listening gone(loopback(), false);
    nobody = gone.address;
  }
  ConnectTarget target;
  target.address = nobody;
  const Connected c = t.run_io(connect(t.worker, target));
  REQUIRE_FALSE(c);
  REQUIRE(c.error == Errc::connection_refused);
  REQUIRE(c.failure == "delayed connect error: Connection refused");
}

TEST_CASE("connect: a source address that is not ours") {
  TestWorker t;
  const Listening server(loopback());
  ConnectTarget target;
  target.address = server.address;
  target.source = Address(*IpAddress::parse("192.0.2.1"), 0);
  const Connected c = t.run_io(connect(t.worker, target));
  REQUIRE(c.error == Errc::bind_failed);
  REQUIRE(c.failure == "failed to bind: Cannot assign requested address");
}

TEST_CASE("connect: with the client's own address") {
  TestWorker t;
  const Listening server(loopback());
  ConnectTarget target;
  target.address = server.address;
  target.source = Address(*IpAddress::parse("127.0.0.6"), 0);
  target.original_source = OriginalSource{*IpAddress::parse("127.0.0.7"), 1337};
  const Connected c = t.run_io(connect(t.worker, target));
  if (::geteuid() == 0) {
    int mark = 0;
    socklen_t size = sizeof(mark);
    const int fd = static_cast<SocketTransport&>(*c.transport).fd();
    REQUIRE(::getsockopt(fd, SOL_SOCKET, SO_MARK, &mark, &size) == 0);
    REQUIRE(mark == 1337);
    REQUIRE(c.local.ip().to_string() == "127.0.0.7");
  } else {
    REQUIRE(c.error == Errc::bind_failed);
    REQUIRE(c.failure == "failed to bind: Operation not permitted");
  }
}

TEST_CASE("connect: timeout when nobody accepts") {
  TestWorker t;
  // A full queue drops SYNs: the connect hangs.
  const Listening server(loopback(), true, 0);
  ConnectTarget target;
  target.address = server.address;
  target.timeout = seconds(5);
  std::vector<TestWorker::Started<Connected>> all;
  for (int i = 0; i < 8; ++i) all.push_back(t.start(connect(t.worker, target)));
  for (int i = 0; i < 100; ++i) t.poll();
  t.advance(milliseconds(5010));
  int late = 0;
  for (auto& one : all) {
    Connected c = t.wait(one);
    if (c) continue;
    REQUIRE(c.error == Errc::connect_timeout);
    REQUIRE(c.failure.empty());
    ++late;
  }
  REQUIRE(late > 0);
}

TEST_CASE("connect: unix sockets") {
  TestWorker t;
  char folder[] = "/tmp/clew-net-XXXXXX";
  REQUIRE(::mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/s";
  {
    const Listening server(Address::pipe(path));
    ConnectTarget target;
    target.address = Address::pipe(path);
    REQUIRE(t.run_io(connect(t.worker, target)));
    target.address = Address::pipe(path + "-absent");
    const Connected absent = t.run_io(connect(t.worker, target));
    REQUIRE(absent.error == Errc::connect_failed);
    REQUIRE(absent.failure == "immediate connect error: No such file or directory");
    target.address = Address::pipe("/" + std::string(200, 'x'));
    REQUIRE(t.run_io(connect(t.worker, target)).error == Errc::connect_failed);
  }
  ::unlink(path.c_str());
  ::rmdir(folder);
}

}  // namespace
}  // namespace clew
