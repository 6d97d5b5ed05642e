// The ADS server as a program, led by JSON lines on its standard input:
//   {"set": [{"@type": …, …}, …]}            resources, as one response for each type
//   {"remove": ["TYPE URL", "NAME", …]}
//   {"hold": "TYPE URL"}, {"let_go": "TYPE URL"}
//   {"send": {DeltaDiscoveryResponse}}       as it is, with the next nonce, which is told: {"sent": "NONCE"}
//   {"end": true}                            of the stream
// It prints each message of the proxy as a line of JSON. Ends with its input.
#include "config/xds/json.h"
#include "test/integration/ads_server.h"

#include <boost/json.hpp>

#include <cstdio>
#include <iostream>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

using namespace clew;
using namespace clew::test;

std::string name_of(const google::protobuf::Message& resource) {
  const auto* field = resource.GetDescriptor()->FindFieldByName("name");
  if (!field) field = resource.GetDescriptor()->FindFieldByName("cluster_name");
  return field ? resource.GetReflection()->GetString(resource, field) : std::string();
}

void set(AdsServer& server, const boost::json::array& resources) {
  std::map<std::string, std::map<std::string, std::string>> by_type;
  for (const auto& resource : resources) {
    google::protobuf::Any any;
    const auto parsed = from_json(boost::json::serialize(resource), any);
    if (!parsed) throw std::runtime_error(parsed.error().message);
    const auto message = unpack(any);
    if (!message) throw std::runtime_error(message.error().message);
    by_type[any.type_url()][name_of(**message)] = any.value();
  }
  for (const auto& [type, named] : by_type) server.set(type, named);
}

void tell(const std::string& line) {
  std::fputs((line + "\n").c_str(), stdout);
  std::fflush(stdout);
}

void obey(AdsServer& server, const boost::json::object& order) {
  if (const auto* resources = order.if_contains("set")) set(server, resources->as_array());
  if (const auto* gone = order.if_contains("remove"))
    for (std::size_t i = 1; i < gone->as_array().size(); ++i)
      server.remove(gone->at(0).as_string().c_str(), gone->at(i).as_string().c_str());
  if (const auto* type = order.if_contains("hold")) server.hold(type->as_string().c_str(), true);
  if (const auto* type = order.if_contains("let_go")) server.hold(type->as_string().c_str(), false);
  if (const auto* text = order.if_contains("send")) {
    DeltaResponse response;
    const auto parsed = from_json(boost::json::serialize(*text), response);
    if (!parsed) throw std::runtime_error(parsed.error().message);
    tell(boost::json::serialize(boost::json::object{{"sent", server.send(std::move(response))}}));
  }
  if (order.contains("end")) server.end_stream();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: ads_server SOCKET\n", stderr), 2;
  SystemClock clock;
  Worker worker(0, clock);
  auto server = std::make_unique<AdsServer>(worker, argv[1]);
  server->on_request = [](const DeltaRequest& request) { tell(to_json(request, {.pretty = false})); };
  std::thread thread([&] { worker.run(); });
  for (std::string line; std::getline(std::cin, line);) {
    worker.post([&server, line] {
      try {
        obey(*server, boost::json::parse(line).as_object());
      } catch (const std::exception& e) {
        tell(boost::json::serialize(boost::json::object{{"error", std::string(e.what()) + ": " + line}}));
      }
    });
  }
  std::_Exit(0);
}
