// What the TLS tests share: peers on memory transports, certificates of a test authority.
#pragma once

#include "proxy/net/tls_transport.h"

#include "proxy/base/encoding.h"
#include "proxy/net/certificate.h"
#include "test/support/certificates.h"
#include "test/support/memory_transport.h"
#include "test/support/test_worker.h"

#include <catch2/catch.hpp>

#include <map>
#include <string>
#include <utility>

namespace clew {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

const std::string alice = "spiffe://cluster.local/ns/a/sa/alice", bob = "spiffe://cluster.local/ns/b/sa/bob";

/// A mesh of one CA with two workloads; tests change what they need before contexts() is called.
struct Mesh {
  TestCa ca;
  std::map<std::string, std::shared_ptr<Secret>> secrets;
  mutable TlsIdentities identities;
  TlsParams client, server;

  Mesh() {
    put("client", ca.issue({"alice", {alice}, {}, {}}));
    put("server", ca.issue({"bob", {bob}, {"bob.example", "*.wild.example"}, {"10.1.2.3"}}));
    trust("ROOTCA", ca.pem());
    TlsValidation validation;
    validation.ca_secret = "ROOTCA";
    client.certificate_secrets = {"client"};
    server.certificate_secrets = {"server"};
    client.validation = server.validation = validation;
    server.require_client_certificate = true;
  }
  void put(const std::string& name, const TestCertificate& certificate) {
    Secret secret;
    secret.name = name;
    secret.certificate_chain = certificate.chain;
    secret.private_key = certificate.key;
    secrets[name] = std::make_shared<Secret>(std::move(secret));
  }
  void trust(const std::string& name, const std::string& pem) {
    Secret secret;
    secret.name = name;
    secret.trusted_ca = pem;
    secrets[name] = std::make_shared<Secret>(std::move(secret));
  }
  TlsContext::Made make(const TlsParams& params, TlsContext::Role role) const {
    const auto find = [this](std::string_view name) -> std::shared_ptr<const Secret> {
      const auto it = secrets.find(std::string(name));
      return it == secrets.end() ? nullptr : it->second;
    };
    return TlsContext::make(params, role, find, identities);
  }
  std::shared_ptr<const TlsContext> server_context() const {
    const TlsContext::Made made = make(server, TlsContext::Role::server);
    INFO(made.error);
    REQUIRE(made.context);
    return made.context;
  }
  std::shared_ptr<const TlsContext> client_context() const {
    const TlsContext::Made made = make(client, TlsContext::Role::client);
    INFO(made.error);
    REQUIRE(made.context);
    return made.context;
  }
};

[[maybe_unused]] SanMatcher exact(const std::string& text, SanMatcher::Type type = SanMatcher::Type::any) {
  SanMatcher matcher;
  matcher.type = type;
  matcher.matcher.text = text;
  return matcher;
}

struct Both {
  TlsHandshake client, server;
};

/// Runs both handshakes over memory.
struct Run {
  TestWorker t;
  TlsStats client_stats, server_stats;

  Both handshake(const TlsContext* client, const TlsContext* server, TlsClientOptions options = {},
                 std::size_t max_read = SIZE_MAX) {
    auto [below_client, below_server] = MemoryTransport::make(5000);  // less than one flight
    below_client->set_max_read(max_read);
    below_server->set_max_read(max_read);
    options.stats = &client_stats;
    auto a = t.start(tls_client(t.worker, std::move(below_client), client, options));
    TlsServerOptions server_options;
    server_options.stats = &server_stats;
    auto b = t.start(tls_server(t.worker, std::move(below_server), server, Buffer(), server_options));
    REQUIRE(a.done());
    REQUIRE(b.done());
    return {a.get(), b.get()};
  }
};

Task<Result<void>> write_text(Transport& transport, std::string text) {
  Buffer bytes;
  bytes.append(text);
  co_return co_await write_all(transport, bytes);
}

Task<Errc> read_to_end(Transport& transport, std::string& into) {
  for (;;) {
    Buffer bytes;
    const Result<std::size_t> n = transport.try_read(bytes, 100000);
    into += bytes.to_string();
    if (n) continue;
    if (n.error().code != Errc::would_block) co_return n.error().code;
    const Result<void> ready = co_await transport.readable();
    if (!ready) co_return ready.error().code;
  }
}

}  // namespace
}  // namespace clew
