// The proxy in process: our App on its own threads, a small ADS server, an application that answers, and blocking
// sockets for the client. Everything on loopback and in a folder of its own. Conditions are waited for, never times.
#pragma once

#include "proxy/app.h"
#include "test/integration/ads_server.h"

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace clew::test {

std::uint16_t free_port();

/// A socket connected to a loopback port, to be closed by the caller; -1: nobody listens.
int connect_to(std::uint16_t port);

/// A client's blocking socket on loopback.
class Socket {
 public:
  explicit Socket(std::uint16_t port);
  Socket(const Socket&) = delete;
  ~Socket();
  bool send(const std::string& text);
  /// All that came since the start, once it has this in it or the peer has ended.
  const std::string& receive_until(const std::string& wanted);
  const std::string& receive_until(const std::function<bool(const std::string&)>& enough);

 private:
  int fd_;  // -1: nobody listened
  std::string got_;
};

/// Sends text to a loopback port and reads until the peer closes or `enough` says so.
std::string exchange(std::uint16_t port, const std::string& text,
                     const std::function<bool(const std::string&)>& enough);
/// One HTTP/1.1 request with Connection: close; the whole answer.
std::string get(std::uint16_t port, const std::string& path, const std::string& host = "server");

/// Answers every HTTP/1.1 request with 200 and what it got, request line and headers, as the body.
class EchoApp {
 public:
  EchoApp();
  ~EchoApp();
  std::uint16_t port() const { return port_; }
  std::size_t requests() const { return requests_; }

 private:
  void serve();
  int listen_fd_;
  std::uint16_t port_;
  std::atomic<std::size_t> requests_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

/// ADS server and proxy, started by the constructor, stopped by the destructor.
class Mesh {
 public:
  Mesh();
  ~Mesh();

  /// Runs f on the ADS server's thread and waits.
  template <class F>
  auto ads(F f) {
    using R = std::invoke_result_t<F, AdsServer&>;
    auto task = std::make_shared<std::packaged_task<R()>>([this, f] { return f(*ads_); });
    auto result = task->get_future();
    ads_worker_.post([task] { (*task)(); });
    return result.get();
  }
  void set(const google::protobuf::Message& resource);
  /// Until true; after minutes it says what the proxy waits for, and throws.
  void wait(const std::function<bool()>& condition);
  std::string admin(const std::string& path, const std::string& method = "GET");
  std::uint64_t stat(const std::string& name);
  /// The type's last answer; waits for one beyond `after` answers.
  DeltaRequest wait_answer(const std::string& type_url, const std::function<bool(const DeltaRequest&)>& wanted);

  std::uint16_t admin_port() const { return admin_port_; }
  /// --admin-address-path
  std::string admin_address_path() const { return folder_ + "/admin"; }
  std::uint16_t listener_port() const { return listener_port_; }

 private:
  std::string folder_;
  SystemClock clock_;
  Worker ads_worker_;
  std::unique_ptr<AdsServer> ads_;
  std::thread ads_thread_;
  std::uint16_t admin_port_, listener_port_;
  std::unique_ptr<App> app_;
  std::thread app_thread_;
};

}  // namespace clew::test
