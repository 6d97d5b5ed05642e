"""S1: h1 → h1, 1 KiB, keep-alive, 32 connections, one worker: CPU of the proxy per completed request."""
import re
import statistics
import subprocess

import peers
from processes import LOAD_CPU, scratch

CONNECTIONS, BODY = 32, 1024


def load(port, seconds):
    """Completed requests, requests/s, and latency percentiles as wrk saw them."""
    out = subprocess.run(["taskset", "-c", str(LOAD_CPU), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency",
                          f"http://127.0.0.1:{port}/body"], capture_output=True, text=True, check=True).stdout
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)", out)
    if errors:
        raise RuntimeError(f"the load met errors: {errors.group(0)}")
    percentile = {p: re.search(rf"\s{p}%\s+(\S+)", out).group(1) for p in ("50", "99")}
    return int(re.search(r"(\d+) requests in", out).group(1)), float(re.search(r"Requests/sec:\s+(\S+)", out).group(1)), percentile


def measure(start, seconds):
    with scratch() as cwd:
        upstream, upstream_port = peers.backend(cwd, BODY)
        with upstream:
            proxy, port = start(cwd, upstream_port)
            with proxy:
                load(port, 1)  # warm up: connections, pools, caches
                before = proxy.cpu_seconds()
                requests, rate, latency = load(port, seconds)
                after = proxy.cpu_seconds()
                rss, pss = proxy.memory_kib()
    user, system = (1e6 * (b - a) / requests for a, b in zip(before, after))
    return {"user": user, "system": system, "cpu": user + system, "rate": rate, "p50": latency["50"], "p99": latency["99"],
            "rss": rss, "pss": pss}


def run(contestants, rounds, seconds):
    """Interleaved there and back again (A B C, C B A, …), so that a drifting machine hits all alike."""
    results = {name: [] for name in contestants}
    for i in range(rounds):
        for name in list(contestants) if i % 2 == 0 else reversed(list(contestants)):
            results[name].append(measure(contestants[name], seconds))
            last = results[name][-1]
            print(f"  round {i + 1} {name:8} {last['cpu']:6.2f} µs/request ({last['user']:.2f} user), {last['rate']:.0f} requests/s", flush=True)
    return results


def summary(results, ours="clew"):
    """Rows of (name, median CPU, user, spread, rate, p99, RSS, ratio ours/peer)."""
    median = {name: statistics.median(r["cpu"] for r in rows) for name, rows in results.items()}
    rows = []
    for name, samples in results.items():
        cpu = [r["cpu"] for r in samples]
        rows.append({"name": name, "cpu": median[name], "user": statistics.median(r["user"] for r in samples),
                     "spread": (max(cpu) - min(cpu)) / median[name], "rate": statistics.median(r["rate"] for r in samples),
                     "p99": samples[-1]["p99"], "rss": samples[-1]["rss"], "ratio": median[ours] / median[name]})
    return rows
