"""Rows of table E that concern connections: clients that are slow, too many, or end in odd orders, and names that are too long."""

import concurrent.futures
import contextlib
import pathlib
import re
import socket
import threading
import time

import pytest

from harness import netns
from harness.client import Closed
from harness.figures import scaled
from harness.load import Load
from harness.procs import wait_for
from harness.resources import LISTENER_PORT, listener, listener_filter, manager, route, static_bootstrap, static_cluster, tcp_proxy
from servers import Scripted, read_head, reset

ATTACKER = pathlib.Path(__file__).with_name("attacker.py")


def load(lab, **options):
    return Load(lab.ns, ("127.0.0.1", LISTENER_PORT), "all", lambda _: ("", "app"), **options)


def attack(lab, mode, count):
    return lab.run("/usr/bin/python3", ATTACKER, mode, count, LISTENER_PORT)


def attackers(process):
    """(opened, ended)"""
    lines = process.log.read_text().split("\n")
    return tuple(map(int, lines[-2].split()[1:])) if len(lines) > 1 else (0, 0)


_p99 = {}  # Envoy's p99 under attack over that without


def judge(lab, row, quiet, attacked):
    """A good client's p99 under attack: at most twice that of the run without, or no worse than Envoy's, in ratio or in time."""
    before, under = quiet.ledger.percentile(99), attacked.ledger.percentile(99)
    if lab.name == "envoy":
        _p99[row] = under / before, under
    if row not in _p99:  # without Envoy beside it there is nothing to tell the machine from the proxy
        return f"p99 {before:.1f} ms without, {under:.1f} ms under attack"
    ratio, theirs = _p99[row]
    # Below 10 ms it is the scheduler of two cores that is measured.
    assert under <= 2 * before or under / before <= ratio or under <= theirs or under < 10, (before, under, ratio, theirs)
    return f"p99 {before:.1f} ms without, {under:.1f} ms under attack"


MODES = ("slow-head", "slow-body", "slow-read", "tls-drip", "h2-preface", "idle")


def test_e1_slow_clients(lab, figure):
    """Slow head, body, reader, handshake, preface, and silence, with an edge's timeouts (scaled to seconds): the good client does not notice, each
    attacker is closed by its timer. CI: 6 × 100 connections; full: 6 × 4,000."""
    app = lab.app("app")
    large = b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n" + bytes(10_000_000)
    big = Scripted(lab, lambda sock: read_head(sock) and sock.sendall(large))
    inspector = listener_filter("tls_inspector", "TlsInspector")
    front = {**listener("l", LISTENER_PORT, manager(
        route("r", ("/bytes", "big"), ("/", "app")), stream_idle_timeout="2s", request_headers_timeout="2s", request_timeout="4s",
        common_http_protocol_options={"idle_timeout": "3s"})), "listener_filters": [inspector], "listener_filters_timeout": "2s",
        "per_connection_buffer_limit_bytes": 32768}
    limits = {"circuit_breakers": {"thresholds": [{"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}]}}
    proxy = lab.proxy(static_bootstrap([front], [static_cluster("app", app.port, **limits), static_cluster("big", big.port, **limits)]))
    prefix = f"listener.0.0.0.0_{LISTENER_PORT}.downstream"
    with load(lab) as quiet:
        quiet.more(scaled(4000, 400))
    many = scaled(4000, 100)
    with load(lab) as traffic:
        processes = [attack(lab, mode, many) for mode in MODES]
        wait_for("all attackers", lambda: sum(attackers(p)[0] for p in processes) == 6 * many, 60)
        traffic.more(scaled(4000, 600))
        wait_for("all of them to be closed", lambda: proxy.stat(f"{prefix}_cx_active") <= 8 and proxy.stat(f"{prefix}_pre_cx_active") == 0,
                 60, explain=lambda: proxy.admin("/stats?filter=downstream"))
    quiet.ledger.check(app, duplicates=True)
    traffic.ledger.check(app, duplicates=True)
    figure("E1 slow clients", f"{6 * many} attackers: {judge(lab, 'E1', quiet, traffic)}; 0 lost")


def test_e2_out_of_descriptors(lab, figure):
    """More clients than descriptors: no busy loop, admin still answers, who is connected is served on, and a second after the
    others left new ones are. CI: 256 descriptors, 600 clients; full: 10,000."""
    app = lab.app("app")
    front = listener("l", LISTENER_PORT, manager(route("r", "app")))
    proxy = lab.proxy(static_bootstrap([front], [static_cluster("app", app.port)]), prefix=("prlimit", "--nofile=256:256"))
    with load(lab) as quiet:
        quiet.more(300)
        with load(lab) as traffic:
            traffic.more(50)
            crowd = attack(lab, "idle", scaled(10000, 600))
            wait_for("the descriptors to be gone", lambda: proxy.usage()["descriptors"] >= 200 and attackers(crowd)[0] >= 400)
            time.sleep(0.5)
            quiet.stop()
            traffic.more(300)
            answers = admin_answers(proxy)
        before, began = proxy.usage()["cpu_seconds"], time.monotonic()
        time.sleep(1.0)
        cpu = (proxy.usage()["cpu_seconds"] - before) / (time.monotonic() - began)
        crowd.stop()
        began = time.monotonic()
        wait_for("a new client to be served", lambda: proxy.get(timeout=2) == 200)
        back = time.monotonic() - began
    figure("E2 descriptors", f"{len(traffic.ledger.lost)} of {traffic.ledger.answered} lost; admin {'answers' if answers else 'is deaf'}; "
           f"{100 * cpu:.0f} % CPU; new clients after {back:.2f} s; {judge(lab, 'E2', quiet, traffic)}")
    if lab.name == "clew":
        traffic.ledger.check(app)
        assert answers and cpu <= 0.2 and back <= 1.5


def admin_answers(proxy):
    with contextlib.suppress(OSError):
        return proxy.http("/ready", timeout=3)[0] == 200
    return False


V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command=0x21, family=0x11, body=bytes([10, 1, 1, 1, 10, 2, 2, 2]) + (1000).to_bytes(2, "big") + (2000).to_bytes(2, "big"),
       length=None, tlvs=b""):
    return V2 + bytes([command, family]) + (len(body + tlvs) if length is None else length).to_bytes(2, "big") + body + tlvs


PROXY = {
    "v1": b"PROXY TCP4 10.1.1.1 10.2.2.2 1000 2000\r\n",
    "v1, IPv6": b"PROXY TCP6 1:2:3::4 5:6::7:8 1000 2000\r\n",
    "v1, unknown": b"PROXY UNKNOWN\r\n",
    "v1, unknown with more": b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
    "v1, bad address": b"PROXY TCP4 10.1.1.256 10.2.2.2 1000 2000\r\n",
    "v1, bad port": b"PROXY TCP4 10.1.1.1 10.2.2.2 1000 70000\r\n",
    "v1, negative port": b"PROXY TCP4 10.1.1.1 10.2.2.2 -1 2000\r\n",
    "v1, family and address differ": b"PROXY TCP6 10.1.1.1 10.2.2.2 1000 2000\r\n",
    "v1, scoped address": b"PROXY TCP6 fe80::1%lo fe80::2%lo 1000 2000\r\n",
    "v1, too few fields": b"PROXY TCP4 10.1.1.1 10.2.2.2 1000\r\n",
    "v1, too many fields": b"PROXY TCP4 10.1.1.1 10.2.2.2 1000 2000 3000\r\n",
    "v1, only a line feed": b"PROXY TCP4 10.1.1.1 10.2.2.2 1000 2000\n",
    "v1, two spaces": b"PROXY TCP4  10.1.1.1 10.2.2.2 1000 2000\r\n",
    "v1, no line end in 107 bytes": b"PROXY TCP4 10.1.1.1 10.2.2.2 1000 2000" + b" " * 100 + b"\r\n",
    "v1, lower case": b"proxy TCP4 10.1.1.1 10.2.2.2 1000 2000\r\n",
    "v1, UDP": b"PROXY UDP4 10.1.1.1 10.2.2.2 1000 2000\r\n",
    "v2": v2(),
    "v2, LOCAL": v2(command=0x20, family=0, body=b""),
    "v2, LOCAL with addresses": v2(command=0x20),
    "v2, unknown command": v2(command=0x22),
    "v2, version 3": v2(command=0x31),
    "v2, unspecified family": v2(family=0, body=b""),
    "v2, UDP": v2(family=0x12),
    "v2, unix": v2(family=0x31, body=bytes(216)),
    "v2, unknown family": v2(family=0x41),
    "v2, IPv6": v2(family=0x21, body=b" \1\r\xb8" + bytes(11) + b"\1" + b" \1\r\xb8" + bytes(11) + b"\2" + b"\3\4\5\6"),
    "v2, too short for its family": v2(body=bytes(11)),
    "v2, TLV": v2(tlvs=b"\x02\0\3abc"),
    "v2, TLV longer than the header": v2(tlvs=b"\x02\xff\xffabc"),
    "v2, half a TLV": v2(tlvs=b"\x02\0"),
    "v2, 60 KiB of TLV": v2(tlvs=b"\x02\xea\x60" + bytes(60000)),
    "v2, bad signature": b"\r\n\r\n\0\r\nQUIX\n" + v2()[12:],
    "none": b"",
    "twice": b"PROXY TCP4 10.1.1.1 10.2.2.2 1000 2000\r\n" * 2,
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "zeros": bytes(300),
}


# Where clew ends a connection that Envoy serves: scopes mean nothing on another machine, datagrams do not come over TCP, and a
# header may be 16 KiB.
STRICTER_PROXY = {"v1, scoped address", "v2, UDP", "v2, 60 KiB of TLV"}


@pytest.mark.parametrize("optional", [False, True])
def test_e3_proxy_protocol(lab, compare, optional):
    """A table of headers, each whole and byte by byte: the same verdict as Envoy, the address that was named, or the connection's
    end; nothing of the header reaches the application."""
    app = lab.app("app")
    options = {"allow_requests_without_proxy_protocol": True} if optional else {}
    front = {**listener("l", LISTENER_PORT, manager(route("r", "app"), use_remote_address=True)),
             "listener_filters": [listener_filter("proxy_protocol", "ProxyProtocol", **options)], "listener_filters_timeout": "1s"}
    lab.proxy(static_bootstrap([front], [static_cluster("app", app.port)])).wait_ready()

    def ask(number, what, header, split):
        with contextlib.closing(netns.connect(lab.ns, ("127.0.0.1", LISTENER_PORT), 5)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            message = header + b"GET /%d/%d HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n" % (number, split)
            with contextlib.suppress(OSError):
                for i in range(0, len(message), 1 if split and len(message) < 400 else len(message)):
                    sock.sendall(message[i:i + 1] if split and len(message) < 400 else message)
            got = b""
            with contextlib.suppress(OSError):
                while data := sock.recv(65536):
                    got += data
        seen = app.saw(f"/{number}/{split}")
        forwarded = dict(seen[0]["headers"]).get("x-forwarded-for") if seen else None
        return got[:12].decode("latin-1") if got[:5] in (b"", b"HTTP/") else "frames", forwarded
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        jobs = {(what, split): pool.submit(ask, i, what, header, split)
                for i, (what, header) in enumerate(PROXY.items()) for split in (0, 1)}
    table = {key: job.result() for key, job in jobs.items()}
    for what in PROXY:
        if lab.name == "envoy" and what == "an HTTP/2 preface":
            continue  # it takes what comes first for HTTP/1 or HTTP/2, however little that is
        assert table[what, 0] == table[what, 1], (what, table[what, 0], table[what, 1])
    for what in STRICTER_PROXY:
        assert lab.name == "envoy" or table[what, 0] == ("", None), what
    compare("verdicts", {what: table[what, 0] for what in PROXY if what not in STRICTER_PROXY})


def test_e7_large_names(lab, compare):
    """Authorities, targets and server names beyond 255 bytes and beyond the limits: answered or refused as Envoy does."""
    app = lab.app("app")
    front = {**listener("l", LISTENER_PORT, manager(route("r", "app"))),
             "listener_filters": [listener_filter("tls_inspector", "TlsInspector")], "listener_filters_timeout": "1s"}
    proxy = lab.proxy(static_bootstrap([front], [static_cluster("app", app.port)]))
    table = {}
    for what, request in {
            "authority of 256": b"GET / HTTP/1.1\r\nhost: " + b"a" * 256 + b"\r\n\r\n",
            "authority of 50,000": b"GET / HTTP/1.1\r\nhost: " + b"a" * 50000 + b"\r\n\r\n",
            "authority of 65,536": b"GET / HTTP/1.1\r\nhost: " + b"a" * 65536 + b"\r\n\r\n",
            "target of 50,000": b"GET /" + b"a" * 50000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
            "target of 65,536": b"GET /" + b"a" * 65536 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
            "10,000 headers": b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 10000 + b"\r\n"}.items():
        with proxy.connect() as connection:
            with contextlib.suppress(OSError):
                connection.send(request)
            try:
                table[what] = connection.read_response().status
            except (Closed, OSError):
                table[what] = "closed"
    for length in (255, 256, 4000):
        hello = client_hello(b"a" * length)
        with proxy.connect() as connection:
            connection.send(hello)
            table[f"server name of {length}"] = connection.read_to_end()[:5]
    compare("answers", table)
    assert proxy.get() == 200


def client_hello(name):
    entry = b"\0" + len(name).to_bytes(2, "big") + name
    names = len(entry).to_bytes(2, "big") + entry
    extension = b"\0\0" + len(names).to_bytes(2, "big") + names
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + len(extension).to_bytes(2, "big") + extension
    handshake = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + len(handshake).to_bytes(2, "big") + handshake


def read_end(sock):
    """(all bytes, how it ended)"""
    got = b""
    try:
        while data := sock.recv(65536):
            got += data
        return got, "fin"
    except ConnectionResetError:
        return got, "reset"
    except TimeoutError:
        return got, "open"


TAIL = b"tail" * 50000  # more than one socket buffer's worth, so that what is under way matters


def half_close_orders():
    """what → (steps, each «side does»): c client, s server."""
    return {
        "client half-closes, server answers": "c.send c.fin s.read s.send s.fin c.read",
        "server half-closes, client goes on": "s.send s.fin c.read c.send c.fin s.read",
        "both send, client ends first": "c.send s.send c.fin s.read s.fin c.read",
        "both send, server ends first": "c.send s.send s.fin c.read c.fin s.read",
        "server speaks first and closes": "s.send s.close c.read",
        "client speaks and closes": "c.send c.close s.read",
        "client half-closes at once": "c.fin s.read s.send s.fin c.read",
        "server half-closes at once": "s.fin c.read c.send c.fin s.read",
        "client resets": "c.send s.some c.reset s.read",
        "server resets": "s.send c.some s.reset c.read",
        "client half-closes, server resets": "c.send c.fin s.read s.reset c.read",
        "data after the peer's end": "c.fin s.read s.send s.send s.close c.read",
    }


def test_e8_half_close(lab, compare):
    """Every order of ends on TCP: byte-exact, nothing lost when the side that speaks first closes; a reset arrives as one."""
    server = Scripted(lab)
    front = listener("l", LISTENER_PORT, tcp_proxy("s"))
    proxy = lab.proxy(static_bootstrap([front], [static_cluster("s", server.port)]))
    table = {}
    for what, steps in half_close_orders().items():
        client = proxy.connect(timeout=5).sock
        sides = {"c": client, "s": server.accept()}
        sent, results, senders = {"c": b"", "s": b""}, [], []
        for step in steps.split():
            side, does = step.split(".")
            sock = sides[side]
            if does == "send":
                sent[side] += TAIL
                senders.append(threading.Thread(target=swallow, args=(sock.sendall, TAIL)))
                senders[-1].start()
            elif does == "read":
                got, how = read_end(sock)
                other = sent["s" if side == "c" else "c"]
                results.append((side, "all" if got == other else "part" if other.startswith(got) else "wrong", how))
            elif does == "some":
                sock.recv(1000)
            else:
                for sender in senders:
                    sender.join(5) if does != "reset" else None
                {"fin": lambda: swallow(sock.shutdown, socket.SHUT_WR), "close": sock.close, "reset": lambda: reset(sock)}[does]()
        for sock in sides.values():
            sock.close()
        table[what] = results
    server.close()
    wait_for("no connection to be left", lambda: proxy.stat("cluster.s.upstream_cx_active") == 0)
    compare("ends", table)
    for what, results in table.items():
        if "reset" not in what:
            assert all(amount == "all" and how == "fin" for _, amount, how in results), (what, results)


def swallow(call, *arguments):
    with contextlib.suppress(OSError):
        call(*arguments)


UPGRADE = b"GET /%s HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"


def test_e9_websocket(lab, compare):
    """Upgrades accepted, refused, answered by something else, with early bytes, timeouts and ends of both sides."""
    server = Scripted(lab)
    table = route("r", "s", idle_timeout="1s", retry_policy={"retry_on": "5xx,reset", "num_retries": 2})
    front = listener("l", LISTENER_PORT, manager(table, upgrade_configs=[{"upgrade_type": "websocket"}], stat_prefix="ws"))
    proxy = lab.proxy(static_bootstrap([front], [static_cluster("s", server.port)]))
    results = {}
    switching = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"

    def start(path, extra=b""):
        client = proxy.connect(timeout=5)
        client.send(UPGRADE % path + extra)
        upstream = server.accept()
        head = b""
        while b"\r\n\r\n" not in head:
            head += upstream.recv(65536)
        head, early = head.split(b"\r\n\r\n", 1)
        return client, upstream, b"upgrade: websocket" in head.lower(), early

    client, upstream, asked, early = start(b"plain")
    assert asked and not early
    upstream.sendall(switching + b"from server")
    results["accepted"] = client.read_response().status
    client.send(b"from client")
    results["both ways"] = upstream.recv(100), client.exactly(11)
    upstream.shutdown(socket.SHUT_WR)
    results["server ends"] = client.closed_by_peer()
    client.close(), upstream.close()

    client, upstream, asked, early = start(b"client-ends")
    upstream.sendall(switching)
    client.read_response()
    client.send(b"last words")
    client.close()
    results["client ends"] = read_end(upstream)[0]
    upstream.close()

    for status in (b"426 Upgrade Required", b"200 OK", b"403 Forbidden"):
        client, upstream, asked, early = start(b"refused", b"early")
        results[b"early bytes before " + status] = early
        upstream.sendall(b"HTTP/1.1 " + status + b"\r\ncontent-length: 2\r\n\r\nno")
        r = client.read_response()
        results[status] = r.status, r.body if r.status != 200 else None  # Envoy forgets the body of a 200
        # Those bytes are not a request to anybody, and the upstream connection is not used again.
        with contextlib.suppress(OSError):
            client.send(b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n")
        got = b""
        upstream.settimeout(1.0)
        with contextlib.suppress(OSError):
            while data := upstream.recv(65536):
                got += data
        assert not got, got
        client.close(), upstream.close()

    client, upstream, asked, early = start(b"idle")
    upstream.sendall(switching)
    client.read_response()
    began = time.monotonic()
    results["idle"] = client.closed_by_peer(timeout=8)
    assert 0.8 <= time.monotonic() - began <= 6
    upstream.close()

    client, upstream, asked, early = start(b"dies")
    upstream.close()
    tries = 1  # or more: a connection that ends before the request is on it is no attempt
    server._listener.settimeout(1.0)
    with contextlib.suppress(TimeoutError):
        while True:
            server.accept(1.0).close()
            tries += 1
    results["upstream dies before its answer"] = client.read_response().status
    assert tries >= 3
    client.close()
    for other in (b"teapot", b"h2c"):
        with proxy.connect(timeout=5) as client:
            client.send((UPGRADE % b"x").replace(b"websocket", other))
            upstream_got = None
            with contextlib.suppress(TimeoutError):
                upstream = server.accept(1.0)
                upstream_got = b"upgrade" in upstream.recv(65536).lower()
                upstream.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            results[other] = client.read_response().status, upstream_got
    server.close()
    compare("results", results)


@pytest.mark.clew_only("it ends connections that pipeline this much")
def test_e10_cardinality(lab, figure):
    """Distinct hosts and paths leave nothing behind. CI: 20,000; full: a million. At most 5 MiB more."""
    app = lab.app("app")
    answer = route("r", "app")
    answer["virtual_hosts"][0]["routes"].insert(0, {"match": {"prefix": "/direct"}, "direct_response": {"status": 200}})
    front = listener("l", LISTENER_PORT, manager(answer))
    proxy = lab.proxy(static_bootstrap([front], [static_cluster("app", app.port)]))

    def ask(first, count):
        with proxy.connect() as connection:
            for i in range(first, first + count, 50):
                connection.send(b"".join(b"GET /direct/%d?q=%d HTTP/1.1\r\nhost: h%d.example\r\nuser-agent: a%d\r\n\r\n" % (j, j, j, j)
                                         for j in range(i, i + 50)))
                for _ in range(50):
                    assert connection.read_response().status == 200
    ask(0, 2000)
    before, stats = proxy.usage()["rss_kib"], len(proxy.admin("/stats"))
    many = scaled(1_000_000, 20_000)
    ask(2000, many)
    grown = proxy.usage()["rss_kib"] - before
    figure("E10 cardinality", f"{many} hosts and paths: RSS {grown:+} KiB")
    assert abs(len(proxy.admin("/stats")) - stats) < 2000  # numbers got longer
    assert grown <= 5 * 1024


def tls_listener(lab, **fields):
    key, cert = lab.dir / "e11-key.pem", lab.dir / "e11-cert.pem"
    if not key.exists():
        netns.sh("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=x")
    front = listener("l", LISTENER_PORT, manager(route("r", "app")))
    front["filter_chains"][0]["transport_socket"] = {"name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": {"tls_certificates": [{"certificate_chain": {"inline_string": cert.read_text()},
                                                     "private_key": {"inline_string": key.read_text()}}],
                               "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"}, **fields}}}
    return front, key, cert


def test_e11_tls(lab, compare, figure):
    """Renegotiation, early data, floods of alerts and of empty records, a chain of certificates of 100 KiB."""
    app = lab.app("app")
    front, key, cert = tls_listener(lab, validation_context={"trust_chain_verification": "ACCEPT_UNTRUSTED"})
    proxy = lab.proxy(static_bootstrap([front], [static_cluster("app", app.port)]))
    results = {}
    session = lab.dir / f"session{next(lab.numbers)}"
    out = lab.sh("sh", "-c", f"(sleep 0.3; echo R; sleep 0.7) | openssl s_client -tls1_2 -connect 127.0.0.1:{LISTENER_PORT} 2>&1 || true")
    results["renegotiation"] = "RENEGOTIATING" in out and re.search(r"alert|no renegotiation|error|closed", out.split("RENEGOTIATING")[1]) is not None
    out = lab.sh("sh", "-c", f"(printf 'GET / HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n'; sleep 0.5) | openssl s_client -tls1_3 "
                 f"-connect 127.0.0.1:{LISTENER_PORT} -ign_eof -sess_out {session} 2>&1 & sleep 0.8; kill $!; true")
    out = lab.sh("sh", "-c", f"openssl sess_id -in {session} -noout -text 2>&1 || true")
    results["early data offered"] = "Max Early Data: 0" not in out and "Max Early Data" in out
    # A chain of about 100 KiB: the same certificate again and again.
    chain = lab.dir / f"chain{next(lab.numbers)}"
    chain.write_text(cert.read_text() * 130)
    before = proxy.usage()["cpu_seconds"]
    for _ in range(5):
        out = lab.sh("sh", "-c", f"printf 'GET / HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n' | timeout 10 openssl s_client -connect 127.0.0.1:{LISTENER_PORT} "
                     f"-cert {cert} -key {key} -cert_chain {chain} -quiet 2>&1 || true")
    cpu = (proxy.usage()["cpu_seconds"] - before) / 5
    results["a chain of 100 KiB"] = "200 OK" in out
    for what, record in (("warning alerts", b"\x15\3\3\0\2\1\x5a"), ("empty records", b"\x16\3\3\0\0"), ("change cipher specs", b"\x14\3\3\0\1\1")):
        with proxy.connect(timeout=10) as connection:
            with contextlib.suppress(OSError):
                for _ in range(scaled(10000, 200)):
                    connection.send(record * 50)
            results[what] = connection.closed_by_peer(timeout=5)
    compare("results", results)
    assert lab.sh("sh", "-c", f"printf 'GET / HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n' | "
                  f"timeout 10 openssl s_client -quiet -connect 127.0.0.1:{LISTENER_PORT} 2>/dev/null").startswith("HTTP/1.1 200")
    figure("E11 TLS", f"a chain of 100 KiB costs {1000 * cpu:.0f} ms CPU")
