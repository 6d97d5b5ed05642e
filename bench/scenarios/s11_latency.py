"""S11: open loop at 1,000 and 5,000 requests/s: what a hop, and a pair of sidecars with mTLS, adds to p50 and p99; CPU.

Added to a direct run right before it. The pair is under stock istiod with istio.stats off on both sides; its floor is two relays with
TLS between them, without redirection."""

from suite import http, mesh_lab
from suite.bench import per_request
from suite.peers import make_certificates


def added(direct, through):
    return {f"added_{p}": through[p] - direct[p] for p in ("p50", "p99", "p999")}


def run(bench):
    rates = bench.pick([200], [1000], [1000, 5000])
    with bench.peers.backend() as backend:
        starts = http.start_all(bench, "h1", backend.port, names=("clew", "envoy", "nginx", "haproxy"), floor=True)
        for rate in rates:
            def measure(proxy):
                direct = bench.loads.open_loop(backend.port, rate, bench.seconds, backend)
                through = per_request([proxy], lambda: bench.loads.open_loop(proxy.port, rate, bench.seconds, backend), backend)
                return {**through, **added(direct, through)}
            bench.compare(f"one hop {rate}/s", starts, measure)
    lab = mesh_lab.Lab.get(bench)
    pairs = mesh_lab.pairs(bench, floor=make_certificates(bench.peers.cwd, "rsa2048"))
    for rate in rates:
        def measure_pair(pair):
            client, server, backend = lab.plain
            direct = bench.loads.open_loop(f"{server.ip}:{mesh_lab.PORT}", rate, bench.seconds, backend, 16,
                                           prefix=("nsenter", f"--net=/run/netns/{client.ns}"))
            through = per_request(pair.sidecars, lambda: bench.loads.open_loop(
                pair.address, rate, bench.seconds, pair.backend, 16, host=pair.host, prefix=pair.prefix), pair.backend)
            return {**through, **added(direct, through)}
        bench.compare(f"mTLS pair {rate}/s", pairs, measure_pair)
