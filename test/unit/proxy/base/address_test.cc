#include "proxy/base/address.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <catch2/catch.hpp>
#include <cstring>

using namespace clew;

TEST_CASE("text that is no address is refused") {
  const char* text = GENERATE("", "1.2.3", "1.2.3.256", "01.2.3.4x", "[::1]", "::1%lo", "1.2.3.4 ", "host",
                              "1:2:3:4:5:6:7:8:9", "0000:0000:0000:0000:0000:ffff:255.255.255.2550");
  CHECK_FALSE(IpAddress::parse(text));
  CHECK_FALSE(IpAddress::parse(std::string_view("1.2.3.4\0", 8)));
}

TEST_CASE("addresses are parsed and printed in their canonical form") {
  CHECK(IpAddress::parse("10.0.0.1")->to_string() == "10.0.0.1");
  CHECK(IpAddress::parse("2001:DB8:0:0::1")->to_string() == "2001:db8::1");
  CHECK(IpAddress::parse("::ffff:1.2.3.4") == IpAddress::v4(0x01020304));
  CHECK(IpAddress::parse("::ffff:1.2.3.4")->is_v4());
}

TEST_CASE("kinds of addresses") {
  CHECK(IpAddress::parse("127.8.9.1")->is_loopback());
  CHECK(IpAddress::parse("::1")->is_loopback());
  CHECK_FALSE(IpAddress::parse("::2")->is_loopback());
  CHECK(IpAddress::parse("0.0.0.0")->is_unspecified());
  CHECK(IpAddress::parse("::")->is_unspecified());
  for (const char* text :
       {"10.1.1.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "fd00::1", "fc00::", "::1"})
    CHECK(IpAddress::parse(text)->is_private());
  for (const char* text : {"11.1.1.1", "172.15.0.1", "172.32.0.1", "192.169.1.1", "fe80::1", "2001::1"})
    CHECK_FALSE(IpAddress::parse(text)->is_private());
}

TEST_CASE("blocks") {
  for (const char* text :
       {"", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/8x", "::ffff:1.2.3.4/95"})
    CHECK_FALSE(Cidr::parse(text));
  const auto in = [](const char* block, const char* ip) { return Cidr::parse(block)->contains(*IpAddress::parse(ip)); };
  CHECK(in("10.0.0.0/8", "10.255.0.1"));
  CHECK_FALSE(in("10.0.0.0/8", "11.0.0.0"));
  CHECK(in("10.1.2.3/31", "10.1.2.2"));
  CHECK_FALSE(in("10.1.2.3/31", "10.1.2.4"));
  CHECK(in("0.0.0.0/0", "255.255.255.255"));
  CHECK_FALSE(in("0.0.0.0/0", "::1"));
  CHECK(in("::/0", "fe80::1"));
  CHECK_FALSE(in("::/0", "1.2.3.4"));
  CHECK(in("2001:db8::/33", "2001:db8:7fff::1"));
  CHECK_FALSE(in("2001:db8::/33", "2001:db8:8000::1"));
  CHECK(in("::ffff:10.0.0.0/104", "10.1.1.1"));
  CHECK_FALSE(Cidr{IpAddress::v4(0), 200}.contains(IpAddress::v4(0)));
}

TEST_CASE("socket addresses go both ways") {
  for (const Address& address :
       {Address(*IpAddress::parse("1.2.3.4"), 80), Address(*IpAddress::parse("2001:db8::1"), 65535),
        Address::pipe("/run/x.sock"), Address::pipe("@abstract")}) {
    sockaddr_storage storage;
    const std::size_t length = address.to_sockaddr(storage);
    REQUIRE(length > 0);
    CHECK(Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), length) == address);
  }
}

TEST_CASE("socket addresses that do not fit") {
  sockaddr_storage storage;
  CHECK(Address::pipe(std::string(sizeof(sockaddr_un::sun_path), 'x')).to_sockaddr(storage) == 0);
  CHECK(Address::pipe("").to_sockaddr(storage) == 0);
  std::memset(&storage, 0, sizeof storage);
  storage.ss_family = AF_INET;
  CHECK(Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), 4) == Address());
  CHECK(Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), 0) == Address());
  storage.ss_family = AF_UNIX;
  CHECK(Address::from_sockaddr(reinterpret_cast<sockaddr*>(&storage), 2).path().empty());  // unbound peer
}

TEST_CASE("addresses print as Envoy prints them, and hash by value") {
  CHECK(Address(*IpAddress::parse("1.2.3.4"), 80).to_string() == "1.2.3.4:80");
  CHECK(Address(*IpAddress::parse("::1"), 0).to_string() == "[::1]:0");
  CHECK(Address::pipe("/a/b").to_string() == "/a/b");
  const std::hash<Address> hash;
  CHECK(hash(Address::pipe("/a")) == hash(Address::pipe("/a")));
  CHECK(hash(Address(IpAddress::v4(1), 80)) != hash(Address(IpAddress::v4(1), 81)));
  CHECK_FALSE(Address::pipe("/a") == Address::pipe("/b"));
}
