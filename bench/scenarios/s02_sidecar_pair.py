"""S2: two sidecars under one stock istiod, 1 KiB, 32 connections, CPU of both.

h1 → mTLS h1 → h1 as stock, and h2 in the middle by h2UpgradePolicy. istio.stats is off on both sides; clew-stock is clew with
everything on. The floor is two relays with TLS between them, without redirection."""

from suite import mesh_lab
from suite.bench import per_request
from suite.http import latencies
from suite.peers import make_certificates

UPGRADE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: upgrade}
spec:
  host: "*.default.svc.cluster.local"
  trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}
"""


def run(bench):
    starts = mesh_lab.pairs(bench, floor=make_certificates(bench.peers.cwd, "rsa2048"))

    def load(pair, seconds):
        return bench.loads.wrk(pair.url, seconds, headers=[f"Host: {pair.host}"], prefix=pair.prefix)

    def measure(pair):
        metrics = per_request(pair.sidecars, lambda: load(pair, bench.seconds), pair.backend)
        return {**metrics, **latencies(bench.loads.open_loop(pair.address, bench.pick(300, 2000, 2000), bench.seconds, pair.backend,
                                                             host=pair.host, prefix=pair.prefix))}

    bench.compare("h1 over mTLS", starts, measure, warm=lambda pair: load(pair, 1))
    meshes = [lab for key, lab in bench.shared.items() if key.startswith("mesh ")]
    upgraded = [lab.mesh.apply(UPGRADE) for lab in meshes]
    try:
        bench.compare("h2 over mTLS", {n: s for n, s in starts.items() if n != "floor"}, measure, warm=lambda pair: load(pair, 1))
    finally:
        for lab, objects in zip(meshes, upgraded):
            lab.mesh.delete(objects)
