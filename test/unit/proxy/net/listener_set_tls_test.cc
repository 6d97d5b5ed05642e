#include "test/unit/proxy/net/listener_kit.h"

namespace clew {
namespace {

/// Certificates and contexts of a server in slot 0.
struct Secure {
  TestCa ca;
  std::shared_ptr<TlsParams> params = std::make_shared<TlsParams>();
  std::map<std::string, Secret> secrets;
  std::shared_ptr<const TlsContext> client;

  explicit Secure(Fixture& f) {
    const TestCertificate leaf = ca.issue({"server", {}, {"server.example"}, {}});
    params->inline_certificates = {{leaf.chain, leaf.key}};
    const auto none = [](std::string_view) -> std::shared_ptr<const Secret> { return nullptr; };
    TlsIdentities identities;
    f.tls->push_back(TlsContext::make(*params, TlsContext::Role::server, none, identities).context);
    TlsParams client_params;
    client_params.validation.emplace().inline_ca = ca.pem();
    client_params.alpn = {"istio", "h2"};
    client = TlsContext::make(client_params, TlsContext::Role::client, none, identities).context;
    REQUIRE(f.tls->back());
    REQUIRE(client);
  }
};

Task<std::string> tls_roundtrip(Worker& worker, Address to, const TlsContext& context, std::string sni,
                                std::string text) {
  ConnectTarget target;
  target.address = to;
  Connected connected = co_await connect(worker, target);
  if (!connected) co_return connected.failure;
  TlsClientOptions options;
  options.sni = sni;
  TlsHandshake done = co_await tls_client(worker, std::move(connected.transport), &context, options);
  if (!done) co_return "failed: " + done.failure;
  Buffer bytes;
  bytes.append(text);
  const Result<void> written = co_await write_all(*done.transport, bytes);
  while (written && bytes.size() < text.size()) {
    const Result<std::size_t> n = done.transport->try_read(bytes, 4096);
    if (n) continue;
    if (n.error().code != Errc::would_block) co_return std::string(to_string(n.error().code));
    const Result<void> ready = co_await done.transport->readable();
    if (!ready) break;
  }
  co_return bytes.to_string();
}

TEST_CASE("listener: TLS by the hello's names") {
  Fixture f;
  const Secure secure(f);
  auto l = listener("l");
  auto mesh = chain("mesh"), other = chain("other");
  mesh->match.transport_protocol = "tls";
  mesh->match.server_names = {"*.example"};
  mesh->match.application_protocols = {"istio"};
  mesh->tls = secure.params;
  other->match.transport_protocol = "raw_buffer";
  l->chains = {mesh, other};
  l->listener_filters = {filter(ListenerFilter::Kind::tls_inspector), filter(ListenerFilter::Kind::http_inspector)};
  const Address at = f.open(l);
  REQUIRE(f.t.run_io(tls_roundtrip(f.t.worker, at, *secure.client, "Server.Example", "over TLS")) == "over TLS");
  REQUIRE(f.echo.served[0].chain == "mesh");
  REQUIRE(f.echo.served[0].server_name == "server.example");
  REQUIRE(f.echo.served[0].alpn == std::vector<std::string>{"istio", "h2"});
  REQUIRE(f.echo.served[0].tls);
  f.t.wait_until([&] { return f.echo.done.size() == 1; });
  REQUIRE(f.echo.done[0].tls);
  REQUIRE(f.stat("ssl.handshake") == 1);
  REQUIRE(f.stat("ssl.versions.TLSv1.3") == 1);
  // wrong name: no chain
  REQUIRE(f.t.run_io(tls_roundtrip(f.t.worker, at, *secure.client, "server.other", "x")).substr(0, 6) == "failed");
  const Client plain(at);
  REQUIRE(f.roundtrip(plain, "PING\r\n") == "PING\r\n");
  REQUIRE(f.echo.served[1].chain == "other");
}

TEST_CASE("listener: TLS that does not come about") {
  Fixture f;
  Secure secure(f);
  auto l = listener("l");
  auto tls = chain("tls");
  tls->tls = secure.params;
  l->chains = {tls};
  SECTION("secret not there") {
    (*f.tls)[0] = nullptr;
    const Client client(f.open(l));
    client.send("\x16\x03\x01");
    REQUIRE(f.receive(client).substr(0, 1) == "<");
    REQUIRE(f.echo.served.empty());
  }
  SECTION("plain text") {
    const Client client(f.open(l));
    client.send("GET / HTTP/1.1\r\n\r\n");
    std::string got;
    while (got.find('<') == std::string::npos) got += f.receive(client);  // an alert, then the end
    REQUIRE(f.echo.served.empty());
    REQUIRE(f.stat("ssl.connection_error") == 1);
  }
  SECTION("a hello that never ends, without a configured timeout") {
    const Client client(f.open(l));
    client.send("\x16\x03\x01");
    f.t.wait_until([&] { return f.stat("downstream_cx_active") == 1; });
    f.t.advance(milliseconds(15010));
    REQUIRE(f.receive(client).substr(0, 1) == "<");
    REQUIRE(f.stat("downstream_cx_transport_socket_connect_timeout") == 1);
    f.t.wait_until([&] { return f.echo.done.size() == 1; });
    REQUIRE(f.echo.done[0].termination == "transport socket timeout was reached");
  }
}

}  // namespace
}  // namespace clew
