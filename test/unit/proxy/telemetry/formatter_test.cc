#include "proxy/telemetry/formatter.h"

#include "config/snapshot/cluster.h"
#include "proxy/base/arena.h"
#include "proxy/http/message.h"
#include "proxy/net/connection_info.h"

#include <catch2/catch.hpp>
#include <limits>

using namespace clew;
using namespace std::chrono_literals;

namespace {

const char* const istio_format =
    "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% %RESPONSE_FLAGS% "
    "%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% \"%UPSTREAM_TRANSPORT_FAILURE_REASON%\" %BYTES_RECEIVED% "
    "%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% \"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" "
    "\"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" \"%UPSTREAM_HOST%\" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% "
    "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n";

Address address(const char* ip, std::uint16_t port) { return {*IpAddress::parse(ip), port}; }

/// A request from one sidecar to another; tests change what they are about.
struct Example {
  Arena arena;
  RequestHead request{arena};
  ResponseHead response{arena};
  HeaderMap trailers{arena};
  ConnectionInfo connection;
  TlsInfo tls;
  StreamInfo info;

  Example() {
    request.method = "GET";
    request.path = "/hello";
    request.authority = "server:8080";
    request.scheme = "http";
    request.headers.add("x-request-id", "73cb9cfe-1175-42f3-bbc2-9e6e4b22882a");
    response.status = 200;
    response.headers.add("x-envoy-upstream-service-time", "5");
    connection.id = 7;
    connection.local = address("10.96.120.166", 8080);
    connection.remote = address("10.244.0.5", 45260);
    connection.direct_remote = address("10.244.0.9", 1);
    auto cluster = std::make_shared<Cluster>();
    cluster->name = "outbound|8080||server.default.svc.cluster.local";
    cluster->alt_stat_name = cluster->name + ";";
    info.connection = &connection;
    info.cluster = cluster;
    info.start_wall = WallTime(1795259778s + 860ms);  // 2026-11-21T11:16:18.860Z
    info.protocol = "HTTP/1.1";
    info.response_code = 200;
    info.response_code_details = "via_upstream";
    info.bytes_sent = 478;
    info.complete = 6ms + 900us;
    info.upstream_remote = address("10.244.0.4", 8080);
    info.upstream_local = address("10.244.0.5", 47332);
    info.route_name = "default";
  }

  FormatContext context() {
    return {.info = info, .connection = &connection, .request = &request, .response = &response, .trailers = &trailers};
  }
  std::string text(std::string_view format, std::string_view empty = "-") {
    const ParsedFormat parsed = parse_format(format);
    REQUIRE(parsed.error.empty());
    std::string out;
    append_text(out, parsed.items, context(), empty);
    return out;
  }
  std::string json(JsonFormat::Object root, bool omit_empty = false) {
    std::string out;
    append_json(out, {std::move(root), omit_empty}, context());
    return out;
  }
};

JsonFormat::Node node(std::string_view format) {
  const ParsedFormat parsed = parse_format(format);
  REQUIRE(parsed.error.empty());
  return {parsed.items};
}

}  // namespace

TEST_CASE("nothing known prints as nothing") {
  StreamInfo info;
  const ParsedFormat parsed = parse_format(istio_format);
  std::string out;
  append_text(out, parsed.items, {.info = info, .now = TimePoint(3ms)});
  CHECK(out ==
        "[1970-01-01T00:00:00.000Z] \"- - -\" 0 - - - \"-\" 0 0 3 - \"-\" \"-\" \"-\" \"-\" \"-\" - - - - - -\n");
}

TEST_CASE("every operator can be asked of nothing") {
  StreamInfo info;
  for (const char* name : {"EMIT_TIME",
                           "REQUEST_DURATION",
                           "REQUEST_TX_DURATION",
                           "RESPONSE_DURATION",
                           "RESPONSE_TX_DURATION",
                           "DOWNSTREAM_HANDSHAKE_DURATION",
                           "COMMON_DURATION(US_TX_BEG:DS_TX_END)",
                           "UPSTREAM_WIRE_BYTES_SENT",
                           "UPSTREAM_PROTOCOL",
                           "CONNECTION_TERMINATION_DETAILS",
                           "RESPONSE_FLAGS_LONG",
                           "TRAILER(X)",
                           "REQ_WITHOUT_QUERY(:PATH)",
                           "PATH",
                           "QUERY_PARAM(X)",
                           "VIRTUAL_HOST_NAME",
                           "UPSTREAM_HOST_NAME",
                           "UPSTREAM_REMOTE_PORT",
                           "UPSTREAM_REQUEST_ATTEMPT_COUNT",
                           "UPSTREAM_CONNECTION_ID",
                           "UPSTREAM_PEER_SUBJECT",
                           "DOWNSTREAM_LOCAL_PORT",
                           "DOWNSTREAM_DIRECT_REMOTE_PORT",
                           "DOWNSTREAM_PEER_URI_SAN",
                           "DOWNSTREAM_LOCAL_SUBJECT",
                           "CONNECTION_ID",
                           "STREAM_ID",
                           "TRACE_ID",
                           "GRPC_STATUS",
                           "GRPC_STATUS_NUMBER",
                           "DYNAMIC_METADATA(a)",
                           "FILTER_STATE(a)",
                           "FILTER_CHAIN_NAME",
                           "DOWNSTREAM_WIRE_BYTES_SENT",
                           "UPSTREAM_PEER_CERT",
                           "UPSTREAM_PEER_CERT_V_START(%s)",
                           "UPSTREAM_TLS_GROUP",
                           "UPSTREAM_HOST_NAME_WITHOUT_PORT",
                           "DOWNSTREAM_PEER_CHAIN_SERIALS",
                           "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
                           "REQUEST_HEADERS_BYTES",
                           "RESPONSE_TRAILERS_BYTES",
                           "ROUNDTRIP_DURATION",
                           "TLS_JA3_FINGERPRINT",
                           "VIRTUAL_CLUSTER_NAME",
                           "BYTES_RETRANSMITTED"}) {
    const ParsedFormat parsed = parse_format("%" + std::string(name) + "%");
    INFO(name);
    REQUIRE(parsed.error.empty());
    std::string out;
    append_text(out, parsed.items, {.info = info});
    CHECK((out == "-" || out == "0" || out == "1970-01-01T00:00:00.000Z"));
  }
}

TEST_CASE("Istio's default line, as Envoy printed it for such a request") {
  Example example;
  CHECK(example.text(istio_format) ==
        "[2026-11-21T11:16:18.860Z] \"GET /hello HTTP/1.1\" 200 - via_upstream - \"-\" 0 478 6 5 \"-\" \"-\" "
        "\"73cb9cfe-1175-42f3-bbc2-9e6e4b22882a\" \"server:8080\" \"10.244.0.4:8080\" "
        "outbound|8080||server.default.svc.cluster.local "
        "10.244.0.5:47332 10.96.120.166:8080 10.244.0.5:45260 - default\n");
}

TEST_CASE("the same for a refused connection behind TLS") {
  Example example;
  example.request.path = "/refused";
  example.connection.server_name = "outbound_.8080_._.server.default.svc.cluster.local";
  example.info.response_code = 503;
  example.info.response_code_details =
      "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error: Connection refused}";
  example.info.upstream_transport_failure_reason = "delayed_connect_error: Connection refused";
  example.info.flags.set(ResponseFlag::upstream_retry_limit_exceeded);
  example.info.flags.set(ResponseFlag::upstream_connection_failure);
  example.info.flags.set(ResponseFlag::upstream_retry_limit_exceeded);
  example.info.upstream_local.reset();
  example.response.headers.clear();
  CHECK(example.text(istio_format) ==
        "[2026-11-21T11:16:18.860Z] \"GET /refused HTTP/1.1\" 503 URX,UF "
        "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused} - "
        "\"delayed_connect_error:_Connection_refused\" 0 478 6 - \"-\" \"-\" \"73cb9cfe-1175-42f3-bbc2-9e6e4b22882a\" "
        "\"server:8080\" "
        "\"10.244.0.4:8080\" outbound|8080||server.default.svc.cluster.local - 10.96.120.166:8080 10.244.0.5:45260 "
        "outbound_.8080_._.server.default.svc.cluster.local default\n");
}

TEST_CASE("the same for a TCP connection") {
  Example example;
  example.info.protocol = {};
  example.info.response_code = 0;
  example.info.response_code_details.clear();
  example.info.route_name.clear();
  std::string out;
  append_text(out, parse_format(istio_format).items, {.info = example.info, .connection = &example.connection});
  CHECK(out ==
        "[2026-11-21T11:16:18.860Z] \"- - -\" 0 - - - \"-\" 0 478 6 - \"-\" \"-\" \"-\" \"-\" \"10.244.0.4:8080\" "
        "outbound|8080||server.default.svc.cluster.local 10.244.0.5:47332 10.96.120.166:8080 10.244.0.5:45260 - -\n");
}

TEST_CASE("flags have Envoy's names") {
  CHECK(short_name(ResponseFlag::failed_local_health_check) == "LH");
  CHECK(short_name(ResponseFlag::unconditional_drop_overload) == "UDO");
  CHECK(long_name(ResponseFlag::no_route_found) == "NoRouteFound");
  ResponseFlags flags;
  CHECK(flags.to_string() == "-");
  flags.set(ResponseFlag::no_cluster_found);
  flags.set(ResponseFlag::no_route_found);
  CHECK(flags.to_string() == "NC,NR");
  CHECK(flags.to_long_string() == "NoClusterFound,NoRouteFound");
  for (int i = 0; i < 30; ++i) flags.set(static_cast<ResponseFlag>(i));
  CHECK(flags.has(ResponseFlag::drop_overload));
  CHECK(flags.to_string() == "NC,NR,LH,UH,UT,LR,UR");
}

TEST_CASE("header values have nothing in the place of what is not there") {
  Example example;
  CHECK(example.text("a%REQ(X-MISSING)%b%REQ(:METHOD)%", "") == "abGET");
  CHECK(example.text("%REQ(X-MISSING)%", "").empty());
  CHECK(example.text("%RESPONSE_CODE% %UPSTREAM_HOST%", "") == "200 10.244.0.4:8080");
}

TEST_CASE("request headers, alternatives, lengths") {
  Example example;
  example.request.path = "/a?b=c&d&b=e";
  example.request.headers.add("x-two", "first");
  example.request.headers.add("x-two", "second");
  CHECK(example.text("%REQ(X-TWO)%|%REQ(X-NONE?X-TWO):2%|%REQ(x-two):0%") == "first|fi|");
  CHECK(example.text("%REQ(HOST)%|%REQ(:SCHEME)%") == "server:8080|http");
  CHECK(example.text("%PATH%|%PATH(NQ)%|%PATH(WQ:ORIG)%|%REQ_WITHOUT_QUERY(:PATH)%") == "/a?b=c&d&b=e|/a|-|/a");
  CHECK(example.text("%QUERY_PARAM(b)%|%QUERY_PARAM(d)%|%QUERY_PARAM(a)%") == "c||-");
  example.request.headers.add("x-envoy-original-path", "/o?x");
  CHECK(example.text("%PATH%|%PATH(NQ:ORIG)%|%PATH(WQ:PATH)%") == "/o?x|/o|/a?b=c&d&b=e");
  CHECK(example.text("%RESP(:STATUS)%") == "200");
}

TEST_CASE("addresses") {
  Example example;
  CHECK(example.text(
            "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS%") ==
        "10.244.0.5 45260 10.244.0.9:1");
  example.info.upstream_remote = address("2001:db8::1", 9);
  CHECK(example.text("%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%") == "[2001:db8::1]:9 2001:db8::1");
  example.info.upstream_remote = Address::pipe("/run/x");
  CHECK(example.text("%UPSTREAM_HOST% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %UPSTREAM_REMOTE_PORT%") ==
        "/run/x /run/x -");
  example.connection.server_name = "a b\"\n.x_-";
  CHECK(example.text("%REQUESTED_SERVER_NAME%") == "a_b__.x_-");
}

TEST_CASE("clusters") {
  Example example;
  CHECK(example.text("%UPSTREAM_CLUSTER%") == "outbound|8080||server.default.svc.cluster.local;");
  example.info.cluster.reset();
  example.info.upstream_cluster = "gone";
  CHECK(example.text("%UPSTREAM_CLUSTER_RAW%") == "gone");
  example.info.flags.set(ResponseFlag::no_cluster_found);
  CHECK(example.text("%UPSTREAM_CLUSTER_RAW%") == "-");
}

TEST_CASE("durations") {
  Example example;
  CHECK(example.text("%REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%") == "- - -");
  example.info.request_complete = 1500us;
  example.info.upstream_first_byte_received = 5ms;
  CHECK(example.text("%REQUEST_DURATION% %RESPONSE_DURATION% %RESPONSE_TX_DURATION%") == "1 5 1");
  CHECK(example.text("%COMMON_DURATION(DS_RX_BEG:DS_RX_END:us)% %COMMON_DURATION(DS_RX_END:US_RX_BEG:ns)%") ==
        "1500 3500000");
  CHECK(example.text("%COMMON_DURATION(US_RX_BEG:DS_RX_END)%") == "-");  // backwards
}

TEST_CASE("certificates") {
  Example example;
  CHECK(example.text("%DOWNSTREAM_TLS_VERSION%") == "-");
  example.connection.tls = &example.tls;
  example.tls.version = "TLSv1.3";
  CHECK(example.text("%DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_URI_SAN%") == "TLSv1.3 -");
  auto peer = std::make_shared<CertificateInfo>();
  peer->uri_sans = {"spiffe://a", "spiffe://b"};
  peer->subject = "CN=x";
  example.tls.peer = peer;
  CHECK(example.text("%DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_DNS_SAN%") ==
        "spiffe://a,spiffe://b CN=x -");
  peer->dns_sans = {"a\r\nforged line"};
  CHECK(example.text("%DOWNSTREAM_PEER_DNS_SAN%") == "a__forged line");
  peer->dns_sans = {"a", "b\n\x1b[2J", std::string("c\0d", 3)};
  CHECK(example.text("%DOWNSTREAM_PEER_DNS_SAN%") == "a,b__[2J,c_d");
}

TEST_CASE("certificates: every part, of either side, the peer's and ours") {
  Example example;
  auto peer = std::make_shared<CertificateInfo>(), ours = std::make_shared<CertificateInfo>();
  peer->dns_sans = {"a.example"};
  peer->ip_sans = {"10.0.0.1", "::1"};
  peer->email_sans = {"a@b"};
  peer->issuer = "CN=ca";
  peer->serial = "0a";
  peer->sha256 = "256";
  peer->sha1 = "1";
  peer->chain_serials = {"0a", "0b"};
  peer->chain_sha256 = {"256", "257"};
  peer->chain_sha1 = {"1", "2"};
  peer->pem_urlencoded = "-----BEGIN%20";
  peer->valid_from = WallTime(1795259778s);
  peer->valid_until = WallTime(1795259779s);
  ours->uri_sans = {"spiffe://ours"};
  ours->dns_sans = {"ours.example"};
  ours->ip_sans = {"10.0.0.2"};
  ours->email_sans = {"c@d"};
  ours->subject = "CN=ours";
  auto tls = std::make_shared<TlsInfo>();
  tls->version = "TLSv1.3";
  tls->cipher = "TLS_AES_128_GCM_SHA256";
  tls->group = "X25519";
  tls->session_id = "5e55";
  tls->peer = peer;
  tls->local = ours;
  const auto both = [&](const std::string& last) {
    return example.text("%DOWNSTREAM_" + last + "% %UPSTREAM_" + last + "%");
  };
  CHECK(both("TLS_GROUP") == "- -");
  example.connection.tls = tls.get();
  CHECK(both("PEER_ISSUER") == "CN=ca -");  // upstream is plain text
  example.info.upstream_tls = tls;
  CHECK(both("TLS_VERSION") == "TLSv1.3 TLSv1.3");
  CHECK(both("TLS_CIPHER") == "TLS_AES_128_GCM_SHA256 TLS_AES_128_GCM_SHA256");
  CHECK(both("TLS_GROUP") == "X25519 X25519");
  CHECK(both("TLS_SESSION_ID") == "5e55 5e55");
  CHECK(both("PEER_DNS_SAN") == "a.example a.example");
  CHECK(both("PEER_IP_SAN") == "10.0.0.1,::1 10.0.0.1,::1");
  CHECK(both("PEER_CERT") == "-----BEGIN%20 -----BEGIN%20");
  CHECK(both("PEER_CERT_V_START") == "2026-11-21T11:16:18.000Z 2026-11-21T11:16:18.000Z");
  CHECK(both("PEER_CERT_V_END(%s)") == "1795259779 1795259779");
  CHECK(both("LOCAL_URI_SAN") == "spiffe://ours spiffe://ours");
  CHECK(both("LOCAL_DNS_SAN") == "ours.example ours.example");
  CHECK(both("LOCAL_IP_SAN") == "10.0.0.2 10.0.0.2");
  CHECK(example.text("%DOWNSTREAM_PEER_EMAIL_SAN% %DOWNSTREAM_LOCAL_EMAIL_SAN% %DOWNSTREAM_LOCAL_SUBJECT%") ==
        "a@b c@d CN=ours");
  CHECK(example.text("%DOWNSTREAM_PEER_SERIAL% %DOWNSTREAM_PEER_FINGERPRINT_256% %DOWNSTREAM_PEER_FINGERPRINT_1%") ==
        "0a 256 1");
  CHECK(example.text("%DOWNSTREAM_PEER_CHAIN_SERIALS% %DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256% "
                     "%DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1%") == "0a,0b 256,257 1,2");
  CHECK(example.text("%DOWNSTREAM_PEER_IP_SAN%", "") == "10.0.0.1,::1");
  tls->peer.reset();
  CHECK(both("PEER_CERT_V_START") == "- -");
}

TEST_CASE("sizes of heads, as Envoy counts them; an endpoint's name") {
  Example example;
  example.trailers.add("a", "bc");
  // :method GET :path /hello :authority server:8080 :scheme http, x-request-id and its 36
  CHECK(example.text("%REQUEST_HEADERS_BYTES%") == std::to_string(7 + 3 + 5 + 6 + 10 + 11 + 7 + 4 + 12 + 36));
  CHECK(example.text("%RESPONSE_HEADERS_BYTES% %RESPONSE_TRAILERS_BYTES%") == std::to_string(7 + 3 + 29 + 1) + " 3");
  example.response.status = 0;  // none came
  example.response.headers.clear();
  CHECK(example.text("%RESPONSE_HEADERS_BYTES%") == "0");
  CHECK(example.text("%UPSTREAM_HOST_NAME% %UPSTREAM_HOST_NAME_WITHOUT_PORT%") == "10.244.0.4:8080 10.244.0.4");
  auto endpoint = std::make_shared<Endpoint>();
  endpoint->hostname = "db.example:99";
  example.info.upstream_endpoint = endpoint;
  example.info.upstream_connection_id = 12;
  CHECK(example.text("%UPSTREAM_HOST_NAME% %UPSTREAM_HOST_NAME_WITHOUT_PORT% %UPSTREAM_HOST%") ==
        "db.example:99 db.example 10.244.0.4:8080");
  CHECK(example.text("%UPSTREAM_CONNECTION_ID%") == "12");
  CHECK(example.text("<%CUSTOM_FLAGS%%LOCAL_REPLY_BODY%> %BYTES_RETRANSMITTED% %ROUNDTRIP_DURATION%") == "<> 0 -");
  example.connection.transport_failure_reason = "TLS error: no certificate";
  CHECK(example.text("%DOWNSTREAM_TRANSPORT_FAILURE_REASON%") == "TLS_error:_no_certificate");
}

TEST_CASE("gRPC status") {
  Example example;
  example.trailers.add("grpc-status", "4");
  CHECK(example.text("%GRPC_STATUS%") == "-");  // not a gRPC request
  example.request.headers.add("content-type", "application/grpc+proto");
  CHECK(example.text("%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%") ==
        "DeadlineExceeded DEADLINE_EXCEEDED 4");
  example.trailers.clear();
  example.response.headers.add("grpc-status", "99");
  CHECK(example.text("%GRPC_STATUS%") == "99");
  example.response.headers.clear();
  example.info.response_code = 503;
  CHECK(example.text("%GRPC_STATUS%") == "Unavailable");
  example.trailers.add("grpc-status", "-1");
  CHECK(example.text("%GRPC_STATUS%") == "-");
  example.request.headers.clear();
  example.request.headers.add("content-type", "application/grpc-web");
  CHECK(example.text("%GRPC_STATUS%") == "-");
}

TEST_CASE("unique ids are") {
  Example example;
  const std::string id = example.text("%UNIQUE_ID%");
  CHECK(id.size() == 36);
  CHECK(id[14] == '4');
  CHECK(id != example.text("%UNIQUE_ID%"));
}

TEST_CASE("JSON keeps types, as Envoy's does") {
  Example example;
  JsonFormat::Object nested{{"a", {std::vector<JsonFormat::Node>{node("%REQ(X-MISSING)%"), node("x"), {3.0}}}},
                            {"b", node("%PROTOCOL%")}};
  CHECK(example.json({{"alpha", node("%RESPONSE_CODE%")},
                      {"boo", {true}},
                      {"empty", node("")},
                      {"flags", node("%RESPONSE_FLAGS%")},
                      {"lit", node("literal")},
                      {"missing", node("%REQ(X-MISSING)%")},
                      {"mixed", node("a%RESPONSE_CODE%b%REQ(X-MISSING)%")},
                      {"nested", {nested}},
                      {"null", {nullptr}},
                      {"num", {1000000.0}},
                      {"port", node("%DOWNSTREAM_LOCAL_PORT%")}}) ==
        "{\"alpha\":200,\"boo\":true,\"empty\":\"\",\"flags\":\"-\",\"lit\":\"literal\",\"missing\":null,\"mixed\":"
        "\"a200b-\","
        "\"nested\":{\"a\":[null,\"x\",3],\"b\":\"HTTP/1.1\"},\"null\":null,\"num\":1e+06,\"port\":8080}\n");
  CHECK(example.json({}) == "{}\n");
}

TEST_CASE("JSON without empty values") {
  Example example;
  JsonFormat::Object inner{{"x", node("%REQ(X-MISSING)%")}};
  CHECK(example.json({{"f", node("%RESPONSE_FLAGS%")},
                      {"l", {std::vector<JsonFormat::Node>{node("%REQ(X-MISSING)%")}}},
                      {"m", node("%REQ(X-MISSING)%")},
                      {"mix", node("a%REQ(X-MISSING)%")},
                      {"n", {inner}}},
                     true) == "{\"f\":\"-\",\"l\":[],\"mix\":\"a\"}\n");
  CHECK(example.json({{"m", node("%REQ(X-MISSING)%")}}, true) == "{}\n");
  CHECK(example.json({{"a", node("%REQ(X-MISSING)%")}, {"b", node("%RESPONSE_CODE%")}}, true) == "{\"b\":200}\n");
}

TEST_CASE("JSON strings: UTF-8 stays, anything else is taken for Latin-1") {
  Example example;
  const auto escaped = [&](std::string_view value) {
    example.request.headers.set("x-a", value);
    return example.json({{"k", node("%REQ(X-A)%")}});
  };
  CHECK(escaped("v\"\\ / \xc3\xbc \t\xe2\x82\xac<>&'") == "{\"k\":\"v\\\"\\\\ / \xc3\xbc \\t\xe2\x82\xac<>&'\"}\n");
  CHECK(escaped("v\"\\ / \xff\xc3\xbc tab\tend <>&'") ==
        "{\"k\":\"v\\u0022\\u005c / \\u00ff\\u00c3\\u00bc tab\\u0009end <>&'\"}\n");
  for (const char* bad :
       {"\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xf0\x80\x80\x80", "\xc3", "\xe2\x82", "\x80"})
    CHECK_THAT(escaped(bad), Catch::Contains("\\u00"));
  for (const char* good : {"\xf0\x9f\x98\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf", "\xe0\xa0\x80"})
    CHECK(escaped(good) == "{\"k\":\"" + std::string(good) + "\"}\n");
  CHECK(example.json({{"a\"b", {1.0}}}) == "{\"a\\\"b\":1}\n");
}
