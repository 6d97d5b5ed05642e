#include "proxy/net/tls_state.h"
#include "test/unit/proxy/net/tls_kit.h"

namespace clew {
namespace {

TEST_CASE("tls: mutual handshake, who is who, bytes both ways, orderly end") {
  const std::size_t max_read = GENERATE(std::size_t{1}, std::size_t{7}, SIZE_MAX);
  const bool v12 = GENERATE(false, true);
  Mesh mesh;
  mesh.client.alpn = {"istio", "h2"};
  mesh.server.alpn = {"h2", "http/1.1"};
  if (v12) mesh.server.max_version = TlsParams::Version::v1_2;
  Run run;
  TlsClientOptions options;
  options.sni = "outbound_.80_._.bob";
  Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get(), options, max_read);
  INFO(both.client.failure << both.server.failure);
  REQUIRE(both.client);
  REQUIRE(both.server);
  const TlsInfo& seen = *both.server.transport->tls();
  REQUIRE(seen.version == (v12 ? "TLSv1.2" : "TLSv1.3"));
  REQUIRE(seen.cipher == (v12 ? "ECDHE-ECDSA-AES128-GCM-SHA256" : "TLS_AES_128_GCM_SHA256"));
  REQUIRE(seen.alpn == "h2");
  REQUIRE(seen.sni == "outbound_.80_._.bob");
  REQUIRE(seen.peer->uri_sans == std::vector<std::string>{alice});
  REQUIRE(seen.peer->subject == "CN=alice,O=clew\\, tests");
  REQUIRE(seen.peer->issuer == "CN=root,O=clew\\, tests");
  REQUIRE(seen.local->uri_sans == std::vector<std::string>{bob});
  const TlsInfo& other = *both.client.transport->tls();
  REQUIRE(other.peer->uri_sans == std::vector<std::string>{bob});
  REQUIRE(other.peer->dns_sans == std::vector<std::string>{"bob.example", "*.wild.example"});
  REQUIRE(other.alpn == "h2");
  REQUIRE(run.server_stats.handshake.value() == 1);
  REQUIRE(run.client_stats.handshake.value() == 1);
  for (const auto* stats : {&run.server_stats, &run.client_stats}) {
    REQUIRE(stats->versions.size() == 1);
    REQUIRE(stats->curves.size() == 1);
    REQUIRE(stats->curves.begin()->second == 1);
  }

  std::string request, response;
  auto reading = run.t.start(read_to_end(*both.server.transport, request));
  auto answer = run.t.start(read_to_end(*both.client.transport, response));
  const std::string text(100001, 'r');
  REQUIRE(run.t.run(write_text(*both.client.transport, text)).has_value());
  REQUIRE(both.client.transport->shutdown_write().has_value());
  run.t.poll();
  REQUIRE(reading.get() == Errc::eof);
  REQUIRE(request == text);
  REQUIRE(run.t.run(write_text(*both.server.transport, "pong")).has_value());  // the other direction goes on
  both.server.transport->close(Errc::ok);
  run.t.poll();
  REQUIRE(answer.get() == Errc::eof);
  REQUIRE(response == "pong");
}

TEST_CASE("tls: XFCC material") {
  const Mesh mesh;
  Run run;
  const Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get());
  REQUIRE(both.server);
  const CertificateInfo& peer = *both.server.transport->tls()->peer;
  const std::string& chain = mesh.secrets.at("client")->certificate_chain;
  REQUIRE(peer.pem_urlencoded == percent_encode(chain));
  REQUIRE(peer.chain_urlencoded == percent_encode(chain));
  REQUIRE(peer.pem_urlencoded.rfind("-----BEGIN%20CERTIFICATE-----%0A", 0) == 0);
  REQUIRE(peer.sha256 == to_hex(certificate_sha256(parse_certificates(chain)[0].get())));
  REQUIRE(peer.serial == "02");
  REQUIRE(peer.sha1.size() == 40);
  REQUIRE(peer.chain_sha256 == std::vector{peer.sha256});
  REQUIRE(peer.chain_sha1 == std::vector{peer.sha1});
  REQUIRE(peer.chain_serials == std::vector{peer.serial});
  REQUIRE(peer.valid_until - peer.valid_from == std::chrono::hours(2));
  // the same peer again is the same value
  const Both again = run.handshake(mesh.client_context().get(), mesh.server_context().get());
  REQUIRE(again.server.transport->tls()->peer == both.server.transport->tls()->peer);
}

TEST_CASE("tls: no common ALPN goes on without") {
  Mesh mesh;
  mesh.client.alpn = {"istio-peer-exchange", "istio"};
  mesh.server.alpn = {"h2", "http/1.1"};
  Run run;
  const Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get());
  REQUIRE(both.client);
  REQUIRE(both.server);
  REQUIRE(both.server.transport->tls()->alpn.empty());
}

TEST_CASE("tls: ALPN of the call replaces the context's") {
  Mesh mesh;
  mesh.client.alpn = {"http/1.1"};
  mesh.server.alpn = {"h2", "http/1.1"};
  Run run;
  const std::vector<std::string> override_with{"istio-h2", "h2"};
  TlsClientOptions options;
  options.alpn = &override_with;
  REQUIRE(
      run.handshake(mesh.client_context().get(), mesh.server_context().get(), options).server.transport->tls()->alpn ==
      "h2");
}

TEST_CASE("tls: server names that a client refuses during the handshake") {
  Mesh mesh;
  mesh.client.validation->subject_alt_names = {exact("spiffe://cluster.local/ns/b/sa/mallory"), exact("spiffe://x")};
  Run run;
  const Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get());
  REQUIRE_FALSE(both.client);
  REQUIRE(both.client.error == Errc::tls_san_mismatch);
  REQUIRE(both.client.failure.find(
              "OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: SAN matcher, certificate SANs are [" +
              bob) != std::string::npos);
  REQUIRE(both.client.failure.rfind("TLS_error:|", 0) == 0);
  REQUIRE(both.client.failure.find(":TLS_error_end") == both.client.failure.size() - 14);
  REQUIRE_FALSE(both.server);
  REQUIRE(run.client_stats.fail_verify_san.value() == 1);
  REQUIRE(run.client_stats.handshake.value() == 0);
}

TEST_CASE("tls: any matcher suffices") {
  Mesh mesh;
  SanMatcher prefix = exact("spiffe://cluster.local/");
  prefix.matcher.kind = StringMatcher::Kind::prefix;
  mesh.client.validation->subject_alt_names = {exact("spiffe://other"), prefix};
  mesh.server.validation->subject_alt_names = {prefix};
  Run run;
  const Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get());
  REQUIRE(both.client);
  REQUIRE(both.server);
}

TEST_CASE("tls: a client of another trust domain is refused by the server") {
  Mesh mesh;
  SanMatcher prefix = exact("spiffe://elsewhere/");
  prefix.matcher.kind = StringMatcher::Kind::prefix;
  mesh.server.validation->subject_alt_names = {prefix};
  Run run;
  Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get());
  REQUIRE(both.server.error == Errc::tls_san_mismatch);
  REQUIRE(run.server_stats.fail_verify_san.value() == 1);
  // TLS 1.3: the client learns it with its first read
  if (both.client) {
    std::string got;
    REQUIRE(run.t.run(read_to_end(*both.client.transport, got)) == Errc::tls_protocol);
    REQUIRE(got.empty());
  }
}

TEST_CASE("tls: certificates that no chain leads to, expired, not yet valid, revoked") {
  Mesh mesh;
  std::string detail;
  SECTION("other root") {
    const TestCa other("other");
    mesh.put("server", other.issue({"bob", {bob}, {}, {}}));
    detail = "unable to get";
  }
  SECTION("same name, other key") {
    const TestCa other("root");
    mesh.put("server", other.issue({"bob", {bob}, {}, {}}));
    detail = "X509_verify_cert: certificate verification error at depth 0: ";
  }
  SECTION("expired") {
    TestCertificateOptions options{"bob", {bob}, {}, {}};
    options.valid_from = -hours(2);
    options.valid_until = -hours(1);
    mesh.put("server", mesh.ca.issue(options));
    detail = "certificate has expired";
  }
  SECTION("not yet valid") {
    TestCertificateOptions options{"bob", {bob}, {}, {}};
    options.valid_from = hours(1);
    options.valid_until = hours(2);
    mesh.put("server", mesh.ca.issue(options));
    detail = "certificate is not yet valid";
  }
  SECTION("revoked") {
    const Secret& server = *mesh.secrets["server"];
    mesh.client.validation->crl = mesh.ca.revoke({{server.certificate_chain, server.private_key}});
    detail = "certificate revoked";
  }
  Run run;
  const Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get());
  REQUIRE(both.client.error == Errc::tls_certificate_rejected);
  INFO(both.client.failure);
  REQUIRE(both.client.failure.find(detail) != std::string::npos);
  REQUIRE_FALSE(both.server);
  REQUIRE(run.client_stats.fail_verify_error.value() == 1);
}

TEST_CASE("tls: another one's revocation does no harm") {
  Mesh mesh;
  const TestCertificate other = mesh.ca.issue({"other", {}, {}, {}});
  mesh.client.validation->crl = mesh.ca.revoke({other});
  Run run;
  REQUIRE(run.handshake(mesh.client_context().get(), mesh.server_context().get()).client);
}

TEST_CASE("tls: a client without a certificate") {
  Mesh mesh;
  mesh.client.certificate_secrets.clear();
  Run run;
  SECTION("required") {
    const Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get());
    REQUIRE(both.server.error == Errc::tls_certificate_rejected);
    REQUIRE(both.server.failure.find(
                "PEER_DID_NOT_RETURN_A_CERTIFICATE:peer did not provide required client certificate") !=
            std::string::npos);
    REQUIRE(run.server_stats.fail_verify_no_cert.value() == 1);
  }
  SECTION("welcome") {
    mesh.server.require_client_certificate = false;
    const Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get());
    REQUIRE(both.server);
    REQUIRE(both.server.transport->tls()->peer == nullptr);
    REQUIRE(run.server_stats.no_certificate.value() == 1);
  }
  SECTION("names to match require one") {
    mesh.server.require_client_certificate = false;
    mesh.server.validation->subject_alt_names = {exact(alice)};
    REQUIRE(run.handshake(mesh.client_context().get(), mesh.server_context().get()).server.error ==
            Errc::tls_certificate_rejected);
  }
}

TEST_CASE("tls: optional client certificates are verified when they come") {
  Mesh mesh;
  const TestCa other("other");
  mesh.put("client", other.issue({"alice", {alice}, {}, {}}));
  mesh.server.require_client_certificate = false;
  Run run;
  SECTION("refused") {
    REQUIRE(run.handshake(mesh.client_context().get(), mesh.server_context().get()).server.error ==
            Errc::tls_certificate_rejected);
  }
  SECTION("unless the config says that untrusted ones are accepted") {
    mesh.server.validation->accept_untrusted = true;
    const Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get());
    REQUIRE(both.server);
    REQUIRE(both.server.transport->tls()->peer->uri_sans == std::vector<std::string>{alice});
  }
}

TEST_CASE("tls: required, but nothing to verify it by: refused") {
  Mesh mesh;
  mesh.server.validation.reset();
  Run run;
  REQUIRE(run.handshake(mesh.client_context().get(), mesh.server_context().get()).server.error ==
          Errc::tls_certificate_rejected);
}

TEST_CASE("tls: pins") {
  Mesh mesh;
  const X509Ptr leaf = std::move(parse_certificates(mesh.secrets["server"]->certificate_chain)[0]);
  const std::string wrong(64, 'a');
  Run run;
  SECTION("hash") {
    mesh.client.validation->certificate_hashes = {wrong, to_hex(certificate_sha256(leaf.get()))};
    REQUIRE(run.handshake(mesh.client_context().get(), mesh.server_context().get()).client);
  }
  SECTION("key") {
    mesh.client.validation->certificate_hashes = {wrong};
    mesh.client.validation->spki_hashes = {to_base64(spki_sha256(leaf.get()))};
    REQUIRE(run.handshake(mesh.client_context().get(), mesh.server_context().get()).client);
  }
  SECTION("neither") {
    mesh.client.validation->certificate_hashes = {wrong};
    const Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get());
    REQUIRE(both.client.error == Errc::tls_certificate_rejected);
    REQUIRE(both.client.failure.find("verify cert failed: cert hash and spki") != std::string::npos);
    REQUIRE(run.client_stats.fail_verify_cert_hash.value() == 1);
  }
  SECTION("without a CA") {
    mesh.client.validation->ca_secret.clear();
    mesh.client.validation->certificate_hashes = {to_hex(certificate_sha256(leaf.get()))};
    REQUIRE(run.handshake(mesh.client_context().get(), mesh.server_context().get()).client);
  }
  SECTION("nonsense is refused at configuration") {
    mesh.client.validation->spki_hashes = {"short"};
    REQUIRE(mesh.make(mesh.client, TlsContext::Role::client).error == "Invalid base64-encoded SHA-256 short");
  }
}

TEST_CASE("tls: the host to verify replaces the matchers") {
  Mesh mesh;
  mesh.client.validation->subject_alt_names = {exact("nobody")};
  Run run;
  TlsClientOptions options;
  SECTION("exact") { options.verify_name = "bob.example"; }
  SECTION("wildcard") { options.verify_name = "a.wild.example"; }
  SECTION("address") { options.verify_name = "10.1.2.3"; }
  SECTION("wrong") {
    options.verify_name = "a.b.wild.example";
    const Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get(), options);
    REQUIRE(both.client.error == Errc::tls_san_mismatch);
    REQUIRE(both.client.failure.find("verify SAN list, expected SANs: [a.b.wild.example]") != std::string::npos);
    return;
  }
  REQUIRE(run.handshake(mesh.client_context().get(), mesh.server_context().get(), options).client);
}

TEST_CASE("tls: contexts that cannot be made") {
  Mesh mesh;
  using Role = TlsContext::Role;
  SECTION("secret not there yet") {
    mesh.secrets.erase("server");
    const TlsContext::Made made = mesh.make(mesh.server, Role::server);
    REQUIRE_FALSE(made.context);
    REQUIRE(made.secret_missing);
    REQUIRE(made.error == "secret server is not there");
  }
  SECTION("CA not there yet") {
    mesh.secrets.erase("ROOTCA");
    REQUIRE(mesh.make(mesh.client, Role::client).secret_missing);
  }
  SECTION("CA secret without a CA") {
    mesh.secrets["ROOTCA"]->trusted_ca.clear();
    REQUIRE(mesh.make(mesh.client, Role::client).secret_missing);
  }
  SECTION("key of another certificate") {
    mesh.secrets["server"]->private_key = mesh.secrets["client"]->private_key;
    const TlsContext::Made made = mesh.make(mesh.server, Role::server);
    REQUIRE_FALSE(made.context);
    REQUIRE_FALSE(made.secret_missing);
    REQUIRE(made.error.find("secret server") != std::string::npos);
  }
  SECTION("broken PEM") {
    mesh.secrets["server"]->certificate_chain.resize(200);
    REQUIRE(mesh.make(mesh.server, Role::server).error == "Failed to load certificate chain from secret server");
  }
  SECTION("no key") {
    mesh.secrets["server"]->private_key = "-----BEGIN PRIVATE KEY-----\n";
    REQUIRE(mesh.make(mesh.server, Role::server).error == "Failed to load private key from secret server");
  }
  SECTION("CA bundle that is none") {
    mesh.secrets["ROOTCA"]->trusted_ca = "nothing";
    REQUIRE(mesh.make(mesh.client, Role::client).error == "Failed to load trusted CA certificates from secret ROOTCA");
  }
  SECTION("two certificates of one type") {
    mesh.server.certificate_secrets.push_back("client");
    REQUIRE(mesh.make(mesh.server, Role::server).error.find("at most one certificate of a given type") !=
            std::string::npos);
  }
  SECTION("server without a certificate") {
    mesh.server.certificate_secrets.clear();
    REQUIRE(mesh.make(mesh.server, Role::server).error == "Server TlsCertificates must have a certificate specified");
  }
  SECTION("cipher suites") {
    mesh.server.cipher_suites = {"ECDHE-RSA-AES128-GCM-SHA256", "ROT13"};
    REQUIRE(mesh.make(mesh.server, Role::server).error.find("Failed to initialize cipher suites") == 0);
  }
  SECTION("curves") {
    mesh.server.ecdh_curves = {"X25519", "flat"};
    REQUIRE(mesh.make(mesh.server, Role::server).error.find("Failed to initialize ECDH curves") == 0);
  }
  SECTION("versions") {
    mesh.server.min_version = TlsParams::Version::v1_3;
    mesh.server.max_version = TlsParams::Version::v1_2;
    REQUIRE(mesh.make(mesh.server, Role::server).error == "Invalid TLS protocol versions");
  }
  SECTION("ALPN") {
    mesh.server.alpn = {std::string(256, 'x')};
    REQUIRE(mesh.make(mesh.server, Role::server).error == "Invalid ALPN protocol string");
  }
}

TEST_CASE("tls: without a context the handshake is refused") {
  const Mesh mesh;
  Run run;
  const Both both = run.handshake(mesh.client_context().get(), nullptr);
  REQUIRE(both.server.error == Errc::tls_secret_missing);
  REQUIRE(both.server.failure == "TLS error: Secret is not supplied by SDS");
  REQUIRE((both.client.error == Errc::eof || both.client.error == Errc::connection_reset));
  const Both other = run.handshake(nullptr, mesh.server_context().get());
  REQUIRE(other.client.error == Errc::tls_secret_missing);
}

TEST_CASE("tls: Istio's cipher suites, RSA beside ECDSA") {
  Mesh mesh;
  TestCertificateOptions rsa{"bob", {bob}, {}, {}};
  rsa.rsa = true;
  mesh.put("server-rsa", mesh.ca.issue(rsa));
  mesh.server.certificate_secrets = {"server-rsa", "server"};
  mesh.server.cipher_suites = {
      "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256",
      "ECDHE-RSA-AES128-GCM-SHA256",   "AES256-GCM-SHA384",           "AES128-GCM-SHA256"};
  mesh.client.max_version = TlsParams::Version::v1_2;
  Run run;
  SECTION("ECDSA first") {
    const Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get());
    INFO(both.server.failure);
    REQUIRE(both.server);
    REQUIRE(both.server.transport->tls()->cipher == "ECDHE-ECDSA-AES256-GCM-SHA384");
    REQUIRE(both.server.transport->tls()->local->sha256 ==
            to_hex(certificate_sha256(parse_certificates(mesh.secrets["server"]->certificate_chain)[0].get())));
  }
  SECTION("RSA for those who want it") {
    mesh.client.cipher_suites = {"ECDHE-RSA-AES128-GCM-SHA256"};
    const Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get());
    INFO(both.server.failure);
    REQUIRE(both.server);
    REQUIRE(both.server.transport->tls()->cipher == "ECDHE-RSA-AES128-GCM-SHA256");
    REQUIRE(both.server.transport->tls()->local->sha256 ==
            to_hex(certificate_sha256(parse_certificates(mesh.secrets["server-rsa"]->certificate_chain)[0].get())));
  }
}

TEST_CASE("tls: sessions are resumed, at most as many as configured, and never across contexts") {
  Mesh mesh;
  const auto client = mesh.client_context(), server = mesh.server_context();
  Run run;
  const auto once = [&](const TlsContext* with, const std::string& where) {
    TlsClientOptions options;
    options.session_key = where;
    Both both = run.handshake(client.get(), with, options);
    REQUIRE(both.client);
    REQUIRE(both.server);
    // the ticket comes with the first bytes
    REQUIRE(run.t.run(write_text(*both.server.transport, "x")).has_value());
    Buffer bytes;
    (void)both.client.transport->try_read(bytes, 10);
    REQUIRE(both.server.transport->tls()->peer->uri_sans == std::vector<std::string>{alice});
    REQUIRE(both.client.transport->tls()->resumed == both.server.transport->tls()->resumed);
    return both.server.transport->tls()->resumed;
  };
  REQUIRE_FALSE(once(server.get(), "10.0.0.1:80"));
  REQUIRE(once(server.get(), "10.0.0.1:80"));
  REQUIRE_FALSE(once(server.get(), "10.0.0.2:80"));  // another endpoint
  REQUIRE(run.server_stats.session_reused.value() == 1);
  // a new context (rotated secret, changed names) does not know old tickets
  const auto rotated = mesh.server_context();
  REQUIRE_FALSE(once(rotated.get(), "10.0.0.1:80"));
  SECTION("switched off") {
    mesh.client.max_session_keys = 0;
    const auto none = mesh.client_context();
    for (int i = 0; i < 2; ++i) REQUIRE_FALSE(run.handshake(none.get(), server.get()).client.transport->tls()->resumed);
  }
}

TEST_CASE("tls: client contexts share what they agree in, and no session") {
  Mesh mesh;
  const auto server = mesh.server_context();
  const auto first = mesh.client_context();
  const auto identity = [](const auto& context) { return context->state()->identity.get(); };
  SECTION("names are a context's own") {
    mesh.client.sni = "bob.example";
    mesh.client.alpn = {"istio"};
    mesh.client.validation->subject_alt_names = {exact(alice)};  // the server is bob
    const auto second = mesh.client_context();
    REQUIRE(identity(second) == identity(first));
    Run run;
    Both both = run.handshake(first.get(), server.get());
    REQUIRE(both.client);
    REQUIRE(run.t.run(write_text(*both.server.transport, "x")).has_value());
    Buffer bytes;
    (void)both.client.transport->try_read(bytes, 10);                                           // the ticket
    REQUIRE(run.handshake(second.get(), server.get()).client.error == Errc::tls_san_mismatch);  // not resumed
    REQUIRE(run.handshake(first.get(), server.get()).client.transport->tls()->resumed);
  }
  SECTION("a rotated certificate is another identity") {
    mesh.put("client", mesh.ca.issue({"alice", {alice}, {}, {}}));
    REQUIRE(identity(mesh.client_context()) != identity(first));
  }
  SECTION("so is other trust") {
    const TestCa other;
    mesh.trust("ROOTCA", other.pem());
    const auto second = mesh.client_context();
    REQUIRE(identity(second) != identity(first));
    Run run;
    REQUIRE(run.handshake(second.get(), server.get()).client.error == Errc::tls_certificate_rejected);
  }
  SECTION("a list of revoked certificates, parameters, and how the peer is verified") {
    mesh.client.min_version = TlsParams::Version::v1_3;
    REQUIRE(identity(mesh.client_context()) != identity(first));
    mesh.client.min_version = TlsParams::Version::automatic;
    mesh.client.ecdh_curves = {"P-256"};
    REQUIRE(identity(mesh.client_context()) != identity(first));
    mesh.client.ecdh_curves.clear();
    mesh.client.max_session_keys = 0;
    REQUIRE(identity(mesh.client_context()) != identity(first));
    mesh.client.max_session_keys = 1;
    mesh.client.validation->accept_untrusted = true;
    mesh.client.validation->ca_secret.clear();
    REQUIRE(identity(mesh.client_context()) != identity(first));
    mesh.client.validation.reset();
    REQUIRE(identity(mesh.client_context()) != identity(first));
  }
  SECTION("servers share nothing: a ticket is good wherever its key is") {
    REQUIRE(identity(mesh.server_context()) != identity(server));
  }
}

TEST_CASE("tls: a session whose certificate has expired meanwhile is not resumed into") {
  Mesh mesh;
  TestCertificateOptions shortly{"alice", {alice}, {}, {}};
  shortly.valid_until = seconds(1);
  mesh.put("client", mesh.ca.issue(shortly));
  mesh.server.max_version = TlsParams::Version::v1_3;
  const auto client = mesh.client_context(), server = mesh.server_context();
  Run run;
  {
    Both both = run.handshake(client.get(), server.get());
    REQUIRE(both.server);
    REQUIRE(run.t.run(write_text(*both.server.transport, "x")).has_value());
    Buffer bytes;
    (void)both.client.transport->try_read(bytes, 10);
  }
  const auto until = std::chrono::system_clock::now() + milliseconds(2100);
  while (std::chrono::system_clock::now() < until) {
  }
  const Both again = run.handshake(client.get(), server.get());
  REQUIRE(again.server.error == Errc::tls_certificate_rejected);
}

}  // namespace
}  // namespace clew
