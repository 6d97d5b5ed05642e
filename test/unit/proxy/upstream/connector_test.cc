#include "proxy/upstream/connector.h"

#include "proxy/net/socket_transport.h"
#include "test/support/test_worker.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

namespace clew {
namespace {

using std::chrono::milliseconds;

/// A port of 127.0.0.1: one that answers, one that refuses, or one whose queue is full, so that SYNs are dropped.
class Port {
 public:
  enum Kind : std::uint8_t { answers, refuses, silent };
  explicit Port(Kind kind) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_storage storage{};
    const auto length = static_cast<socklen_t>(Address(*IpAddress::parse("127.0.0.1"), 0).to_sockaddr(storage));
    REQUIRE(::bind(fd_, reinterpret_cast<sockaddr*>(&storage), length) == 0);
    if (kind != refuses) REQUIRE(::listen(fd_, kind == answers ? 16 : 0) == 0);
    address = local_address(fd_);
    address.to_sockaddr(storage);
    for (int i = 0; kind == silent && i < 4; ++i) {
      queued_.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      ::connect(queued_.back(), reinterpret_cast<sockaddr*>(&storage), length);
    }
  }
  ~Port() {
    for (const int fd : queued_) ::close(fd);
    ::close(fd_);
  }
  bool was_reached() const {
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK);
    if (fd >= 0) ::close(fd);
    return fd >= 0;
  }
  Address address;

 private:
  const int fd_;
  std::vector<int> queued_;
};

struct Fixture {
  TestWorker t;
  NetConnector connector;
  UpstreamTarget target;

  explicit Fixture(std::vector<Address> addresses) {
    target.address = addresses.front();
    target.additional.assign(addresses.begin() + 1, addresses.end());
  }
  auto start() { return t.start(connector.connect(t.worker, target)); }
  void settle() {
    for (int i = 0; i < 100; ++i) t.poll();
  }
};

TEST_CASE("addresses of an endpoint: none answers, and the timeout is one for all", "[upstream]") {
  const Port first(Port::silent), second(Port::silent);
  Fixture f({first.address, second.address});
  auto connecting = f.start();
  f.settle();
  f.t.advance(milliseconds(310));
  f.settle();
  f.t.advance(milliseconds(4700));
  const Connected c = f.t.wait(connecting);
  REQUIRE_FALSE(c);
  CHECK(c.error == Errc::connect_timeout);
}

TEST_CASE("addresses of an endpoint: all refuse, the last one's failure is told", "[upstream]") {
  const Port first(Port::refuses), second(Port::refuses), third(Port::refuses);
  Fixture f({first.address, second.address, third.address});
  auto connecting = f.start();
  const Connected c = f.t.wait(connecting);  // the clock stands still
  REQUIRE_FALSE(c);
  CHECK(c.error == Errc::connection_refused);
}

TEST_CASE("addresses of an endpoint: the next one after a failure at once, after silence soon", "[upstream]") {
  const bool silence = GENERATE(false, true);
  const Port first(silence ? Port::silent : Port::refuses), second(Port::answers), third(Port::answers);
  Fixture f({first.address, second.address, third.address});
  auto connecting = f.start();
  if (silence) {
    f.settle();
    f.t.advance(milliseconds(290));
    f.settle();
    CHECK_FALSE(second.was_reached());
    f.t.advance(milliseconds(20));
  }
  const Connected c = f.t.wait(connecting);
  REQUIRE(c);
  CHECK(c.error == Errc::ok);
  CHECK(peer_address(static_cast<SocketTransport&>(*c.transport).fd()) == second.address);
  f.t.advance(milliseconds(1000));
  f.settle();
  CHECK(second.was_reached());
  CHECK_FALSE(third.was_reached());
}

TEST_CASE("addresses of an endpoint: the first that answers is the only one", "[upstream]") {
  const Port first(Port::answers), second(Port::answers);
  Fixture f({first.address, second.address});
  auto connecting = f.start();
  REQUIRE(f.t.wait(connecting));
  f.t.advance(milliseconds(1000));
  f.settle();
  CHECK_FALSE(second.was_reached());
}

}  // namespace
}  // namespace clew
