#include "test/integration/fixture.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

namespace clew::test {

namespace {

constexpr std::chrono::minutes patience(2);  // a test that waits for longer waits for ever

int listen_on_loopback(std::uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0 || ::listen(fd, 64) != 0)
    throw std::runtime_error("no loopback port");
  socklen_t length = sizeof(address);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  port = ntohs(address.sin_port);
  return fd;
}

bool has_whole_head(const std::string& text) { return text.find("\r\n\r\n") != std::string::npos; }

std::string bootstrap(const std::string& folder, std::uint16_t admin_port) {
  return fmt::format(R"({{
    "node": {{"id": "sidecar~10.0.0.1~test.default~default.svc.cluster.local", "cluster": "test.default"}},
    "admin": {{"address": {{"socket_address": {{"address": "127.0.0.1", "port_value": {}}}}}}},
    "dynamic_resources": {{
      "lds_config": {{"ads": {{}}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}},
      "cds_config": {{"ads": {{}}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}},
      "ads_config": {{"api_type": "DELTA_GRPC", "set_node_on_first_message_only": true, "transport_api_version": "V3",
                      "grpc_services": [{{"envoy_grpc": {{"cluster_name": "xds-grpc"}}}}]}}
    }},
    "static_resources": {{"clusters": [{{
      "name": "xds-grpc", "type": "STATIC", "connect_timeout": "1s",
      "typed_extension_protocol_options": {{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {{
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {{"http2_protocol_options": {{}}}}}}}},
      "load_assignment": {{"cluster_name": "xds-grpc", "endpoints": [{{"lb_endpoints": [
        {{"endpoint": {{"address": {{"pipe": {{"path": "{}/XDS"}}}}}}}}]}}]}}
    }}]}}
  }})",
                     admin_port, folder);
}

}  // namespace

std::uint16_t free_port() {
  std::uint16_t port = 0;
  ::close(listen_on_loopback(port));
  return port;
}

int connect_to(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) return fd;
  ::close(fd);
  return -1;
}

Socket::Socket(std::uint16_t port) : fd_(connect_to(port)) {}

Socket::~Socket() {
  if (fd_ >= 0) ::close(fd_);
}

bool Socket::send(const std::string& text) {
  return fd_ >= 0 && ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

const std::string& Socket::receive_until(const std::function<bool(const std::string&)>& enough) {
  char chunk[4096];
  while (fd_ >= 0 && !enough(got_)) {
    const ssize_t n = ::recv(fd_, chunk, sizeof(chunk), 0);
    if (n <= 0) break;
    got_.append(chunk, static_cast<std::size_t>(n));
  }
  return got_;
}

const std::string& Socket::receive_until(const std::string& wanted) {
  return receive_until([&](const std::string& got) { return got.find(wanted) != std::string::npos; });
}

std::string exchange(std::uint16_t port, const std::string& text,
                     const std::function<bool(const std::string&)>& enough) {
  Socket socket(port);
  return socket.send(text) ? socket.receive_until(enough) : std::string();
}

std::string get(std::uint16_t port, const std::string& path, const std::string& host) {
  return exchange(port, fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", path, host),
                  [](const std::string&) { return false; });
}

EchoApp::EchoApp() : listen_fd_(listen_on_loopback(port_)), thread_([this] { serve(); }) {}

EchoApp::~EchoApp() {
  stopping_ = true;
  ::shutdown(listen_fd_, SHUT_RDWR);
  thread_.join();
  ::close(listen_fd_);
}

void EchoApp::serve() {
  while (!stopping_) {
    const int fd = ::accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    std::string request;
    char chunk[4096];
    while (!has_whole_head(request)) {
      const ssize_t n = ::recv(fd, chunk, sizeof(chunk), 0);
      if (n <= 0) break;
      request.append(chunk, static_cast<std::size_t>(n));
    }
    ++requests_;
    const std::string answer =
        fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}", request.size(), request);
    if (::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) ++requests_;
    ::close(fd);
  }
}

Mesh::Mesh()
    : folder_([] {
        std::string name = (std::filesystem::temp_directory_path() / "clew-test-XXXXXX").string();
        if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary folder");
        return name;
      }()),
      ads_worker_(0, clock_),
      ads_(std::make_unique<AdsServer>(ads_worker_, folder_ + "/XDS")),
      ads_thread_([this] { ads_worker_.run(); }),
      admin_port_(free_port()),
      listener_port_(free_port()) {
  CommandLine options;
  options.concurrency = 2;
  options.admin_address_path = admin_address_path();
  auto parsed =
      parse_bootstrap({.file_name = "test", .file = bootstrap(folder_, admin_port_), .override_yaml = {}}, options);
  if (!parsed) throw std::runtime_error(parsed.error().message);
  app_ = std::make_unique<App>(options, std::move(*parsed));
  std::string problem = app_->load();
  if (problem.empty()) problem = app_->start();
  if (!problem.empty()) throw std::runtime_error(problem);
  app_thread_ = std::thread([this] { app_->run(); });
}

Mesh::~Mesh() {
  admin("/quitquitquit", "POST");
  app_thread_.join();
  app_.reset();
  ads([](AdsServer& server) { server.stop(); });
  wait([&] { return ads([](AdsServer& server) { return server.idle(); }); });
  ads_worker_.stop();
  ads_thread_.join();
  ads_.reset();
  std::filesystem::remove_all(folder_);
}

void Mesh::set(const google::protobuf::Message& resource) {
  const auto* name = resource.GetDescriptor()->FindFieldByName("name");
  if (!name) name = resource.GetDescriptor()->FindFieldByName("cluster_name");
  const std::string text = resource.GetReflection()->GetString(resource, name);
  ads([&](AdsServer& server) {
    server.set("type.googleapis.com/" + resource.GetDescriptor()->full_name(), text, resource);
  });
}

void Mesh::wait(const std::function<bool()>& condition) {
  const auto given_up = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > given_up) {
      // To stderr, since the destructor waits too.
      fmt::print(stderr, "what the test waits for has not come; the proxy waits for:\n{}\n", admin("/init_dump"));
      throw std::runtime_error("waited in vain");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

std::string Mesh::admin(const std::string& path, const std::string& method) {
  return exchange(
      admin_port_,
      method + " " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
      [](const std::string&) { return false; });
}

std::uint64_t Mesh::stat(const std::string& name) {
  const std::string answer = admin("/stats?filter=" + name);
  const auto at = answer.find("\n" + name + ": ");
  return at == std::string::npos ? 0 : std::strtoull(answer.c_str() + at + name.size() + 3, nullptr, 10);
}

DeltaRequest Mesh::wait_answer(const std::string& type_url, const std::function<bool(const DeltaRequest&)>& wanted) {
  DeltaRequest found;
  wait([&] {
    return ads([&](AdsServer& server) {
      const DeltaRequest* answer = server.answer(type_url);
      if (!answer || !wanted(*answer)) return false;
      found = *answer;
      return true;
    });
  });
  return found;
}

}  // namespace clew::test
