"""S12: the open loop of S11 while 100 updates/s arrive and the metrics are scraped each second: p99 ÷ p99 of a quiet run.

Every other update changes the endpoints of a cluster, the others the routes of the listener under load; each was acknowledged."""

from suite import ads, bootstrap
from suite.bench import per_request

UPDATES = 100  # a second


def change(driven, n):
    if n % 2:
        return driven.update(bootstrap.routes([f"host-{n % 50}.example"]))
    return driven.update(bootstrap.endpoints("other", [f"127.9.{n % 200}.{i}" for i in range(10)], driven.upstream))


def run(bench):
    names = bench.contestants([n for n, binary in bench.peers.binaries.items() if binary])
    clusters = {"backend": ["127.0.0.1"], "other": [f"127.9.0.{i}" for i in range(10)]}
    with bench.peers.backend() as backend:
        starts = {n: lambda n=n: ads.Driven(bench.peers, n, backend.port, clusters) for n in names}
        for rate in bench.pick([200], [1000], [1000, 5000]):
            def measure(driven):
                def load():
                    return bench.loads.open_loop(driven.port, rate, bench.seconds, backend)
                quiet = load()
                with ads.Meanwhile(1 / UPDATES, lambda n: change(driven, n)) as updates, ads.Meanwhile(1, lambda _: driven.scrape()):
                    noisy = per_request([driven.proxy], load, backend)
                return {"p99_ratio": noisy["p99"] / quiet["p99"], "updates": len(updates.done) / bench.seconds,
                        "ack_ms": sum(updates.done) / len(updates.done), **noisy}
            bench.compare(f"{rate}/s", starts, measure)
