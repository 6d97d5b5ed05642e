"""Table B, what goes both ways: the two protocols, upgrades, early, interim and poisoned answers, trailers, logs."""

import collections
import concurrent.futures
import json
import random
import re
import socket
import struct
import time

import pytest

from clients import CHUNKED, GET, POST, answer, chunks, connect, outcome
from conftest import FULL
from frames import Peer, block, data, headers, request, rst_stream
from harness.client import Closed
from harness.procs import Failed, wait_for
from upstream import good_http1, requests

_envoy = {}  # what each did, for those that come after


# ---- B5, B6: between the protocols

def h2_bodies(proxy, h1, h2, seed, n):
    """Random requests over h2 to an h1 upstream: declared and delivered lengths that agree or not."""
    random_ = random.Random(seed)
    verdicts = collections.Counter()
    with Peer.client(proxy.port) as peer:
        for s in range(1, 2 * n, 2):
            size, declared = random_.randrange(40), random_.choice([None, "right", "right", "wrong"])
            length = size if declared == "right" else random_.choice([size + 1, max(0, size - 1), 0, 10**15])
            fields = [] if declared is None else [("content-length", str(length))]
            body = bytes(random_.choice(b"GET /smuggled\r\n") for _ in range(size))
            cut = random_.randrange(size + 1)
            last = random_.choice(["data", "empty", "trailers", "reset"])
            parts = [headers(s, request(f"/h1/{s}", "POST", *fields)), data(s, body[:cut]) if cut else b"",
                     data(s, body[cut:], end=last == "data") if cut < size or last == "data" else b"",
                     {"data": b"", "empty": data(s, end=True), "trailers": headers(s, block(("x", "y")), end=True), "reset": rst_stream(s)}[last]]
            whole = declared is None or length == size
            short = declared is not None and length > size  # what comes beyond a length may come after the answer
            for part in parts:
                peer.send(part)
                if random_.random() < 0.3:
                    peer.until(lambda: False, 0.001)
            if last == "reset":
                continue
            peer.until(lambda: s in peer.ended or s in peer.resets or peer.closed)
            if peer.closed:
                return verdicts, peer.fate()
            verdicts["whole" if whole else "short" if short else "long", "200" if peer.status(s) == 200 and s in peer.ended else "refused"] += 1
    return verdicts, "open"


def tapped(h1):
    """Every byte of every upstream connection, read as a strict server would: complete requests, and what stood where one should begin."""
    whole, rest = [], []
    for tap in h1.received():
        while tap:
            head, found, tail = tap.partition(b"\r\n\r\n")
            match = re.fullmatch(rb"(?:POST|GET) (/h1\S*) HTTP/1\.1((?:\r\n[!-9;-~]+: [^\r\n]*)*)", head)
            if not found or not match:
                if not re.match(rb"(POST|GET) /h1", tap):
                    rest.append(tap[:60])
                break
            fields = match[2].lower()
            if length := re.search(rb"\r\ncontent-length: (\d+)", fields):
                size = int(length[1])
                if len(tail) < size:
                    break
                whole.append(match[1])
                tap = tail[size:]
            elif b"transfer-encoding: chunked" in fields:
                body = _chunked(tail)
                if body is None:
                    break
                whole.append(match[1])
                tap = tail[body:]
            else:
                whole.append(match[1])
                tap = tail
    return whole, rest


def _chunked(bytes_):
    """The length of the chunked body at the beginning; None when it is not whole."""
    at = 0
    while True:
        end = bytes_.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(bytes_[at:end], 16)
        at = end + 2 + size + 2
        if at > len(bytes_):
            return None
        if not size:
            return at


def test_b5_declared_and_delivered(proxy, h1, h2):
    """CVE-2026-48743, HAProxy 2026-33555. h2 requests whose content-length lies, ended by DATA, trailers or reset, to pooled h1 connections:
    1,000,000; CI 300. On the tap every connection holds whole requests, and at most one broken off at its end."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rounds = 10_000 if FULL else 3
    verdicts = collections.Counter()
    for i in range(rounds):
        got, fate = h2_bodies(proxy, h1, h2, seed + i, 100)
        verdicts += got
    whole, rest = tapped(h1)
    proxy.expect("nothing stands where a request begins", not rest, rest[:3] or "yes")
    proxy.expect("no request is answered with 200 that is shorter than it says", not verdicts["short", "200"], verdicts["short", "200"])
    proxy.expect("no whole request is refused", not verdicts["whole", "refused"], verdicts["whole", "refused"])


@pytest.mark.parametrize("down, up", [("h1", "h1"), ("h1", "h2"), ("h2", "h1"), ("h2", "h2")])
def test_b5_truncated_answers(proxy, h1, h2, down, up):
    """An answer shorter or longer than it says, in all four directions: never a clean end with other bytes than declared."""
    shapes = {"short": (10, b"half"), "long": (4, b"halfmore"), "right": (4, b"half"), "unknown": (None, b"half")}
    def by_h1(connection):
        while head := connection.head():
            length, body = shapes[head.split(b" ")[1].split(b"/")[2].decode()]
            connection.send(b"HTTP/1.1 200 OK\r\n" + (b"" if length is None else b"content-length: %d\r\n" % length) + b"\r\n" + body)
            if length != len(body):
                return
    def by_h2(connection):
        for peer, stream in requests(connection):
            length, body = shapes[peer.heads[stream][0][":path"].split("/")[2]]
            peer.send(headers(stream, block((":status", "200"), *([] if length is None else [("content-length", str(length))]))) + data(stream, body, end=True))
    h1.reset(by_h1)
    h2.reset(by_h2)
    for shape, (length, body) in shapes.items():
        got = answer(proxy, down, f"/{up}/{shape}")
        if shape == "short":
            holds = got[0] != 200 or not got[2]
        elif shape == "long":
            holds = not got[2] or got[:2] == (200, 4)
        else:
            holds = got == (200, 4, True)
        proxy.expect(f"{down} ← {up}, {shape}", holds, f"{got[0]}, {got[1]} bytes, {'whole' if got[2] else 'broken off'}")


BAD_FIELDS = {
    "CR LF in a value": ("x", "a\r\nx-injected: 1"), "CR in a value": ("x", "a\rb"), "LF in a value": ("x", "a\nx-injected: 1"), "NUL in a value": ("x", "a\0b"),
    "CR LF in a name": ("x: a\r\nx-injected", "1"), "colon in a name": ("x:y", "1"), "space in a name": ("x y", "1"), "NUL in a name": ("x\0", "1"), "empty name": ("", "1"),
    "upper case": ("X-Upper", "1"), "control in a value": ("x", "a\x01b"), "DEL in a value": ("x", "a\x7fb"), "high byte in a name": ("x\xff", "1"),
    "connection": ("connection", "close"), "transfer-encoding": ("transfer-encoding", "chunked"), "upgrade": ("upgrade", "h2c"), "te": ("te", "gzip"),
    "keep-alive": ("keep-alive", "1"), "proxy-connection": ("proxy-connection", "close"), "length as list": ("content-length", "0, 0"),
    "length with sign": ("content-length", "+0"), "unknown pseudo-header": (":x", "1"), "status": (":status", "200"), "second path": (":path", "/h1/y"),
}
BAD_PSEUDO = {
    "space in the path": dict(path="/h1/a b"), "CR LF in the path": dict(path="/h1/a HTTP/1.1\r\nx-injected: 1"), "LF in the path": dict(path="/h1/a\nb"),
    "NUL in the path": dict(path="/h1/a\0"), "path without a slash": dict(path="h1/a"), "empty path": dict(path=""), "star": dict(path="*"),
    "absolute path": dict(path="http://victim/h1/a"), "space in the method": dict(method="GET /h1/smuggled"), "CR LF in the method": dict(method="GET / HTTP/1.1\r\nx: y\r\n\r\nGET"),
    "empty method": dict(method=""), "colon in the method": dict(method="G:T"), "lower case method": dict(method="get"), "unknown method": dict(method="BREW"),
    "CR LF in the authority": dict(authority="victim\r\nx-injected: 1"), "space in the authority": dict(authority="vic tim"), "path in the authority": dict(authority="victim/x"),
    "userinfo in the authority": dict(authority="user@victim"), "NUL in the authority": dict(authority="victim\0"), "CR LF in the scheme": dict(scheme="http\r\nx: y"),
    "unknown scheme": dict(scheme="ftp"), "empty authority": dict(authority=""), "high byte in the path": dict(path="/h1/\xff"), "tab in the path": dict(path="/h1/\t"),
    "fragment": dict(path="/h1/a#b"),
}


def test_b6_h2_to_h1(proxy, h1):
    """CVE-2023-27491, 27493, HAProxy 2021-39241. Bytes in h2 names, values and pseudo-headers that mean something else in HTTP/1."""
    cases = {name: request("/h1/x", "GET", field) for name, field in BAD_FIELDS.items()}
    cases |= {name: request(**{"path": "/h1/x", **changed}) for name, changed in BAD_PSEUDO.items()}
    forwarded = {}
    for name, block_ in cases.items():
        h1.reset(good_http1())
        with Peer.client(proxy.port) as peer:
            peer.send(headers(1, block_, end=True))
            peer.until(lambda: 1 in peer.ended or 1 in peer.resets or peer.closed, 5)
            status = peer.status(1) if 1 in peer.ended else "reset" if 1 in peer.resets else peer.fate()
        forwarded[name] = b"".join(h1.received())
        shown = f"{status}" + (", forwarded" if forwarded[name] else "")
        _envoy[proxy.name, name] = shown
        as_envoy = (status == 200) == (_envoy.get(("envoy", name), shown).startswith("200"))
        proxy.expect(f"{name}: refused, or as Envoy", as_envoy or status != 200, shown)
    injected = [name for name, tap in forwarded.items() if b"x-injected" in tap or b"smuggled" in tap or tap.count(b"HTTP/1.1") > 1]
    proxy.expect("nothing is injected", not injected, injected or "yes")


BAD_ANSWERS = {
    "CR LF in a value": [("x", "a\r\nset-cookie: b")], "LF in a value": [("x", "a\nset-cookie: b")], "NUL in a value": [("x", "a\0")], "empty name": [("", "a")],
    "colon in a name": [("x:y", "a")], "upper case": [("X", "a")], "connection": [("connection", "close")], "transfer-encoding": [("transfer-encoding", "chunked")],
    "second status": [(":status", "200")], "path": [(":path", "/")], "length as list": [("content-length", "4, 4")], "status of two digits": None, "status of letters": None,
}


@pytest.mark.parametrize("down", ["h1", "h2"])
def test_b6_upstream_fields(proxy, h2, down):
    """The same from an HTTP/2 upstream: answered by 502 or 503, never passed on."""
    def script(connection):
        for peer, stream in requests(connection):
            name = peer.heads[stream][0][":path"].removeprefix("/h2/").replace("%20", " ")
            fields = BAD_ANSWERS[name]
            status = {"status of two digits": "20", "status of letters": "2xx"}.get(name, "200")
            peer.send(headers(stream, block((":status", status), *(fields or []))) + data(stream, b"fine", end=True))
    h2.reset(script)
    for name in BAD_ANSWERS:
        status, size, whole = answer(proxy, down, "/h2/" + name.replace(" ", "%20"))
        proxy.expect(f"to {down}, {name}", status in (502, 503), f"{status}, {size} bytes")


# ---- B7, B8: upgrades

UPGRADE = b"GET %s HTTP/1.1\r\nhost: victim\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
SMUGGLED = b"GET /h1/smuggled HTTP/1.1\r\nhost: victim\r\n\r\n"


@pytest.mark.parametrize("status", [101, 200, 403])
def test_b7_early_data(proxy, h1, status):
    """CVE-2025-64763, 2026-73548. What a client sends behind an Upgrade is held until 101; refused, it is nobody's request: 10,000 tries, CI 60."""
    def script(connection):
        while head := connection.head():
            if b"upgrade: websocket" not in head.lower():
                connection.body(head)
                connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine")
                continue
            early.append(connection.more(0.02))
            connection.send(b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n" if status == 101 else
                            b"HTTP/1.1 %d No\r\ncontent-length: 0\r\n\r\n" % status)
            if status == 101:
                while connection.more():
                    pass
    early = []
    h1.reset(script)
    for _ in range(10_000 if FULL else 20):
        with connect(proxy.port) as connection:
            connection.send(UPGRADE % b"/h1/upgrade" + SMUGGLED)
            r = connection.read_response()
            assert r.status == status
        with connect(proxy.port) as victim:
            victim.send(GET % b"/h1/victim" + b"\r\n")
            assert victim.read_response().body == b"fine"
    proxy.expect(f"{status}: nothing before the answer", not any(early), f"{sum(early)} of {len(early)}")
    smuggled = [tap for tap in h1.received() if tap.count(b"smuggled") and b"upgrade: websocket" not in tap.lower().split(b"smuggled")[0]]
    proxy.expect(f"{status}: no request smuggled", not smuggled, len(smuggled))
    if status != 101:
        told = [tap for tap in h1.received() if b"smuggled" in tap]
        proxy.expect(f"{status}: none of it reaches the upstream", not told, len(told))


def test_b7_connect(proxy, h1):
    """CVE-2025-64763. Stock istiod routes no CONNECT to a sidecar, and connect_matcher and connect_config are refused by name: what a client sends
    behind a CONNECT is nobody's request, here or upstream. 10,000 tries, CI 20."""
    fates = set()
    for _ in range(10_000 if FULL else 20):
        statuses, end = outcome(proxy.port, b"CONNECT victim:80 HTTP/1.1\r\nhost: victim:80\r\n\r\n" + SMUGGLED)
        fates.add((*statuses, end))
    with Peer.client(proxy.port) as peer:
        peer.send(headers(1, block((":method", "CONNECT"), (":authority", "victim:80"))) + data(1, SMUGGLED, end=True))
        peer.until(lambda: 1 in peer.ended or 1 in peer.resets or peer.closed)
        status = peer.status(1)
    _envoy.setdefault("connect", (fates, status))
    proxy.expect("refused as by Envoy, and closed", (fates, status) == _envoy["connect"] and {f[-1] for f in fates} == {"closed"}, (sorted(fates), status))
    proxy.expect("nothing goes upstream", not h1.received(), len(h1.received()))


def test_b8_only_101_opens(proxy, h1):
    """CVE-2024-23326. Any other answer to an Upgrade is an ordinary one: what the client then sends is its next request."""
    for status in (200, 204, 304, 400, 426, 500):
        def script(connection):
            connection.head()
            connection.send(b"HTTP/1.1 %d X\r\nconnection: upgrade\r\nupgrade: websocket\r\n%s\r\n" % (status, b"" if status in (204, 304) else b"content-length: 0\r\n"))
            connection.more(0.3)
            tunnelled.append(bytes(connection.received).split(b"\r\n\r\n", 1)[1])
        tunnelled = []
        h1.reset(script)
        with connect(proxy.port) as connection:
            connection.send(UPGRADE % b"/h1/x")
            r = connection.read_response()
            try:
                connection.send(b"raw bytes of a tunnel\r\n\r\n")
                connection.closed_by_peer(0.3)
            except OSError:
                pass
        wait_for("the upstream's end", lambda: tunnelled)
        proxy.expect(f"{status}: no tunnel", r.status == status and tunnelled == [b""], f"{r.status}, {tunnelled}")


@pytest.mark.parametrize("what, fields", [("h2c", b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"),
                                          ("h2c among others", b"connection: upgrade, http2-settings\r\nupgrade: websocket, h2c\r\nhttp2-settings: AAMAAABk\r\n"),
                                          ("h2c, not named", b"upgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n")])
def test_b8_h2c(proxy, h1, what, fields):
    """h2c smuggling: an upgrade to cleartext HTTP/2 is never passed on."""
    h1.reset(good_http1())
    status, fate = outcome(proxy.port, GET % b"/h1/h2c" + fields + b"\r\n")
    tap = b"".join(h1.received()).lower()
    proxy.expect(f"{what}: not passed on", b"h2c\r" not in tap and b"http2-settings" not in tap, f"{status} {fate}{', forwarded' if b'h2c' in tap.split(b'http/1.1', 1)[-1] else ''}")


# ---- B9, B10: answers before their time

@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("status", [200, 413])
def test_b9_early_answer(proxy, h1, framing, status):
    """Kettle 2025 (0.CL). The upstream answers while the body is still to come: the rest is no request of anybody."""
    def script(connection):
        while head := connection.head():
            connection.send(b"HTTP/1.1 %d Early\r\ncontent-length: 5\r\n\r\nearly" % (status if b"early" in head else 200))
    h1.reset(script)
    with connect(proxy.port) as connection:
        connection.send(POST % b"/h1/early" + (b"content-length: %d\r\n\r\n" % (2 + len(SMUGGLED)) + b"ab" if framing == "length" else CHUNKED + b"\r\n2\r\nab\r\n"))
        r = connection.read_response()
        proxy.expect(f"{framing}, {status}: the answer comes", (r.status, r.body) == (status, b"early"), r.status)
        try:
            connection.send(SMUGGLED if framing == "length" else b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED))
            more = connection.read_response().status
        except (Closed, OSError):
            more = None
        proxy.expect(f"{framing}, {status}: the rest is answered by nobody", more is None, more)
    taps = [tap for tap in h1.received() if b"/h1/early" in tap]
    proxy.expect(f"{framing}, {status}: the upstream connection is not used again", all(tap.count(b"HTTP/1.1\r\nhost") <= 1 + (b"smuggled" in tap) for tap in taps))
    with connect(proxy.port) as victim:
        victim.send(GET % b"/h1/victim" + b"\r\n")
        proxy.expect(f"{framing}, {status}: the next client gets its own answer", victim.read_response().status == 200)


@pytest.mark.parametrize("reply", ["100", "417", "200", "none", "two 100"])
def test_b9_expect(proxy, h1, reply):
    """`Expect: 100-continue` with each answer of the upstream: the client gets one final answer, the body goes up once, nobody's request is it."""
    got = []
    def script(connection):
        head = connection.head()
        if head is None:
            return
        if b"expect" in head.lower():
            got.append("expect")
        connection.send({"100": b"HTTP/1.1 100 Continue\r\n\r\n", "two 100": b"HTTP/1.1 100 Continue\r\n\r\n" * 2,
                         "417": b"HTTP/1.1 417 No\r\ncontent-length: 0\r\n\r\n", "200": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"}.get(reply, b""))
        if reply in ("417", "200"):
            connection.more(0.5)
            return
        got.append(connection.body(head))
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine")
    h1.reset(script)
    with connect(proxy.port) as connection:
        connection.send(POST % b"/h1/expect" + b"content-length: 4\r\nexpect: 100-continue\r\n\r\n")
        if reply not in ("417", "200"):
            connection.send(b"body")  # after some patience a client may
        text = b""
        while not re.search(rb"HTTP/1.1 [2-5]", text):
            text += connection.sock.recv(4096)
    statuses = [int(s) for s in re.findall(rb"HTTP/1.1 (\d+)", text)]
    final = {"417": 417}.get(reply, 200)
    proxy.expect(f"{reply}: one final answer", statuses[-1] == final and set(statuses[:-1]) <= {100}, statuses)
    proxy.expect(f"{reply}: the body goes up once", got.count(b"body") == (reply in ("100", "none", "two 100")), got)


INTERIM = {
    "100": [100], "two 100": [100, 100], "102": [102], "103": [103], "103 and 100": [103, 100], "100 after the answer": ["final", 100], "101 unasked": [101],
    "199": [199], "100 with a length": ["100 with a length"], "20 of them": [103] * 20, "1,000 of them": [103] * 1000,
}


@pytest.mark.parametrize("down", ["h1", "h2"])
@pytest.mark.parametrize("up", ["h1", "h2"])
def test_b10_interim_answers(proxy, h1, h2, down, up):
    """CVE-2024-53271. Interim answers that nobody asked for, in each direction: one final answer, or an error; the next client is untouched."""
    def by_h1(connection):
        while head := connection.head():
            name = head.split(b" ")[1].decode().removeprefix("/h1/").replace("%20", " ")
            plan = INTERIM.get(name, [])
            out = b""
            for status in plan:
                out += b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine" if status == "final" else \
                    b"HTTP/1.1 100 Continue\r\ncontent-length: 4\r\n\r\n" if status == "100 with a length" else b"HTTP/1.1 %d Interim\r\nx: y\r\n\r\n" % status
            connection.send(out + (b"" if "final" in plan else b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine"))
    def by_h2(connection):
        for peer, stream in requests(connection):
            plan = INTERIM.get(peer.heads[stream][0][":path"].removeprefix("/h2/").replace("%20", " "), [])
            out, final = b"", headers(stream, block((":status", "200"))) + data(stream, b"fine", end=True)
            for status in plan:
                out += final if status == "final" else headers(stream, block((":status", "100"), ("content-length", "4")) if status == "100 with a length"
                                                               else block((":status", str(status))))
            peer.send(out + (b"" if "final" in plan else final))
    h1.reset(by_h1)
    h2.reset(by_h2)
    for name in INTERIM:
        got = answer(proxy, down, f"/{up}/{name.replace(' ', '%20')}")
        proxy.expect(f"{down} ← {up}, {name}", got == (200, 4, True) or got[0] in (502, 503), f"{got[0]}, {got[1]} bytes")
        after = answer(proxy, down, f"/{up}/after")
        assert after == (200, 4, True), (name, after)


# ---- B11: an upstream that answers what nobody asked

POISON = b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\nx-poison: 1\r\n\r\npoisoned"
POISONED = {
    "bytes after a body": b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine" + b"x" * 10,
    "a second answer": b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine" + POISON,
    "a second answer behind chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n" + POISON,
    "a body with 204": b"HTTP/1.1 204 No\r\n\r\n" + POISON, "a body with 304": b"HTTP/1.1 304 Same\r\ncontent-length: 8\r\n\r\n" + POISON,
    "length of 204": b"HTTP/1.1 204 No\r\ncontent-length: 4\r\n\r\nfine" + POISON, "chunked 204": b"HTTP/1.1 204 No\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n" + POISON,
    "HEAD with a body": b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(POISON) + POISON,
    "length and chunked": b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + POISON,
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 40\r\n\r\nfine" + POISON,
    "205 with a body": b"HTTP/1.1 205 Reset\r\ncontent-length: 4\r\n\r\nfine" + POISON,
}


@pytest.mark.parametrize("down", ["h1", "h2"])
def test_b11_poisoned_pool(proxy, h1, down):
    """CVE-2020-8661. Answers with more than they should hold: the connection is not used again, no other client gets a byte of it."""
    def script(connection):
        while head := connection.head():
            name = head.split(b" ")[1].decode().removeprefix("/h1/").replace("%20", " ")
            connection.send(POISONED.get(name, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine"))
    for name in POISONED:
        h1.reset(script)
        method = "HEAD" if name.startswith("HEAD") else "GET"
        first = answer(proxy, down, "/h1/" + name.replace(" ", "%20"), method)
        victims = [answer(proxy, down, f"/h1/victim{i}") for i in range(3)]
        taps = [c.requests for c in h1.connections if name.encode().replace(b" ", b"%20") in c.received]
        proxy.expect(f"{down}, {name}: the next clients get their own answers", victims == [(200, 4, True)] * 3, f"{first[0]}; {[v[0] for v in victims]}")
        proxy.expect(f"{down}, {name}: the connection is not used again", taps == [1], taps)


@pytest.mark.parametrize("down", ["h1", "h2"])
def test_b11_truncated(proxy, h1, down):
    """An answer that breaks off is seen to: a reset or an unfinished body, never a clean end."""
    for name, bytes_ in {"length": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", "chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nhalf",
                         "between chunks": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", "in trailers": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
                         "no length, reset": b"HTTP/1.1 200 OK\r\n\r\nhalf"}.items():
        def script(connection):
            connection.head()
            connection.send(bytes_)
            time.sleep(0.05)  # the answer is on its way before its end
            if "reset" in name:
                connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sock.close()
        h1.reset(script)
        got = answer(proxy, down, "/h1/x")
        proxy.expect(f"{down}, {name}", not got[2] or got[0] in (502, 503), f"{got[0]}, {'whole' if got[2] else 'broken off'}")


# ---- B14 to B16: logs, handshakes, trailers

def test_b14_response_splitting(proxy, h1):
    """CVE-2024-45808. What a request says comes back in redirects, answers and logs without ending their lines: each byte in path, host and names."""
    def one(byte):
        char = bytes([byte])
        found = []
        for what, bytes_ in {"path": b"GET /redirect/%02x%s%%0d%%0ax-injected:%%201 HTTP/1.1\r\nhost: victim\r\n\r\n" % (byte, char),
                             "host": b"GET /redirect/h%02x HTTP/1.1\r\nhost: vic%stim\r\n\r\n" % (byte, char),
                             "agent": b"GET /direct/a%02x HTTP/1.1\r\nhost: victim\r\nuser-agent: \"%s\\\r\nx-request-id: a%sb\r\n\r\n" % (byte, char, char)}.items():
            with connect(proxy.port) as connection:
                connection.send(bytes_)
                connection.sock.shutdown(socket.SHUT_WR)
                got = connection.read_to_end()
            head = got.split(b"\r\n\r\n")[0]
            if any(not re.fullmatch(rb"[!-9;-~]+: [\t -~\x80-\xff]*", line) for line in head.split(b"\r\n")[1:]) or b"\r\nx-injected" in head:
                found.append((what, byte, head))
        return found
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        found = [f for some in pool.map(one, [b for b in range(256) if b not in b"\r\n"]) for f in some]
    proxy.expect("no byte ends a line of an answer", not found, found[:3] or "yes")
    def logged():
        lines = proxy.access_log.read_bytes().splitlines()
        return [json.loads(line.decode("utf-8", "surrogateescape")) for line in lines] if any(b"/direct/aff" in line for line in lines) else None
    try:
        wait_for("the log", logged)
        parsed = True
    except Failed:
        parsed = False
    proxy.expect("every log line is one JSON object", parsed)


def test_b15_plaintext_before_tls(proxy, tls):
    """nginx CVE-2026-1642. An upstream speaks before the handshake, in HTTP and in alerts: none of it is an answer."""
    for what, bytes_ in {"an answer": POISON, "an alert": b"\x15\x03\x03\x00\x02\x02\x28", "half a record": b"\x16\x03\x03\x00\x50\x02", "nothing": b""}.items():
        def script(connection):
            connection.send(bytes_)
            connection.more(0.3)
        tls.reset(script)
        status, size, _ = answer(proxy, "h1", "/tls/x")
        proxy.expect(f"{what}: 503, and nothing of it", status == 503, f"{status}, {size} bytes")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_b15_proxy_header(proxy, h1, version):
    """CVE-2026-47692. The header names the client of its connection, which serves no other; its length is that of what is written."""
    def script(connection):
        while connection.received.count(b"GET /told") < 2:
            before = connection.received.count(b"GET /told")
            if not connection.more():
                return
            for _ in range(connection.received.count(b"GET /told") - before):
                connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine")
        connection.more()
    h1.reset(script)
    wanted = []
    for _ in range(3):
        with connect(proxy.port) as client:
            for _ in range(2):
                client.send(GET % f"/told/{version}".encode() + b"\r\n")
                assert client.read_response().body == b"fine"
            ip, port = client.sock.getsockname()
            wanted.append(f"PROXY TCP4 {ip} {ip} {port} {proxy.port}\r\n".encode() if version == "v1" else
                          b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H4s4sHH", 12, *[socket.inet_aton(ip)] * 2, port, proxy.port))
    told = [tap.partition(b"GET /told")[0] for tap in h1.received()]
    proxy.expect(f"{version}: each connection begins with its client's", told == wanted, f"{len(told)} connections")
    proxy.expect(f"{version}: and brings both its requests", all(tap.count(b"GET /told") == 2 for tap in h1.received()))


FORBIDDEN = [("content-length", "5"), ("transfer-encoding", "chunked"), ("host", "evil"), ("authorization", "evil"), ("x-envoy-upstream-rq-timeout-ms", "1"), ("connection", "close"),
             ("te", "gzip"), ("x_a", "b"), ("x-trailer", "fine")]


def test_b16_trailers_of_h1(proxy, h1, h2):
    """Trailers of a chunked request are counted and dropped: none is merged into the head, none leaves."""
    seen = []
    def script(connection):
        for peer, stream in requests(connection, whole=True):
            seen.append(peer.heads[stream])
            peer.send(headers(stream, block((":status", "200"))) + data(stream, b"fine", end=True))
    h2.reset(script)
    trailers = b"".join(b"%s: %s\r\n" % (n.encode(), v.encode()) for n, v in FORBIDDEN if n not in ("content-length", "transfer-encoding"))
    for up in ("h1", "h2"):
        status = outcome(proxy.port, chunks(b"5\r\nhello\r\n0\r\n" + trailers + b"\r\n").replace(b"/PATH", b"/%s/t" % up.encode()))
        proxy.expect(f"to {up}: answered", status == ([200], "open"), status)
    tap = b"".join(h1.received())
    told = {n for heads in seen for head in heads[1:] for n in head}
    proxy.expect("none leaves", b"evil" not in tap and b"x-trailer" not in tap and not told, sorted(told) or "yes")
    proxy.expect("none is merged", all("evil" not in str(heads[0]) for heads in seen))
    for name, many in (("too many", b"".join(b"x%d: y\r\n" % i for i in range(1000))), ("too large", b"x: " + b"y" * 100_000 + b"\r\n")):
        status, fate = outcome(proxy.port, chunks(b"5\r\nhello\r\n0\r\n" + many + b"\r\n").replace(b"/PATH", b"/h1/t"))
        proxy.expect(name, fate == "closed" and 200 not in status, f"{status} {fate}")


def test_b16_trailers_of_h2(proxy, h1, h2):
    """Over h2: dropped for h1; what frames or names a message is refused or dropped; grpc-status comes through byte for byte."""
    seen = {}
    grpc = [("grpc-status", "13"), ("grpc-message", "a%20b%E2%82%AC ~!"), ("x-bin", "AAECAw==")]
    def script(connection):
        for peer, stream in requests(connection, whole=True):
            seen[peer.heads[stream][0][":path"]] = peer.heads[stream]
            peer.send(headers(stream, block((":status", "200"))) + data(stream, b"fine") + headers(stream, block(*grpc), end=True))
    h2.reset(script)
    for i, (name, value) in enumerate([*FORBIDDEN, (":path", "/evil"), (":status", "200"), ("x", "a\r\nevil: 1"), ("", "evil")]):
        for up in ("h1", "h2"):
            with Peer.client(proxy.port) as peer:
                peer.send(headers(1, request(f"/{up}/{i}", "POST")) + data(1, b"hello") + headers(1, block((name, value)), end=True))
                peer.until(lambda: 1 in peer.ended or 1 in peer.resets or peer.closed, 5)
                fate = peer.status(1) if 1 in peer.ended else "reset" if 1 in peer.resets else peer.fate()
            told = seen.get(f"/{up}/{i}", [{}])
            shown = f"{fate}" + (", passed on" if len(told) > 1 and name in told[1] else "")
            _envoy[proxy.name, f"trailer {name!r} {up}"] = shown
            passed = "passed on" in shown
            proxy.expect(f"{name!r}={value!r} to {up}: never in a head, passed on only where Envoy does and it frames nothing",
                         "evil" not in str(told[0]) and b"evil" not in b"".join(h1.received()) and
                         (not passed or shown == _envoy.get(("envoy", f"trailer {name!r} {up}"), shown) and name not in ("content-length", "host")), shown)
    with Peer.client(proxy.port) as peer:
        peer.send(headers(1, request("/h2/grpc", "POST", ("te", "trailers"), ("content-type", "application/grpc"))) + data(1, b"hello", end=True))
        peer.until(lambda: 1 in peer.ended)
        proxy.expect("grpc-status and its message come through", peer.heads[1][-1] == dict(grpc), peer.heads[1][-1])
