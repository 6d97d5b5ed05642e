"""S8: a sidecar that has just started under stock istiod, ten services: memory, and the time from exec to LIVE.

Of the start, what the proxy's busiest thread ran or waited for a core is its own work; the rest is sleep, waiting for the agent's
certificates and for istiod. clew-stock is clew with everything on."""

import contextlib
import time

from suite.mesh_lab import Lab, Sidecar


def run(bench):
    labs = {name: Lab.get(bench) for name in bench.contestants([n for n, binary in bench.peers.binaries.items() if binary])}
    if bench.size == "whole":
        labs["clew-stock"] = Lab.get(bench, comparison=False)
    starts = {}

    def measure(name):
        sidecar = Sidecar(labs[name].mesh, f"idle-{name}", name.split("-")[0])
        try:
            time.sleep(bench.pick(0, 1, 5))
            starts.setdefault(name, []).append(sidecar.start)
            return sidecar.memory_kib()
        finally:
            sidecar.stop()

    bench.compare("idle", {n: lambda n=n: contextlib.nullcontext(n) for n in labs}, measure)
    for name, rounds in starts.items():
        for i, metrics in enumerate(rounds):
            bench.record("start", name, i, metrics)
