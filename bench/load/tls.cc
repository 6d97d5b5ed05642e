// TLS 1.3 clients with a certificate.
//   bench_tls churn PORT CERT KEY CA THREADS SECONDS full|resumed   handshake, GET /direct, close, again
//   bench_tls hold PORT CERT KEY CA CONNECTIONS                     CONNECTIONS mutual-TLS HTTP/2 connections with one
//   request
//                                                                   each, held until stdin ends
// A handshake counts when an answer has come, so the server has judged the client's certificate. Prints JSON.
#include "bench/load/common.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <atomic>
#include <mutex>
#include <thread>

namespace clew::bench {
namespace {

[[noreturn]] void die_tls(const char* what) {
  char text[200];
  ERR_error_string_n(ERR_get_error(), text, sizeof(text));
  std::fprintf(stderr, "%s: %s\n", what, text);
  std::exit(1);
}

/// A context of one thread; keeps the newest session where `resume`.
struct Client {
  Client(char** files, bool resume, const char* protocol) {
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set1_groups_list(context, "X25519");
    if (SSL_CTX_use_certificate_file(context, files[0], SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, files[1], SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_load_verify_locations(context, files[2], nullptr) != 1)
      die_tls("certificates");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
    const std::string alpn = std::string(1, static_cast<char>(std::strlen(protocol))) + protocol;
    SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(alpn.data()),
                            static_cast<unsigned>(alpn.size()));
    if (!resume) return;
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_ex_data(context, 0, this);
    SSL_CTX_sess_set_new_cb(context, [](SSL* ssl, SSL_SESSION* fresh) {
      auto* self = static_cast<Client*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), 0));
      SSL_SESSION_free(self->session);
      self->session = fresh;
      return 1;
    });
  }

  SSL* connect(const sockaddr_in& address) {
    const int fd = connect_to(address);
    SSL* ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    SSL_set_tlsext_host_name(ssl, "localhost");
    if (session) SSL_set_session(ssl, session);
    if (SSL_connect(ssl) != 1) die_tls("handshake");
    return ssl;
  }

  static void close(SSL* ssl) {
    const int fd = SSL_get_fd(ssl);
    SSL_free(ssl);
    ::close(fd);
  }

  SSL_CTX* context;
  SSL_SESSION* session = nullptr;
};

void request(SSL* ssl, const std::string& bytes, const char* expected) {
  char answer[4096];
  if (SSL_write(ssl, bytes.data(), static_cast<int>(bytes.size())) <= 0) die_tls("write");
  const int n = SSL_read(ssl, answer, sizeof(answer));
  if (n <= 0) die_tls("read");
  if (expected && std::strncmp(answer, expected, std::strlen(expected)) != 0) {
    std::fprintf(stderr, "answer: %.60s\n", answer);
    std::exit(1);
  }
}

void churn(const sockaddr_in& address, char** files, int threads, double seconds, bool resume) {
  std::atomic<std::uint64_t> done{0}, resumed{0};
  std::mutex mutex;
  Latencies latencies;
  const std::int64_t start = now_ns(), end = start + static_cast<std::int64_t>(seconds * 1e9);
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t)
    all.emplace_back([&] {
      Client client(files, resume, "http/1.1");
      if (resume) {  // the first gives the session
        SSL* ssl = client.connect(address);
        request(ssl, "GET /direct HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200");
        Client::close(ssl);
      }
      while (now_ns() < end) {
        const std::int64_t began = now_ns();
        SSL* ssl = client.connect(address);
        request(ssl, "GET /direct HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200");
        resumed += static_cast<unsigned>(SSL_session_reused(ssl));
        Client::close(ssl);
        ++done;
        const std::lock_guard lock(mutex);
        latencies.add(now_ns() - began);
      }
    });
  for (auto& thread : all) thread.join();
  std::printf("{\"completed\": %llu, \"resumed\": %llu, \"seconds\": %.3f, %s}\n",
              static_cast<unsigned long long>(done), static_cast<unsigned long long>(resumed),
              static_cast<double>(now_ns() - start) / 1e9, latencies.json().c_str());
}

/// All that comes until DATA with END_STREAM; the server's SETTINGS are acknowledged on the way.
void read_answer(SSL* ssl) {
  std::string in;
  for (bool ended = false, acknowledged = false; !ended;) {
    char chunk[8192];
    const int n = SSL_read(ssl, chunk, sizeof(chunk));
    if (n <= 0) die_tls("read");
    in.append(chunk, static_cast<std::size_t>(n));
    while (in.size() >= 9) {
      const auto byte = [&](std::size_t k) { return static_cast<unsigned char>(in[k]); };
      const std::size_t size = byte(0) << 16 | byte(1) << 8 | byte(2);
      if (in.size() < 9 + size) break;
      if (byte(3) == 4 && !(byte(4) & 1) && !acknowledged) {
        acknowledged = true;
        if (SSL_write(ssl, "\0\0\0\4\1\0\0\0\0", 9) <= 0) die_tls("write");
      }
      if (byte(3) == 3 || byte(3) == 7) {
        std::fprintf(stderr, "the server refused a stream or connection\n");
        std::exit(1);
      }
      if (byte(3) == 0 && (byte(4) & 1)) ended = true;
      in.erase(0, 9 + size);
    }
  }
}

void hold(const sockaddr_in& address, char** files, std::size_t connections) {
  Client client(files, false, "h2");
  // Preface, empty SETTINGS, HEADERS on stream 1 with END_STREAM and END_HEADERS: GET, https, /body, authority "b".
  const std::string block(
      "\x82\x87\x04\x05/body\x41\x01"
      "b",
      12);
  const std::string bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string("\0\0\0\4\0\0\0\0\0", 9) +
                            std::string("\0\0", 2) + static_cast<char>(block.size()) + std::string("\1\5\0\0\0\1", 6) +
                            block;
  std::vector<SSL*> held;
  for (std::size_t i = 0; i < connections; ++i) {
    held.push_back(client.connect(address));
    if (SSL_write(held.back(), bytes.data(), static_cast<int>(bytes.size())) <= 0) die_tls("write");
    read_answer(held.back());
  }
  std::printf("{\"completed\": %zu}\n", held.size());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
}

}  // namespace
}  // namespace clew::bench

int main(int argc, char** argv) {
  using namespace clew::bench;
  const std::string mode = argc > 6 ? argv[1] : "";
  if (mode == "churn" && argc == 9)
    churn(parse_address(argv[2]), argv + 3, std::stoi(argv[6]), std::stod(argv[7]), std::string(argv[8]) == "resumed");
  else if (mode == "hold" && argc == 7)
    hold(parse_address(argv[2]), argv + 3, std::stoul(argv[6]));
  else {
    std::fprintf(
        stderr,
        "usage: bench_tls churn PORT CERT KEY CA THREADS SECONDS full|resumed | hold PORT CERT KEY CA CONNECTIONS\n");
    return 2;
  }
}
