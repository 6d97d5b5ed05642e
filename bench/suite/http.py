"""The one-hop scenarios: everyone on one lane in front of one backend."""

import functools

from .bench import per_request


def start_all(bench, lane, upstream, names=None, floor=False, **options):
    """name → start, for compare(): all that are able on this lane (or `names` of them), and the floor."""
    able = bench.peers.able(lane)
    chosen = bench.contestants([n for n in able if names is None or n in names])
    if floor and bench.size != "smoke":
        chosen.append("floor")
    return {name: functools.partial(bench.peers.start, name, lane, upstream, **options) for name in chosen}


def keep_alive(bench, backend, seconds, rate=None):
    """A measure: CPU at saturation (closed loop), then latencies of an open loop at `rate` requests/s."""
    def measure(proxy):
        metrics = per_request([proxy], lambda: bench.loads.wrk(f"http://127.0.0.1:{proxy.port}/body", seconds), backend)
        if rate:
            metrics.update(latencies(bench.loads.open_loop(proxy.port, rate, seconds, backend)))
        return metrics
    return measure


def latencies(result):
    return {k: result[k] for k in ("p50", "p99", "p999")}
