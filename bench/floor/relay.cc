// bench_relay LISTEN UPSTREAM|answer [--tls-in CERT KEY CA] [--tls-out CERT KEY CA]
// The floor under a proxy's cost: one thread, edge-triggered epoll, one upstream connection for each downstream
// connection, bytes passed on unread. The same system calls as a proxy must make, the same TLS library, and nothing
// else. `answer`: no upstream, an empty 200 for what comes.
#include "bench/load/common.h"

#include <openssl/ssl.h>
#include <sys/epoll.h>

#include <memory>

namespace clew::bench {
namespace {

constexpr std::size_t kChunk = 256 * 1024;
constexpr std::string_view kAnswer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// One socket with or without TLS over memory BIOs: a read is one recv, a flush is one send.
struct Side {
  int fd = -1;
  SSL* ssl = nullptr;
  std::string out;   // for the socket
  std::string held;  // plain bytes that came before the handshake was over
  Side* peer = nullptr;
  bool ended = false;
  bool connecting = false;
};

struct Pair {
  Side down, up;
};

SSL_CTX* make_context(char** files, bool server) {
  SSL_CTX* context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  if (SSL_CTX_use_certificate_file(context, files[0], SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, files[1], SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_load_verify_locations(context, files[2], nullptr) != 1)
    die("certificates");
  SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>("bench"), 5);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return context;
}

class Relay {
 public:
  Relay(const sockaddr_in& listen, const sockaddr_in* upstream, SSL_CTX* in, SSL_CTX* out)
      : upstream_(upstream), in_(in), out_(out), listener_(listen_on(listen, SOCK_NONBLOCK)), chunk_(kChunk) {
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    watch(listener_, nullptr);
  }

  [[noreturn]] void run() {
    for (;;) {
      epoll_event events[128];
      const int n = ::epoll_wait(epoll_, events, 128, -1);
      for (int i = 0; i < n; ++i) {
        auto* side = static_cast<Side*>(events[i].data.ptr);
        if (!side) {
          accept_all();
        } else if (side->fd >= 0) {
          if (events[i].events & EPOLLOUT) {
            side->connecting = false;
            flush(*side);
          }
          if (events[i].events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) receive(*side);
        }
      }
      closed_.clear();  // not before: a later event of this round may name them
    }
  }

 private:
  void watch(int fd, Side* side) {
    epoll_event event{};
    event.events = side ? EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET : EPOLLIN;
    event.data.ptr = side;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  void accept_all() {
    for (;;) {
      const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      auto* pair = new Pair;
      pair->down.fd = fd;
      pair->down.peer = &pair->up;
      pair->up.peer = &pair->down;
      no_delay(fd);
      start_tls(pair->down, in_, true);
      if (upstream_) connect(pair->up);
      watch(fd, &pair->down);
    }
  }

  void connect(Side& up) {
    up.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    no_delay(up.fd);
    if (::connect(up.fd, reinterpret_cast<const sockaddr*>(upstream_), sizeof(*upstream_)) != 0 && errno != EINPROGRESS)
      die("connect");
    up.connecting = true;
    start_tls(up, out_, false);
    watch(up.fd, &up);
  }

  static void start_tls(Side& side, SSL_CTX* context, bool server) {
    if (!context) return;
    side.ssl = SSL_new(context);
    SSL_set_bio(side.ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    server ? SSL_set_accept_state(side.ssl) : SSL_set_connect_state(side.ssl);
    if (!server) SSL_do_handshake(side.ssl);
  }

  /// Reads what is there; a short read needs no second call that only says EAGAIN.
  void receive(Side& side) {
    for (bool more = true; more && side.fd >= 0;) {
      const ssize_t n = ::recv(side.fd, chunk_.data(), chunk_.size(), 0);
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) return finish(side);
      more = static_cast<std::size_t>(n) == chunk_.size();
      if (!side.ssl) {
        pass_on(side, static_cast<std::size_t>(n));
        continue;
      }
      BIO_write(SSL_get_rbio(side.ssl), chunk_.data(), static_cast<int>(n));
      for (;;) {
        const int plain = SSL_read(side.ssl, chunk_.data(), static_cast<int>(chunk_.size()));
        if (plain <= 0) break;
        pass_on(side, static_cast<std::size_t>(plain));
      }
      if (!side.held.empty() && !SSL_in_init(side.ssl)) {
        const std::string held = std::move(side.held);
        side.held.clear();
        deliver(side, held.data(), held.size());
      }
      flush(side);
    }
  }

  void pass_on(Side& from, std::size_t size) {
    if (upstream_)
      deliver(*from.peer, chunk_.data(), size);
    else
      deliver(from, kAnswer.data(), kAnswer.size());
  }

  void deliver(Side& side, const char* data, std::size_t size) {
    if (side.ssl && SSL_in_init(side.ssl)) {
      side.held.append(data, size);
    } else if (side.ssl) {
      for (std::size_t at = 0; at < size;) {  // one record at a time
        const int n = SSL_write(side.ssl, data + at, static_cast<int>(std::min<std::size_t>(size - at, 16384)));
        if (n <= 0) return finish(side);
        at += static_cast<std::size_t>(n);
      }
      flush(side);
    } else if (side.out.empty() && !side.connecting) {
      const ssize_t n = ::send(side.fd, data, size, MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN) return finish(side);
      const std::size_t sent = n > 0 ? static_cast<std::size_t>(n) : 0;
      if (sent < size) side.out.append(data + sent, size - sent);
    } else {
      side.out.append(data, size);
      flush(side);
    }
  }

  void flush(Side& side) {
    if (side.connecting || side.fd < 0) return;
    if (side.ssl) {
      const std::size_t pending = BIO_ctrl_pending(SSL_get_wbio(side.ssl));
      const std::size_t before = side.out.size();
      side.out.resize(before + pending);
      if (pending) BIO_read(SSL_get_wbio(side.ssl), side.out.data() + before, static_cast<int>(pending));
    }
    if (!side.out.empty()) {
      const ssize_t n = ::send(side.fd, side.out.data(), side.out.size(), MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN) return finish(side);
      if (n > 0) side.out.erase(0, static_cast<std::size_t>(n));
    }
    if (side.ended && side.out.empty()) finish(side);
  }

  /// One end is gone: the other goes as soon as it has sent what it holds.
  void finish(Side& side) {
    Side& peer = *side.peer;
    if (side.fd < 0) return;
    ::close(side.fd);
    side.fd = -1;
    SSL_free(side.ssl);
    side.ssl = nullptr;
    if (peer.fd < 0)
      closed_.push_back(std::unique_ptr<Pair>(reinterpret_cast<Pair*>(std::min(&side, &peer))));
    else if (peer.out.empty())
      finish(peer);
    else
      peer.ended = true;
  }

  const sockaddr_in* upstream_;  // null: answers itself
  SSL_CTX *in_, *out_;
  int listener_, epoll_;
  std::vector<char> chunk_;
  std::vector<std::unique_ptr<Pair>> closed_;
};

}  // namespace
}  // namespace clew::bench

int main(int argc, char** argv) {
  using namespace clew::bench;
  SSL_CTX *in = nullptr, *out = nullptr;
  for (int i = 3; i + 3 < argc; i += 4) {
    if (std::string(argv[i]) == "--tls-in") in = make_context(argv + i + 1, true);
    if (std::string(argv[i]) == "--tls-out") out = make_context(argv + i + 1, false);
  }
  if (argc < 3) {
    std::fprintf(stderr, "usage: bench_relay LISTEN UPSTREAM|answer [--tls-in CERT KEY CA] [--tls-out CERT KEY CA]\n");
    return 2;
  }
  const bool answer = std::string(argv[2]) == "answer";
  const sockaddr_in upstream = answer ? sockaddr_in{} : parse_address(argv[2]);
  Relay(parse_address(argv[1]), answer ? nullptr : &upstream, in, out).run();
}
