#include "filters/network/metadata_exchange.h"

#include "proxy/base/log.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace clew {
namespace {

constexpr std::size_t max_message = 64 * 1024;

class PeerExchangeTransport final : public Transport {
 public:
  PeerExchangeTransport(std::unique_ptr<Transport> inner, std::string_view hello, OnPeerMetadata on_peer)
      : inner_(std::move(inner)), on_peer_(std::move(on_peer)) {
    hello_.append(hello);
  }

  Result<std::size_t> try_read(Buffer& into, std::size_t max) override {
    // A side that only listens says hello too.
    if (const Result<void> said = say_hello(); !said && said.error().code != Errc::would_block) return said.error();
    if (state_ != State::through)
      if (const Result<void> read = read_peer(); !read) return read.error();
    if (held_.empty()) return inner_->try_read(into, max);
    const std::size_t n = std::min(max, held_.size());
    into.append(held_, n);
    return n;
  }

  Result<std::size_t> try_write(Buffer& from) override {
    if (const Result<void> said = say_hello(); !said) return said.error();
    return inner_->try_write(from);
  }

  void end_follows() override { inner_->end_follows(); }
  Task<Result<void>> readable() override {
    if (state_ == State::through && !held_.empty()) co_return Result<void>();
    co_return co_await inner_->readable();
  }
  Task<Result<void>> writable() override { return inner_->writable(); }
  Result<void> shutdown_write() override {
    if (const Result<void> said = say_hello(); !said) return said;
    return inner_->shutdown_write();
  }
  void close(Errc cause, bool reset) noexcept override { inner_->close(cause, reset); }
  const TlsInfo* tls() const override { return inner_->tls(); }
  std::uint64_t wire_bytes_read() const override { return inner_->wire_bytes_read(); }
  std::uint64_t wire_bytes_written() const override { return inner_->wire_bytes_written(); }
  void count_into(ByteCounters& counters) override { inner_->count_into(counters); }

 private:
  enum class State : std::uint8_t { head, message, through };

  Result<void> say_hello() {
    while (!hello_.empty())
      if (const Result<std::size_t> n = inner_->try_write(hello_); !n) return n.error();
    return {};
  }

  /// Reads the peer's hello and no byte more, so that what follows needs no second way.
  Result<void> read_peer() {
    while (state_ != State::through) {
      const std::size_t wanted = state_ == State::head ? peer_exchange_head : length_;
      if (held_.size() < wanted) {
        const Result<std::size_t> n = inner_->try_read(held_, wanted - held_.size());
        if (n) continue;
        if (n.error().code != Errc::eof || held_.empty() || state_ == State::message) return n.error();
        state_ = State::through;  // shorter than any hello: bytes
        return {};
      }
      if (state_ == State::message)
        take_message();
      else if (const Result<void> head = take_head(); !head)
        return head;
    }
    return {};
  }

  Result<void> take_head() {
    const std::string_view head = held_.pull_up(peer_exchange_head);
    if (std::memcmp(head.data(), peer_exchange_magic, sizeof peer_exchange_magic) != 0) {
      CLEW_LOG(filter, debug, "istio-peer-exchange was negotiated, but the peer does not speak it");
      state_ = State::through;
      return {};
    }
    length_ = 0;
    for (std::size_t i = 4; i < peer_exchange_head; ++i) length_ = length_ << 8 | static_cast<unsigned char>(head[i]);
    if (length_ > max_message) {
      CLEW_LOG(filter, warning, "peer metadata of {} bytes: the bound is {}", length_, max_message);
      inner_->close(Errc::out_of_memory_bound);
      return Error{Errc::out_of_memory_bound};
    }
    held_.consume(peer_exchange_head);
    state_ = State::message;
    return {};
  }

  void take_message() {
    std::string message = held_.to_string();
    held_.clear();
    state_ = State::through;
    if (auto peer = parse_peer_exchange(message)) {
      if (on_peer_) on_peer_(std::move(peer));
    } else {
      CLEW_LOG(filter, debug, "peer metadata that is none");
    }
  }

  const std::unique_ptr<Transport> inner_;
  const OnPeerMetadata on_peer_;
  Buffer hello_;  // what is unsent of ours
  Buffer held_;   // of the peer's hello, or bytes that turned out to be none
  std::size_t length_ = 0;
  State state_ = State::head;
};

class TcpMetadataExchange final : public NetworkFilter {
 public:
  TcpMetadataExchange(const std::string& protocol, const std::string& hello) : protocol_(protocol), hello_(hello) {}

  std::unique_ptr<Transport> wrap(std::unique_ptr<Transport> downstream, ConnectionInfo& connection) override {
    const TlsInfo* tls = downstream->tls();
    if (!tls || tls->alpn != protocol_) return downstream;
    return make_peer_exchange_transport(
        std::move(downstream), hello_,
        [&connection](std::shared_ptr<const PeerWorkload> peer) { connection.exchanged_peer = std::move(peer); });
  }

 private:
  const std::string& protocol_;
  const std::string& hello_;
};

class Factory final : public NetworkFilterFactory {
 public:
  Factory(std::string protocol, const PeerMetadata& self)
      : protocol_(std::move(protocol)), hello_(peer_exchange_hello(self)) {}
  std::unique_ptr<NetworkFilter> make() const override {
    return std::make_unique<TcpMetadataExchange>(protocol_, hello_);
  }

 private:
  const std::string protocol_, hello_;
};

}  // namespace

std::shared_ptr<const NetworkFilterFactory> make_tcp_metadata_exchange(std::string protocol, const PeerMetadata& self) {
  return std::make_shared<Factory>(std::move(protocol), self);
}

std::unique_ptr<Transport> wrap_upstream_metadata_exchange(std::unique_ptr<Transport> upstream,
                                                           OnPeerMetadata on_peer) {
  const TlsInfo* tls = upstream->tls();
  if (!tls || tls->alpn != peer_exchange_alpn) return upstream;
  static const std::string hello = peer_exchange_hello(local_peer());  // the node is known before the first connection
  return make_peer_exchange_transport(std::move(upstream), hello, std::move(on_peer));
}

std::unique_ptr<Transport> make_peer_exchange_transport(std::unique_ptr<Transport> inner, std::string_view hello,
                                                        OnPeerMetadata on_peer) {
  return std::make_unique<PeerExchangeTransport>(std::move(inner), hello, std::move(on_peer));
}

}  // namespace clew
