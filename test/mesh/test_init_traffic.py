"""Rules of `clew init` with real traffic: where a connection went is told by the listener that took it. Each time, `--check`
must have said so before."""

import contextlib
import re
import selectors
import socket
import struct
import threading

import pytest

from harness import netns
from init_lab import Box

ALL = ["-b", "*", "-i", "*", "-d", "15090,15021,15020"]
POD = {4: "10.9.0.2", 6: "fd09::2"}
CLIENT = {4: "10.9.0.1", 6: "fd09::1"}
SERVER = {4: "10.20.0.1", 6: "fd20::1"}
DNS_SERVER = {4: "10.96.0.10", 6: "fd96::10"}
LOCAL = {4: "127.0.0.1", 6: "::1"}
PASSTHROUGH = {4: "127.0.0.6", 6: "::6"}
APP, PROXY = (1000, 1000), (1337, 1337)
IP_TRANSPARENT, IPV6_TRANSPARENT, SO_ORIGINAL_DST = 19, 75, 80


def version(address):
    return 6 if ":" in address else 4


def family(address):
    return socket.AF_INET6 if version(address) == 6 else socket.AF_INET


def original_destination(connection):
    if connection.family == socket.AF_INET:
        _, port, ip = struct.unpack("!HH4s8x", connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16))
        return socket.inet_ntop(socket.AF_INET, ip), port
    _, port, _, ip = struct.unpack("!HHI16s4x", connection.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28))
    return socket.inet_ntop(socket.AF_INET6, ip), port


class Listeners:
    """Sockets that say who took a connection, what it was meant for, and from whom it came."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.stopping = False
        self.sockets = []

    def tcp(self, ns, name, address, port, transparent=False):
        with netns.entered(ns):
            sock = socket.socket(family(address), socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family(address) == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if transparent:
                level, option = (socket.SOL_IP, IP_TRANSPARENT) if sock.family == socket.AF_INET else (socket.IPPROTO_IPV6, IPV6_TRANSPARENT)
                sock.setsockopt(level, option, 1)
            sock.bind((address, port))
            sock.listen(16)
        self._add(sock, (name, transparent))

    def udp(self, ns, name, address, port, owner=None):
        with netns.entered(ns), netns.owned_by(*(owner or (0, 0))):
            sock = socket.socket(family(address), socket.SOCK_DGRAM)
        with netns.entered(ns):
            sock.bind((address, port))
        self._add(sock, (name, False))

    def _add(self, sock, what):
        self.sockets.append(sock)
        self.selector.register(sock, selectors.EVENT_READ, what)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.stopping = True
        self.thread.join()
        for sock in self.sockets:
            sock.close()

    def _serve(self):
        while not self.stopping:
            for key, _ in self.selector.select(0.05):
                name, transparent = key.data
                if key.fileobj.type == socket.SOCK_DGRAM:
                    data, peer = key.fileobj.recvfrom(1000)
                    key.fileobj.sendto(name.encode(), peer)
                    continue
                connection, peer = key.fileobj.accept()
                with connection:
                    meant = connection.getsockname()[:2]
                    if not transparent:
                        with contextlib.suppress(OSError):  # nobody sent it elsewhere
                            meant = original_destination(connection)
                    connection.sendall(f"{name} {meant[0]} {meant[1]} {peer[0]}".encode())


class Scene:
    """A pod with an application, a proxy and an agent; a client and servers outside it."""

    def __init__(self, kind, resolv_conf=None):
        self.pod = Box(kind, resolv_conf)
        self.versions = {"v4": [4], "v6": [6], "dual": [4, 6]}[kind]
        self.outside = netns.add(self.pod.ns.split("-")[1], self.pod.ns.split("-")[2] + "o")
        ip = ["ip", "-n", self.outside]
        netns.sh("ip", "-n", self.pod.ns, "link", "set", "peer0", "netns", self.outside)
        netns.sh(*ip, "link", "set", "peer0", "up")
        self.listeners = Listeners()
        for v in self.versions:
            for address in (CLIENT[v], SERVER[v], DNS_SERVER[v]):
                bits = {CLIENT[4]: 24, CLIENT[6]: 64}.get(address, 32 if v == 4 else 128)
                device = "peer0" if address == CLIENT[v] else "lo"
                netns.sh(*ip, "addr", "add", f"{address}/{bits}", "dev", device, *(["nodad"] if v == 6 else []))
            netns.sh("ip", f"-{v}", "-n", self.pod.ns, "route", "add", "default", "via", CLIENT[v])
            for port in (80, 81, 3306):
                self.listeners.tcp(self.outside, "server", SERVER[v], port)
            self.listeners.udp(self.outside, "dns-server", DNS_SERVER[v], 53)
            self.listeners.tcp(self.outside, "dns-server", DNS_SERVER[v], 53)
            everywhere = "0.0.0.0" if v == 4 else "::"
            for port in (8080, 8081, 15021):
                self.listeners.tcp(self.pod.ns, "app", everywhere, port)
            self.listeners.tcp(self.pod.ns, "proxy-out", everywhere, 15001)
            self.listeners.tcp(self.pod.ns, "agent", LOCAL[v], 15053)
            self.listeners.udp(self.pod.ns, "agent", LOCAL[v], 15053, owner=PROXY)
        self.transparent = False

    def capture(self, *flags, env=None):
        self.flags, self.env = flags, env
        self.pod.init(*flags, env=env)
        self.transparent = "TPROXY" in flags
        for v in self.versions:
            self.listeners.tcp(self.pod.ns, "proxy-in", "0.0.0.0" if v == 4 else "::", 15006, transparent=self.transparent)
        self.listeners.start()
        return self

    def close(self):
        self.listeners.stop()
        netns.delete(self.outside)
        self.pod.close()

    def says(self, address, port, owner=None, source=None, udp=False, interface=None):
        """What --check says that a packet meets: the port it goes to, None if it is left alone."""
        packet = ["--destination", address, "--port", port, "--protocol", "udp" if udp else "tcp"]
        packet += ["--owner", f"{owner[0]}:{owner[1]}"] if owner else ["--inbound"]
        packet += ["--source", source] if source else []
        packet += ["--interface", interface] if interface else []
        last = self.pod.init("--check", *self.flags, *packet, env=self.env).out.splitlines()[-1]
        port = re.search(r"it goes to port (\d+)", last)
        assert port or "left alone" in last, last
        return int(port[1]) if port else None

    def connect(self, ns, address, port, owner=(0, 0), source=None):
        with netns.entered(ns):
            with netns.owned_by(*owner):
                sock = socket.socket(family(address), socket.SOCK_STREAM)
            with sock:
                sock.settimeout(5)
                if source:
                    sock.bind((source, 0))
                sock.connect((address, port))
                return sock.makefile().read().split()

    def sends(self, address, port, owner=APP, source=None):
        """A process of the pod connects: [who took it, what it was meant for, port, from whom]."""
        said = self.says(address, port, owner, source)
        took = self.connect(self.pod.ns, address, port, owner, source)
        assert took[0] == {15001: "proxy-out", 15006: "proxy-in", 15053: "agent", None: took[0]}[said], (said, took)
        assert said is not None or took[0] in ("app", "server", "dns-server"), took
        assert took[1:3] == [address, str(port)], took
        return took[0]

    def receives(self, port, v):
        """The client outside connects to the pod: the same."""
        said = self.says(POD[v], port, source=CLIENT[v])
        took = self.connect(self.outside, POD[v], port)
        assert took[0] == ("proxy-in" if said else "app"), (said, took)
        assert took[1:] == [POD[v], str(port), CLIENT[v]], took
        return took[0]

    def asks(self, address, owner=APP):
        """A process of the pod sends a datagram to a DNS server: who answers; the answer must come from where it was sent to."""
        said = self.says(address, 53, owner, udp=True)
        with netns.entered(self.pod.ns):
            with netns.owned_by(*owner):
                sock = socket.socket(family(address), socket.SOCK_DGRAM)
            with sock:
                sock.settimeout(5)
                sock.sendto(b"?", (address, 53))
                data, peer = sock.recvfrom(100)
        assert peer[:2] == (address, 53)
        assert (said == 15053) == (data == b"agent"), (said, data)
        return data.decode()


@pytest.fixture
def scene():
    made = []

    def make(kind, *flags, env=None, resolv_conf=None):
        made.append(Scene(kind, resolv_conf))
        return made[-1].capture(*flags, env=env)
    yield make
    for one in made:
        one.close()


BACK_ENDS = {"nft": [], "legacy": ["--force-iptables-binary=legacy"], "nftables": ["--native-nftables"]}


@pytest.mark.parametrize("back_end", BACK_ENDS)
@pytest.mark.parametrize("kind", ["v4", "v6", "dual"])
def test_redirect(scene, kind, back_end):
    s = scene(kind, *ALL, *(["--dual-stack"] if kind == "dual" else []), *BACK_ENDS[back_end])
    for v in s.versions:
        assert s.sends(SERVER[v], 80) == "proxy-out"
        assert s.sends(SERVER[v], 80, PROXY) == "server"
        assert s.sends(SERVER[v], 80, (1337, 1000)) == "server"
        assert s.sends(LOCAL[v], 8080) == "app"
        assert s.sends(POD[v], 8080) == "app"
        assert s.sends(POD[v], 8080, PROXY) == "proxy-in"
        assert s.sends(POD[v], 8080, PROXY, source=PASSTHROUGH[v]) == "app"
        assert s.receives(8080, v) == "proxy-in"
        assert s.receives(15021, v) == "app"
        assert s.asks(DNS_SERVER[v]) == "dns-server"


@pytest.mark.parametrize("back_end", BACK_ENDS)
@pytest.mark.parametrize("kind", ["v4", "dual"])
def test_tproxy_keeps_the_source_address(scene, kind, back_end):
    s = scene(kind, "-m", "TPROXY", *ALL, *(["--dual-stack"] if kind == "dual" else []), *BACK_ENDS[back_end])
    for v in s.versions:
        assert s.receives(8080, v) == "proxy-in"
        assert s.receives(15021, v) == "app"
        assert s.sends(SERVER[v], 80) == "proxy-out"
        assert s.sends(POD[v], 8080) == "app"
        assert s.sends(POD[v], 8080, PROXY, source=PASSTHROUGH[v]) == "app"
        # The proxy passes the connection on with the client's own address, marked; answers find the way back to it.
        with netns.entered(s.pod.ns):
            with socket.socket(family(POD[v]), socket.SOCK_STREAM) as onward:
                onward.settimeout(5)
                onward.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1337)
                level, option = (socket.SOL_IP, IP_TRANSPARENT) if v == 4 else (socket.IPPROTO_IPV6, IPV6_TRANSPARENT)
                onward.setsockopt(level, option, 1)
                onward.bind((CLIENT[v], 0))
                onward.connect((POD[v], 8080))
                assert onward.makefile().read().split() == ["app", POD[v], "8080", CLIENT[v]]


def test_ports_and_cidrs(scene):
    s = scene("dual", "-b", "*", "-d", "8081", "-i", "10.20.0.0/16,fd20::/16", "-x", "10.20.0.1/32", "-o", "3306", "-q", "81", "--dual-stack")
    assert s.sends(SERVER[4], 80) == "server"
    assert s.sends(SERVER[6], 80) == "proxy-out"
    assert s.sends(SERVER[6], 3306) == "server"
    assert s.sends(DNS_SERVER[6], 53) == "dns-server"
    for v in (4, 6):
        assert s.receives(8080, v) == "proxy-in"
        assert s.receives(8081, v) == "app"
    listed = scene("v4", "-b", "8080", "-i", "10.96.0.0/16", "-q", "81")
    assert listed.sends(SERVER[4], 80) == "server"
    assert listed.sends(SERVER[4], 81) == "proxy-out"
    assert listed.sends(DNS_SERVER[4], 53) == "proxy-out"
    assert listed.receives(8080, 4) == "proxy-in"
    assert listed.receives(8081, 4) == "app"


def test_excluded_interface(scene):
    s = scene("v4", *ALL, "-c", "eth0")
    assert s.connect(s.pod.ns, SERVER[4], 80, APP)[0] == "server"
    assert s.connect(s.outside, POD[4], 8080)[0] == "app"
    assert s.says(SERVER[4], 80, APP, interface="eth0") is None
    assert s.says(SERVER[4], 80, APP, interface="eth7") == 15001


def test_virtual_interface(scene):
    """What comes in by the interface of a virtual machine counts as outbound."""
    s = scene("v4", *ALL, "-k", "eth0")
    took = s.connect(s.outside, POD[4], 8080)
    assert took[:3] == ["proxy-out", POD[4], "8080"]
    assert s.says(POD[4], 8080, interface="eth0") == 15001


@pytest.mark.parametrize("env,captured,left", [
    ({"ISTIO_OUTBOUND_OWNER_GROUPS": "1000,1001"}, (1000, 1001), 2000),
    ({"ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE": "2000"}, (1000, 3000), 2000)], ids=["include", "exclude"])
def test_owner_groups(scene, env, captured, left):
    s = scene("v4", *ALL, env=env)
    for gid in captured:
        assert s.sends(SERVER[4], 80, (1000, gid)) == "proxy-out"
    assert s.sends(SERVER[4], 80, (1000, left)) == "server"


@pytest.mark.parametrize("back_end", BACK_ENDS)
@pytest.mark.parametrize("all_dns", [[], ["--capture-all-dns"]], ids=["servers", "all"])
def test_dns(scene, all_dns, back_end):
    resolv_conf = "".join(f"nameserver {DNS_SERVER[v]}\n" for v in (4, 6))
    s = scene("dual", *ALL, "--dual-stack", "--redirect-dns", *all_dns, *BACK_ENDS[back_end], resolv_conf=resolv_conf)
    for v in (4, 6):
        assert s.asks(DNS_SERVER[v]) == "agent"
        assert s.asks(DNS_SERVER[v], PROXY) == "dns-server"
        assert s.sends(DNS_SERVER[v], 53) == "agent"
        assert s.sends(DNS_SERVER[v], 53, PROXY) == "dns-server"
        assert s.sends(SERVER[v], 80) == "proxy-out"
        said = s.says("192.0.2.53" if v == 4 else "2001:db8::53", 53, APP, udp=True)
        assert said == (15053 if all_dns else None)


def test_reconcile_brings_traffic_back(scene):
    s = scene("v4", *ALL)
    assert s.sends(SERVER[4], 80) == "proxy-out"
    for chain in ("OUTPUT", "ISTIO_INBOUND"):
        assert s.pod.run("iptables-nft", "-t", "nat", "-F", chain).status == 0
    assert s.sends(SERVER[4], 80) == "server"
    assert s.receives(8080, 4) == "app"
    s.pod.init("--reconcile", *ALL)
    assert s.sends(SERVER[4], 80) == "proxy-out"
    assert s.receives(8080, 4) == "proxy-in"


def test_a_killed_run_lets_nothing_pass(scene):
    s = scene("v4", *ALL)
    flags = ["-m", "TPROXY", *ALL]
    s.pod.kill_after(1)
    s.pod.init("--reconcile", *flags, status=-9)
    for ns, address, port in ((s.pod.ns, SERVER[4], 80), (s.outside, POD[4], 8080)):
        with netns.entered(ns), socket.socket() as sock:
            sock.settimeout(0.5)
            with pytest.raises(TimeoutError):
                sock.connect((address, port))
    s.pod.init(*flags)
    assert s.sends(SERVER[4], 80) == "proxy-out"


@pytest.mark.parametrize("kind", ["v4", "v6"])
def test_validation(kind):
    one = Box(kind)
    try:
        user = ["setpriv", "--reuid", "1337", "--regid", "1337", "--clear-groups"]
        probe = ["--skip-rule-apply", "--run-validation", "--probe-timeout", "300ms"]
        if kind == "v6":
            netns.sh("ip", "-n", one.ns, "addr", "add", "::6/128", "dev", "lo")
        assert "not in force" in one.init(*ALL, *probe, wrap=user, status=126).err
        one.init(*ALL)
        assert "captured" in one.init(*ALL, *probe[:2], wrap=user).out
    finally:
        one.close()
