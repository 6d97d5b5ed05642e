#include "proxy/net/tls_transport.h"

#include "proxy/net/tls_failure.h"
#include "proxy/net/tls_state.h"

#include <openssl/bio.h>
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace clew {

namespace {

constexpr std::size_t max_record = 16 * 1024;
constexpr std::size_t max_batch = 4 * max_record;  // plain bytes that one system call takes along
constexpr std::size_t max_unsent = 64 * 1024;      // answers to a peer that does not read (KeyUpdate)
constexpr std::size_t read_size = 64 * 1024;

/// What the engine's BIO reads and writes.
struct Wires {
  Buffer in, out;
};

int bio_read(BIO* bio, char* to, int size) {
  auto& wires = *static_cast<Wires*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (wires.in.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::string_view piece = wires.in.front().substr(0, static_cast<std::size_t>(size));
  std::memcpy(to, piece.data(), piece.size());
  const int n = static_cast<int>(piece.size());
  wires.in.consume(piece.size());
  return n;
}

int bio_write(BIO* bio, const char* from, int size) {
  BIO_clear_retry_flags(bio);
  static_cast<Wires*>(BIO_get_data(bio))->out.append({from, static_cast<std::size_t>(size)});
  return size;
}

long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* bio_method() {
  static const BIO_METHOD* method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "clew");
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_ctrl(made, bio_control);
    return made;
  }();
  return method;
}

class TlsTransport final : public Transport {
 public:
  TlsTransport(std::unique_ptr<Transport> below, std::shared_ptr<TlsContext::State> state, Buffer initial);
  ~TlsTransport() override { close(Errc::canceled); }

  /// Goes on with the handshake as far as it gets: would_block, or what ended it. what() is filled then.
  Result<void> step();
  Task<Result<void>> handshake();
  void finish_info(bool server);
  bool expired_on_resumption() const;
  SSL* ssl() { return ssl_.get(); }
  TlsHandshakeState& handshake_state() { return *handshake_; }
  void forget_handshake_state();
  std::string what;

  Result<std::size_t> try_read(Buffer& into, std::size_t max) override;
  Result<std::size_t> try_write(Buffer& from) override;
  void end_follows() override { below_->end_follows(); }
  Task<Result<void>> readable() override;
  Task<Result<void>> writable() override { return below_->writable(); }
  Result<void> shutdown_write() override;
  void close(Errc cause, bool reset = false) noexcept override;
  const TlsInfo* tls() const override { return info_.get(); }
  std::uint64_t wire_bytes_read() const override { return below_->wire_bytes_read(); }
  std::uint64_t wire_bytes_written() const override { return below_->wire_bytes_written(); }
  void count_into(ByteCounters& counters) override { counters_ = &counters; }

 private:
  Result<void> flush();
  Error broken(int result);
  void encrypt(const Buffer& from, std::size_t& taken, std::optional<Error>& error);
  Result<std::size_t> decrypt(Buffer& into, std::size_t max);

  std::unique_ptr<Transport> below_;
  std::shared_ptr<TlsContext::State> state_;
  Wires wires_;
  std::unique_ptr<TlsHandshakeState> handshake_ = std::make_unique<TlsHandshakeState>();  // null: not needed any more
  SslPtr ssl_;  // after what its callbacks use
  std::shared_ptr<TlsInfo> info_ = make_recycled<TlsInfo>();
  std::optional<Errc> cause_;
  std::optional<Errc> read_end_;
  bool established_ = false, close_notify_sent_ = false;
  /// Plain bytes at the front of what try_write was given whose records wait in wires_.out.
  std::size_t under_way_ = 0;
  ByteCounters* counters_ = nullptr;
};

TlsTransport::TlsTransport(std::unique_ptr<Transport> below, std::shared_ptr<TlsContext::State> state, Buffer initial)
    : below_(std::move(below)), state_(std::move(state)), ssl_(SSL_new(state_->identity->ctx.get())) {
  wires_.in = std::move(initial);
  handshake_->context = state_.get();
  BIO* bio = BIO_new(bio_method());
  BIO_set_data(bio, &wires_);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_ex_data(ssl_.get(), handshake_state_index(), handshake_.get());
#ifdef OPENSSL_IS_AWSLC
  // With several certificates the one that was used is only known to the configuration.
  SSL_set_shed_handshake_config(ssl_.get(), state_->identity->own.size() <= 1);
#endif
}

/// Sends what the engine has produced. would_block: some of it waits.
Result<void> TlsTransport::flush() {
  while (!wires_.out.empty()) {
    const Result<std::size_t> sent = below_->try_write(wires_.out);
    if (!sent) return sent.error();
  }
  return Result<void>();
}

/// Any result of the engine that is not progress and not a wish to read.
Error TlsTransport::broken(int result) {
  const int kind = SSL_get_error(ssl_.get(), result);
  if (kind == SSL_ERROR_ZERO_RETURN) return Error{Errc::eof};
  what = tls_failure_text(handshake_ ? handshake_->detail : std::string_view());
  return Error{Errc::tls_protocol};
}

Result<void> TlsTransport::step() {
  for (;;) {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    const int kind = result == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), result);
    if (kind == SSL_ERROR_NONE) {
      established_ = true;
      return flush();
    }
    if (kind != SSL_ERROR_WANT_READ) {
      const Error error = broken(result);
      (void)flush();  // the alert
      return error;
    }
    const Result<void> sent = flush();
    if (!sent) return sent.error();
    const Result<std::size_t> got = below_->try_read(wires_.in, read_size);
    if (!got) return got.error();
  }
}

Task<Result<void>> TlsTransport::handshake() {
  for (;;) {
    const Result<void> progress = step();
    if (progress) co_return progress;
    if (progress.error().code != Errc::would_block) co_return progress;
    Result<void> ready = Error{Errc::internal};
    if (wires_.out.empty())
      ready = co_await below_->readable();
    else
      ready = co_await below_->writable();
    if (!ready) co_return ready;
  }
}

/// Of the key agreement; null when there was none (a resumed TLS 1.2 session).
const char* curve_name(SSL* ssl) {
#ifdef OPENSSL_IS_AWSLC
  return SSL_get_curve_name(SSL_get_curve_id(ssl));
#else
  const int group = static_cast<int>(SSL_get_negotiated_group(ssl));
  return group == NID_undef ? nullptr : SSL_group_to_name(ssl, group);
#endif
}

void TlsTransport::finish_info(bool server) {
  SSL* ssl = ssl_.get();
  info_->version = SSL_get_version(ssl);
  if (const SSL_CIPHER* cipher = SSL_get_current_cipher(ssl)) info_->cipher = SSL_CIPHER_get_name(cipher);
  const unsigned char* alpn = nullptr;
  unsigned alpn_size = 0;
  SSL_get0_alpn_selected(ssl, &alpn, &alpn_size);
  if (alpn) info_->alpn.assign(reinterpret_cast<const char*>(alpn), alpn_size);
  if (const char* sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) info_->sni = sni;
  info_->resumed = SSL_session_reused(ssl) == 1;
  if (const SSL_SESSION* session = SSL_get_session(ssl)) {
    unsigned size = 0;
    const unsigned char* id = SSL_SESSION_get_id(session, &size);
    static constexpr char digits[] = "0123456789abcdef";
    for (unsigned i = 0; i < size; ++i) (info_->session_id += digits[id[i] >> 4]) += digits[id[i] & 15];
  }
  info_->peer = describe_peer(peer_certificates(ssl));
  const TlsIdentity& us = *state_->identity;
  if (us.own.size() == 1)
    info_->local = us.own.front();
  else if (const EVP_PKEY* used = SSL_get_privatekey(ssl)) {
    for (std::size_t i = 0; i < us.own.size(); ++i)
      if (X509_check_private_key(us.own_leaves[i].get(), used) == 1) info_->local = us.own[i];
    ERR_clear_error();
  }
  if (!server && info_->sni.empty()) info_->sni = state_->sni;
  if (const char* const curve = curve_name(ssl)) info_->group = curve;
}

/// A client's callbacks still need it: its tickets come later.
void TlsTransport::forget_handshake_state() {
  SSL_set_ex_data(ssl_.get(), handshake_state_index(), nullptr);
  handshake_.reset();
}

/// A ticket does not outlive the certificate that it stands for.
bool TlsTransport::expired_on_resumption() const {
  if (SSL_session_reused(ssl_.get()) != 1 || !state_->identity->verifies || state_->accept_untrusted) return false;
  const std::vector<std::string> chain = peer_certificates(ssl_.get());
  if (chain.empty()) return false;
  const X509Ptr leaf = parse_der(chain.front());
  return !leaf || X509_cmp_current_time(X509_get0_notAfter(leaf.get())) < 0;
}

/// Decrypts what has arrived: how much, would_block when the engine needs more, or the end.
Result<std::size_t> TlsTransport::decrypt(Buffer& into, std::size_t max) {
  std::size_t total = 0;
  while (total < max) {
    std::span<char> room = into.prepare(std::min(max - total, std::size_t{2048}));
    room = room.first(std::min(room.size(), max - total));
    ERR_clear_error();
    const int n = SSL_read(ssl_.get(), room.data(), static_cast<int>(room.size()));
    into.commit(n > 0 ? static_cast<std::size_t>(n) : 0);
    if (n > 0) {
      total += static_cast<std::size_t>(n);
      if (wires_.in.empty() && SSL_pending(ssl_.get()) == 0) break;
      continue;
    }
    if (SSL_get_error(ssl_.get(), n) == SSL_ERROR_WANT_READ) break;
    read_end_ = broken(n).code;
    break;
  }
  if (total == 0) return Error{read_end_.value_or(Errc::would_block)};
  if (counters_) counters_->read.add(total);
  return total;
}

Result<std::size_t> TlsTransport::try_read(Buffer& into, std::size_t max) {
  if (cause_) return Error{*cause_};
  if (read_end_) return Error{*read_end_};
  if (max == 0) return std::size_t{0};
  for (;;) {
    const Result<std::size_t> n = decrypt(into, max);
    if (!wires_.out.empty()) {
      // The engine answered something (KeyUpdate, an alert).
      (void)flush();
      if (wires_.out.size() > max_batch + max_unsent) read_end_ = Errc::tls_protocol;
    }
    if (n || n.error().code != Errc::would_block) return n;
    const Result<std::size_t> got = below_->try_read(wires_.in, read_size);
    if (got) continue;
    if (got.error().code != Errc::eof) return got.error();
    // Without close_notify: the end all the same, as for Envoy, unless it cuts a record in two.
    read_end_ = SSL_has_pending(ssl_.get()) ? Errc::tls_protocol : Errc::eof;
    return Error{*read_end_};
  }
}

Task<Result<void>> at_once(Result<void> result) { co_return result; }

/// No frame of its own where it waits.
Task<Result<void>> TlsTransport::readable() {
  if (cause_) return at_once(Error{*cause_});
  if (read_end_ || !wires_.in.empty() || SSL_pending(ssl_.get()) > 0) return at_once({});
  return below_->readable();
}

/// Turns up to max_batch bytes at the front into records; small slices are gathered.
void TlsTransport::encrypt(const Buffer& from, std::size_t& taken, std::optional<Error>& error) {
  std::array<iovec, 64> slices;
  const std::size_t count = from.peek(slices);
  thread_local std::array<char, max_record> gathered;
  std::size_t at = 0, offset = 0;  // slice, and where in it
  while (at < count && taken < max_batch) {
    const char* data = static_cast<const char*>(slices[at].iov_base) + offset;
    std::size_t size = std::min(slices[at].iov_len - offset, max_record);
    if (size == slices[at].iov_len - offset && size < max_record && at + 1 < count) {
      size = 0;
      while (at < count && size < max_record) {
        const std::size_t part = std::min(slices[at].iov_len - offset, max_record - size);
        std::memcpy(gathered.data() + size, static_cast<const char*>(slices[at].iov_base) + offset, part);
        size += part;
        offset += part;
        if (offset == slices[at].iov_len) ++at, offset = 0;
      }
      data = gathered.data();
    } else {
      offset += size;
      if (offset == slices[at].iov_len) ++at, offset = 0;
    }
    ERR_clear_error();
    const int n = SSL_write(ssl_.get(), data, static_cast<int>(size));
    if (n != static_cast<int>(size)) {
      error = broken(n);
      return;
    }
    taken += size;
  }
}

Result<std::size_t> TlsTransport::try_write(Buffer& from) {
  if (cause_) return Error{*cause_};
  if (close_notify_sent_) return Error{Errc::internal};
  std::size_t total = 0;
  for (;;) {
    const Result<void> sent = flush();
    if (!sent) {
      if (sent.error().code == Errc::would_block && total > 0) return total;
      return sent.error();
    }
    if (under_way_ > 0) {
      if (from.size() < under_way_) return Error{Errc::internal};
      from.consume(under_way_);
      if (counters_) counters_->written.add(under_way_);
      total += std::exchange(under_way_, 0);
    }
    if (from.empty()) return total;
    std::optional<Error> error;
    encrypt(from, under_way_, error);
    if (error) {
      close(error->code);
      return *error;
    }
  }
}

Result<void> TlsTransport::shutdown_write() {
  if (cause_) return Error{*cause_};
  if (!std::exchange(close_notify_sent_, true)) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
  }
  const Result<void> sent = flush();
  if (!sent) return sent;
  return below_->shutdown_write();
}

void TlsTransport::close(Errc cause, bool reset) noexcept {
  if (cause_) return;
  cause_ = cause;
  const bool intact = !read_end_ || *read_end_ == Errc::eof;
  if (established_ && !reset && intact && !close_notify_sent_) {
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    (void)flush();  // if the socket has room: nobody waits for it
  }
  ERR_clear_error();
  below_->close(cause, reset);
}

void count(TlsStats* stats, const TlsHandshake& done, const TlsHandshakeState& handshake, bool no_certificate) {
  if (!stats) return;
  using Refusal = TlsHandshakeState::Refusal;
  if (done) {
    stats->handshake.add();
    if (done.transport->tls()->resumed) stats->session_reused.add();
    if (!done.transport->tls()->peer) stats->no_certificate.add();
    ++stats->versions[done.transport->tls()->version];
    ++stats->ciphers[done.transport->tls()->cipher];
    if (!done.transport->tls()->group.empty()) ++stats->curves[done.transport->tls()->group];
  } else if (handshake.refusal == Refusal::san) {
    stats->fail_verify_san.add();
  } else if (handshake.refusal == Refusal::hash) {
    stats->fail_verify_cert_hash.add();
  } else if (handshake.refusal == Refusal::chain || done.error == Errc::tls_certificate_rejected) {
    (no_certificate ? stats->fail_verify_no_cert : stats->fail_verify_error).add();
  } else if (done.error == Errc::tls_handshake_failed) {
    stats->connection_error.add();
  }
}

Task<TlsHandshake> run(Worker& worker, std::unique_ptr<TlsTransport> transport, bool server, Duration timeout,
                       TlsStats* stats) {
  Timer timer(worker.timers(), [&transport] { transport->close(Errc::handshake_timeout); });
  if (timeout > Duration::zero()) timer.arm(timeout);
  const Result<void> ended = co_await transport->handshake();
  timer.cancel();

  using Refusal = TlsHandshakeState::Refusal;
  TlsHandshakeState& state = transport->handshake_state();
  TlsHandshake out;
  out.failure = std::move(transport->what);
  bool no_certificate = false;
  if (ended && transport->expired_on_resumption()) {
    state.refusal = Refusal::chain;
    out.failure = "TLS_error:|resumed session: certificate has expired:TLS_error_end";
    out.error = Errc::tls_certificate_rejected;
  } else if (ended) {
    transport->finish_info(server);
    out.transport = std::move(transport);
  } else if (state.refusal != Refusal::none) {
    out.error = state.refusal == Refusal::san ? Errc::tls_san_mismatch : Errc::tls_certificate_rejected;
  } else if (ended.error().code == Errc::tls_protocol) {
    no_certificate = out.failure.find("PEER_DID_NOT_RETURN_A_CERTIFICATE") != std::string::npos;
    out.error = no_certificate ? Errc::tls_certificate_rejected : Errc::tls_handshake_failed;
  } else {
    out.error = ended.error().code;
  }
  count(stats, out, state, no_certificate);
  if (transport) transport->close(out.error);
  if (server && out) static_cast<TlsTransport&>(*out.transport).forget_handshake_state();
  co_return out;
}

TlsHandshake refused(Transport& below, Errc error, std::string failure) {
  below.close(error);
  TlsHandshake out;
  out.error = error;
  out.failure = std::move(failure);
  return out;
}

/// A server name is a DNS name: an address would be refused by some peers (RFC 6066 3).
bool is_address(const std::string& name) { return IpAddress::parse(name).has_value(); }

}  // namespace

std::vector<std::string> peer_certificates(const SSL* ssl) {
  std::vector<std::string> out;
#ifdef OPENSSL_IS_AWSLC
  for (const CRYPTO_BUFFER* one : SSL_get0_peer_certificates(ssl))
    out.emplace_back(reinterpret_cast<const char*>(CRYPTO_BUFFER_data(one)), CRYPTO_BUFFER_len(one));
#else
  const auto add = [&out](X509* certificate) {
    unsigned char* der = nullptr;
    const int size = i2d_X509(certificate, &der);
    if (size < 0) return;
    out.emplace_back(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
  };
  const X509Ptr leaf(SSL_get1_peer_certificate(ssl));
  if (!leaf) return out;
  add(leaf.get());
  const STACK_OF(X509)* const chain = SSL_get_peer_cert_chain(ssl);
  for (int i = SSL_is_server(ssl) ? 0 : 1; i < sk_X509_num(chain); ++i)  // a server's has no leaf
    add(sk_X509_value(chain, i));
#endif
  return out;
}

void TlsStats::collect(StatSink& sink, std::string_view prefix) const {
  const auto one = [&](std::string_view name, const Counter& counter) {
    sink.counter(std::string(prefix).append(name), counter.value());
  };
  one("connection_error", connection_error);
  one("handshake", handshake);
  one("session_reused", session_reused);
  one("no_certificate", no_certificate);
  one("fail_verify_no_cert", fail_verify_no_cert);
  one("fail_verify_error", fail_verify_error);
  one("fail_verify_san", fail_verify_san);
  one("fail_verify_cert_hash", fail_verify_cert_hash);
  for (const auto& [name, n] : versions) sink.counter(std::string(prefix).append("versions.").append(name), n);
  for (const auto& [name, n] : ciphers) sink.counter(std::string(prefix).append("ciphers.").append(name), n);
  for (const auto& [name, n] : curves) sink.counter(std::string(prefix).append("curves.").append(name), n);
}

Task<TlsHandshake> tls_client(Worker& worker, std::unique_ptr<Transport> below, const TlsContext* context,
                              TlsClientOptions options) {
  if (!context) co_return refused(*below, Errc::tls_secret_missing, "TLS error: Secret is not supplied by SDS");
  if (context->role() != TlsContext::Role::client) co_return refused(*below, Errc::internal, {});
  auto transport = std::make_unique<TlsTransport>(std::move(below), context->state(), Buffer());
  const TlsContext::State& state = *context->state();
  SSL* ssl = transport->ssl();
  SSL_set_connect_state(ssl);
  if (options.sni.empty()) options.sni = state.sni;
  if (options.sni.size() > 255) co_return refused(*transport, Errc::tls_handshake_failed, "TLS error: SNI is too long");
  if (!options.sni.empty() && !is_address(options.sni)) SSL_set_tlsext_host_name(ssl, options.sni.c_str());
  const std::string alpn = options.alpn ? alpn_wire(*options.alpn) : state.alpn_wire;
  if (!alpn.empty())
    SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(alpn.data()), static_cast<unsigned>(alpn.size()));
  TlsHandshakeState& handshake = transport->handshake_state();
  handshake.verify_name = options.verify_name;
  if (state.sessions->enabled()) {
    for (const std::string_view part : {std::string_view(options.session_key), std::string_view(options.sni),
                                        std::string_view(options.verify_name), std::string_view(alpn)})
      handshake.session_key.append(part).append(1, '\0');
    const SslSessionPtr session = state.sessions->take(handshake.session_key);
    if (session) SSL_set_session(ssl, session.get());
  }
  co_return co_await run(worker, std::move(transport), false, options.timeout, options.stats);
}

Task<TlsHandshake> tls_server(Worker& worker, std::unique_ptr<Transport> below, const TlsContext* context,
                              Buffer initial, TlsServerOptions options) {
  if (!context) co_return refused(*below, Errc::tls_secret_missing, "TLS error: Secret is not supplied by SDS");
  if (context->role() != TlsContext::Role::server) co_return refused(*below, Errc::internal, {});
  auto transport = std::make_unique<TlsTransport>(std::move(below), context->state(), std::move(initial));
  SSL_set_accept_state(transport->ssl());
  co_return co_await run(worker, std::move(transport), true, options.timeout, options.stats);
}

}  // namespace clew
