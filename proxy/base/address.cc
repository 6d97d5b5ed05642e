#include "proxy/base/address.h"

#include "proxy/base/strings.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <charconv>
#include <cstddef>
#include <cstring>
#include <iterator>

namespace clew {

namespace {

constexpr std::array<std::uint8_t, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool same_prefix(std::string_view a, std::string_view b, unsigned bits) {
  const std::size_t whole = bits / 8;
  if (std::memcmp(a.data(), b.data(), whole) != 0) return false;
  const unsigned rest = bits % 8;
  if (rest == 0) return true;
  const auto mask = static_cast<std::uint8_t>(0xff << (8 - rest));
  return ((static_cast<std::uint8_t>(a[whole]) ^ static_cast<std::uint8_t>(b[whole])) & mask) == 0;
}

}  // namespace

IpAddress IpAddress::v4(std::uint32_t host_order) {
  IpAddress out;
  for (unsigned i = 0; i < 4; ++i) out.bytes_[i] = static_cast<std::uint8_t>(host_order >> (24 - 8 * i));
  return out;
}

IpAddress IpAddress::v6(const std::array<std::uint8_t, 16>& bytes) {
  IpAddress out;
  if (std::memcmp(bytes.data(), mapped_prefix.data(), mapped_prefix.size()) == 0) {
    std::memcpy(out.bytes_.data(), bytes.data() + 12, 4);
    return out;
  }
  out.bytes_ = bytes;
  out.v4_ = false;
  return out;
}

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  char terminated[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof terminated || text.find('\0') != text.npos) return {};
  std::memcpy(terminated, text.data(), text.size());
  terminated[text.size()] = '\0';
  in_addr four;
  if (inet_pton(AF_INET, terminated, &four) == 1) return v4(ntohl(four.s_addr));
  std::array<std::uint8_t, 16> six;
  if (inet_pton(AF_INET6, terminated, six.data()) == 1) return v6(six);
  return {};
}

bool IpAddress::is_loopback() const {
  if (v4_) return bytes_[0] == 127;
  std::array<std::uint8_t, 16> one{};
  one[15] = 1;
  return bytes_ == one;
}

bool IpAddress::is_unspecified() const { return bytes_ == std::array<std::uint8_t, 16>{}; }

bool IpAddress::is_private() const {
  if (is_loopback()) return true;
  if (!v4_) return (bytes_[0] & 0xfe) == 0xfc;
  return bytes_[0] == 10 || (bytes_[0] == 172 && (bytes_[1] & 0xf0) == 16) || (bytes_[0] == 192 && bytes_[1] == 168);
}

void IpAddress::append_to(std::string& out) const {
  char text[INET6_ADDRSTRLEN];
  if (v4_) {
    char* at = text;
    for (int i = 0; i < 4; ++i) {
      if (i) *at++ = '.';
      at = std::to_chars(at, std::end(text), bytes_[static_cast<std::size_t>(i)]).ptr;
    }
    out.append(text, at);
  } else {
    out += inet_ntop(AF_INET6, bytes_.data(), text, sizeof text);
  }
}

std::string IpAddress::to_string() const {
  std::string out;
  append_to(out);
  return out;
}

bool Cidr::contains(const IpAddress& address) const {
  if (address.is_v4() != base.is_v4()) return false;
  const unsigned width = base.is_v4() ? 32 : 128;
  return prefix <= width && same_prefix(address.bytes(), base.bytes(), prefix);
}

std::optional<Cidr> Cidr::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == text.npos) return {};
  const auto base = IpAddress::parse(text.substr(0, slash));
  auto prefix = parse_uint(text.substr(slash + 1));
  if (!base || !prefix) return {};
  if (base->is_v4() && text.substr(0, slash).find(':') != text.npos) {  // IPv4-mapped, which we keep as IPv4
    if (*prefix < 96) return {};
    *prefix -= 96;
  }
  if (*prefix > (base->is_v4() ? 32u : 128u)) return {};
  return Cidr{*base, static_cast<std::uint8_t>(*prefix)};
}

Address Address::pipe(std::string path) {
  Address out;
  out.path_ = std::make_shared<const std::string>(std::move(path));
  return out;
}

Address Address::from_sockaddr(const sockaddr* address, std::size_t length) {
  if (length < sizeof address->sa_family) return {};
  if (address->sa_family == AF_INET && length >= sizeof(sockaddr_in)) {
    sockaddr_in in;
    std::memcpy(&in, address, sizeof in);
    return {IpAddress::v4(ntohl(in.sin_addr.s_addr)), ntohs(in.sin_port)};
  }
  if (address->sa_family == AF_INET6 && length >= sizeof(sockaddr_in6)) {
    sockaddr_in6 in;
    std::memcpy(&in, address, sizeof in);
    std::array<std::uint8_t, 16> bytes;
    std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
    return {IpAddress::v6(bytes), ntohs(in.sin6_port)};
  }
  if (address->sa_family == AF_UNIX && length >= offsetof(sockaddr_un, sun_path)) {
    const char* begin = reinterpret_cast<const char*>(address) + offsetof(sockaddr_un, sun_path);
    std::string path(begin, length - offsetof(sockaddr_un, sun_path));
    if (path.empty()) return pipe({});  // a peer that did not bind
    if (path[0] == '\0') {
      path[0] = '@';  // abstract name: every byte counts
    } else {
      path.resize(std::strlen(path.c_str()));
    }
    return pipe(std::move(path));
  }
  return {};
}

std::size_t Address::to_sockaddr(sockaddr_storage& storage) const {
  std::memset(&storage, 0, sizeof storage);
  if (path_) {
    auto& un = reinterpret_cast<sockaddr_un&>(storage);
    if (path_->empty() || path_->size() >= sizeof un.sun_path) return 0;
    un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path, path_->data(), path_->size());
    const bool abstract_name = path_->front() == '@';
    if (abstract_name) un.sun_path[0] = '\0';
    return offsetof(sockaddr_un, sun_path) + path_->size() + (abstract_name ? 0 : 1);
  }
  if (ip_.is_v4()) {
    auto& in = reinterpret_cast<sockaddr_in&>(storage);
    in.sin_family = AF_INET;
    in.sin_port = htons(port_);
    std::memcpy(&in.sin_addr, ip_.bytes().data(), 4);
    return sizeof in;
  }
  auto& in = reinterpret_cast<sockaddr_in6&>(storage);
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port_);
  std::memcpy(&in.sin6_addr, ip_.bytes().data(), 16);
  return sizeof in;
}

void Address::append_to(std::string& out) const {
  if (path_) {
    out += *path_;
    return;
  }
  if (!ip_.is_v4()) out += '[';
  ip_.append_to(out);
  if (!ip_.is_v4()) out += ']';
  char digits[6];
  out += ':';
  out.append(digits, std::to_chars(digits, std::end(digits), port_).ptr);
}

std::string Address::to_string() const {
  std::string out;
  append_to(out);
  return out;
}

std::size_t Address::hash() const noexcept {
  const std::size_t h = std::hash<std::string_view>{}(path_ ? path() : ip_.bytes());
  return h ^ (port_ * 0x9e3779b97f4a7c15u);
}

}  // namespace clew
