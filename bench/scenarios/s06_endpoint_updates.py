"""S6: 10,000 endpoints, 1 % replaced every second under load: CPU per update, added p99.

CPU from updates without load, so that nothing else is in the figure; p99 from turns of two seconds, with updates and without: the
medians of each, since what else the machine does spoils some. Counted as acknowledged. All endpoints lead to one nginx."""

import statistics
import time

from suite import ads, bootstrap
from suite.bench import memory


def address(i):
    return f"127.{1 + i // 65536}.{i // 256 % 256}.{i % 256}"


def run(bench):
    count = bench.pick(200, 10000, 10000)
    replaced, rate, turns = count // 100, bench.pick(200, 1000, 1000), bench.pick(1, 3, 6)

    def update(driven):
        driven.first += replaced
        return driven.update(bootstrap.endpoints("backend", map(address, range(driven.first, driven.first + count)), driven.upstream))

    def start(name):
        driven = ads.Driven(bench.peers, name, backend.port, {"backend": map(address, range(count))})
        driven.first = 0
        return driven

    def measure(driven):
        def p99():
            return bench.loads.open_loop(driven.port, rate, 2, backend)["p99"]
        quiet, busy = [], []
        for _ in range(turns):
            quiet.append(p99())
            with ads.Meanwhile(1, lambda _: update(driven)):
                busy.append(p99())
        before, times = driven.proxy.cpu().total, []
        for _ in range(bench.pick(2, 5, 10)):
            times.append(update(driven))
            time.sleep(0.2)  # what goes on after the answer is part of it
        cpu = driven.proxy.cpu().total - before
        return {"cpu_update": 1e6 * cpu / len(times), "added_p99": statistics.median(busy) - statistics.median(quiet),
                "ack_ms": statistics.median(times), "p99": statistics.median(busy), **memory([driven.proxy])}

    with bench.peers.backend() as backend:
        names = bench.contestants([n for n, binary in bench.peers.binaries.items() if binary])
        bench.compare("endpoints", {n: lambda n=n: start(n) for n in names}, measure, warm=lambda d: bench.loads.wrk(
            f"http://127.0.0.1:{d.port}/body", bench.pick(1, 4, 8)))  # connections to all of them
