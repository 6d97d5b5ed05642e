// The ClientHello parser: the answer does not depend on how the bytes arrive, and where the TLS engine also makes
// something of them, both read the same names.
#include "proxy/net/sniff.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "client_hello: %s\n", what);
  std::abort();
}

/// What the engine saw: the contents of the two extensions; nothing when it did not get that far.
struct Seen {
  std::string server_name, alpn;
};
std::optional<Seen> seen;

#ifdef OPENSSL_IS_AWSLC
ssl_select_cert_result_t look(const SSL_CLIENT_HELLO* hello) {
  seen.emplace();
  const std::uint8_t* data = nullptr;
  std::size_t size = 0;
  if (SSL_early_callback_ctx_extension_get(hello, 0, &data, &size))
    seen->server_name.assign(reinterpret_cast<const char*>(data), size);
  if (SSL_early_callback_ctx_extension_get(hello, 16, &data, &size))
    seen->alpn.assign(reinterpret_cast<const char*>(data), size);
  return ssl_select_cert_error;
}
#else
int look(SSL* ssl, int*, void*) {
  seen.emplace();
  const unsigned char* data = nullptr;
  std::size_t size = 0;
  if (SSL_client_hello_get0_ext(ssl, 0, &data, &size))
    seen->server_name.assign(reinterpret_cast<const char*>(data), size);
  if (SSL_client_hello_get0_ext(ssl, 16, &data, &size)) seen->alpn.assign(reinterpret_cast<const char*>(data), size);
  return SSL_CLIENT_HELLO_ERROR;
}
#endif

SSL_CTX* context() {
  static SSL_CTX* const ctx = [] {
    SSL_CTX* made = SSL_CTX_new(TLS_server_method());
#ifdef OPENSSL_IS_AWSLC
    SSL_CTX_set_select_certificate_cb(made, look);
#else
    SSL_CTX_set_client_hello_cb(made, look, nullptr);
#endif
    return made;
  }();
  return ctx;
}

std::optional<Seen> ask_engine(std::string_view bytes) {
  seen.reset();
  SSL* ssl = SSL_new(context());
  BIO* in = BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()));
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, in, out);
  SSL_accept(ssl);
  SSL_free(ssl);
  ERR_clear_error();
  return seen;
}

std::string server_name_extension(const clew::ClientHello& hello) {
  if (hello.server_name.empty()) return {};
  const auto u16 = [](std::size_t n) { return std::string{static_cast<char>(n >> 8), static_cast<char>(n & 255)}; };
  const std::size_t n = hello.server_name.size();
  return u16(n + 3) + std::string(1, '\0') + u16(n) + hello.server_name;
}

std::string alpn_extension(const clew::ClientHello& hello) {
  std::string list;
  for (const std::string& name : hello.alpn) (list += static_cast<char>(name.size())) += name;
  if (list.empty()) return {};
  return std::string{static_cast<char>(list.size() >> 8), static_cast<char>(list.size() & 255)} + list;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using clew::Sniffed;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  clew::ClientHello whole;
  const Sniffed answer = clew::sniff_client_hello(bytes, whole);

  const std::size_t step = std::max<std::size_t>(1, size / 128);
  bool decided = false;
  for (std::size_t n = 0; n < size; n += step) {
    clew::ClientHello part;
    const Sniffed cut = clew::sniff_client_hello(bytes.substr(0, n), part);
    if (cut == Sniffed::need_more) {
      require(!decided, "more bytes took an answer back");
      continue;
    }
    decided = true;
    require(cut == answer, "more bytes changed the answer");
    require(part.server_name == whole.server_name && part.alpn == whole.alpn, "more bytes changed what was found");
  }

  if (answer != Sniffed::found) return 0;
  const std::optional<Seen> engine = ask_engine(bytes);
  if (!engine) return 0;
  require(engine->server_name == server_name_extension(whole), "the engine reads another server name");
  require(engine->alpn == alpn_extension(whole), "the engine reads other protocols");
  return 0;
}
