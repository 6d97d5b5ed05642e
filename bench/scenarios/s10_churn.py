"""S10: connect, one request, close, through an iptables REDIRECT, 32 at a time.

The floor (floor/closing.cc) keeps its upstream connections, as all do, and reads of HTTP what it cannot do without."""

import functools
import subprocess

from suite import http
from suite.bench import per_request
from suite.machine import free_port
from suite.process import Failed


class Redirected:
    """A proxy and the rule that sends a port of its own to it."""

    def __init__(self, start):
        self._start = start

    def __enter__(self):
        self.proxy = self._start()
        self.port = free_port()
        self._rule("-A")
        return self

    def __exit__(self, *_):
        self._rule("-D")
        self.proxy.stop()

    def _rule(self, what):
        subprocess.run(["iptables", "-w", "-t", "nat", what, "OUTPUT", "-p", "tcp", "-d", "127.0.0.1", "--dport", str(self.port),
                        "-j", "REDIRECT", "--to-ports", str(self.proxy.port)], check=True, capture_output=True)


def run(bench):
    if not bench.root:
        raise Failed("redirect rules need root")
    with bench.peers.backend() as backend:
        starts = http.start_all(bench, "h1", backend.port)
        if bench.size != "smoke":
            starts["floor"] = functools.partial(bench.peers.start_floor, backend.port, tool="bench_closing")
        starts = {name: functools.partial(Redirected, start) for name, start in starts.items()}

        def load(redirected, seconds):
            return bench.loads.wrk(f"http://127.0.0.1:{redirected.port}/body", seconds, headers=["Connection: close"])
        bench.compare("redirected", starts, lambda r: per_request([r.proxy], lambda: load(r, bench.seconds), backend),
                      warm=lambda r: load(r, 1))
