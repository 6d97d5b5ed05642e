#include "proxy/init/netlink.h"

#include <ifaddrs.h>
#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

namespace clew {

namespace {

constexpr std::array<std::uint8_t, 16> passthrough_v6{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6};

/// A request in the kernel's layout: header, body, attributes.
class Message {
 public:
  template <class Body>
  Message(int type, int flags, const Body& body) {
    header_.nlmsg_type = static_cast<std::uint16_t>(type);
    header_.nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST);
    append(&header_, sizeof header_);
    append(&body, sizeof body);
  }
  void attribute(int type, const void* data, std::size_t size) {
    rtattr head{};
    head.rta_type = static_cast<std::uint16_t>(type);
    head.rta_len = static_cast<std::uint16_t>(RTA_LENGTH(size));
    append(&head, sizeof head);
    append(data, size);
  }
  void attribute(int type, std::uint32_t value) { attribute(type, &value, sizeof value); }
  std::string_view finish() {
    header_.nlmsg_len = static_cast<std::uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &header_, sizeof header_);
    return bytes_;
  }

 private:
  void append(const void* data, std::size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
    bytes_.resize((bytes_.size() + 3) / 4 * 4, '\0');
  }
  nlmsghdr header_{};
  std::string bytes_;
};

class Socket {
 public:
  Socket() : fd_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  /// Sends, and calls `use` with each answer until the last; the errno of the end.
  template <class F>
  int ask(std::string_view request, F use) {
    if (fd_ < 0 || send(fd_, request.data(), request.size(), 0) < 0) return errno;
    alignas(nlmsghdr) std::array<char, 65536> buffer;
    for (;;) {
      const ssize_t got = recv(fd_, buffer.data(), buffer.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return got < 0 ? errno : EIO;
      auto left = static_cast<std::size_t>(got);
      for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(message, left);
           message = NLMSG_NEXT(message, left)) {
        if (message->nlmsg_type == NLMSG_DONE) return 0;
        if (message->nlmsg_type == NLMSG_ERROR) return -static_cast<nlmsgerr*>(NLMSG_DATA(message))->error;
        use(*message);
      }
    }
  }

 private:
  int fd_;
};

std::uint8_t family_number(Family family) { return family == Family::v6 ? AF_INET6 : AF_INET; }

Message rule_message(const RouteFact& fact, int type, int flags) {
  fib_rule_hdr body{};
  body.family = family_number(fact.family);
  body.action = FR_ACT_TO_TBL;
  body.table = fact.table < 256 ? static_cast<std::uint8_t>(fact.table) : static_cast<std::uint8_t>(RT_TABLE_UNSPEC);
  Message out(type, flags, body);
  out.attribute(FRA_FWMARK, fact.mark);
  out.attribute(FRA_FWMASK, 0xffffffff);
  out.attribute(FRA_TABLE, fact.table);
  return out;
}

Message route_message(const RouteFact& fact, int type, int flags) {
  rtmsg body{};
  body.rtm_family = family_number(fact.family);
  body.rtm_table =
      fact.table < 256 ? static_cast<std::uint8_t>(fact.table) : static_cast<std::uint8_t>(RT_TABLE_UNSPEC);
  body.rtm_protocol = RTPROT_BOOT;
  body.rtm_scope = RT_SCOPE_HOST;
  body.rtm_type = RTN_LOCAL;
  Message out(type, flags, body);
  out.attribute(RTA_TABLE, fact.table);
  out.attribute(RTA_OIF, if_nametoindex("lo"));
  return out;
}

Message address_message(int type, int flags) {
  ifaddrmsg body{};
  body.ifa_family = AF_INET6;
  body.ifa_prefixlen = 128;
  body.ifa_index = if_nametoindex("lo");
  Message out(type, flags, body);
  out.attribute(IFA_LOCAL, passthrough_v6.data(), passthrough_v6.size());
  out.attribute(IFA_ADDRESS, passthrough_v6.data(), passthrough_v6.size());
  return out;
}

int change(const RouteFact& fact, bool add) {
  const int flags = NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_EXCL : 0);
  const auto request = [&] {
    switch (fact.kind) {
      case RouteFact::Kind::rule: return rule_message(fact, add ? RTM_NEWRULE : RTM_DELRULE, flags);
      case RouteFact::Kind::local_default: return route_message(fact, add ? RTM_NEWROUTE : RTM_DELROUTE, flags);
      default: return address_message(add ? RTM_NEWADDR : RTM_DELADDR, flags);
    }
  };
  Message message = request();
  return Socket().ask(message.finish(), [](const nlmsghdr&) {});
}

/// The attribute as a number, if it is there.
template <class Body>
std::optional<std::uint32_t> attribute_of(const nlmsghdr& message, int type) {
  const auto* attribute =
      reinterpret_cast<const rtattr*>(static_cast<const char*>(NLMSG_DATA(&message)) + NLMSG_ALIGN(sizeof(Body)));
  auto left = static_cast<int>(message.nlmsg_len - NLMSG_SPACE(sizeof(Body)));
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
    if (attribute->rta_type != type || RTA_PAYLOAD(attribute) < sizeof(std::uint32_t)) continue;
    std::uint32_t value = 0;
    std::memcpy(&value, RTA_DATA(attribute), sizeof value);
    return value;
  }
  return {};
}

bool is_rule(const nlmsghdr& message, const RouteFact& fact) {
  return message.nlmsg_type == RTM_NEWRULE && attribute_of<fib_rule_hdr>(message, FRA_FWMARK) == fact.mark &&
         attribute_of<fib_rule_hdr>(message, FRA_TABLE) == fact.table;
}

bool is_local_default(const nlmsghdr& message, const RouteFact& fact) {
  const auto& body = *static_cast<const rtmsg*>(NLMSG_DATA(&message));
  return message.nlmsg_type == RTM_NEWROUTE && body.rtm_type == RTN_LOCAL && body.rtm_dst_len == 0 &&
         attribute_of<rtmsg>(message, RTA_TABLE) == fact.table &&
         attribute_of<rtmsg>(message, RTA_OIF) == if_nametoindex("lo");
}

}  // namespace

std::vector<RouteFact> route_facts(const InitConfig& config) {
  std::vector<RouteFact> out;
  if (config.ipv6) out.push_back({RouteFact::Kind::loopback_address, Family::v6, 0, 0});
  if (!config.tproxy || !config.captures_inbound()) return out;
  for (Family family : {Family::v4, Family::v6}) {
    if (family == Family::v6 && !config.ipv6) continue;
    out.push_back({RouteFact::Kind::rule, family, config.mark, config.route_table});
    out.push_back({RouteFact::Kind::local_default, family, config.mark, config.route_table});
  }
  return out;
}

std::string to_string(const RouteFact& fact) {
  const std::string ip = fact.family == Family::v6 ? "ip -6 " : "ip ";
  switch (fact.kind) {
    case RouteFact::Kind::rule:
      return ip + "rule add fwmark " + std::to_string(fact.mark) + " lookup " + std::to_string(fact.table);
    case RouteFact::Kind::local_default:
      return ip + "route add local default dev lo table " + std::to_string(fact.table);
    case RouteFact::Kind::loopback_address: return "ip -6 addr add ::6/128 dev lo";
  }
  return {};
}

int add_fact(const RouteFact& fact) {
  // The kernel takes a second rule that differs from the first in nothing but its own choice of priority.
  if (fact.kind == RouteFact::Kind::rule && holds_fact(fact)) return EEXIST;
  return change(fact, true);
}

int remove_fact(const RouteFact& fact) { return change(fact, false); }

bool holds_fact(const RouteFact& fact) {
  if (fact.kind == RouteFact::Kind::loopback_address) {
    const IpAddress wanted = IpAddress::v6(passthrough_v6);
    for (const auto& ip : interface_addresses())
      if (ip == wanted) return true;
    return false;
  }
  bool found = false;
  if (fact.kind == RouteFact::Kind::rule) {
    fib_rule_hdr body{};
    body.family = family_number(fact.family);
    Message request(RTM_GETRULE, NLM_F_DUMP, body);
    Socket().ask(request.finish(), [&](const nlmsghdr& message) { found = found || is_rule(message, fact); });
  } else {
    rtmsg body{};
    body.rtm_family = family_number(fact.family);
    Message request(RTM_GETROUTE, NLM_F_DUMP, body);
    Socket().ask(request.finish(), [&](const nlmsghdr& message) { found = found || is_local_default(message, fact); });
  }
  return found;
}

std::vector<IpAddress> interface_addresses() {
  std::vector<IpAddress> out;
  ifaddrs* first = nullptr;
  if (getifaddrs(&first) != 0) return out;
  for (const ifaddrs* entry = first; entry; entry = entry->ifa_next) {
    if (!entry->ifa_addr || (entry->ifa_addr->sa_family != AF_INET && entry->ifa_addr->sa_family != AF_INET6)) continue;
    const auto size = entry->ifa_addr->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    out.push_back(Address::from_sockaddr(entry->ifa_addr, size).ip());
  }
  freeifaddrs(first);
  return out;
}

}  // namespace clew
