#include "proxy/net/acceptor.h"

#include <utility>

namespace clew {

Acceptor::Acceptor(Worker& worker, int fd) : loop_(worker.loop()), fd_(fd) {
  loop_.watch(fd, EPOLLIN | EPOLLET, *this);
}

Acceptor::~Acceptor() { close(); }

int Acceptor::try_accept(sockaddr_storage& peer, socklen_t& length) {
  length = sizeof(peer);
  return ::accept4(fd_, reinterpret_cast<sockaddr*>(&peer), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

Task<void> Acceptor::readable() {
  if (!closed()) co_await ready_.wait();
}

void Acceptor::close() {
  if (closed()) return;
  loop_.close(std::exchange(fd_, -1), *this);
  ready_.notify();
}

void Acceptor::on_ready(std::uint32_t) { ready_.notify(); }

}  // namespace clew
