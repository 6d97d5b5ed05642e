"""Table A: HTTP/2 and HPACK against the proxy's memory and time, as a client and as an upstream."""

import concurrent.futures
import itertools
import random
import subprocess
import threading
import time

import pytest

from conftest import FULL
from frames import *
from harness import peers
from harness.procs import wait_for
from upstream import good_http1

MIB = 1 << 20


def answers(fields=((":status", "200"),), body=b"fine"):
    """An HTTP/2 upstream that answers each request when its head has come."""
    def script(connection):
        peer, done = connection.h2(), set()
        while peer.until(lambda: peer.closed or set(peer.heads) - done, 60) and not peer.closed:
            for stream in set(peer.heads) - done:
                done.add(stream)
                peer.send(headers(stream, block(*fields)) + data(stream, body, end=True))
    return script


def silent(connection):
    """Takes everything, says nothing."""
    while connection.more():
        pass


def flood(proxy, bytes_, opening=b"", port=None, timeout=20.0):
    """A client that sends all this: the connection as it then is."""
    peer = Peer.client(port or proxy.port)
    peer.send(opening)
    peer.send(bytes_, timeout)
    peer.until_closed(3)
    return peer


def streams(n):
    return range(1, 2 * n, 2)


# ---- A1, A2: resets

def test_a1_rapid_reset(proxy, h1):
    """CVE-2023-44487. 1,000,000 pairs of HEADERS and RST_STREAM on one connection; CI 20,000."""
    n = 1_000_000 if FULL else 20_000
    head = request("/h1/rapid")
    with flood(proxy, b"".join(headers(s, head, end=True) + rst_stream(s) for s in streams(n))) as peer:
        proxy.expect("ended by GOAWAY ENHANCE_YOUR_CALM", peer.fate() == "GOAWAY 11", peer.fate())
        last = max((last for last, _ in peer.goaways), default=2 * n)
        proxy.expect("within 1,000 resets", last <= 2 * 1000, (last + 1) // 2)
    seen = sum(r.count(b"/h1/rapid") for r in h1.received())
    proxy.expect("upstream sees 1 % of them at most", seen <= n // 100, seen)


def test_a1_cost_is_linear(proxy):
    """CVE-2021-32778. Resets within bounds (one for two good requests), 500 and then 5,000: the cost of one stays. Full 20,000 and 200,000."""
    def cost(n):
        with Peer.client(proxy.port) as peer:
            peer.send(window_update(0, 1 << 30))
            before = proxy.cpu()
            for i in range(0, n, 50):
                batch = range(1 + 6 * i, 1 + 6 * (i + 50), 6)
                peer.send(b"".join(headers(s, request("/direct"), end=True) + headers(s + 2, request("/h1/x", "POST")) + rst_stream(s + 2) +
                                   headers(s + 4, request("/direct"), end=True) for s in batch))
                if not peer.until(lambda: len(peer.ended) >= 2 * (i + 50)):
                    return float("nan")  # Envoy counts otherwise, and ends it
            return (proxy.cpu() - before) / n
    few, many = (20_000, 200_000) if FULL else (500, 5_000)
    cost(few)
    ratio = cost(many) / cost(few)
    proxy.expect("ten times as many cost each at most twice as much", ratio <= 2, f"{ratio:.1f}×")


PROVOKED = {
    "WINDOW_UPDATE of 0": lambda s: headers(s, request("/h1/provoked", "POST")) + window_update(s, 0),
    "window beyond 2^31": lambda s: headers(s, request("/h1/provoked", "POST")) + window_update(s, 0x7fffffff),
    "DATA after END_STREAM": lambda s: headers(s, request("/h1/provoked"), end=True) + data(s, b"x"),
    "HEADERS after END_STREAM": lambda s: headers(s, request("/h1/provoked"), end=True) + headers(s, request(), end=True),
    "PRIORITY of 4 bytes": lambda s: headers(s, request("/h1/provoked", "POST")) + frame(PRIORITY, 0, s, bytes(4)),
    "DATA beyond content-length": lambda s: headers(s, request("/h1/provoked", "POST", ("content-length", "1"))) + data(s, b"xx"),
    "field in upper case": lambda s: headers(s, request("/h1/provoked", "GET", ("X", "y")), end=True),
}


@pytest.mark.parametrize("how", PROVOKED)
def test_a2_made_you_reset(proxy, h1, how):
    """CVE-2025-8671. The client makes the server reset: 100,000 times each way; CI 2,000."""
    n = 100_000 if FULL else 2_000
    with flood(proxy, b"".join(map(PROVOKED[how], streams(n)))) as peer:
        proxy.expect(f"{how}: the connection ends", peer.closed, peer.fate())
        proxy.expect(f"{how}: after 1,000 resets at most", len(peer.resets) <= 1000, len(peer.resets))
    seen = sum(r.count(b"/h1/provoked") for r in h1.received())
    proxy.expect(f"{how}: upstream sees 500 at most", seen <= 500, seen)


def test_a2_work_stops_with_its_stream(proxy, h1):
    """What the upstream does for streams that the client makes the server reset is given up. 50 streams."""
    h1.reset(silent)
    with Peer.client(proxy.port) as peer:
        peer.send(b"".join(headers(s, request("/h1/work", "POST")) for s in streams(50)))
        wait_for("the requests upstream", lambda: sum(r.count(b"/h1/work") for r in h1.received()) == 50)
        peer.send(b"".join(window_update(s, 0x7fffffff) for s in streams(50)))
        def given_up():
            return all(c.sock.fileno() < 0 for c in h1.connections)
        try:
            wait_for("them to be given up", given_up, 5)
        except AssertionError:
            pass
        proxy.expect("all upstream connections of them are closed", given_up())


# ---- A3, A4: heads

@pytest.mark.parametrize("how", ["literals", "Huffman", "empty"])
def test_a3_continuation_flood(proxy, how):
    """CVE-2024-28182, 30255, 27919. CONTINUATION without END_HEADERS: 256 MiB (or a million empty ones); CI 16 MiB (65,536)."""
    if how == "empty":
        pieces = frame(CONTINUATION, 0, 1) * (1_000_000 if FULL else 65_536)
    else:
        field = literal("x", "y" * 4000, huffman=how == "Huffman")
        piece = frame(CONTINUATION, 0, 1, field * 4)
        pieces = piece * ((256 if FULL else 16) * MIB // len(piece))
    with Peer.client(proxy.port) as peer, proxy.growth() as grown:
        before = proxy.cpu()
        peer.send(headers(1, request("/h1/x"), more=True))
        peer.send(pieces)
        peer.until_closed(3)
        spent = proxy.cpu() - before
    proxy.expect(f"{how}: the connection ends", peer.closed, peer.fate())
    proxy.expect(f"{how}: at most 50 ms of CPU", spent <= 0.05 or proxy.sanitized, f"{1000 * spent:.0f} ms")
    proxy.expect(f"{how}: 1 MiB at most", grown.bytes <= MIB, f"{grown.bytes // 1024} KiB")


def bombs():
    big = "b" * 3900
    fields = request("/h1/bomb")
    return {
        "cookies": (literal("cookie", big, remember=True), indexed(62)),
        "a header": (literal("x-a", big, remember=True), indexed(62)),
        "host": (literal("host", big, remember=True), indexed(62)),
        "a dropped field": (literal("http2-settings", big, remember=True), indexed(62)),
        "static entries": (fields, indexed(16)),  # accept-encoding: gzip, deflate
        "empty cookies": (literal("cookie", "", remember=True), indexed(62)),
    }


@pytest.mark.parametrize("what", bombs())
def test_a4_hpack_bomb(proxy, h1, what):
    """CVE-2026-47774, 73550. One byte on the wire, 4 KB decoded, 16,000 times in each of 100 requests; CI 20 requests."""
    prime, one = bombs()[what]
    n = 100 if FULL else 20
    with Peer.client(proxy.port) as peer, proxy.growth() as grown:
        peer.send(headers(1, request("/direct", "GET") + (prime if prime != request("/h1/bomb") else b""), end=True))
        peer.until(lambda: 1 in peer.ended or 1 in peer.resets)
        peer.send(b"".join(headers(s, request("/h1/bomb") + one * 16_000, end=True) for s in list(streams(n + 1))[1:]))
        peer.until(lambda: len(peer.resets) + len(peer.ended) > n or peer.closed, 10)
        alive = not peer.closed
    refused = len([s for s in list(streams(n + 1))[1:] if s in peer.resets or peer.status(s) == 431])
    proxy.expect(f"{what}: all refused", refused == n or peer.closed, f"{refused} of {n}, {peer.fate()}")
    proxy.expect(f"{what}: the connection goes on", alive)
    # What is read in one go holds 32 such heads, each its limit of 60 KiB at most.
    proxy.expect(f"{what}: 2 MiB at most", grown.bytes <= 2 * MIB, f"{grown.bytes // 1024} KiB")
    proxy.expect(f"{what}: nothing upstream", not any(b"/h1/bomb" in r for r in h1.received()))


def test_a4_bomb_in_trailers(proxy, h1):
    """The same in trailers: 20 requests."""
    h1.reset(silent)
    with Peer.client(proxy.port) as peer, proxy.growth() as grown:
        peer.send(headers(1, request("/direct") + literal("x-a", "b" * 3900, remember=True), end=True))
        peer.send(b"".join(headers(s, request("/h1/trail", "POST")) + headers(s, indexed(62) * 16_000, end=True)
                           for s in list(streams(21))[1:]))
        peer.until(lambda: len(peer.resets) >= 20 or peer.closed, 10)
    proxy.expect("all streams reset", len(peer.resets) == 20, len(peer.resets))
    # All are under way at once, each with an upstream connection: one may hold its limit of 60 KiB.
    proxy.expect("128 KiB for a stream at most", grown.bytes // 20 <= 128 * 1024, f"{grown.bytes // 20 // 1024} KiB")


def test_a4_upstream_role(proxy, h2):
    """An upstream answers with the bomb."""
    def script(connection):
        peer = connection.h2()
        peer.until(lambda: peer.heads)
        for stream in peer.heads:
            peer.send(headers(stream, literal(":status", "200") + literal("x-a", "b" * 3900, remember=True) + indexed(62) * 16_000, end=True))
        peer.until_closed(30)
    h2.reset(script)
    with Peer.client(proxy.port) as peer, proxy.growth() as grown:
        peer.send(headers(1, request("/h2/x"), end=True))
        peer.until(lambda: 1 in peer.ended or 1 in peer.resets)
    proxy.expect("the client gets 502 or 503", peer.status(1) in (502, 503), peer.status(1))
    proxy.expect("1 MiB at most", grown.bytes <= MIB, f"{grown.bytes // 1024} KiB")


# ---- A5: windows that stay shut

@pytest.mark.parametrize("via", ["h1", "h2"])
def test_a5_window_of_zero(proxy, h1, h2, via):
    """CVE-2020-12604. 100 streams ask for 10 MiB each (CI 1 MiB) and never open the window; the stream's idle timeout is 2 s (default 5 min)."""
    size = (10 if FULL else 1) * MIB
    h1.reset(good_http1(bytes(size)))
    def script(connection):
        peer = connection.h2()
        done = set()
        while peer.until(lambda: peer.closed or set(peer.heads) - done, 30) and not peer.closed:
            for stream in set(peer.heads) - done:
                done.add(stream)
                peer.send(headers(stream, block((":status", "200"))) + b"".join(data(stream, bytes(16384)) for _ in range(4)))
    h2.reset(script)
    with Peer.client(proxy.edge, (INITIAL_WINDOW_SIZE, 0)) as peer, proxy.growth() as grown:
        peer.send(b"".join(headers(s, request(f"/{via}/window"), end=True) for s in streams(100)))
        peer.until(lambda: len(peer.resets) == 100 or peer.closed, 20)
    held = grown.bytes // 100
    proxy.expect(f"from {via}: 256 KiB held for a stream at most", held <= 256 * 1024, f"{held // 1024} KiB")
    proxy.expect(f"from {via}: the idle timeout ends all", len(peer.resets) == 100 or peer.closed, f"{len(peer.resets)}, {peer.fate()}")


# ---- A6, A7, A8: frames that make work

FLOODS = {
    "PING": frame(PING, 0, 0, bytes(8)),
    "SETTINGS": settings(),
    "SETTINGS with 100 entries": settings(*[(INITIAL_WINDOW_SIZE, 65535)] * 100),
    "SETTINGS with 2,000 entries": settings(*[(INITIAL_WINDOW_SIZE, 65535)] * 2000),
    "GOAWAY": goaway(0),
    "unknown frames": frame(0x42, 0, 0, bytes(8)),
}


@pytest.mark.parametrize("what", FLOODS)
def test_a6_control_frames(proxy, what):
    """CVE-2019-9512, 9515, 2020-11080. 64 MiB of frames, most of which want an answer, from a client that never reads; CI 24 MiB."""
    one = FLOODS[what]
    bytes_ = one * ((64 if FULL else 24) * MIB // len(one))
    with Peer.client(proxy.port) as peer, proxy.growth() as grown:
        before = proxy.cpu()
        peer.send_blindly(bytes_)
        took = proxy.cpu() - before
        answered = what not in ("GOAWAY", "unknown frames")
        if answered:
            peer.until_closed(8)  # first what we are owed leaves, as far as it can, then the connection goes
    # What wants no answer may go on: it costs no more than it sends.
    if answered:
        proxy.expect(f"{what}: the connection ends", peer.closed, peer.fate())
    proxy.expect(f"{what}: 1 MiB at most", grown.bytes <= MIB, f"{grown.bytes // 1024} KiB")
    proxy.expect(f"{what}: at most 100 ns of CPU for a byte", took <= 1e-7 * len(bytes_) or proxy.sanitized, f"{took * 1e9 / len(bytes_):.0f} ns")


@pytest.mark.parametrize("what", ["RST_STREAM of idle streams", "RST_STREAM again"])
def test_a6_reset_frames(proxy, what):
    """CVE-2019-9514. RST_STREAM for streams that are not there: 100,000; CI 10,000."""
    n = 100_000 if FULL else 10_000
    again = what.endswith("again")
    opening = headers(1, request("/h1/x", "POST")) if again else b""
    with flood(proxy, b"".join(rst_stream(1 if again else s) for s in streams(n)), opening) as peer:
        proxy.expect(f"{what}: the connection ends", peer.closed, peer.fate())


def test_a6_upstream_role(proxy, h2):
    """An upstream that answers with nothing but interim heads, 1,000,000 of them (CI 200,000), or with PINGs and never reads."""
    n = 1_000_000 if FULL else 200_000
    for what, one in {"interim heads": headers(1, block((":status", "103"))), "PING": frame(PING, 0, 0, bytes(8)), "SETTINGS": settings()}.items():
        def script(connection):
            peer = connection.h2()
            peer.until(lambda: peer.heads)
            peer.send_blindly(one * n)
            connection.more(0.5)
        h2.reset(script)
        with Peer.client(proxy.port) as peer, proxy.growth() as grown:
            peer.send(headers(1, request("/h2/x"), end=True))
            peer.until(lambda: 1 in peer.ended or 1 in peer.resets, 15)
        proxy.expect(f"{what} from an upstream: the client gets 502 or 503", peer.status(1) in (502, 503), peer.status(1))
        proxy.expect(f"{what} from an upstream: 1 MiB at most", grown.bytes <= MIB, f"{grown.bytes // 1024} KiB")


EMPTY = {
    "DATA": (headers(1, request("/h1/x", "POST")), data(1) * 2),
    "DATA, padded": (headers(1, request("/h1/x", "POST")), frame(DATA, PADDED, 1, b"\x08" + bytes(8)) * 2),
    "HEADERS": (b"", b"".join(headers(s, b"", end=True) for s in streams(1000))),
    "CONTINUATION": (headers(1, request("/h1/x"), more=True), frame(CONTINUATION, 0, 1) * 1000),
    "names and values": (b"", b"".join(headers(s, request("/h1/x") + literal("", "") * 3000, end=True) for s in streams(1000))),
}


@pytest.mark.parametrize("what", EMPTY)
def test_a7_empty_frames(proxy, what):
    """CVE-2019-9518, 9516. The second empty DATA frame, and 1,000 of the others."""
    opening, bytes_ = EMPTY[what]
    with proxy.growth() as grown, flood(proxy, bytes_, opening) as peer:
        proxy.expect(f"{what}: the connection ends", peer.closed, peer.fate())
    proxy.expect(f"{what}: 1 MiB at most", grown.bytes <= MIB, f"{grown.bytes // 1024} KiB")


@pytest.mark.parametrize("what, one", [("PRIORITY", frame(PRIORITY, 0, 1, bytes(4) + b"\x10")), ("WINDOW_UPDATE", window_update(0, 1)),
                                       ("WINDOW_UPDATE of a stream", window_update(1, 1))])
def test_a8_priority_and_window_update(proxy, what, one):
    """CVE-2019-9513, 9511. 10,000 of them on a connection with one stream; Envoy's formulas."""
    with flood(proxy, one * 10_000, headers(1, request("/h1/x", "POST"))) as peer:
        proxy.expect(f"{what}: ended by GOAWAY ENHANCE_YOUR_CALM", peer.fate() == "GOAWAY 11", peer.fate())


# ---- A9: small pieces

@pytest.mark.parametrize("how", ["DATA to h1", "DATA to h2", "chunks"])
def test_a9_single_bytes(proxy, h1, h2, how):
    """CVE-2020-8659, 12603. 10 MiB in pieces of one byte to an upstream that does not read; CI 200,000 bytes, what the windows let in."""
    stop = threading.Event()
    h1.reset(lambda connection: stop.wait(30))
    h2.reset(lambda connection: (connection.h2(), stop.wait(30)))
    n = 10 * MIB if FULL else 200_000
    with proxy.growth() as grown:
        if how == "chunks":
            with socket.create_connection(("127.0.0.1", proxy.port), 10) as sock:
                sock.sendall(b"POST /h1/single HTTP/1.1\r\nhost: victim\r\ntransfer-encoding: chunked\r\n\r\n")
                sock.settimeout(2)
                try:
                    sock.sendall(b"1\r\na\r\n" * n)
                except OSError:
                    pass
        else:
            with Peer.client(proxy.port) as peer:
                peer.send(headers(1, request("/h1/single" if how.endswith("h1") else "/h2/single", "POST")))
                peer.until(lambda: any(f.type == SETTINGS for f in peer.frames))
                window = min(n, 65_535)  # the connection's, unless it opens
                peer.send(data(1, b"a") * window)
                peer.until(lambda: False, 0.5)
    stop.set()
    # Windows and buffers, not frames, decide; 256 KiB a stream and what is on its way out.
    proxy.expect(f"{how}: held at most 4 times the stream's window", grown.bytes <= 4 * 256 * 1024, f"{grown.bytes // 1024} KiB")


@pytest.mark.parametrize("via", ["h1", "h2"])
def test_a9_upstream_role(proxy, h1, h2, via):
    """An upstream answers byte by byte, and the client does not read. 200,000 bytes."""
    def by_h1(connection):
        connection.head()
        connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 200_000)
    def by_h2(connection):
        peer = connection.h2()
        peer.until(lambda: peer.heads)
        peer.send(headers(1, block((":status", "200"))) + data(1, b"a") * 65_535, 3)
    h1.reset(by_h1)
    h2.reset(by_h2)
    with Peer.client(proxy.port, (INITIAL_WINDOW_SIZE, 0)) as peer, proxy.growth() as grown:
        peer.send(headers(1, request(f"/{via}/single"), end=True))
        peer.until(lambda: False, 1)
    proxy.expect(f"from {via}: held at most 4 times the stream's window", grown.bytes <= 4 * 256 * 1024, f"{grown.bytes // 1024} KiB")


# ---- A10, A11: frames at the wrong time

def upstream_idle(proxy, h2):
    """Every request of the HTTP/2 upstream is over."""
    return wait_for("no request left upstream", lambda: proxy.stat("cluster.h2.upstream_rq_active") == 0 or None)


def test_a10_after_goaway(proxy, h2):
    """CVE-2023-35945, 2021-32780. An upstream sends GOAWAY, RST_STREAM, HEADERS, DATA and MAX_CONCURRENT_STREAMS=0 in every order;
    100,000 connections, CI all 120 orders once."""
    orders = list(itertools.permutations(range(5)))
    turns = itertools.cycle(orders)
    def script(connection):
        peer, order = connection.h2(), next(turns)
        peer.until(lambda: peer.heads or peer.closed)
        for stream in list(peer.heads):
            parts = [goaway(stream if len(order) % 2 else 0), rst_stream(stream, NO_ERROR if order[0] % 2 else REFUSED_STREAM),
                     headers(stream, block((":status", "200"))), data(stream, b"x", end=True), settings((MAX_CONCURRENT_STREAMS, 0))]
            peer.send(b"".join(parts[i] for i in order))
        peer.until_closed(1)
    h2.reset(script)
    n, statuses = 100_000 if FULL else len(orders), {}
    with proxy.growth() as grown:
        for at in range(0, n, 60):
            with Peer.client(proxy.port) as peer:
                ids = streams(min(60, n - at))
                for s in ids:  # one after the other, so that each has a connection of its own
                    peer.send(headers(s, request("/h2/goaway"), end=True))
                peer.until(lambda: peer.closed or all(s in peer.ended or s in peer.resets for s in ids), 20)
                for s in ids:
                    fate = peer.status(s) if s in peer.ended else f"reset {peer.resets[s]}" if s in peer.resets else "nothing"
                    statuses[fate] = statuses.get(fate, 0) + 1
    proxy.expect("each request has an end", "nothing" not in statuses, ", ".join(f"{v}× {k}" for k, v in sorted(statuses.items(), key=str)))
    upstream_idle(proxy, h2)
    proxy.expect("4 MiB at most", grown.bytes <= 4 * MIB, f"{grown.bytes // 1024} KiB")


FRAMES = {
    "DATA": lambda s: data(s, b"x"), "DATA, end": lambda s: data(s, b"x", end=True), "HEADERS": lambda s: headers(s, request("/h1/x")),
    "HEADERS, end": lambda s: headers(s, block(("x", "y")), end=True), "PRIORITY": lambda s: frame(PRIORITY, 0, s, bytes(4) + b"\x01"),
    "RST_STREAM": rst_stream, "SETTINGS": lambda s: settings(), "SETTINGS ack": lambda s: frame(SETTINGS, ACK),
    "PUSH_PROMISE": lambda s: frame(PUSH_PROMISE, END_HEADERS, s, struct.pack(">I", s + 1) + request()), "PING": lambda s: frame(PING, 0, 0, bytes(8)),
    "PING ack": lambda s: frame(PING, ACK, 0, bytes(8)), "GOAWAY": lambda s: goaway(0), "WINDOW_UPDATE": lambda s: window_update(s, 1),
    "CONTINUATION": lambda s: frame(CONTINUATION, END_HEADERS, s, b""), "unknown": lambda s: frame(0x99, 0, s, b"?"),
    "DATA on 0": lambda s: data(0, b"x"), "HEADERS on 0": lambda s: headers(0, request()), "RST_STREAM on 0": lambda s: rst_stream(0),
    "SETTINGS on a stream": lambda s: frame(SETTINGS, 0, s), "PING of 7 bytes": lambda s: frame(PING, 0, 0, bytes(7)),
    "too long": lambda s: frame(DATA, 0, s, bytes(20_000)), "padding too long": lambda s: frame(DATA, PADDED, s, b"\xff"),
}
STATES = {
    "idle": b"",
    "open": headers(1, request("/h1/x", "POST")),
    "half closed": headers(1, request("/h1/x"), end=True),
    "in a head": headers(1, request("/h1/x"), more=True),
    "answered": headers(1, request("/direct"), end=True),
    "reset by us": headers(1, request("/h1/x", "POST")) + rst_stream(1),
    "reset by it": headers(1, request("/h1/x", "POST")) + window_update(1, 0),
    "after GOAWAY": headers(1, request("/h1/x", "POST")) + goaway(0),
}


def test_a11_every_frame_in_every_state(proxy, h1):
    """CVE-2026-27135, 73513. Each of 22 frames in each of 8 states of a stream of the client's: ignored, a reset, or a GOAWAY; nothing else."""
    h1.reset(silent)
    def outcome(case):
        (state, opening), (_, make) = case
        with Peer.client(proxy.port) as peer:
            peer.send(opening)
            if state == "answered":
                peer.until(lambda: 1 in peer.ended)
            peer.send(make(1))
            # A PING shows what became of it: nothing is left to wait for when it is answered or the connection is gone.
            peer.send(frame(PING, 0, 0, b"the mark"))
            done = peer.until(lambda: peer.closed or any(f.type == PING and f.payload == b"the mark" for f in peer.frames), 5)
            return f"GOAWAY {peer.goaways[-1][1]}" if peer.goaways else f"reset {peer.resets[1]}" if 1 in peer.resets else \
                "closed" if peer.closed else "goes on" if done else "hangs"
    cases = list(itertools.product(STATES.items(), FRAMES.items()))
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        outcomes = {(state, name): fate for ((state, _), (name, _)), fate in zip(cases, pool.map(outcome, cases))}
    hangs = [f"{name}, {state}" for (state, name), v in outcomes.items() if v == "hangs"]
    proxy.expect("client: a defined answer to each", not hangs, "; ".join(hangs) or "yes")
    kinds = sorted({v.split()[0] for v in outcomes.values()})
    proxy.expect("client: outcomes", True, ", ".join(f"{sum(v.startswith(k) for v in outcomes.values())} {k}" for k in kinds))


UPSTREAM_STATES = {
    "idle": lambda s: b"",
    "head sent": lambda s: headers(s, block((":status", "200"))),
    "interim": lambda s: headers(s, block((":status", "103"))),
    "ended": lambda s: headers(s, block((":status", "200")), end=True),
    "reset": lambda s: rst_stream(s),
    "in a head": lambda s: headers(s, block((":status", "200")), more=True),
    "after GOAWAY": lambda s: goaway(s),
    "trailers": lambda s: headers(s, block((":status", "200"))) + headers(s, block(("grpc-status", "0")), end=True),
}


def test_a11_upstream_role(proxy, h2):
    """Each of 22 frames in each of 8 states of an exchange, from an upstream that then ends: every request has its end."""
    cases = list(itertools.product(UPSTREAM_STATES.values(), FRAMES.values()))
    turns = iter(cases)
    lock = threading.Lock()
    def script(connection):
        with lock:
            state, make = next(turns, (None, None))
        peer = connection.h2()
        if peer.until(lambda: peer.heads) and state:
            stream = min(peer.heads)
            peer.send(state(stream) + make(stream))
            peer.until_closed(0.05)
    h2.reset(script)
    fates = {}
    for _ in cases:
        with Peer.client(proxy.port) as peer:
            peer.send(headers(1, request("/h2/x"), end=True))
            peer.until(lambda: peer.closed or 1 in peer.ended or 1 in peer.resets, 5)
            fate = str(peer.status(1)) if 1 in peer.ended else "reset" if 1 in peer.resets else "nothing"
            fates[fate] = fates.get(fate, 0) + 1
    proxy.expect("upstream: each request has an end", "nothing" not in fates, ", ".join(f"{v}× {k}" for k, v in sorted(fates.items())))
    upstream_idle(proxy, h2)


# ---- A12, A13: what runs late, what runs deep

def test_a12_reset_at_any_time(proxy, h1, h2):
    """CVE-2026-26311, 50572, 47205, 48090, 2024-45810. Streams with a delay, retries and bodies are reset after 0 to 20 ms: 10,000 schedules,
    CI 600; what must not run late is seen under the address sanitizer."""
    seed = random.randrange(1 << 32)
    random_ = random.Random(seed)
    print(f"seed {seed}")
    def moody(connection):
        while head := connection.head():
            turn = random_.random()
            if turn < 0.3:
                return
            if turn < 0.6:
                connection.send(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")
            else:
                connection.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
                time.sleep(random_.random() / 100)
                connection.send(b"0\r\n\r\n")
    h1.reset(moody)
    h2.reset(answers())
    n = 10_000 if FULL else 600
    for _ in range(n // 30):
        with Peer.client(proxy.filters) as peer:
            for s in streams(30):
                with_body = random_.random() < 0.5
                peer.send(headers(s, request(random_.choice(["/h1/late", "/h2/late"]), "POST" if with_body else "GET"), end=not with_body))
                if with_body:
                    peer.send(data(s, b"x" * random_.randrange(2000)))
                if random_.random() < 0.5:
                    time.sleep(random_.random() / 500)
                if random_.random() < 0.7:
                    peer.send(rst_stream(random_.choice([s, max(1, s - 4)]), CANCEL))
                if peer.closed:
                    break
            if random_.random() < 0.7:
                peer.until(lambda: False, random_.random() / 50)
    wait_for("no request left", lambda: proxy.stat("http.filters.downstream_rq_active") == 0 or None)
    proxy.expect("no request is left", proxy.stat("cluster.h1.upstream_rq_active") == 0)


def test_a13_idle_connections_end_at_once(proxy, h1):
    """CVE-2022-23606. 50,000 idle upstream connections end at the same moment, clew's threads having stacks of 256 KiB; CI 1,000."""
    n = 20_000 if FULL else 1_000
    gate = threading.Event()
    def script(connection):
        connection.head()
        gate.wait(60)
        connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        connection.more()
    h1.reset(script)
    with Peer.client(proxy.port) as peer:
        for at in range(0, n, 500):
            peer.send(b"".join(headers(s, request("/h1/idle"), end=True) for s in range(1 + 2 * at, 1 + 2 * (at + 500), 2)))
        wait_for("all to be upstream", lambda: len(h1.connections) >= n, 60)
        gate.set()
        peer.until(lambda: len(peer.ended) == n, 60)
        done = len(peer.ended)
    h1.reset(good_http1())
    wait_for("the connections to be gone", lambda: proxy.stat("cluster.h1.upstream_cx_active") <= 1, 60)
    proxy.expect("all answered, all gone", done == n, done)


def test_a13_deep_documents(proxy, tmp_path):
    """CVE-2026-48042. A bootstrap of nested lists and maps, 100,000 deep: refused with a sentence, not with a signal."""
    codes = []
    for name, text in (("deep.json", "[" * 100_000 + "]" * 100_000), ("map.json", '{"a":' * 100_000 + "1" + "}" * 100_000),
                       ("deep.yaml", "- " * 100_000), ("flow.yaml", "a: " + "[" * 100_000)):
        (tmp_path / name).write_text(text)
        codes.append(subprocess.run([peers.proxy(proxy.name), "-c", tmp_path / name, "--mode", "validate"], capture_output=True, timeout=120).returncode)
    proxy.expect("exit code 1 for each", codes == [1] * 4, codes)
