#include "proxy/upstream/dns_resolver.h"

#include "proxy/base/log.h"

#include <ares.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

namespace clew {
namespace {

/// Left empty on failure: c-ares then is of no use at all.
ares_channel open_channel(ares_sock_state_cb on_socket, void* data) {
  static std::once_flag once;
  std::call_once(once, [] { ares_library_init(ARES_LIB_INIT_ALL); });
  ares_options options{};
  options.sock_state_cb = on_socket;
  options.sock_state_cb_data = data;
  options.timeout = 5000;
  options.tries = 3;
  ares_channel channel = nullptr;
  const int status =
      ares_init_options(&channel, &options, ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES);
  if (status == ARES_SUCCESS) return channel;
  CLEW_LOG(dns, error, "no name can be resolved: {}", ares_strerror(status));
  return nullptr;
}

}  // namespace

struct CaresResolver::Impl {
  explicit Impl(Worker& control)
      : worker(control),
        channel(open_channel(&Impl::on_socket, this)),
        timer(control.timers(), [this] { process(ARES_SOCKET_BAD, ARES_SOCKET_BAD); }) {}
  ~Impl() {
    ending = true;
    if (channel) ares_destroy(channel);
  }

  struct Query {
    Impl* impl;
    Done done;
  };

  /// A socket of c-ares, which opens and closes it; we only wait for it.
  struct Watch final : Watched {
    Watch(Impl& resolver, ares_socket_t socket) : impl(resolver), fd(socket) {}
    void on_ready(std::uint32_t events) override {
      constexpr std::uint32_t both = EPOLLHUP | EPOLLERR;
      // c-ares may close the socket, which ends this.
      const ares_socket_t read = events & (EPOLLIN | both) ? fd : ARES_SOCKET_BAD;
      const ares_socket_t write = events & (EPOLLOUT | both) ? fd : ARES_SOCKET_BAD;
      impl.process(read, write);
    }
    Impl& impl;
    const ares_socket_t fd;
  };

  static void on_socket(void* data, ares_socket_t fd, int readable, int writable) {
    auto& self = *static_cast<Impl*>(data);
    Loop& loop = self.worker.loop();
    const std::uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);
    const auto it = self.watches.find(fd);
    if (it == self.watches.end()) {
      if (events != 0)
        loop.watch(fd, events, *self.watches.emplace(fd, std::make_unique<Watch>(self, fd)).first->second);
    } else if (events != 0) {
      loop.rewatch(fd, events, *it->second);
    } else {
      loop.unwatch(fd, *it->second);
      self.watches.erase(it);
    }
  }

  void process(ares_socket_t read, ares_socket_t write) {
    ares_process_fd(channel, read, write);
    arm();
  }

  void arm() {
    timeval left{};
    if (!ares_timeout(channel, nullptr, &left)) return timer.cancel();
    timer.arm(std::chrono::seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec));
  }

  static void on_answer(void* argument, int status, int, ares_addrinfo* result) {
    const std::unique_ptr<Query> query(static_cast<Query*>(argument));
    DnsAnswer answer;
    // That there is no such name, or no address of this family, is an answer.
    answer.ok = status == ARES_SUCCESS || status == ARES_ENODATA || status == ARES_ENOTFOUND;
    for (const ares_addrinfo_node* node = result ? result->nodes : nullptr; node; node = node->ai_next) {
      const Address address = Address::from_sockaddr(node->ai_addr, node->ai_addrlen);
      answer.addresses.push_back(address.ip());
      const Duration ttl = std::chrono::seconds(std::max(0, node->ai_ttl));
      if (ttl > Duration(0)) answer.ttl = answer.ttl == Duration(0) ? ttl : std::min(answer.ttl, ttl);
    }
    if (result) ares_freeaddrinfo(result);
    if (query->impl->ending) return;
    // c-ares may call from inside resolve(); whoever asked must not be called from inside its own call.
    query->impl->worker.post([done = std::move(query->done), answer = std::move(answer),
                              alive = std::weak_ptr(query->impl->alive)]() mutable {
      if (!alive.expired()) done(std::move(answer));
    });
  }

  Worker& worker;
  std::map<ares_socket_t, std::unique_ptr<Watch>> watches;
  ares_channel channel;
  Timer timer;
  bool ending = false;
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);
};

CaresResolver::CaresResolver(Worker& control) : impl_(std::make_unique<Impl>(control)) {}
CaresResolver::~CaresResolver() = default;

void CaresResolver::resolve(const std::string& name, Family family, Done done) {
  if (!impl_->channel) {
    impl_->worker.post([done = std::move(done)] { done(DnsAnswer{}); });
    return;
  }
  ares_addrinfo_hints hints{};
  hints.ai_family = family == Family::v4 ? AF_INET : family == Family::v6 ? AF_INET6 : AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = ARES_AI_NOSORT;
  auto query = std::make_unique<Impl::Query>(Impl::Query{impl_.get(), std::move(done)});
  ares_getaddrinfo(impl_->channel, name.c_str(), nullptr, &hints, &Impl::on_answer, query.release());
  impl_->arm();
}

}  // namespace clew
