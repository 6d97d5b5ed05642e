#include "test/integration/ads_server.h"

#include "proxy/net/listen_socket.h"
#include "proxy/net/socket_transport.h"

#include <algorithm>
#include <stdexcept>

namespace clew::test {

namespace {

int listen(const std::string& path) {
  const ListenSocket socket = open_listen_socket(Address::pipe(path));
  if (socket.fd < 0) throw std::runtime_error(socket.error);
  return socket.fd;
}

struct NoObserver final : StreamObserver {
  void on_stream_done(const Stream&) noexcept override {}
};

std::string frame(const std::string& message) {
  const auto size = static_cast<std::uint32_t>(message.size());
  std::string out(5, '\0');
  for (int i = 0; i < 4; ++i) out[static_cast<std::size_t>(4 - i)] = static_cast<char>(size >> (8 * i));
  return out + message;
}

/// Takes one whole gRPC message off the front.
std::optional<std::string> take_message(Buffer& buffer) {
  if (buffer.size() < 5) return std::nullopt;
  const std::string_view head = buffer.pull_up(5);
  std::size_t size = 0;
  for (std::size_t i = 1; i < 5; ++i) size = size << 8 | static_cast<unsigned char>(head[i]);
  if (buffer.size() < 5 + size) return std::nullopt;
  std::string message = buffer.to_string().substr(5, size);
  buffer.consume(5 + size);
  return message;
}

/// Everything under one prefix goes to the server itself.
std::shared_ptr<const RouteTable> route_to_self() {
  auto table = std::make_shared<RouteTable>();
  VirtualHost host;
  host.name = "ads";
  host.domains = {"*"};
  Route route;
  route.path.text = "/";
  ForwardAction action;
  action.clusters.push_back(WeightedCluster{"self", 1, {}, {}});
  action.total_weight = 1;
  action.timeout = Duration(0);
  route.action = std::move(action);
  host.routes.push_back(std::move(route));
  table->hosts.push_back(std::move(host));
  table->finish();
  return table;
}

}  // namespace

/// What the server has to say on a stream; gRPC's trailers end it.
class AdsServer::ResponseBody final : public Body {
 public:
  explicit ResponseBody(AdsServer& server) : server_(server) { trailers_.add("grpc-status", "0"); }
  ~ResponseBody() override {
    if (server_.out_ == this) server_.out_ = nullptr;
  }

  void write(const std::string& message) {
    bytes_.append(frame(message));
    ready_.notify();
  }
  void end() {
    ended_ = true;
    ready_.notify();
  }

  Result<std::size_t> try_read(Buffer& into, std::size_t max) override {
    if (bytes_.empty()) return Error{ended_ ? Errc::eof : Errc::would_block};
    const std::size_t n = std::min(max, bytes_.size());
    into.append(bytes_, n);
    return n;
  }
  Task<Result<void>> readable() override {
    co_await ready_.wait();
    Result<void> ok;
    co_return ok;
  }
  HeaderMap* trailers() override { return &trailers_; }
  void cancel(Errc) noexcept override { end(); }

 private:
  AdsServer& server_;
  Buffer bytes_;
  Event ready_;
  Arena arena_;
  HeaderMap trailers_{arena_};
  bool ended_ = false;
};

AdsServer::AdsServer(Worker& worker, std::string socket_path)
    : worker_(worker), acceptor_(worker, listen(socket_path)), tasks_(worker.loop()) {
  manager_.codec = HttpConnectionManager::Codec::http2;
  manager_.stat_prefix = "ads";
  manager_.stream_idle_timeout = Duration(0);
  manager_.inline_routes = route_to_self();
  tasks_.spawn(accept_loop());
}

AdsServer::~AdsServer() = default;

Task<void> AdsServer::accept_loop() {
  while (!acceptor_.closed()) {
    sockaddr_storage peer;
    socklen_t length;
    const int fd = acceptor_.try_accept(peer, length);
    if (fd >= 0)
      tasks_.spawn(serve(std::make_unique<SocketTransport>(worker_, fd)));
    else
      co_await acceptor_.readable();
  }
}

Task<void> AdsServer::serve(std::unique_ptr<Transport> transport) {
  connections_.push_back(transport.get());
  NoObserver observer;
  ConnectionInfo info;
  DrainSignal drain;
  HttpService service{worker_, *this, observer, stats_};
  co_await serve_http(service, *transport, Buffer(), info, manager_, drain);
  std::erase(connections_, transport.get());
}

Task<std::variant<UpstreamResponse, LocalReply>> AdsServer::forward(Stream& stream, BodyPtr request_body,
                                                                    ResponseWriter&) {
  stream.response.status = 200;
  stream.response.headers.add("content-type", "application/grpc");
  auto body = std::make_unique<ResponseBody>(*this);
  out_ = body.get();
  subscribed_.clear();
  ++streams_;
  tasks_.spawn(receive(std::move(request_body), streams_));
  std::variant<UpstreamResponse, LocalReply> answer;
  std::get<UpstreamResponse>(answer).body = std::move(body);
  co_return answer;
}

Task<void> AdsServer::receive(BodyPtr body, std::uint64_t stream_number) {
  Buffer buffer;
  for (;;) {
    const auto n = body->try_read(buffer, 1 << 20);
    if (!n && n.error().code != Errc::would_block) break;
    if (!n) {
      const auto ready = co_await body->readable();
      if (!ready) break;
      continue;
    }
    while (auto message = take_message(buffer)) {
      DeltaRequest request;
      if (stream_number == streams_ && request.ParseFromString(*message)) handle(request);
    }
  }
}

void AdsServer::handle(const DeltaRequest& request) {
  requests_.push_back(request);
  if (on_request) on_request(request);
  const std::string& type = request.type_url();
  const bool first = !subscribed_.contains(type);
  auto& names = subscribed_[type];
  std::set<std::string> added(request.resource_names_subscribe().begin(), request.resource_names_subscribe().end());
  for (const auto& name : request.resource_names_unsubscribe()) names.erase(name);
  if (first && added.empty() && request.response_nonce().empty()) {
    names.insert("*");
    for (const auto& [name, bytes] : resources_[type]) added.insert(name);
    push(type, added, {});
    return;
  }
  names.insert(added.begin(), added.end());
  if (added.empty()) return;
  std::vector<std::string> missing;
  for (const auto& name : added)
    if (!resources_[type].contains(name)) missing.push_back(name);
  push(type, added, missing);
}

void AdsServer::push(const std::string& type_url, const std::set<std::string>& names,
                     const std::vector<std::string>& removed) {
  if (held_.contains(type_url)) return;
  DeltaResponse response;
  response.set_type_url(type_url);
  for (const auto& name : names) {
    const auto it = resources_[type_url].find(name);
    if (it == resources_[type_url].end()) continue;
    auto* resource = response.add_resources();
    resource->set_name(name);
    resource->mutable_resource()->set_type_url(type_url);
    resource->mutable_resource()->set_value(it->second);
  }
  for (const auto& name : removed) response.add_removed_resources(name);
  send(std::move(response));
}

std::string AdsServer::send(DeltaResponse response) {
  if (!out_) return {};
  response.set_nonce(std::to_string(++nonce_));
  response.set_system_version_info("v" + std::to_string(nonce_));
  out_->write(response.SerializeAsString());
  return response.nonce();
}

void AdsServer::set(const std::string& type_url, const std::string& name, const google::protobuf::Message& resource) {
  set(type_url, {{name, resource.SerializeAsString()}});
}

void AdsServer::set(const std::string& type_url, const std::map<std::string, std::string>& resources) {
  const auto& names = subscribed_[type_url];
  std::set<std::string> wanted;
  for (const auto& [name, bytes] : resources) {
    resources_[type_url][name] = bytes;
    if (names.contains("*") || names.contains(name)) wanted.insert(name);
  }
  if (!wanted.empty()) push(type_url, wanted, {});
}

void AdsServer::hold(const std::string& type_url, bool held) {
  if (held) {
    held_.insert(type_url);
    return;
  }
  held_.erase(type_url);
  auto names = subscribed_[type_url];
  if (names.contains("*"))
    for (const auto& [name, bytes] : resources_[type_url]) names.insert(name);
  names.erase("*");
  if (!names.empty()) push(type_url, names, {});
}

void AdsServer::remove(const std::string& type_url, const std::string& name) {
  resources_[type_url].erase(name);
  const auto& names = subscribed_[type_url];
  if (names.contains("*") || names.contains(name)) push(type_url, {}, {name});
}

void AdsServer::end_stream() {
  if (out_) out_->end();
}

void AdsServer::stop() {
  acceptor_.close();
  end_stream();
  for (Transport* connection : connections_) connection->close(Errc::canceled);
}

const DeltaRequest* AdsServer::answer(const std::string& type_url) const {
  const auto it = std::find_if(requests_.rbegin(), requests_.rend(), [&](const DeltaRequest& request) {
    return request.type_url() == type_url && !request.response_nonce().empty();
  });
  return it == requests_.rend() ? nullptr : &*it;
}

}  // namespace clew::test
