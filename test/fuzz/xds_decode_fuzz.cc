// Resources of any bytes, as a control plane could send them. The first byte chooses the type. Properties: a refusal is
// one printable sentence; what is accepted is accepted again, with the same value, after a trip through the wire; a
// field that nobody knows is always found; the index of a host's routes finds what trying each
// finds; endpoints that are shared with the version before mean what they mean decoded anew.
#include "config/xds/decode.h"
#include "config/xds/filter_registry.h"
#include "config/xds/json.h"
#include "filters/registry.h"
#include "proxy/http/route_match.h"
#include "test/unit/config/xds/print.h"

#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"

#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace {

using namespace clew;

void require(bool holds, const char* what, const std::string& detail = {}) {
  if (holds) return;
  std::fprintf(stderr, "broken: %s: %s\n", what, detail.c_str());
  std::abort();
}

class Interner final : public TlsInterner {
 public:
  Decoded<std::shared_ptr<const TlsParams>> intern(Side, const std::string&, TlsParams params) override {
    return std::make_shared<const TlsParams>(std::move(params));
  }
};

/// Either a value as text, or why not.
struct Outcome {
  bool accepted;
  std::string text;
};

template <class T>
Outcome outcome(const Decoded<std::shared_ptr<const T>>& decoded) {
  if (decoded) return {true, test::print(**decoded)};
  return {false, decoded.error().message};
}

template <class Message, class Decode>
void check(const std::string& bytes, Decode&& decode) {
  Message message;
  if (!message.ParseFromString(bytes)) return;
  const Outcome first = decode(message);
  if (!first.accepted) {
    require(!first.text.empty() && first.text.size() < 8000, "a refusal is one sentence", first.text);
    require(
        std::none_of(first.text.begin(), first.text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }),
        "a refusal can be printed", first.text);
  }
  Message again;
  require(again.ParseFromString(message.SerializeAsString()), "it can be read again");
  const Outcome second = decode(again);
  require(second.accepted == first.accepted, "the same message is judged alike", first.text + " / " + second.text);
  if (!first.accepted) return;
  require(second.text == first.text, "the same message means the same", first.text + " / " + second.text);
  to_json(message);
  message.GetReflection()->MutableUnknownFields(&message)->AddVarint(4095, 1);
  require(!decode(message).accepted, "an unknown field is found");
}

/// The index of routes finds what trying each finds.
void check_index(const RouteTable& table, const std::string& bytes) {
  const auto check_path = [&](const VirtualHost& host, const RouteIndex& index, const std::string& path) {
    Arena arena;
    RequestHead request(arena);
    request.method = "GET";
    request.path = path;
    const auto holds = [&](std::uint32_t i) { return matches(host.routes[i], request); };
    std::uint32_t plain = 0;
    while (plain < host.routes.size() && !holds(plain)) ++plain;
    require(index.first(path_only(path), holds) == (plain < host.routes.size() ? plain : RouteIndex::none),
            "the index finds the first route", path);
  };
  for (const VirtualHost& host : table.hosts) {
    const RouteIndex index(host.routes);
    check_path(host, index, bytes);
    for (const Route& route : host.routes) {
      check_path(host, index, route.path.text);
      check_path(host, index, route.path.text + "/x");
      if (route.path.regex) check_path(host, index, std::string(route.path.regex->pattern()));
    }
  }
}

/// What is shared with the version before means what it means decoded anew.
void check_next_version(const envoy::config::endpoint::v3::ClusterLoadAssignment& message, const LoadAssignment& old) {
  auto next = message;
  for (auto& locality : *next.mutable_endpoints()) {
    if (locality.lb_endpoints().empty()) continue;
    *locality.add_lb_endpoints() = locality.lb_endpoints(0);
    locality.mutable_lb_endpoints(0)->mutable_load_balancing_weight()->set_value(7);
  }
  for (const auto& version : {message, next}) {
    const Outcome shared = outcome(decode_endpoints(version.SerializeAsString(), message.SerializeAsString(), &old));
    require(shared.text == outcome(decode_endpoints(version)).text, "a diff means the same", shared.text);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 64 * 1024) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  Interner tls;
  const auto context = [&] { return DecodeContext{default_filter_registry(), tls}; };
  switch (data[0] % 5) {
    case 0:
      check<envoy::config::cluster::v3::Cluster>(bytes, [&](const auto& message) {
        auto found = context();
        return outcome(decode_cluster(message, found));
      });
      break;
    case 1:
      check<envoy::config::endpoint::v3::ClusterLoadAssignment>(bytes, [](const auto& message) {
        const auto first = decode_endpoints(message);
        if (first) check_next_version(message, **first);
        return outcome(first);
      });
      break;
    case 2:
      check<envoy::config::listener::v3::Listener>(bytes, [&](const auto& message) {
        auto found = context();
        const auto first = decode_listener(message, found, nullptr);
        if (first) {  // unchanged: all of its chains stay
          auto other = context();
          const auto next = decode_listener(message, other, first->get());
          require(next.has_value() && (*next)->chains == (*first)->chains, "equal chains are the same objects");
        }
        return first ? Outcome{true, (*first)->name + std::to_string((*first)->chains.size())}
                     : Outcome{false, first.error().message};
      });
      break;
    case 3:
      check<envoy::config::route::v3::RouteConfiguration>(bytes, [&](const auto& message) {
        auto found = context();
        const auto table = decode_route_table(message, found);
        if (table) check_index(**table, bytes);
        return table ? Outcome{true, (*table)->name + std::to_string((*table)->hosts.size())}
                     : Outcome{false, table.error().message};
      });
      break;
    default:
      check<envoy::extensions::transport_sockets::tls::v3::Secret>(
          bytes, [](const auto& message) { return outcome(decode_secret(message)); });
  }
  return 0;
}
