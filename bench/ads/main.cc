// bench_ads SOCKET: the neutral control plane of the scenarios with updates. A delta ADS server on a unix socket, for
// one proxy. Each line on stdin is a resource as JSON with "@type"; it is served, and when the proxy has answered, one
// line says
//   ack MILLISECONDS      or      nack REASON
// A line that begins with "@" is served without waiting: what is there before the proxy connects.
#include "test/integration/ads_server.h"

#include "proxy/base/clock.h"

#include <google/protobuf/any.pb.h>
#include <google/protobuf/util/json_util.h>

#include <chrono>
#include <future>
#include <iostream>
#include <memory>
#include <string>
#include <thread>

namespace clew::bench {
namespace {

using Steady = std::chrono::steady_clock;

std::unique_ptr<google::protobuf::Message> parse(const std::string& json, std::string& type_url) {
  google::protobuf::Any any;
  const auto status = google::protobuf::util::JsonStringToMessage(json, &any);
  const auto slash = any.type_url().rfind('/');
  const auto* descriptor =
      status.ok()
          ? google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(any.type_url().substr(slash + 1))
          : nullptr;
  if (!descriptor) {
    std::cerr << "not a resource: " << status.ToString() << "\n";
    std::exit(1);
  }
  std::unique_ptr<google::protobuf::Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
  message->ParseFromString(any.value());
  type_url = any.type_url();
  return message;
}

std::string name_of(const google::protobuf::Message& resource) {
  const auto* field = resource.GetDescriptor()->FindFieldByName("name");
  if (!field) field = resource.GetDescriptor()->FindFieldByName("cluster_name");
  return resource.GetReflection()->GetString(resource, field);
}

class Server {
  /// Runs f on the server's thread and waits for its result.
  template <class F>
  auto on_thread(F f) {
    using R = std::invoke_result_t<F, test::AdsServer&>;
    auto task = std::make_shared<std::packaged_task<R()>>([this, f] { return f(ads_); });
    auto result = task->get_future();
    worker_.post([task] { (*task)(); });
    return result.get();
  }

 public:
  explicit Server(const std::string& socket)
      : worker_(0, clock_), ads_(worker_, socket), thread_([this] { worker_.run(); }) {}
  ~Server() {
    on_thread([](test::AdsServer& ads) { ads.stop(); });
    while (!on_thread([](test::AdsServer& ads) { return ads.idle(); }))
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    worker_.stop();
    thread_.join();
  }

  void serve(const std::string& json, bool wait) {
    std::string type;
    const std::shared_ptr<google::protobuf::Message> resource = parse(json, type);
    const std::string name = name_of(*resource);
    const auto began = Steady::now();
    const std::size_t before = on_thread([=](test::AdsServer& ads) {
      const std::size_t seen = ads.requests().size();
      ads.set(type, name, *resource);
      return seen;
    });
    while (wait) {
      const auto answer = on_thread([=](test::AdsServer& ads) -> std::shared_ptr<test::DeltaRequest> {
        for (std::size_t i = before; i < ads.requests().size(); ++i)
          if (ads.requests()[i].type_url() == type && !ads.requests()[i].response_nonce().empty())
            return std::make_shared<test::DeltaRequest>(ads.requests()[i]);
        return nullptr;
      });
      if (answer) {
        const double took = std::chrono::duration<double, std::milli>(Steady::now() - began).count();
        if (answer->has_error_detail())
          std::cout << "nack " << answer->error_detail().message() << std::endl;
        else
          std::cout << "ack " << took << std::endl;
        return;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
  }

 private:
  SystemClock clock_;
  Worker worker_;
  test::AdsServer ads_;
  std::thread thread_;
};

}  // namespace
}  // namespace clew::bench

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: bench_ads SOCKET\n";
    return 2;
  }
  clew::bench::Server server(argv[1]);
  for (std::string line; std::getline(std::cin, line);) {
    const bool wait = line.front() != '@';
    server.serve(wait ? line : line.substr(1), wait);
  }
}
