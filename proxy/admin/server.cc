#include "proxy/admin/server.h"

#include "proxy/base/log.h"
#include "proxy/net/listen_socket.h"
#include "proxy/net/socket_transport.h"

#include <cerrno>
#include <cstring>

namespace clew {

namespace {

struct NoObserver final : StreamObserver {
  void on_stream_done(const Stream&) noexcept override {}
};

/// Everything goes to the Admin, whatever the host and path.
std::shared_ptr<const RouteTable> all_to_admin() {
  auto table = std::make_shared<RouteTable>();
  table->name = "admin";
  ForwardAction action;
  action.clusters.emplace_back().cluster = "admin";
  action.clusters.back().weight = 1;
  action.total_weight = 1;
  action.timeout = Duration(0);
  Route route;
  route.path.text = "/";
  route.action = std::move(action);
  VirtualHost host;
  host.name = "admin";
  host.domains = {"*"};
  host.routes.push_back(std::move(route));
  table->hosts.push_back(std::move(host));
  table->finish();
  return table;
}

}  // namespace

AdminServer::AdminServer(Worker& worker, Process& process) : worker_(worker), admin_(process), tasks_(worker.loop()) {
  manager_.stat_prefix = "admin";
  manager_.codec = HttpConnectionManager::Codec::http1;
  manager_.inline_routes = all_to_admin();
  manager_.generate_request_id = false;
  manager_.use_remote_address = true;
  manager_.skip_xff_append = true;
}

AdminServer::~AdminServer() = default;

std::string AdminServer::start(const Address& address) {
  const ListenSocket socket = open_listen_socket(address);
  if (socket.fd < 0) return "admin: " + socket.error;
  acceptor_.emplace(worker_, socket.fd);
  tasks_.spawn(accept_loop());
  return {};
}

Address AdminServer::address() const { return acceptor_ ? local_address(acceptor_->fd()) : Address(); }

Task<void> AdminServer::accept_loop() {
  while (!acceptor_->closed()) {
    if (connections_.size() >= max_connections) {
      co_await freed_.wait();
      continue;
    }
    sockaddr_storage peer;
    socklen_t length;
    const int fd = acceptor_->try_accept(peer, length);
    if (fd >= 0) {
      tasks_.spawn(serve(fd));
    } else if (errno == EAGAIN) {
      co_await acceptor_->readable();
    } else {  // out of descriptors, say: others will be given back
      CLEW_LOG(admin, warning, "admin accept: {}", std::strerror(errno));
      co_await sleep_for(worker_, std::chrono::milliseconds(100));
    }
  }
}

Task<void> AdminServer::serve(int fd) {
  SocketTransport transport(worker_, fd);
  DrainSignal& drain = connections_[&transport];
  ConnectionInfo info;
  info.id = worker_.next_id();
  info.remote = info.direct_remote = peer_address(fd);
  info.local = local_address(fd);
  info.start = worker_.clock().now();
  NoObserver observer;
  const HttpService service{worker_, admin_, observer, stats_};
  co_await serve_http(service, transport, Buffer(), info, manager_, drain);
  connections_.erase(&transport);
  freed_.notify();
}

Task<void> AdminServer::finish(Duration patience) {
  if (acceptor_) acceptor_->close();
  freed_.notify();
  Timer cut(worker_.timers(), [this] {
    for (auto& [transport, drain] : connections_) transport->close(Errc::canceled);
  });
  cut.arm(patience);
  for (auto& [transport, drain] : connections_) drain.start();
  co_await tasks_.join();
}

}  // namespace clew
