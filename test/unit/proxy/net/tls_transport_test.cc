#include "test/unit/proxy/net/tls_kit.h"

namespace clew {
namespace {

TEST_CASE("tls: handshake timeout") {
  const Mesh mesh;
  TestWorker t;
  auto [below_client, below_server] = MemoryTransport::make();
  const auto server = mesh.server_context();
  TlsServerOptions options;
  options.timeout = seconds(15);
  auto started = t.start(tls_server(t.worker, std::move(below_server), server.get(), Buffer(), options));
  below_client->send("\x16\x03\x01");
  t.advance(milliseconds(14900));
  REQUIRE_FALSE(started.done());
  t.advance(milliseconds(200));
  REQUIRE(started.done());
  REQUIRE(started.get().error == Errc::handshake_timeout);
  REQUIRE(below_client->at_end());
}

TEST_CASE("tls: plain text, garbage and an early end at the handshake") {
  const Mesh mesh;
  Run run;
  auto [below_client, below_server] = MemoryTransport::make();
  const auto server = mesh.server_context();
  TlsServerOptions options;
  options.stats = &run.server_stats;
  Buffer initial;
  SECTION("plain HTTP") {
    initial.append("GET / HTTP/1.1\r\n\r\n");
    const TlsHandshake done =
        run.t.run(tls_server(run.t.worker, std::move(below_server), server.get(), std::move(initial), options));
    REQUIRE(done.error == Errc::tls_handshake_failed);
    REQUIRE(done.failure.find("HTTP_REQUEST") != std::string::npos);
    REQUIRE(run.server_stats.connection_error.value() == 1);
  }
  SECTION("garbage") {
    initial.append(std::string(1000, '\xff'));
    REQUIRE(
        run.t.run(tls_server(run.t.worker, std::move(below_server), server.get(), std::move(initial), options)).error ==
        Errc::tls_handshake_failed);
  }
  SECTION("end") {
    below_client->send("\x16\x03");
    below_client->close(Errc::ok);
    REQUIRE(run.t.run(tls_server(run.t.worker, std::move(below_server), server.get(), Buffer(), options)).error ==
            Errc::eof);
  }
}

/// A server whose peer is a test's hand: records can be cut.
struct Wire {
  Run run;
  Mesh mesh;
  std::unique_ptr<MemoryTransport> to_client, to_server;  // the test's ends
  TlsHandshake client, server;

  Wire() {
    auto [a, a_far] = MemoryTransport::make();
    auto [b, b_far] = MemoryTransport::make();
    const auto client_context = mesh.client_context(), server_context = mesh.server_context();
    to_client = std::move(a_far);
    to_server = std::move(b_far);
    auto client_started = run.t.start(tls_client(run.t.worker, std::move(a), client_context.get(), {}));
    auto server_started = run.t.start(tls_server(run.t.worker, std::move(b), server_context.get(), Buffer(), {}));
    for (int i = 0; i < 10 && !(client_started.done() && server_started.done()); ++i) pass();
    client = client_started.get();
    server = server_started.get();
    REQUIRE(client);
    REQUIRE(server);
  }
  void pass() {
    to_server->send(to_client->receive());
    to_client->send(to_server->receive());
    run.t.poll();
  }
};

/// An engine by hand, whose every byte a test moves.
struct RawClient {
  RawClient() : context(SSL_CTX_new(TLS_method())), ssl(SSL_new(context)) {
    SSL_set_connect_state(ssl);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  }
  ~RawClient() {
    SSL_free(ssl);
    SSL_CTX_free(context);
  }
  void send(MemoryTransport& wire) const {
    char bytes[16 * 1024];
    for (int n; (n = BIO_read(SSL_get_wbio(ssl), bytes, sizeof(bytes))) > 0;)
      wire.send({bytes, static_cast<std::size_t>(n)});
  }
  void receive(MemoryTransport& wire) const {
    const std::string bytes = wire.receive();
    BIO_write(SSL_get_rbio(ssl), bytes.data(), static_cast<int>(bytes.size()));
  }
  SSL_CTX* context;
  SSL* ssl;
};

TEST_CASE("tls: answers to a peer that asks for many and reads none are few") {
  Mesh mesh;
  mesh.server.require_client_certificate = false;
  TestWorker t;
  auto [hand, below_server] = MemoryTransport::make(5000);
  const auto context = mesh.server_context();
  const RawClient client;
  auto started = t.start(tls_server(t.worker, std::move(below_server), context.get(), Buffer(), {}));
  for (int i = 0; i < 10 && !(SSL_do_handshake(client.ssl) == 1 && started.done()); ++i) {
    client.send(*hand);
    t.poll();
    client.receive(*hand);
  }
  client.send(*hand);
  t.poll();
  REQUIRE(started.done());
  const TlsHandshake server = started.get();
  REQUIRE(server);
  REQUIRE(server.transport->tls()->version == "TLSv1.3");
  hand->receive();
  // Each asks for one in return; data between them is what an engine calls progress.
  Buffer got;
  std::optional<Errc> ended;
  for (int i = 0; i < 10'000 && !ended; ++i) {
    REQUIRE(SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED) == 1);
    REQUIRE(SSL_write(client.ssl, "x", 1) == 1);
    client.send(*hand);
    for (;;) {
      const Result<std::size_t> n = server.transport->try_read(got, 1000);
      if (n) continue;
      if (n.error().code != Errc::would_block) ended = n.error().code;
      break;
    }
  }
  if (!ended) REQUIRE(got.size() == 10'000);
  // What was held for it, all of it now.
  std::size_t answers = 0;
  for (int i = 0; i < 100; ++i) {
    Buffer nothing;
    (void)server.transport->try_write(nothing);
    answers += hand->receive().size();
  }
  REQUIRE(answers <= 128 * 1024);
}

TEST_CASE("tls: an end without close_notify is an end, a cut record is not") {
  Wire wire;
  Buffer bytes;
  bytes.append("hello");
  REQUIRE(wire.client.transport->try_write(bytes).value() == 5);
  const std::string record = wire.to_client->receive();
  std::string got;
  SECTION("between records") {
    wire.to_server->send(record);
    wire.to_server->shutdown_write();
    REQUIRE(wire.run.t.run(read_to_end(*wire.server.transport, got)) == Errc::eof);
    REQUIRE(got == "hello");
  }
  SECTION("inside one") {
    wire.to_server->send(record.substr(0, record.size() - 1));
    wire.to_server->shutdown_write();
    REQUIRE(wire.run.t.run(read_to_end(*wire.server.transport, got)) == Errc::tls_protocol);
    REQUIRE(got.empty());
  }
  SECTION("tampered") {
    std::string bad = record;
    bad.back() = static_cast<char>(bad.back() ^ 1);
    wire.to_server->send(bad);
    REQUIRE(wire.run.t.run(read_to_end(*wire.server.transport, got)) == Errc::tls_protocol);
    REQUIRE(got.empty());
  }
}

TEST_CASE("tls: small slices share a record, and a record waits for its peer with its bytes") {
  Run run;
  const Mesh mesh;
  Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get());
  Transport& client = *both.client.transport;
  const std::uint64_t before = client.wire_bytes_written();
  Buffer bytes;
  for (int i = 0; i < 50; ++i) {
    Buffer piece;
    piece.append("0123456789");
    bytes.append(std::move(piece));
  }
  REQUIRE(client.try_write(bytes).value() == 500);
  REQUIRE(client.wire_bytes_written() - before < 500 + 2 * 30);  // not a record for each

  // a peer that does not read: bytes are only given up when they have left
  bytes.append(std::string(30000, 'x'));
  Result<std::size_t> n = client.try_write(bytes);
  REQUIRE(n.error().code == Errc::would_block);
  REQUIRE(bytes.size() == 30000);
  std::string got;
  auto reading = run.t.start(read_to_end(*both.server.transport, got));
  bytes.append("and more");
  REQUIRE(run.t.run(write_all(client, bytes)).has_value());
  client.close(Errc::ok);
  run.t.poll();
  REQUIRE(reading.get() == Errc::eof);
  REQUIRE(got.size() == 500 + 30000 + 8);
  REQUIRE(got.substr(got.size() - 8) == "and more");
}

TEST_CASE("tls: readable returns at once when decrypted bytes wait") {
  Run run;
  const Mesh mesh;
  Both both = run.handshake(mesh.client_context().get(), mesh.server_context().get());
  REQUIRE(run.t.run(write_text(*both.client.transport, "abcdef")).has_value());
  Buffer bytes;
  REQUIRE(run.t.run(both.server.transport->readable()).has_value());
  REQUIRE(both.server.transport->try_read(bytes, 2).value() == 2);
  REQUIRE(run.t.run(both.server.transport->readable()).has_value());
  REQUIRE(both.server.transport->try_read(bytes, 100).value() == 4);
  REQUIRE(bytes.to_string() == "abcdef");
  REQUIRE(both.server.transport->try_read(bytes, 100).error().code == Errc::would_block);
}

}  // namespace
}  // namespace clew
