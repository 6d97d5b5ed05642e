"""S14: RSS 60 s after a burst of 2,000 connections with 1 MiB bodies (10 s after in the short run)."""

import time

from suite import http
from suite.bench import memory


def run(bench):
    connections, wait = bench.pick((20, 1), (2000, 10), (2000, 60))
    ended = {}

    def burst(proxy):
        bench.loads.wrk(f"http://127.0.0.1:{proxy.port}/body1m", bench.pick(1, 3, 10), connections)
        ended[proxy.name] = time.monotonic()

    def measure(proxy):
        time.sleep(max(0, ended[proxy.name] + wait - time.monotonic()))
        return memory([proxy])

    with bench.peers.backend(("body", "body1m")) as backend:
        bench.compare("after a burst", http.start_all(bench, "h1", backend.port, ("clew", "envoy", "nginx", "haproxy")), measure,
                      rounds=1, warm=burst)
