// Where bytes come from and go to: an IP address with port, or a unix socket path. A plain value.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

struct sockaddr;
struct sockaddr_storage;

namespace clew {

/// An IPv4 or IPv6 address, network byte order. IPv4-mapped IPv6 is kept as IPv4.
class IpAddress {
 public:
  IpAddress() = default;
  static IpAddress v4(std::uint32_t host_order);
  static IpAddress v6(const std::array<std::uint8_t, 16>& bytes);
  /// Text form, no brackets, no zone. Nothing on bad input.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_v4() const { return v4_; }
  bool is_loopback() const;
  bool is_unspecified() const;
  /// RFC 1918, loopback, and fc00::/7: what Envoy calls internal by default.
  bool is_private() const;
  /// 4 or 16 bytes.
  std::string_view bytes() const { return {reinterpret_cast<const char*>(bytes_.data()), v4_ ? 4u : 16u}; }
  std::string to_string() const;
  void append_to(std::string& out) const;

  friend bool operator==(const IpAddress&, const IpAddress&) = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
  bool v4_ = true;
};

/// A block of addresses; prefix is 0..32 or 0..128.
struct Cidr {
  IpAddress base;
  std::uint8_t prefix = 0;
  bool contains(const IpAddress& address) const;
  static std::optional<Cidr> parse(std::string_view text);
  friend bool operator==(const Cidr&, const Cidr&) = default;
};

/// IP and port, or a pipe (unix socket) when path is set.
class Address {
 public:
  Address() = default;
  Address(IpAddress ip, std::uint16_t port) : ip_(ip), port_(port) {}
  static Address pipe(std::string path);
  /// From what accept, getsockname or SO_ORIGINAL_DST gave.
  static Address from_sockaddr(const sockaddr* address, std::size_t length);

  bool is_pipe() const { return path_ != nullptr; }
  const IpAddress& ip() const { return ip_; }
  std::uint16_t port() const { return port_; }
  Address with_port(std::uint16_t port) const { return {ip_, port}; }
  std::string_view path() const { return path_ ? std::string_view(*path_) : std::string_view(); }
  /// Fills storage and returns the length; pipe paths longer than sun_path give 0.
  std::size_t to_sockaddr(sockaddr_storage& storage) const;
  /// «1.2.3.4:80», «[::1]:80», or the path: as Envoy prints addresses.
  std::string to_string() const;
  void append_to(std::string& out) const;

  friend bool operator==(const Address& a, const Address& b) {
    return a.port_ == b.port_ && a.ip_ == b.ip_ && a.path() == b.path();
  }
  std::size_t hash() const noexcept;

 private:
  IpAddress ip_;
  std::uint16_t port_ = 0;
  std::shared_ptr<const std::string> path_;
};

}  // namespace clew

template <>
struct std::hash<clew::Address> {
  std::size_t operator()(const clew::Address& a) const noexcept { return a.hash(); }
};
