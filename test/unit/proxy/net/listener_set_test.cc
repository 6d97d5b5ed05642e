#include "test/unit/proxy/net/listener_kit.h"

namespace clew {
namespace {

TEST_CASE("listener: accept, serve, count, say when it is over") {
  Fixture f;
  const Address at = f.open(listener("l"));
  REQUIRE(at.port() != 0);
  {
    const Client client(at);
    REQUIRE(f.roundtrip(client, "hello") == "hello");
    REQUIRE(f.echo.served.size() == 1);
    REQUIRE(f.echo.served[0].remote == client.address());
    REQUIRE(f.echo.served[0].local == at);
    REQUIRE(f.echo.served[0].chain == "chain");
    REQUIRE(f.echo.served[0].listener == "l");
    REQUIRE(f.echo.served[0].transport == "raw_buffer");
    REQUIRE(f.stat("downstream_cx_active") == 1);
    REQUIRE(f.stat("downstream_pre_cx_active") == 0);
    REQUIRE(f.limit.active() == 1);
    REQUIRE(f.set.connections() == 1);
  }
  f.t.wait_until([&] { return f.echo.done.size() == 1 && f.set.connections() == 0; });
  REQUIRE(f.stat("downstream_cx_active") == 0);
  REQUIRE(f.stat("downstream_cx_total") == 1);
  REQUIRE(f.stat("downstream_cx_destroy") == 1);
  REQUIRE(f.limit.active() == 0);
  Sink sink;
  f.set.collect(sink);
  REQUIRE(sink.values.contains("listener.127.0.0.1_0.downstream_cx_total"));
}

TEST_CASE("listener: no chain") {
  Fixture f;
  auto l = listener("l");
  auto only_tls = chain("tls");
  only_tls->match.transport_protocol = "tls";
  l->chains = {only_tls};
  const Client client(f.open(l));
  REQUIRE(f.receive(client) == "<end>");
  f.t.wait_until([&] { return f.echo.done.size() == 1; });
  REQUIRE(f.echo.served.empty());
  REQUIRE(f.echo.done[0].no_route);
  REQUIRE(f.echo.done[0].details == "filter_chain_not_found");
  REQUIRE(f.stat("no_filter_chain_match") == 1);
  REQUIRE(f.stat("downstream_cx_total") == 0);
}

TEST_CASE("listener: the first bytes choose the chain and reach it") {
  Fixture f;
  auto l = listener("l");
  auto http = chain("http");
  http->match.application_protocols = {"http/1.1", "h2c"};
  l->chains = {http};
  l->default_chain = chain("tcp");
  l->listener_filters = {filter(ListenerFilter::Kind::tls_inspector), filter(ListenerFilter::Kind::http_inspector)};
  const Address at = f.open(l);
  SECTION("HTTP in pieces") {
    const Client client(at);
    for (const std::string piece : {"G", "ET / HT", "TP/1.1\r", "\n\r\n"}) {
      client.send(piece);
      for (int i = 0; i < 5; ++i) f.t.poll();
    }
    REQUIRE(f.receive(client, 18) == "GET / HTTP/1.1\r\n\r\n");
    REQUIRE(f.echo.served[0].chain == "http");
    REQUIRE(f.echo.served[0].alpn == std::vector<std::string>{"http/1.1"});
  }
  SECTION("something else") {
    const Client client(at);
    REQUIRE(f.roundtrip(client, "EHLO x\r\n") == "EHLO x\r\n");
    REQUIRE(f.echo.served[0].chain == "tcp");
  }
  SECTION("an end in the middle of a word") {
    const Client client(at);
    client.send("GE");
    client.end();
    REQUIRE(f.receive(client) == "<end>");
    REQUIRE(f.echo.served.empty());
  }
  SECTION("an end without a word") {
    const Client client(at);
    client.end();
    REQUIRE(f.receive(client) == "<end>");
    REQUIRE(f.echo.served.empty());
  }
}

TEST_CASE("listener: the inspectors' timeout") {
  Fixture f;
  auto l = listener("l");
  l->listener_filters = {filter(ListenerFilter::Kind::http_inspector)};
  l->listener_filters_timeout = seconds(5);
  SECTION("closes") {
    const Client client(f.open(l));
    f.t.wait_until([&] { return f.set.connections() == 1; });
    client.send("GE");
    f.t.advance(milliseconds(5010));
    REQUIRE(f.receive(client) != "");
    f.t.wait_until([&] { return f.set.connections() == 0; });
    REQUIRE(f.stat("downstream_pre_cx_timeout") == 1);
    REQUIRE(f.echo.served.empty());
    REQUIRE(f.echo.done.size() == 1);
    REQUIRE_FALSE(f.echo.done[0].no_route);
  }
  SECTION("goes on with what was seen") {
    l->continue_on_listener_filters_timeout = true;
    const Client client(f.open(l));
    client.send("GE");
    f.t.wait_until([&] { return f.set.connections() == 1; });
    for (int i = 0; i < 5; ++i) f.t.poll();
    f.t.advance(milliseconds(5010));
    REQUIRE(f.receive(client, 2) == "GE");
    REQUIRE(f.echo.served.size() == 1);
  }
  SECTION("zero waits for ever") {
    l->listener_filters_timeout = Duration::zero();
    const Client client(f.open(l));
    f.t.wait_until([&] { return f.set.connections() == 1; });
    f.t.advance(std::chrono::hours(24));
    client.send("GET / HTTP/1.0\r\n\r\n");
    REQUIRE(f.receive(client, 18).size() == 18);
    REQUIRE(f.echo.served[0].alpn == std::vector<std::string>{"http/1.0"});
  }
}

TEST_CASE("listener: a ClientHello in crumbs is looked at up to a bound") {
  Fixture f;
  auto l = listener("l");
  l->listener_filters = {filter(ListenerFilter::Kind::tls_inspector)};
  const Client client(f.open(l));
  // As long as is allowed, a byte a record: the inspector would wait for all of it, which is 72 KiB on the wire.
  const std::string message = std::string("\x01\0\x30\0", 4) + std::string(12 * 1024, '\0');
  std::string crumbs;
  for (const char c : message) crumbs += std::string("\x16\x03\x01\0\x01", 5) + c;
  client.send(crumbs.substr(0, 16 * 1024));
  f.t.wait_until([&] { return f.set.connections() == 1; });
  for (int i = 0; i < 20; ++i) f.t.poll();
  REQUIRE(f.set.connections() == 1);
  REQUIRE(f.stat("downstream_listener_filter_error") == 0);
  client.send(crumbs.substr(16 * 1024, 300));
  f.t.wait_until([&] { return f.set.connections() == 0; });
  REQUIRE(f.stat("downstream_listener_filter_error") == 1);
  REQUIRE(f.stat("downstream_listener_filter_remote_close") == 0);
  REQUIRE(f.echo.served.empty());
}

TEST_CASE("listener: a client that leaves before it is known what it speaks") {
  Fixture f;
  auto l = listener("l");
  l->listener_filters = {filter(ListenerFilter::Kind::http_inspector)};
  const Client client(f.open(l));
  client.send("GE");
  f.t.wait_until([&] { return f.set.connections() == 1; });
  client.end();
  f.t.wait_until([&] { return f.set.connections() == 0; });
  REQUIRE(f.stat("downstream_listener_filter_remote_close") == 1);
  REQUIRE(f.stat("downstream_listener_filter_error") == 0);
}

TEST_CASE("listener: filter_disabled looks at the port") {
  Fixture f;
  auto l = listener("l");
  ListenerFilter inspector = filter(ListenerFilter::Kind::http_inspector);
  inspector.disabled = PortPredicate{PortPredicate::Range{1, 65536}};
  l->listener_filters = {inspector};
  const Client client(f.open(l));
  f.t.wait_until([&] { return f.echo.served.size() == 1; });  // server-first: not a byte was sent
}

TEST_CASE("listener: PROXY header, and the listener of its destination") {
  Fixture f;
  auto front = listener("front");
  front->use_original_dst = true;
  front->listener_filters = {filter(ListenerFilter::Kind::proxy_protocol)};
  const auto unbound = [&f](const std::string& name, const Address& address) {
    auto l = listener(name, address);
    l->bind_to_port = false;
    f.listeners[name] = l;
    return l;
  };
  unbound("exact", Address(*IpAddress::parse("10.96.0.1"), 80));
  auto wild = unbound("wild", Address(*IpAddress::parse("0.0.0.0"), 80));
  wild->listener_filters = {filter(ListenerFilter::Kind::http_inspector)};
  unbound("wild6", Address(*IpAddress::parse("::"), 80));
  const Address at = f.open(front);
  struct Row {
    std::string header, listener;
  };
  for (const Row& row : std::vector<Row>{{"PROXY TCP4 1.2.3.4 10.96.0.1 9 80\r\n", "exact"},
                                         {"PROXY TCP4 1.2.3.4 10.96.0.2 9 80\r\n", "wild"},
                                         {"PROXY TCP6 fd00::1 fd00::2 9 80\r\n", "wild6"},
                                         {"PROXY TCP4 1.2.3.4 10.96.0.1 9 81\r\n", "front"},
                                         {"PROXY UNKNOWN\r\n", "front"}}) {
    INFO(row.header);
    f.echo.served.clear();
    const Client client(at);
    client.send(row.header + "GET / HTTP/1.1\r\n");
    REQUIRE(f.receive(client, 16) == "GET / HTTP/1.1\r\n");
    REQUIRE(f.echo.served[0].listener == row.listener);
    REQUIRE(f.echo.served[0].alpn.size() == (row.listener == "wild" ? 1u : 0u));
    if (row.listener != "front") REQUIRE(f.echo.served[0].remote.port() == 9);
  }
  const Client broken(at);
  broken.send("PROXY TCP9 \r\n");
  const std::string got = f.receive(broken);
  REQUIRE((got == "<end>" || got == "<reset>"));
  const Client none(at);
  none.send("GET / HTTP/1.1\r\n");
  REQUIRE(f.receive(none).substr(0, 1) == "<");
  f.t.wait_until([&] { return f.set.connections() == 0; });
  REQUIRE(f.stat("downstream_listener_filter_error") == 2);
}

TEST_CASE("listener: original_src notes the client's address, as the filters before it found it") {
  Fixture f;
  auto l = listener("l");
  l->listener_filters = {filter(ListenerFilter::Kind::proxy_protocol), filter(ListenerFilter::Kind::original_src)};
  l->listener_filters[0].proxy_protocol_optional = true;
  l->listener_filters[1].mark = 1337;
  const Address at = f.open(l);
  const Client told(at), plain(at);
  told.send("PROXY TCP4 1.2.3.4 10.96.0.1 9 80\r\nhello");
  plain.send("hello there, nothing before");
  REQUIRE(f.receive(told, 5) == "hello");
  REQUIRE(f.receive(plain, 5).substr(0, 5) == "hello");
  REQUIRE(f.echo.served.size() == 2);
  for (const Seen& seen : f.echo.served) {
    REQUIRE(seen.original_source == OriginalSource{seen.remote.ip(), 1337});
    REQUIRE((seen.remote.ip().to_string() == "1.2.3.4" || seen.remote == plain.address()));
  }
}

TEST_CASE("listener: a port that is taken is reported, and tried once with each update") {
  Fixture f;
  f.open(listener("there"));
  const int taken = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_storage storage{};
  const auto length = static_cast<socklen_t>(loopback().to_sockaddr(storage));
  REQUIRE(::bind(taken, reinterpret_cast<sockaddr*>(&storage), length) == 0);
  REQUIRE(::listen(taken, 1) == 0);
  const Address address = local_address(taken);
  f.open(listener("l", address));
  REQUIRE(f.failures.size() == 1);
  REQUIRE(f.failures[0].listener == "l");
  REQUIRE(f.failures[0].address == address.to_string());
  REQUIRE(f.failures[0].error == "cannot bind '" + address.to_string() + "': Address already in use");
  REQUIRE(f.set.bound_address("l") == Address());
  REQUIRE(f.stat("listener_create_failure") == 1);
  f.open(listener("l", address));  // another version of it
  REQUIRE(f.stat("listener_create_failure") == 2);
  f.open(listener("unrelated"));
  REQUIRE(f.stat("listener_create_failure") == 3);
  REQUIRE(f.stat("listener_create_success") == 2);
  ::close(taken);
  f.open(listener("another"));
  REQUIRE(f.set.bound_address("l") == address);
  REQUIRE(f.stat("listener_create_success") == 4);
}

TEST_CASE("listener: a changed chain drains its connections, the others stay, the socket stays") {
  Fixture f;
  auto l = listener("l");
  auto stays = chain("stays"), goes = chain("goes");
  goes->match.application_protocols = {"http/1.1"};
  l->chains = {goes};
  l->default_chain = stays;
  l->listener_filters = {filter(ListenerFilter::Kind::http_inspector)};
  const Address at = f.open(l);
  const Client old(at), other(at);
  REQUIRE(f.roundtrip(old, "GET / HTTP/1.1\r\n").size() == 16);
  REQUIRE(f.roundtrip(other, "xyz\n") == "xyz\n");

  auto next = std::make_shared<Listener>(*l);
  auto fresh = chain("fresh");
  fresh->match = goes->match;
  next->chains = {fresh};
  f.open(next);
  REQUIRE(f.set.bound_address("l") == at);
  REQUIRE(f.echo.draining == 1);
  REQUIRE(f.roundtrip(old, "still there") == "still there");
  const Client young(at);
  REQUIRE(f.roundtrip(young, "GET / HTTP/1.1\r\n").size() == 16);
  REQUIRE(f.echo.served.back().chain == "fresh");
  f.t.advance(milliseconds(45010));
  REQUIRE(f.receive(old) == "<end>");
  REQUIRE(f.roundtrip(other, "me too") == "me too");
  REQUIRE(f.roundtrip(young, "and me") == "and me");
  REQUIRE(f.echo.draining == 1);
}

TEST_CASE("listener: a removed listener accepts what waited, drains, and is gone") {
  Fixture f;
  const Address at = f.open(listener("l"));
  const Client old(at);
  REQUIRE(f.roundtrip(old, "a") == "a");
  const Client waiting(at);  // in the kernel's queue
  f.listeners.clear();
  f.publish();
  REQUIRE(f.roundtrip(waiting, "served") == "served");
  REQUIRE(f.echo.draining == 2);
  REQUIRE_FALSE(Client(at).connected());
  f.t.advance(milliseconds(45010));
  REQUIRE(f.receive(old) == "<end>");
  REQUIRE(f.receive(waiting) == "<end>");
  f.t.wait_until([&] { return f.set.connections() == 0; });
}

TEST_CASE("listener: a removed listener goes when its last connection moves on, which stays") {
  Fixture f;
  auto front = listener("front");
  front->use_original_dst = true;
  front->listener_filters = {filter(ListenerFilter::Kind::proxy_protocol)};
  auto target = listener("target", Address(*IpAddress::parse("10.96.0.1"), 80));
  target->bind_to_port = false;
  f.listeners["target"] = target;
  const Client client(f.open(front));
  f.t.wait_until([&] { return f.stat("downstream_pre_cx_active") == 1; });
  const auto listed = [&f] {
    Sink sink;
    f.set.collect(sink);
    return sink.values.contains("listener.127.0.0.1_0.downstream_cx_total");
  };
  f.listeners.erase("front");
  f.publish();
  REQUIRE(listed());
  client.send("PROXY TCP4 1.2.3.4 10.96.0.1 9 80\r\n");
  REQUIRE(f.roundtrip(client, "hello") == "hello");
  REQUIRE(f.echo.served[0].listener == "target");
  REQUIRE_FALSE(listed());
  f.t.advance(milliseconds(45010));  // the time that its first listener's connections had
  REQUIRE(f.roundtrip(client, "still") == "still");
}

TEST_CASE("listener: what was waiting for a front that goes does not move to a target that went before it") {
  Fixture f;
  auto front = listener("front");
  front->use_original_dst = true;
  front->listener_filters = {filter(ListenerFilter::Kind::proxy_protocol)};
  auto target = listener("a target", Address(*IpAddress::parse("10.96.0.1"), 80));
  target->bind_to_port = false;
  target->listener_filters = {filter(ListenerFilter::Kind::http_inspector)};
  f.listeners["a target"] = target;
  const Address at = f.open(front);
  f.listeners.clear();
  f.announce();
  const Client client(at);
  client.send("PROXY TCP4 1.2.3.4 10.96.0.1 9 80\r\n");
  REQUIRE(f.roundtrip(client, "GET / HTTP/1.1\r\n") == "GET / HTTP/1.1\r\n");
  REQUIRE(f.echo.served[0].listener == "front");
}

TEST_CASE("listener: an unchanged one in an update is left alone") {
  Fixture f;
  const auto l = listener("l");
  const Address at = f.open(l);
  const Client client(at);
  REQUIRE(f.roundtrip(client, "a") == "a");
  f.open(listener("another"));
  f.publish();
  REQUIRE(f.set.bound_address("l") == at);
  REQUIRE(f.echo.draining == 0);
  REQUIRE(f.roundtrip(client, "b") == "b");
}

TEST_CASE("listener: stop accepting and drain, inbound alone or all") {
  Fixture f;
  auto in = listener("in"), out = listener("out");
  in->direction = TrafficDirection::inbound;
  out->direction = TrafficDirection::outbound;
  f.listeners["in"] = in;
  const Address out_at = f.open(out), in_at = f.set.bound_address("in");
  const Client inbound(in_at), outbound(out_at);
  REQUIRE(f.roundtrip(inbound, "a") == "a");
  REQUIRE(f.roundtrip(outbound, "a") == "a");
  f.set.stop_accepting(true);
  f.set.drain(true);
  REQUIRE(f.echo.draining == 1);
  REQUIRE_FALSE(Client(in_at).connected());
  REQUIRE(Client(out_at).connected());
  REQUIRE(f.roundtrip(inbound, "b") == "b");
  // a change does not open it again
  auto next = std::make_shared<Listener>(*in);
  next->transparent = false;
  next->address = loopback();
  f.open(next);
  REQUIRE(f.set.bound_address("in") == Address());
  f.set.stop_accepting(false);
  REQUIRE_FALSE(Client(out_at).connected());
}

TEST_CASE("listener: a connection that comes while its listener drains is told to finish too") {
  Fixture f;
  auto in = listener("in"), out = listener("out");
  in->direction = TrafficDirection::inbound;
  out->direction = TrafficDirection::outbound;
  f.listeners["in"] = in;
  const Address out_at = f.open(out), in_at = f.set.bound_address("in");
  const auto told = [&](const Address& at) {
    const int before = f.echo.draining;
    const Client client(at);
    REQUIRE(f.roundtrip(client, "a") == "a");
    return f.echo.draining > before;
  };
  SECTION("for a health check that fails, until it passes again") {
    const Client standing(out_at);
    REQUIRE(f.roundtrip(standing, "a") == "a");
    f.set.set_unhealthy(true);
    CHECK(f.echo.draining == 1);
    CHECK(told(out_at));
    f.set.set_unhealthy(false);
    CHECK_FALSE(told(out_at));
  }
  SECTION("for good, of inbound listeners alone or of all") {
    f.set.drain(true);
    CHECK(told(in_at));
    CHECK_FALSE(told(out_at));
    f.set.drain(false);
    CHECK(told(out_at));
  }
}

TEST_CASE("listener: workers share a port, the kernel spreads connections over their sockets") {
  Fixture a, b;
  const Address at = a.open(listener("l"));
  REQUIRE(b.open(listener("l", at)) == at);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 64; ++i) clients.push_back(std::make_unique<Client>(at));
  while (a.echo.served.size() + b.echo.served.size() < clients.size()) {
    a.t.poll();
    b.t.poll();
  }
  REQUIRE_FALSE(a.echo.served.empty());
  REQUIRE_FALSE(b.echo.served.empty());
}

TEST_CASE("listener: the process's limit of connections") {
  Fixture f(1);
  const Address at = f.open(listener("l"));
  const Client first(at);
  REQUIRE(f.roundtrip(first, "a") == "a");
  const Client second(at);
  REQUIRE(f.receive(second).substr(0, 1) == "<");
  REQUIRE(f.stat("downstream_global_cx_overflow") == 1);
  REQUIRE(f.limit.active() == 1);
  auto exempt = listener("exempt");
  exempt->ignore_global_connection_limit = true;
  const Client third(f.open(exempt));
  REQUIRE(f.roundtrip(third, "c") == "c");
}

TEST_CASE("listener: out of descriptors it pauses and does not spin") {
  Fixture f;
  const Address at = f.open(listener("l"));
  const Client client(at);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const int next = ::dup(0);
  ::close(next);
  const rlimit tight{static_cast<rlim_t>(next), before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &tight) == 0);
  for (int i = 0; i < 20; ++i) f.t.poll();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE(f.stat("downstream_accept_starved") == 1);
  REQUIRE(f.set.connections() == 0);
  f.t.advance(milliseconds(110));
  REQUIRE(f.roundtrip(client, "late") == "late");
}

TEST_CASE("listener: an error of accept that lasts does not spin, nor hold back its removal") {
  Fixture f;
  const Address at = f.open(listener("l"));
  for (int fd = 3; fd < 1024; ++fd) {
    int accepts = 0;
    socklen_t size = sizeof(accepts);
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size) == 0 && accepts && local_address(fd) == at)
      REQUIRE(::shutdown(fd, SHUT_RD) == 0);  // accept: EINVAL, whoever comes
  }
  for (int i = 0; i < 20; ++i) f.t.poll();
  REQUIRE(f.stat("downstream_accept_starved") == 1);
  f.listeners.clear();
  f.publish();
  REQUIRE_FALSE(Client(at).connected());
}

struct Counts {
  int made = 0, done = 0;
};

class TestFilter final : public NetworkFilter {
 public:
  TestFilter(Counts& counts, bool deny) : counts_(counts), deny_(deny) { ++counts.made; }
  ConnectionVerdict on_connection(ConnectionInfo&) override {
    if (deny_) return Deny{"rbac_access_denied_matched_policy[none]"};
    return Accept{};
  }
  void on_done(const ConnectionInfo&, const StreamInfo&) noexcept override { ++counts_.done; }

 private:
  Counts& counts_;
  bool deny_;
};

class TestFilterFactory final : public NetworkFilterFactory {
 public:
  TestFilterFactory(Counts& counts, bool deny) : counts_(counts), deny_(deny) {}
  std::unique_ptr<NetworkFilter> make() const override { return std::make_unique<TestFilter>(counts_, deny_); }

 private:
  Counts& counts_;
  bool deny_;
};

TEST_CASE("listener: network filters accept, deny, and are told once") {
  Fixture f;
  Counts yes, no, after;
  auto l = listener("l");
  auto denied = chain("denied"), accepted = chain("accepted");
  accepted->match.application_protocols = {"http/1.1"};
  accepted->network_filters = {std::make_shared<TestFilterFactory>(yes, false)};
  denied->network_filters = {std::make_shared<TestFilterFactory>(yes, false),
                             std::make_shared<TestFilterFactory>(no, true),
                             std::make_shared<TestFilterFactory>(after, false)};
  l->chains = {accepted, denied};
  l->listener_filters = {filter(ListenerFilter::Kind::http_inspector)};
  const Address at = f.open(l);
  {
    const Client client(at);
    REQUIRE(f.roundtrip(client, "GET / HTTP/1.1\r\n") == "GET / HTTP/1.1\r\n");  // read before, given again
    REQUIRE(yes.done == 0);
  }
  f.t.wait_until([&] { return f.echo.done.size() == 1; });
  REQUIRE(yes.made == 1);
  REQUIRE(yes.done == 1);
  const Client client(at);
  client.send("x\n");
  REQUIRE(f.receive(client).substr(0, 1) == "<");
  f.t.wait_until([&] { return f.echo.done.size() == 2; });
  REQUIRE(f.echo.done[1].termination == "rbac_access_denied_matched_policy[none]");
  REQUIRE(f.echo.served.size() == 1);
  REQUIRE(yes.done == 2);
  REQUIRE(no.done == 1);
  REQUIRE(after.made == 0);
}

TEST_CASE("listener: unix sockets, over a leftover") {
  Fixture f;
  char folder[] = "/tmp/clew-listener-XXXXXX";
  REQUIRE(::mkdtemp(folder) != nullptr);
  const std::string path = std::string(folder) + "/s";
  {
    const int leftover = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_storage storage{};
    const auto length = static_cast<socklen_t>(Address::pipe(path).to_sockaddr(storage));
    REQUIRE(::bind(leftover, reinterpret_cast<sockaddr*>(&storage), length) == 0);
    ::close(leftover);
  }
  f.open(listener("l", Address::pipe(path)));
  REQUIRE(f.failures.empty());
  ConnectTarget target;
  target.address = Address::pipe(path);
  REQUIRE(f.t.run_io(connect(f.t.worker, target)));
  f.t.wait_until([&] { return f.echo.done.size() == 1; });
  ::unlink(path.c_str());
  ::rmdir(folder);
}

}  // namespace
}  // namespace clew
