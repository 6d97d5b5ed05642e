#!/usr/bin/python3
"""`make demo`: a request between two pods, through two clew sidecars, under stock Istio. Needs root; removes all it made."""

import argparse
import contextlib
import pathlib
import re
import statistics
import sys
import time

from harness import peers
from harness.lifetime import stop_on_signals
from harness.mesh import Mesh
from harness.procs import Failed

BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")
REQUESTS = 2000


def say(text=""):
    print(text, flush=True)


def title(text):
    say(f"\n{BOLD}{text}{PLAIN}")


def start(stack, binary, comparison):
    began = time.monotonic()
    title("Starting")
    mesh = stack.enter_context(Mesh(proxy=binary, comparison=comparison))
    versions = peers.versions()
    say(f"  Kubernetes API {versions['kubernetes']}, stock istiod and agent {versions['istio']}   {time.monotonic() - began:4.1f} s")
    for name, ports in (("server", {"http": 8080}), ("client", {})):
        at = time.monotonic()
        pod = mesh.pod(name, ports=ports)
        say(f"  pod {name:7} {pod.ip:10}  injected by the webhook, redirected by clew init, sidecar ready   {time.monotonic() - at:4.1f} s")
    return mesh.pods["client"], mesh.pods["server"]


def one_request(client, server):
    title("A request from client to server")
    r = client.get("http://server:8080/hello", headers={"user-agent": "demo"})
    say("  GET http://server:8080/hello")
    say(f"  {r.status} {r.reason}   " + "   ".join(f"{n}: {v}" for n, v in r.headers if n != "content-length"))
    if r.status != 200:
        raise Failed(f"the answer is {r.status}: {r.text}\n{client.explain()}\n{server.explain()}")
    seen = r.app
    xfcc = seen.headers.get("x-forwarded-client-cert") or ""
    caller = re.search(r"URI=([^;,]+)", xfcc)
    title("What the application behind the server's sidecar saw")
    say(f"  {seen.method} {seen.path} {seen.protocol} from {seen.peer}")
    say(f"  x-forwarded-client-cert: {xfcc}")
    say(f"  the caller's identity:   {BOLD}{caller[1] if caller else 'none'}{PLAIN}")
    if not caller:
        raise Failed("the application saw no identity")
    return seen


def logs(client, server):
    title("Access logs of both sidecars")
    out = client.access_log.wait_for(path="/hello")
    into = server.access_log.wait_for(path="/hello")
    say(f"  client  {out.raw}\n  server  {into.raw}")
    return into


def mutual_tls(client, server, line):
    title("Between the sidecars")
    plain = server.mesh.pod("plain", sidecar=False).get("http://server:8080/plain").app
    certificate = re.search(r'"uri": "(spiffe://[^"]+/sa/server)"', server.admin("/certs"))
    say("  mutual TLS: the server's sidecar was reached by the name " + line.requested_server_name)
    say(f"              as {certificate[1] if certificate else '?'}, with a certificate from istiod")
    say("  mode:       PERMISSIVE, Istio's default: a pod without sidecar is served too, "
        + ("but has no identity" if "x-forwarded-client-cert" not in plain.headers else "WITH AN IDENTITY"))


def measure(client, server):
    title(f"Cost, over {REQUESTS} requests on one connection")
    pods = (client, server)
    before = [p.proxy_stats() for p in pods]
    times = []
    with client.connect("server", 8080) as connection:
        for _ in range(REQUESTS):
            times.append(connection.request("GET", "/status/200/measured", "server:8080").seconds)
    after = [p.proxy_stats() for p in pods]
    times.sort()
    say(f"  time of a request, application and test client included: p50 {statistics.median(times) * 1e6:.0f} µs, "
        f"p99 {times[len(times) * 99 // 100] * 1e6:.0f} µs")
    for pod, old, new in zip(pods, before, after):
        cpu = (new["cpu_seconds"] - old["cpu_seconds"]) / REQUESTS * 1e6
        say(f"  {pod.name} sidecar: memory {BOLD}{old['rss_kib'] / 1024:.1f} MB{PLAIN} idle, {new['rss_kib'] / 1024:.1f} MB after; "
            f"{new['threads']} threads; {cpu:.0f} µs CPU a request")
    say(f"  {DIM}Envoy 1.40 as a sidecar beside four services, measured for this project: 69 MB{PLAIN}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clew", default=str(peers.clew()), help="the binary")
    parser.add_argument("--comparison", action="store_true", help=argparse.SUPPRESS)  # to try the demo with Envoy
    options = parser.parse_args()
    binary = pathlib.Path(options.clew).resolve()
    if not binary.exists():
        sys.exit(f"demo: {binary} does not exist; build it first")
    stop_on_signals()
    began = time.monotonic()
    outcome = 0
    try:
        with contextlib.ExitStack() as stack:
            client, server = start(stack, str(binary), options.comparison)
            one_request(client, server)
            mutual_tls(client, server, logs(client, server))
            measure(client, server)
    except KeyboardInterrupt:
        outcome = 130
    except AssertionError as e:
        say(f"\n{e}")
        outcome = 1
    title({0: "The demo worked", 130: "Interrupted", 1: "The demo failed"}[outcome] + f", and is cleaned up ({time.monotonic() - began:.0f} s)")
    return outcome


if __name__ == "__main__":
    sys.exit(main())
