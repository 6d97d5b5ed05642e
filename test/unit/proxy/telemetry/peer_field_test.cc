#include "proxy/telemetry/peer_field.h"

#include "config/snapshot/format.h"
#include "proxy/net/connection_info.h"
#include "proxy/net/peer_workload.h"

#include <catch2/catch.hpp>

using namespace clew;

namespace {

std::shared_ptr<PeerWorkload> peer(std::string workload) {
  auto out = std::make_shared<PeerWorkload>();
  out->name = "pod-1";
  out->namespace_name = "shop";
  out->workload = std::move(workload);
  out->cluster = "c1";
  out->type = "deployment";
  out->service = "svc";
  out->app = "a\"pp";
  out->labels = {{"team", "x"}};
  return out;
}

struct Example {
  StreamInfo info;
  ConnectionInfo connection;
  std::string text(std::string_view format) {
    const ParsedFormat parsed = parse_format(format);
    INFO(parsed.error);
    REQUIRE(parsed.error.empty());
    std::string out;
    append_text(out, parsed.items, {.info = info, .connection = &connection});
    return out;
  }
  std::string json(std::string_view format, bool omit_empty = false) {
    JsonFormat::Object root{{"peer", {parse_format(format).items}}};
    std::string out;
    append_json(out, {std::move(root), omit_empty}, {.info = info, .connection = &connection});
    return out;
  }
};

const std::string object =
    R"({"app":"a\"pp","cluster":"c1","name":"pod-1","namespace":"shop","service":"svc","type":"deployment",)"
    R"("workload":"w","labels":{"team":"x"}})";
const std::string typed = R"({"@type":"type.googleapis.com/google.protobuf.Struct","value":)" + object + "}";

TEST_CASE("peers in logs: forms that there are not", "[telemetry]") {
  for (const char* bad :
       {"%FILTER_STATE%", "%FILTER_STATE()%", "%FILTER_STATE(:PLAIN)%", "%FILTER_STATE(upstream_peer:JSON)%",
        "%FILTER_STATE(upstream_peer:FIELD)%", "%FILTER_STATE(upstream_peer:PLAIN:workload)%",
        "%UPSTREAM_FILTER_STATE%", "%UPSTREAM_FILTER_STATE(upstream_peer:FIELD:a:b)%"}) {
    INFO(bad);
    CHECK_FALSE(parse_format(bad).error.empty());
  }
}

TEST_CASE("peers in logs: nobody, other objects, unknown fields", "[telemetry]") {
  Example e;
  CHECK(e.text("%FILTER_STATE(downstream_peer)% %FILTER_STATE(upstream_peer_obj:FIELD:workload)%") == "- -");
  CHECK(e.json("%FILTER_STATE(downstream_peer)%") == "{\"peer\":null}\n");
  CHECK(e.json("%FILTER_STATE(downstream_peer)%", true) == "{}\n");
  e.info.protocol = "HTTP/1.1";
  e.info.downstream_peer = e.info.upstream_peer = peer("w");
  CHECK(e.text("%FILTER_STATE(wasm.downstream_peer)% %FILTER_STATE(downstream_peer_)% %FILTER_STATE(_obj)%") ==
        "- - -");
  CHECK(e.text("%FILTER_STATE(downstream_peer:FIELD:identity)% %FILTER_STATE(downstream_peer:FIELD:labels)%") == "- -");
  CHECK(e.text("[%FILTER_STATE(downstream_peer:FIELD:region)%]") == "[]");
}

TEST_CASE("peers in logs: JSON, text and single fields", "[telemetry]") {
  Example e;
  e.info.protocol = "HTTP/1.1";
  e.info.downstream_peer = peer("w");
  CHECK(e.text("%FILTER_STATE(downstream_peer)%") == typed);
  CHECK(e.text("%FILTER_STATE(downstream_peer:TYPED):7%") == typed.substr(0, 7));
  CHECK(e.text("%FILTER_STATE(downstream_peer_obj)%") == object);
  CHECK(e.text("%FILTER_STATE(downstream_peer_obj:PLAIN)%") ==
        "type=deployment,workload=w,name=pod-1,cluster=c1,namespace=shop,service=svc,app=a\"pp,labels[]team=x");
  CHECK(e.text("%FILTER_STATE(downstream_peer_obj:FIELD:workload)%/%FILTER_STATE(downstream_peer:FIELD:type)%") ==
        "w/deployment");
  CHECK(e.text("%FILTER_STATE(downstream_peer:FIELD:service):2%") == "sv");
  CHECK(e.json("%FILTER_STATE(downstream_peer)%") == "{\"peer\":" + typed + "}\n");
  CHECK(e.json("of %FILTER_STATE(downstream_peer_obj):8%") == "{\"peer\":\"of {\\\"app\\\":\\\"\"}\n");
  e.info.downstream_peer = std::make_shared<PeerWorkload>();
  CHECK(e.text("%FILTER_STATE(downstream_peer_obj)% %FILTER_STATE(downstream_peer_obj:FIELD:type)%") == "{} unknown");
}

TEST_CASE("peers in logs: whose they are, by HTTP and by TCP", "[telemetry]") {
  Example e;
  const std::string all =
      "%FILTER_STATE(downstream_peer:FIELD:workload)% %FILTER_STATE(upstream_peer:FIELD:workload)% "
      "%UPSTREAM_FILTER_STATE(downstream_peer:FIELD:workload)% %UPSTREAM_FILTER_STATE(upstream_peer:FIELD:workload)%";
  e.info.upstream_peer = peer("server");
  e.connection.exchanged_peer = peer("client");
  CHECK(e.text(all) == "client - - server");
  e.info.protocol = "HTTP/2";
  CHECK(e.text(all) == "client server - -");
  e.connection.exchanged_peer.reset();
  e.info.downstream_peer = peer("by-header");
  CHECK(e.text(all) == "by-header server - -");
}

}  // namespace
