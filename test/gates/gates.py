#!/usr/bin/env python3
"""What a noisy machine cannot hide: counts per request and bytes per object, against the numbers in limits.json.

  test/gates/gates.py [--clew build/clew] [--write]

A count that is above its number by more than the margin fails; one that is below by more asks for a new number
(--write). The margin is a share of the number, or a plain amount where the number is 0. Counts are differences of two
runs that differ in nothing but how many requests (connections, clusters) they saw, so start and end cancel out.
"""
import argparse
import http.server
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import http2

HERE = pathlib.Path(__file__).resolve().parent
LIMITS = HERE / "limits.json"
BODY = b"x" * 1024


class Backend(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one segment, so that the proxy reads once

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def bootstrap(listen, upstream, extra_clusters, h2, certificates):
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "gates", "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "backend"}}]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
    }

    def cluster(name, port):
        return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": {
            "cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}]}}

    clusters = [cluster("backend", upstream)]
    if h2:
        options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        clusters[0]["typed_extension_protocol_options"] = {options: {
            "@type": "type.googleapis.com/" + options, "explicit_http_config": {"http2_protocol_options": {}}}}
    clusters += [cluster(f"outbound|80||service-{i}.default.svc.cluster.local", 1 + i % 60000) for i in range(extra_clusters)]
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if certificates:
        chain["transport_socket"] = certificates.downstream()
    return {"node": {"id": "gates", "cluster": "gates"}, "static_resources": {
        "listeners": [{"name": "gates", "address": address(listen), "filter_chains": [chain]}], "clusters": clusters}}


class Proxy:
    """clew with one worker under `tool`; ended by SIGTERM. h2: to the upstream too; certificates: mutual TLS downstream."""

    def __init__(self, clew, upstream, tool=(), extra_clusters=0, h2=False, certificates=None):
        self.folder = tempfile.TemporaryDirectory(prefix="clew-gates-")
        self.port = free_port()
        config = pathlib.Path(self.folder.name) / "bootstrap.json"
        config.write_text(json.dumps(bootstrap(self.port, upstream, extra_clusters, h2, certificates)))
        self.log = pathlib.Path(self.folder.name) / "log"
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen([*tool, clew, "-c", str(config), "--concurrency", "1", "-l", "error", "--disable-hot-restart"],
                                          stdout=log, stderr=log, cwd=self.folder.name)

    def connect(self):
        end = time.monotonic() + 60
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=60)
            except OSError:
                if time.monotonic() > end or self.child.poll() is not None:
                    raise RuntimeError(f"clew does not listen: {self.log.read_text()[-2000:]}") from None
                time.sleep(0.05)

    def pid(self):
        """Of clew itself, not of what runs it."""
        children = pathlib.Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        return int(children[0]) if children else self.child.pid

    def private_bytes(self):
        text = pathlib.Path(f"/proc/{self.child.pid}/smaps_rollup").read_text()
        return 1024 * int(re.search(r"Private_Dirty:\s+(\d+)", text).group(1))

    def bytes_at_rest(self):
        """Once nothing more is given back: HTTP/2 connections do so a second after their last stream."""
        size = self.private_bytes()
        while True:
            time.sleep(1.5)
            before, size = size, self.private_bytes()
            if size >= before:
                return size

    def end(self):
        os.kill(self.pid(), signal.SIGTERM)
        self.child.wait(60)
        text = self.log.read_text()
        self.folder.cleanup()
        return text


def ask(connection, times, field=b""):
    for _ in range(times):
        connection.sendall(b"GET /body HTTP/1.1\r\nhost: gates.example\r\nuser-agent: gates\r\naccept: */*\r\n" + field + b"\r\n")
        got = b""
        while not got.endswith(BODY):
            piece = connection.recv(65536)
            if not piece:
                raise RuntimeError("the proxy closed the connection")
            got += piece


def keep_alive(proxy, requests):
    with proxy.connect() as connection:
        ask(connection, requests)


def over_http2(proxy, requests):
    with proxy.connect() as connection:
        http2.Client(connection).ask(requests)


def short_connections(proxy, requests):
    """Each has a connection, and comes when that is waiting for it: the longest way, which no haste of ours can shorten."""
    for _ in range(requests):
        with proxy.connect() as connection:
            time.sleep(0.002)
            ask(connection, 1, b"connection: close\r\n")
            if connection.recv(1):
                raise RuntimeError("the proxy did not close the connection")


def per_request(clew, upstream, tool, read, load=keep_alive):
    """(run with many requests - run with few) / requests more, for each number that `read` finds in the tool's output."""
    few, many = 200, 1200
    results = []
    for requests in (few, many):
        proxy = Proxy(clew, upstream, tool, h2=load is over_http2)
        load(proxy, requests)
        results.append(read(proxy.end()))
    return [(b - a) / (many - few) for a, b in zip(*results)]


def count(pattern, text):
    found = re.search(pattern, text, re.MULTILINE)
    return int(found.group(1).replace(",", "")) if found else 0


def calls(text):
    """(all, epoll_ctl) of strace -c."""
    rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", text, re.MULTILINE)
    named = {name: int(number) for number, name in rows}
    return sum(number for name, number in named.items() if name != "total"), named.get("epoll_ctl", 0)


def idle_connection(clew, upstream):
    connections = 1000
    proxy = Proxy(clew, upstream)
    held = [proxy.connect() for _ in range(50)]  # first use of everything
    for connection in held:
        ask(connection, 1)
    before = proxy.private_bytes()
    more = [proxy.connect() for _ in range(connections)]
    for connection in more:
        ask(connection, 1)  # has been served: what it keeps is what an idle one keeps
    after = proxy.private_bytes()
    proxy.end()
    return (after - before) / connections


def idle_http2_connection(clew, upstream, certificates=None):
    few, many = 50, 500
    proxy = Proxy(clew, upstream, h2=True, certificates=certificates)
    held, sizes = [], []
    for connections in (few, many):
        while len(held) < connections:
            connection = proxy.connect()
            if certificates:
                connection = certificates.client().wrap_socket(connection)
            client = http2.Client(connection)
            client.ask(1)
            held.append(client)
        sizes.append(proxy.bytes_at_rest())
    proxy.end()
    return (sizes[1] - sizes[0]) / (many - few)


def per_cluster(clew, upstream, read, tool=()):
    """The same for clusters of the bootstrap; read(proxy) is called once it has answered, and ends it."""
    few, many = 500, 2500
    results = []
    for clusters in (few, many):
        proxy = Proxy(clew, upstream, tool, extra_clusters=clusters)
        ask(proxy.connect(), 1)
        results.append(read(proxy))
    return (results[1] - results[0]) / (many - few)


def private_bytes(proxy):
    size = proxy.private_bytes()
    proxy.end()
    return size


def measure(clew):
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    upstream = server.server_address[1]
    strace = ["strace", "-f", "-c"]
    callgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    memcheck = ["valgrind", "--leak-check=no", "--undef-value-errors=no"]

    def instructions(text):
        return [count(r"Collected : (\d+)", text)]

    def allocations(text):
        return [count(r"total heap usage: ([\d,]+) allocs", text)]

    all_calls, epoll_ctl = per_request(clew, upstream, strace, calls)
    grpc = http2.serve()
    with tempfile.TemporaryDirectory(prefix="clew-gates-") as folder:
        mtls_connection = idle_http2_connection(clew, grpc, http2.Certificates(folder))
    return {
        "system calls a request": all_calls,
        "epoll_ctl a request": epoll_ctl,
        "user instructions a request": per_request(clew, upstream, callgrind, instructions)[0],
        "heap allocations a request": per_request(clew, upstream, memcheck, allocations)[0],
        "bytes an idle connection": idle_connection(clew, upstream),
        "short connection: system calls": per_request(clew, upstream, strace, calls, short_connections)[0],
        "short connection: user instructions": per_request(clew, upstream, callgrind, instructions, short_connections)[0],
        "short connection: heap allocations": per_request(clew, upstream, memcheck, allocations, short_connections)[0],
        "gRPC: system calls a request": per_request(clew, grpc, strace, calls, over_http2)[0],
        "gRPC: user instructions a request": per_request(clew, grpc, callgrind, instructions, over_http2)[0],
        "gRPC: heap allocations a request": per_request(clew, grpc, memcheck, allocations, over_http2)[0],
        "bytes an idle HTTP/2 connection": idle_http2_connection(clew, grpc),
        "bytes an idle mTLS HTTP/2 connection": mtls_connection,
        "bytes a cluster": per_cluster(clew, upstream, private_bytes),
        "user instructions a cluster": per_cluster(clew, upstream, lambda p: count(r"Collected : (\d+)", p.end()), callgrind),
        "bytes of the stripped binary": os.stat(clew).st_size,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clew", default=str(HERE.parent.parent / "build" / "clew"))
    parser.add_argument("--write", action="store_true", help="take what is measured as the new numbers")
    args = parser.parse_args()
    limits, failed = json.loads(LIMITS.read_text()), False
    for name, got in measure(str(pathlib.Path(args.clew).resolve())).items():
        limit = limits[name]
        allowed = limit["margin"] * (limit["is"] or 1)
        word = "more" if got > limit["is"] + allowed else "less: write it down" if got < limit["is"] - allowed else "ok"
        failed |= word == "more"
        print(f"{name:38} {got:14.2f}   {limit['is']:14.2f} ± {allowed:<12.2f} {word}")
        limit["is"] = round(got, 2) if got < 100 else round(got)
    if args.write:
        rows = ",\n".join(f"  {json.dumps(name)}: {json.dumps(limit)}" for name, limit in limits.items())
        LIMITS.write_text("{\n" + rows + "\n}\n")
        return 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
