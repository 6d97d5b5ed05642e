"""S5: mutual TLS 1.3 handshakes, full and resumed, with P-256 and with RSA-2048 keys.

X25519 on all sides. Each connection carries one request that the proxy answers itself, so that a handshake counts only when the
client's certificate was judged; the floor answers it too."""

import functools

from suite import http
from suite.bench import per_request
from suite.machine import free_port
from suite.peers import make_certificates


def run(bench):
    for key in ("p256", "rsa2048"):
        certificates = make_certificates(bench.peers.cwd, key)
        starts = http.start_all(bench, "mtls", free_port(), certificates=certificates)
        if bench.size != "smoke":
            starts["floor"] = functools.partial(bench.peers.start_floor, "answer", tls_in=certificates)
        for kind in ("full", "resumed"):
            if (kind, key, bench.size) == ("resumed", "rsa2048", "short"):
                continue
            def measure(proxy):
                return per_request([proxy], lambda: bench.loads.handshakes(proxy.port, bench.seconds, certificates, kind == "resumed"))
            bench.compare(f"{kind} {key}", starts, measure)
