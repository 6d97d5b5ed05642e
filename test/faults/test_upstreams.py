"""Faults F14 to F18, F23, F24 and E4: upstreams that refuse, hang, reset, go and come back, and names that do not resolve."""

import asyncio
import collections
import contextlib
import json
import random
import re
import time

import pytest

from harness import netns
from harness.figures import scaled
from harness.load import Load, payload
from harness.procs import wait_for
from harness.resources import (ISTIO_RETRIES, LISTENER_PORT, ads_bootstrap, eds_cluster, endpoints, http2, listener, manager, route,
                               static_bootstrap, static_cluster)
from servers import Dns, Gathering, Scripted, read_head, reset


def load(lab, name="app", **options):
    return Load(lab.ns, ("127.0.0.1", LISTENER_PORT), "all", lambda _: ("", name), **options)


def log_to(path):
    return [{"name": "f", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(path), "log_format": {
            "json_format": {"path": "%REQ(:PATH)%", "code": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%",
                            "details": "%RESPONSE_CODE_DETAILS%", "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"}}}}]


# As istiod sends it.
UNLIMITED = {"circuit_breakers": {"thresholds": [{k: 2**32 - 1 for k in ("max_connections", "max_pending_requests", "max_requests", "max_retries")}]}}


def logged(path, wanted):
    """The log's line about a path."""
    def find():
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return [line for line in lines if line["path"] == wanted]
    return wait_for(f"a log line of {wanted}", find)[-1]


def test_f14_ways_to_fail(lab, compare, figure):
    """Refused, dropped, reset before and within an answer, silent, closed: status, flags and details as Envoy has them."""
    def answer(first):
        def serve(sock):
            head = read_head(sock)
            sock.sendall(first)
            if b"/reset" in head:
                time.sleep(0.05)  # what was sent is to arrive first
                reset(sock)
            elif b"/silent" in head:
                sock.recv(1)
        return serve
    nothing = Scripted(lab, answer(b""))
    half = Scripted(lab, answer(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"))
    lab.sh("iptables", "-A", "INPUT", "-p", "tcp", "--dport", "7777", "-j", "DROP")
    clusters = {"refused": lab.free_port(), "dropped": 7777, "nothing": nothing.port, "half": half.port}
    log = lab.dir / f"log{next(lab.numbers)}"
    table = route("r", *((f"/{name}", name) for name in clusters), timeout="1.5s")
    front = listener("l", LISTENER_PORT, manager(table, access_log=log_to(log)))
    proxy = lab.proxy(static_bootstrap([front], [static_cluster(n, p, connect_timeout="0.5s") for n, p in clusters.items()]),
                      options=["--file-flush-interval-msec", "20"])
    results = {}
    for path in ("/refused", "/dropped", "/nothing/reset", "/nothing/close", "/nothing/silent", "/half/reset", "/half/close", "/half/silent"):
        began = time.monotonic()
        with proxy.connect(timeout=8) as connection:
            connection.send(b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n" % path.encode())
            try:
                r = connection.read_response()
                results[path] = r.status, r.text.split(" transport")[0]
            except (AssertionError, OSError):
                results[path] = "cut"
        assert time.monotonic() - began < 4
        line = logged(log, path)
        results[path] = results[path], line["code"], line["flags"], line["details"]
    compare("ways to fail", results)
    figure("F14 ways to fail", ", ".join(f"{p} {r[1]} {r[2]}" for p, r in results.items()))


def test_f14_one_of_three_is_bad(lab, figure):
    """istiod's retry policy, two good endpoints and one that refuses, then one that resets each connection: nothing is lost.
    CI: 2 × 400 requests; full: 2 × 20,000."""
    apps = [lab.app("app"), lab.app("app")]
    resetting = Scripted(lab, lambda sock: reset(sock))
    ports = {"refuses": lab.free_port(), "resets": resetting.port}
    table = route("r", *((f"/{bad}", bad) for bad in ports), retry_policy={**ISTIO_RETRIES, "retry_on": ISTIO_RETRIES["retry_on"] + ",reset"})
    front = listener("l", LISTENER_PORT, manager(table))
    lab.proxy(static_bootstrap([front], [static_cluster(bad, apps[0].port, apps[1].port, port, **UNLIMITED) for bad, port in ports.items()]))
    for bad in ports:
        with Load(lab.ns, ("127.0.0.1", LISTENER_PORT), "all", lambda _: (f"/{bad}", "app"), rate=400) as traffic:
            traffic.more(scaled(20000, 400))
        traffic.ledger.check(*apps)
        figure(f"F14 one {bad}", str(traffic.ledger))


def test_f14_app_closes_idle_connections(lab, figure):
    """The race of an application that ends every other connection right after its answer, without a word, against the pool. With a
    policy that repeats after a reset nothing is lost; with istiod's inbound one (reset-before-request) those that were under way
    are counted. CI: 2 × 600 requests; full: 2 × 50,000."""
    def serve(sock):
        while head := read_head(sock):
            number = int(re.search(rb"/ledger/(\d+)", head)[1])
            body = payload("app", number)
            sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            if random.random() < 0.5:
                return
    app = Scripted(lab, serve)
    for policy in ("reset", "reset-before-request"):
        table = route("r", "app", retry_policy={"retry_on": policy, "num_retries": 5})
        front = listener("l", LISTENER_PORT, manager(table))
        proxy = lab.proxy(static_bootstrap([front], [static_cluster("app", app.port, **UNLIMITED)]))
        with load(lab, rate=scaled(1000, 400)) as traffic:
            traffic.more(scaled(50_000, 600))
        figure(f"F14 idle close, {policy}", str(traffic.ledger))
        if policy == "reset":
            traffic.ledger.check()
        proxy.stop()
    app.close()


async def ask_at_once(count):
    """Statuses of so many requests to /many, each on a connection of its own."""
    async def one():
        reader, writer = await asyncio.open_connection("127.0.0.1", LISTENER_PORT)
        writer.write(b"GET /many HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        head = await reader.readuntil(b"\r\n")
        writer.close()
        return int(head.split()[1])
    return collections.Counter(await asyncio.gather(*(one() for _ in range(count))))


def test_a13_cluster_of_idle_connections_goes(lab, figure):
    """Row A13 (2022-23606): istiod removes a cluster whose pool is full of idle connections. All of them end, one after the other and
    not one within the other (clew with a stack of 256 KiB), and the proxy serves. CI: 1,000 connections; full: 9,000."""
    count = scaled(9000, 1000)
    app, many = lab.app("app"), Gathering(lab, count)
    ads = lab.ads()
    ads.set(eds_cluster("app"), {**eds_cluster("many"), **UNLIMITED})
    ads.set(endpoints("app", app.port), endpoints("many", many.port))
    ads.set(route("r", ("/many", "many"), ("/", "app")))
    ads.set(listener("l", LISTENER_PORT, manager("r")))
    small = {"prefix": ["prlimit", "--stack=262144:"]} if lab.name == "clew" else {}
    proxy = lab.proxy(ads_bootstrap(ads.path), concurrency=1, **small)
    wait_for("a request to go through", lambda: proxy.get() == 200, explain=proxy.explain)
    with netns.entered(lab.ns):
        assert asyncio.run(ask_at_once(count)) == {200: count}
    wait_for("idle connections", lambda: proxy.stat("cluster.many.upstream_rq_active") == 0)
    assert proxy.stat("cluster.many.upstream_cx_active") == count
    began = time.monotonic()
    ads.settle("cluster", lambda: ads.remove("cluster", "many"))
    wait_for("their end", lambda: many.ended == count, explain=proxy.explain)
    figure("A13 idle connections", f"{count} ended {time.monotonic() - began:.2f} s after their cluster's removal")
    assert proxy.get() == 200 and proxy.get("/many") == 503


def test_f15_half_open_peer(lab, compare, figure):
    """An upstream that falls silent (its packets dropped): stuck no longer than the timeouts, and the pool finds another."""
    app = lab.app("app")
    front = listener("l", LISTENER_PORT, manager(route("r", "app", timeout="1s")))
    proxy = lab.proxy(static_bootstrap([front], [static_cluster("app", app.port, connect_timeout="0.5s")]), concurrency=1)  # one pool
    assert proxy.get() == 200
    rule = ("INPUT", "-p", "tcp", "--dport", str(app.port), "-j", "DROP")
    lab.sh("iptables", "-A", *rule)
    took = []
    for path in ("/pooled", "/fresh"):
        began = time.monotonic()
        compare(path, proxy.get(path))
        took.append(time.monotonic() - began)
    assert took[0] <= 2 and took[1] <= 1.5, took
    lab.sh("iptables", "-D", *rule)
    wait_for("requests to pass again", lambda: proxy.get() == 200, 5)
    figure("F15 half-open peer", f"timeout 1 s: {took[0]:.2f} s on a pooled connection, connect timeout 0.5 s: {took[1]:.2f} s")


def nginx(lab, app, requests):
    """nginx in front of an application, HTTP/2 in plain text, GOAWAY after so many requests of a connection."""
    port = lab.free_port()
    config = lab.dir / f"nginx{next(lab.numbers)}.conf"
    config.write_text(f"""
        daemon off; pid {config}.pid; error_log {config}.log; worker_processes 1;
        events {{ worker_connections 4096; }}
        http {{ access_log off; client_body_temp_path {config}.b; proxy_temp_path {config}.p; fastcgi_temp_path {config}.f;
          uwsgi_temp_path {config}.u; scgi_temp_path {config}.s;
          server {{ listen 127.0.0.1:{port} http2; keepalive_requests {requests}; http2_max_concurrent_streams 16;
            location / {{ proxy_pass http://127.0.0.1:{app.port}; proxy_http_version 1.1; }} }} }}""")
    lab.run("nginx", "-c", config)
    return port


def test_f16_goaway_storm(lab, figure):
    """An h2 upstream that says GOAWAY every 20 requests: what it did not take is sent again, what it took is answered, and the
    number of connections stays in proportion. CI: 1,000 requests; full: 50,000."""
    app = lab.app("app")
    port = nginx(lab, app, 20)
    front = listener("l", LISTENER_PORT, manager(route("r", "app", retry_policy=ISTIO_RETRIES)))
    proxy = lab.proxy(static_bootstrap([front], [http2(static_cluster("app", port))]))
    wait_for("nginx", lambda: proxy.get() == 200)
    with load(lab, rate=500, connections=16) as traffic:
        traffic.more(scaled(50_000, 1000))
    opened = proxy.stat("cluster.app.upstream_cx_total")
    figure("F16 GOAWAY storm", f"{traffic.ledger}; {opened} upstream connections for {app.ledger.total()} requests")
    if lab.name == "clew":
        traffic.ledger.check(app)
        assert opened <= app.ledger.total() / 20 * 4 + 16


def test_f17_no_endpoints_and_back(lab, compare):
    app = lab.app("app")
    ads = lab.ads()
    ads.set(eds_cluster("app"), endpoints("app", app.port), route("r", "app"), listener("l", LISTENER_PORT, manager("r")))
    proxy = lab.proxy(ads_bootstrap(ads.path))
    wait_for("a request", lambda: proxy.get() == 200)
    for what, change in (("none", endpoints("app")), ("some", endpoints("app", app.port)), ("none again", endpoints("app"))):
        ads.settle("endpoints", lambda: ads.set(change))
        wait_for("the change", lambda: proxy.get() == (503 if "none" in what else 200))
        status, body = proxy.http("/", port=LISTENER_PORT)
        compare(what, (status, body if status != 200 else None))
    with load(lab, rate=200) as traffic:
        traffic.more(20)
        ads.settle("endpoints", lambda: ads.set(endpoints("app", app.port)))
        traffic.more(50)
    assert traffic.ledger.answered > 0 and set(traffic.ledger.statuses) <= {200, 503}


def test_f17_outlier_ejection_and_panic(lab, compare):
    """Five failures in a row eject; above the panic threshold everybody is asked again: the same series as Envoy's."""
    good, bad = lab.app("good"), Scripted(lab, lambda sock: failing(sock))
    detection = {"outlier_detection": {"consecutive_5xx": 5, "interval": "60s", "base_ejection_time": "60s", "max_ejection_percent": 50,
                                       "enforcing_consecutive_5xx": 100, "enforcing_success_rate": 0}}
    front = listener("l", LISTENER_PORT, manager(route("r", ("/all", "all-bad"), ("/", "app"))))
    clusters = [static_cluster("app", good.port, bad.port, common_lb_config={"healthy_panic_threshold": {"value": 0}}, **detection),
                static_cluster("all-bad", bad.port, **{"outlier_detection": {**detection["outlier_detection"], "max_ejection_percent": 100}})]
    proxy = lab.proxy(static_bootstrap([front], clusters), concurrency=1)
    statuses = [proxy.get() for _ in range(40)]
    compare("one of two", (sum(s == 503 for s in statuses), statuses[-20:]))
    compare("ejected", proxy.stat("cluster.app.outlier_detection.ejections_active"))
    compare("panic", [proxy.get("/all") for _ in range(12)])
    bad.close()


def failing(sock):
    while read_head(sock):
        sock.sendall(b"HTTP/1.1 503 Bad\r\ncontent-length: 0\r\n\r\n")


DNS_FAULTS = ("NXDOMAIN", "SERVFAIL", "empty", "silent", "wrong id", "wrong question", "wrong sender", "truncated", "loop of names",
              "garbage", "half a record", "pointer to itself")


@pytest.mark.parametrize("kind", ["STRICT_DNS", "LOGICAL_DNS"])
def test_f18_e4_dns_faults(lab, figure, kind):
    """Each way in which names fail to resolve, under traffic: the last good answer serves on, poison is never used, and no more
    is asked than the refresh rate says. CI: 0.4 s of each fault; full: 30 s."""
    app = lab.app("app")
    dns = Dns(lab, ["127.0.0.1"])
    resolv = lab.dir / f"resolv{next(lab.numbers)}"
    resolv.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    named = {**static_cluster("app", app.port, ip="server.test"), "type": kind, "dns_refresh_rate": "0.2s", "dns_lookup_family": "V4_ONLY",
             "dns_failure_refresh_rate": {"base_interval": "0.2s", "max_interval": "0.4s"}}
    front = listener("l", LISTENER_PORT, manager(route("r", "app", retry_policy=ISTIO_RETRIES)))
    proxy = lab.proxy(static_bootstrap([front], [named]), prefix=(
        "unshare", "--mount", "sh", "-c", f"mount --bind {resolv} /etc/resolv.conf && exec \"$@\"", "sh"))
    wait_for("the name", lambda: proxy.get() == 200, explain=proxy.explain)
    seconds, lost = scaled(30, 0.4), {}
    with load(lab, rate=100) as traffic:
        for fault in DNS_FAULTS:
            before, already = dns.queries, len(traffic.ledger.lost)
            dns.mode = fault
            traffic.more(int(100 * seconds))
            asked = dns.queries - before
            assert lab.name == "envoy" or asked <= 12 * seconds + 6, (fault, asked)
            if len(traffic.ledger.lost) > already:
                lost[fault] = traffic.ledger.lost[already][1][:80]
            dns.mode = "good"
            wait_for("the name again", lambda: proxy.get() == 200, 15)
    dns.close()
    figure(f"F18 E4 {kind}", f"{traffic.ledger}" + (f"; lost with {lost}" if lost else ""))
    if lab.name == "clew":
        # An answer that says there are no addresses is an answer; a logical cluster keeps what it has all the same.
        assert set(lost) <= ({"empty"} if kind == "STRICT_DNS" else set()), lost


def test_f24_no_ports_left(lab, figure):
    """All ephemeral ports in use: failures are quick 503, what holds a connection is served on, and it recovers."""
    app = lab.app("app", 9999)
    front = listener("l", LISTENER_PORT, manager(route("r", "app")))
    proxy = lab.proxy(static_bootstrap([front], [static_cluster("app", app.port)]))
    lab.sh("sysctl", "-qw", "net.ipv4.ip_local_port_range=20000 20019")
    # From another address, so that these do not use up what the proxy has.
    held = [socket_from(lab, f"127.0.0.{i}") for i in range(2, 32)]
    for sock in held:
        sock.sendall(b"GET /delay/1.5 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    wait_for("the ports to be gone", lambda: proxy.stat("cluster.app.upstream_cx_active") >= 19 or
             proxy.stat("cluster.app.upstream_cx_connect_fail") > 0)
    statuses, took = [], []
    for sock in held:
        began = time.monotonic()
        data = sock.recv(65536)
        statuses.append(int(data.split(b" ")[1]) if data else 0)
        took.append(time.monotonic() - began)
        sock.close()
    lab.sh("sysctl", "-qw", "net.ipv4.ip_local_port_range=32768 60999")
    wait_for("requests to pass again", lambda: proxy.get() == 200, 5)
    figure("F24 no ports left", f"{statuses.count(200)} served, {statuses.count(503)} refused at once")
    assert set(statuses) == {200, 503} and max(took) <= 3


def socket_from(lab, source):
    return netns.connect(lab.ns, ("127.0.0.1", LISTENER_PORT), 10, (source, 0))


# Every how manieth call of each kind fails with which error.
SYSCALL_FAULTS = [("accept4", error, 3) for error in ("EMFILE", "ENFILE", "ENOBUFS", "ECONNABORTED", "EINTR")] + [
    ("connect", error, 3) for error in ("EADDRNOTAVAIL", "ENOBUFS", "ENETUNREACH", "ECONNREFUSED", "EINTR")] + [
    ("socket", error, 3) for error in ("EMFILE", "ENOBUFS", "ENOMEM")] + [
    ("sendmsg", error, 7) for error in ("ENOBUFS", "ECONNRESET", "EPIPE", "EINTR")] + [
    ("recvfrom", error, 7) for error in ("ECONNRESET", "EINTR", "ENOMEM")] + [
    ("setsockopt", "EINVAL", 2), ("getsockopt", "ENOBUFS", 3), ("getsockname", "ENOBUFS", 2), ("epoll_ctl", "ENOMEM", 11)]


def test_f23_failing_system_calls(lab, figure):
    """Calls that fail now and then (but EAGAIN, which promises an event that would not come): the proxy neither ends, nor hangs, nor spins, and serves as before when they work again.
    CI: a third of the pairs, 0.4 s each; full: all, 5 s each."""
    app = lab.app("app")
    front = listener("l", LISTENER_PORT, manager(route("r", "app", retry_policy=ISTIO_RETRIES)))
    proxy = lab.proxy(static_bootstrap([front], [static_cluster("app", app.port)]))
    pairs = scaled(SYSCALL_FAULTS, SYSCALL_FAULTS[::3])
    survived = 0
    for call, error, every in pairs:
        tracer = lab.run("strace", "-f", "-qq", "-e", f"trace={call}", "-e", "signal=none", "-o", "/dev/null",
                         "-e", f"inject={call}:error={error}:when={every}+{every}", "-p", proxy.pid)
        until = time.monotonic() + scaled(5, 0.4)
        before = proxy.usage()["cpu_seconds"], time.monotonic()
        while time.monotonic() < until and proxy.process.running():
            with contextlib.suppress(OSError):
                proxy.get(timeout=1)
        if lab.name == "envoy" and not proxy.process.running():
            return figure("F23 system calls", f"ended by {call} {error}, after {survived} of {len(pairs)} pairs")
        cpu = (proxy.usage()["cpu_seconds"] - before[0]) / (time.monotonic() - before[1])
        tracer.stop(grace=2)
        assert proxy.process.running(), (call, error, proxy.explain())
        wait_for(f"requests to pass after {call} {error}", lambda: proxy.get(timeout=3) == 200, 10, explain=proxy.explain)
        assert cpu < 1.5, (call, error, cpu)
        survived += 1
    figure("F23 system calls", f"{survived} of {len(pairs)} pairs of call and error survived")
