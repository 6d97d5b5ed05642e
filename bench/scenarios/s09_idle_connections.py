"""S9: 10,000 idle connections, opened one after the other, each after one request: RSS per connection.

Plain HTTP/1.1, and mutual TLS with HTTP/2 (upstream HTTP/1.1). Fewer where the machine's limit of descriptors is lower. What a
proxy sets aside at its start for connections to come (nginx does) is not in the figure. The floor answers itself and keeps a
descriptor and its number; with mutual TLS and HTTP/2 an SSL and an nghttp2 session, as clew uses them."""

import functools
import time

from suite import http
from suite.bench import memory
from suite.machine import LOAD_CPU
from suite.peers import make_certificates
from suite.process import Failed, Process


def run(bench):
    # HAProxy wants two descriptors for each.
    count = min(bench.pick(100, 2000, 10000), bench.peers.descriptors // 2 - 200)
    certificates = make_certificates(bench.peers.cwd, "p256")
    files = [certificates[k] for k in ("client_pem", "client_key", "ca_pem")]

    def measure(proxy, program, *arguments):
        before = memory([proxy])
        with Process([bench.peers.tools / program, *arguments], LOAD_CPU, bench.peers.cwd, program, talks=True) as client:
            if not client.child.stdout.readline():
                raise Failed(client.explain())
            time.sleep(2)  # the last one is idle, too
            after = memory([proxy])
        grown = {kind: 1024 * (after[kind] - before[kind]) / count for kind in after}
        return {"per_connection": grown.pop("rss"), **{f"{kind}_connection": v for kind, v in grown.items()}, "connections": count, **after}

    def starts(lane, certificates=None):
        floor = {} if bench.size == "smoke" else {"floor": functools.partial(bench.peers.start_idle_floor, certificates)}
        return {**http.start_all(bench, lane, backend.port, certificates=certificates), **floor}

    with bench.peers.backend() as backend:
        bench.compare("plain h1", starts("h1"), lambda p: measure(p, "bench_hold", p.port, count), rounds=1)
        bench.compare("mTLS h2", starts("mtls", certificates),
                      lambda p: measure(p, "bench_tls", "hold", p.port, *files, count), rounds=1)
