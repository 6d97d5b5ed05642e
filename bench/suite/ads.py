"""The neutral control plane: one ADS server of our own for each proxy, the same updates for all, counted as acknowledged."""

import json
import threading
import time

from . import bootstrap
from .machine import LOAD_CPU, free_port
from .peers import listens
from .process import Failed, Process, http_get, wait_until


class Driven:
    """A proxy (clew or Envoy) and the control plane that drives it. `with` ends both."""

    def __init__(self, peers, name, upstream, clusters):
        """clusters: name → addresses of its endpoints; requests go to `backend`."""
        self.upstream = upstream
        port, admin = free_port(), free_port()
        socket = peers.cwd / f"ads-{name}-{port}"
        self.control = Process([peers.tools / "bench_ads", socket], LOAD_CPU, peers.cwd, f"ads-{name}", talks=True)
        try:
            for cluster, addresses in clusters.items():
                self._serve(bootstrap.eds_cluster(cluster))
                self._serve(bootstrap.endpoints(cluster, addresses, upstream))
            self._serve(bootstrap.routes())
            self._serve(bootstrap.listener(port))
            wait_until("the control plane", socket.exists, process=self.control)
            self.proxy = peers.start_binary(name, bootstrap.dynamic(admin, socket), port, admin)
        except BaseException:
            self.control.stop()
            raise
        self.port, self.admin = port, admin
        try:
            wait_until(f"{name} on port {port}", lambda: listens(port), process=self.proxy)
        except BaseException:
            self.__exit__()
            raise

    def _serve(self, resource):
        self.control.child.stdin.write("@" + json.dumps(resource) + "\n")

    def update(self, resource):
        """Sends it and waits for the answer: milliseconds until the ACK. A NACK is a failure."""
        self.control.child.stdin.write(json.dumps(resource) + "\n")
        word, _, rest = self.control.child.stdout.readline().strip().partition(" ")
        if word != "ack":
            raise Failed(f"an update was not acknowledged: {word} {rest}")
        return float(rest)

    def scrape(self):
        return http_get(self.admin, "/stats/prometheus")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proxy.stop()
        self.control.stop()


class Meanwhile:
    """Calls action(n) every `period` seconds on a thread while the block runs; `done` holds what it returned."""

    def __init__(self, period, action):
        self.done = []
        self._problem = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(period, action))

    def _run(self, period, action):
        due = time.monotonic()
        try:
            while not self._end.wait(max(0, due - time.monotonic())):
                self.done.append(action(len(self.done)))
                due += period
        except (Failed, OSError) as problem:
            self._problem = problem

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        if self._problem:
            raise Failed(str(self._problem))
