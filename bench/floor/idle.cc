// bench_idle LISTEN [CERT KEY CA]
// The floor under what an idle connection keeps: one thread that answers requests itself, and of a connection has what
// it cannot do without. HTTP/1.1: a descriptor, and an object that names it. With certificates mutual TLS and HTTP/2:
// an SSL that reads and writes buffers of the process, and an nghttp2 session, both with clew's parameters and memory.
#include "bench/load/common.h"
#include "proxy/http/h2_memory.h"
#include "proxy/net/tls_state.h"

#include <openssl/bio.h>
#include <sys/epoll.h>

#include <fstream>
#include <iterator>
#include <string_view>

namespace clew::bench {
namespace {

const std::string body(1024, 'x');

std::string content(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) die(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// ---- TLS: the engine sees these buffers, whatever the connection

std::string_view wire_in;
std::string wire_out;

int bio_read(BIO* bio, char* to, int size) {
  BIO_clear_retry_flags(bio);
  if (wire_in.empty()) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const std::size_t n = wire_in.copy(to, static_cast<std::size_t>(size));
  wire_in.remove_prefix(n);
  return static_cast<int>(n);
}
int bio_write(BIO* bio, const char* from, int size) {
  BIO_clear_retry_flags(bio);
  wire_out.append(from, static_cast<std::size_t>(size));
  return size;
}
long bio_control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO* make_bio() {
  BIO_METHOD* const method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "floor");
  BIO_meth_set_read(method, bio_read);
  BIO_meth_set_write(method, bio_write);
  BIO_meth_set_ctrl(method, bio_control);
  BIO* const bio = BIO_new(method);
  BIO_set_init(bio, 1);
  return bio;
}

std::shared_ptr<const TlsContext> make_context(char** files) {
  TlsParams params;
  params.alpn = {"h2"};
  params.inline_certificates = {{content(files[0]), content(files[1])}};
  params.require_client_certificate = true;
  params.validation.emplace().inline_ca = content(files[2]);
  TlsIdentities identities;
  const auto none = [](std::string_view) { return std::shared_ptr<const Secret>(); };
  const TlsContext::Made made = TlsContext::make(params, TlsContext::Role::server, none, identities);
  if (!made.context) die(made.error.c_str());
  return made.context;
}

// ---- HTTP/2

ssize_t give_body(nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t, std::uint32_t* flags,
                  nghttp2_data_source*, void*) {
  *flags = NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(body.copy(reinterpret_cast<char*>(to), body.size()));
}

nghttp2_nv field(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

/// With the fields of the benchmark's backend: HPACK remembers them.
int answer(nghttp2_session* session, const nghttp2_frame* frame, void*) {
  if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) || frame->hd.type != NGHTTP2_HEADERS) return 0;
  const nghttp2_nv head[] = {field(":status", "200"),
                             field("server", "envoy"),
                             field("date", "Sat, 21 Nov 2026 21:00:00 GMT"),
                             field("content-type", "application/octet-stream"),
                             field("content-length", "1024"),
                             field("last-modified", "Sat, 21 Nov 2026 21:00:00 GMT"),
                             field("etag", "\"6a20c7b0-400\""),
                             field("accept-ranges", "bytes"),
                             field("x-envoy-upstream-service-time", "0")};
  nghttp2_data_provider data{};
  data.read_callback = give_body;
  return nghttp2_submit_response(session, frame->hd.stream_id, head, std::size(head), &data);
}

nghttp2_session* make_session(H2Memory& memory) {
  static nghttp2_session_callbacks* const callbacks = [] {
    nghttp2_session_callbacks* made = nullptr;
    nghttp2_session_callbacks_new(&made);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made, answer);
    return made;
  }();
  static nghttp2_option* const options = [] {
    nghttp2_option* made = nullptr;
    nghttp2_option_new(&made);
    nghttp2_option_set_no_closed_streams(made, 1);
    return made;
  }();
  nghttp2_session* session = nullptr;
  nghttp2_mem hooks = memory.hooks();
  nghttp2_session_server_new3(&session, callbacks, nullptr, options, &hooks);
  memory.made();
  const nghttp2_settings_entry entries[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 256 * 1024},
                                            {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
                                            {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1024}};
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, entries, std::size(entries));
  nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, 1024 * 1024);
  return session;
}

// ---- connections

struct Connection {
  int fd;
};
struct SecureConnection : Connection {
  SSL* ssl;
  nghttp2_session* session;
  H2Memory memory;
};

class Floor {
 public:
  Floor(const sockaddr_in& listen, std::shared_ptr<const TlsContext> context)
      : context_(std::move(context)),
        listener_(listen_on(listen)),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        chunk_(65536) {
    watch(listener_, nullptr);
    if (!context_) return;
    bio_ = make_bio();
    handshake_.context = context_->state().get();
  }

  [[noreturn]] void run() {
    for (epoll_event event{};;) {
      if (::epoll_wait(epoll_, &event, 1, -1) != 1) continue;
      if (auto* connection = static_cast<Connection*>(event.data.ptr))
        serve(*connection);
      else
        accept();
    }
  }

 private:
  void watch(int fd, Connection* connection) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = connection;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
  }

  void accept() {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    no_delay(fd);
    if (!context_) return watch(fd, new Connection{fd});
    SSL* const ssl = SSL_new(context_->state()->identity->ctx.get());
    SSL_set_ex_data(ssl, handshake_state_index(), &handshake_);
    SSL_set_accept_state(ssl);
    BIO_up_ref(bio_);
    SSL_set_bio(ssl, bio_, bio_);
#ifdef OPENSSL_IS_AWSLC
    SSL_set_shed_handshake_config(ssl, 1);
#endif
    watch(fd, new SecureConnection{{fd}, ssl, nullptr, {}});
  }

  void serve(Connection& connection) {
    const ssize_t n = ::recv(connection.fd, chunk_.data(), chunk_.size(), 0);
    const std::string_view in(chunk_.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
    const bool more = n > 0 && (context_ ? serve_secure(static_cast<SecureConnection&>(connection), in)
                                         : send(connection.fd, plain_answer_));
    if (!more) ::close(connection.fd);  // its object stays: the program ends soon
  }

  bool serve_secure(SecureConnection& connection, std::string_view in) {
    wire_in = in;
    const bool alive = SSL_do_handshake(connection.ssl) != 1 || serve_streams(connection);
    const bool sent = send(connection.fd, wire_out);
    wire_out.clear();
    return alive && sent;
  }

  static bool serve_streams(SecureConnection& connection) {
    if (!connection.session) connection.session = make_session(connection.memory);
    std::uint8_t plain[16384];
    for (int n; (n = SSL_read(connection.ssl, plain, sizeof(plain))) > 0;)
      if (nghttp2_session_mem_recv(connection.session, plain, static_cast<std::size_t>(n)) < 0) return false;
    const std::uint8_t* frame = nullptr;
    for (ssize_t n; (n = nghttp2_session_mem_send(connection.session, &frame)) > 0;)
      if (SSL_write(connection.ssl, frame, static_cast<int>(n)) <= 0) return false;
    connection.memory.rest();
    return true;
  }

  static bool send(int fd, std::string_view bytes) {
    return bytes.empty() || ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size());
  }

  const std::shared_ptr<const TlsContext> context_;  // null: HTTP/1.1
  const int listener_, epoll_;
  std::vector<char> chunk_;
  const std::string plain_answer_ =
      "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  BIO* bio_ = nullptr;
  TlsHandshakeState handshake_;
};

}  // namespace
}  // namespace clew::bench

int main(int argc, char** argv) {
  using namespace clew::bench;
  if (argc != 2 && argc != 5) {
    std::fprintf(stderr, "usage: bench_idle LISTEN [CERT KEY CA]\n");
    return 2;
  }
  Floor(parse_address(argv[1]), argc == 5 ? make_context(argv + 2) : nullptr).run();
}
