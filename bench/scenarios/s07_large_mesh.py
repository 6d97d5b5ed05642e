"""S7: cold start against 5,000 services × 2 endpoints from stock istiod: CPU until nothing more happens, RSS.

The services are hosts of ServiceEntry objects with two static endpoints each: clusters, endpoints and virtual hosts as of others."""

import contextlib
import time

from suite.mesh_lab import Lab, Sidecar

HOSTS = 100  # in one object


def services(count):
    return [{"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": f"many-{first}"}, "spec": {
        "hosts": [f"service-{i}.many.svc" for i in range(first, first + min(HOSTS, count))],
        "ports": [{"number": 8080, "name": "http", "protocol": "HTTP"}], "resolution": "STATIC", "location": "MESH_INTERNAL",
        "endpoints": [{"address": f"10.{n}.{first // HOSTS}.1"} for n in (1, 2)]}} for first in range(0, count, HOSTS)]


def settled(sidecar):
    """CPU seconds since the start, once it has done nothing for a second."""
    before = -1
    while (now := sidecar.cpu().total) - before > 0.02:
        before = now
        time.sleep(1)
    return now


def run(bench):
    with contextlib.ExitStack() as stack:
        lab = Lab.get(bench) if bench.size == "smoke" else Lab(bench, comparison=True, stack=stack)
        objects = lab.mesh.apply(services(bench.pick(100, 1000, 5000)))

        def measure(name):
            sidecar = Sidecar(lab.mesh, f"cold-{name}", name)
            try:
                cpu = settled(sidecar)
                return {"cpu_seconds": cpu, "ready_seconds": sidecar.start["total_ms"] / 1000, **sidecar.memory_kib()}
            finally:
                sidecar.stop()

        names = bench.contestants([n for n, binary in bench.peers.binaries.items() if binary])
        bench.compare("cold start", {n: lambda n=n: contextlib.nullcontext(n) for n in names}, measure, rounds=bench.pick(1, 2, 3))
        lab.mesh.delete(objects, wait=False)
