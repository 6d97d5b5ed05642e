"""S15: from exec to LIVE with a static bootstrap: nothing to wait for."""

import time

from suite import bootstrap
from suite.machine import free_port
from suite.process import http_get, wait_until

import contextlib


def run(bench):
    def measure(name):
        listen, admin = free_port(), free_port()
        with bench.peers.start_binary(name, bootstrap.bootstrap("h1", listen, free_port(), admin), listen, admin, concurrency=2) as proxy:
            wait_until(f"{name} to be LIVE", lambda: http_get(admin, "/ready").strip() == b"LIVE", process=proxy)
            return {"own_ms": 1000 * (time.monotonic() - proxy.started)}

    names = bench.contestants([n for n, binary in bench.peers.binaries.items() if binary])
    bench.compare("static bootstrap", {n: lambda n=n: contextlib.nullcontext(n) for n in names}, measure, rounds=bench.pick(1, 4, 10))
