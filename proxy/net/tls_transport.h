// TLS over any Transport: the engine works on our buffers and never sees a socket.
#pragma once

#include "proxy/base/strings.h"
#include "proxy/net/tls_context.h"
#include "proxy/net/transport.h"
#include "proxy/net/worker.h"
#include "proxy/stats/stats.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace clew {

/// One context's handshakes on one worker, Envoy's «….ssl.*».
struct TlsStats {
  Counter connection_error, handshake, session_reused, no_certificate, fail_verify_no_cert, fail_verify_error,
      fail_verify_san, fail_verify_cert_hash;
  StringMap<std::uint64_t> versions, ciphers, curves;  // read on the worker's thread only
  /// prefix ends with a dot: «listener.0.0.0.0_15006.ssl.».
  void collect(StatSink& sink, std::string_view prefix) const;
};

struct TlsClientOptions {
  std::string sni;  // empty: the context's
  /// To offer instead of the context's (istio.alpn, auto_config); null: the context's. Outlives the call only.
  const std::vector<std::string>* alpn = nullptr;
  /// The host that a SAN must name, instead of the configured matchers (auto_san_validation); empty: the matchers.
  std::string verify_name;
  /// Where sessions are good: the endpoint's address. They are kept by this and by sni, verify_name and ALPN.
  std::string session_key;
  Duration timeout{0};  // 0: none
  TlsStats* stats = nullptr;
};

struct TlsServerOptions {
  Duration timeout{0};  // 0: none
  TlsStats* stats = nullptr;
};

struct TlsHandshake {
  std::unique_ptr<Transport> transport;  // null: error says why, and the one below is closed
  /// tls_secret_missing, handshake_timeout, tls_certificate_rejected, tls_san_mismatch, tls_handshake_failed, eof,
  /// connection_reset, …
  Errc error = Errc::ok;
  /// As Envoy words it: «TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:…:TLS_error_end».
  /// May be empty.
  std::string failure;
  explicit operator bool() const { return transport != nullptr; }
};

/// context: null while a secret is missing: refused. It may go away during the handshake.
Task<TlsHandshake> tls_client(Worker& worker, std::unique_ptr<Transport> below, const TlsContext* context,
                              TlsClientOptions options);
/// initial: what was read from below already (the ClientHello that was looked at).
Task<TlsHandshake> tls_server(Worker& worker, std::unique_ptr<Transport> below, const TlsContext* context,
                              Buffer initial, TlsServerOptions options);

}  // namespace clew
