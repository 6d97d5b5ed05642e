"""S1: h1 → h1, 1 KiB, keep-alive, 32 connections, one worker."""

from suite import http

RATE = 5000  # requests/s of the open loop that gives the latencies: well below what the slowest can do


def run(bench):
    with bench.peers.backend() as backend:
        starts = http.start_all(bench, "h1", backend.port, floor=True)
        bench.compare("keep-alive", starts, http.keep_alive(bench, backend, bench.seconds, bench.pick(500, RATE, RATE)),
                      warm=lambda p: bench.loads.wrk(f"http://127.0.0.1:{p.port}/body", 0.5))
