"""Pairs of sidecars under stock istiod: the mesh ring's own harness, with a fast application and real load generators.

The comparing mesh leaves out what Envoy's own binary lacks (istio.stats, metadata exchange, istio.alpn), for all; the stock
mesh has everything on and clew alone in it."""

import contextlib
import functools
import pathlib
import subprocess

from . import machine
from .machine import LOAD_CPU, PROXY_CPU, TICKS
from .peers import fill
from .process import Failed, Group, Process, Usage, wait_until

SERVICES = 10
PORT = 8080


class Sidecar(Usage):
    """A started pod; what is measured is its proxy, on the proxies' core."""

    def __init__(self, mesh, name, proxy, ports=None, env=None):
        self.pod = mesh.pod(name, ports=ports, proxy=proxy, wait=False, env=env)
        pid = wait_until(f"the proxy of {name}", lambda: _proxy_pid(self.pod))
        group = Group()
        group.add(pid)  # at once, so that its memory is charged there
        super().__init__(pid, group)
        machine.go_first(pid)
        wait_until(f"{name} to be LIVE", self._live)
        self.start = self._start_times()
        self.pod.wait_ready()
        subprocess.run(["taskset", "-a", "-c", "-p", str(PROXY_CPU), str(pid)], check=True, capture_output=True)

    def _live(self):
        return self.pod.http_get(15000, "/ready")[1].strip() == "LIVE"

    def _start_times(self):
        """From exec to now: in all, and in work: what its busiest thread ran or waited for a core. The rest it slept, waiting for
        the agent's certificates and for istiod."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        total = 1000 * (float(pathlib.Path("/proc/uptime").read_text().split()[0]) - int(fields[19]) / TICKS)
        own = max(sum(map(int, task.read_text().split()[:2])) / 1e6 for task in pathlib.Path(f"/proc/{self.pid}/task").glob("*/schedstat"))
        return {"own_ms": own, "wait_ms": total - own, "total_ms": total}

    def stop(self):
        self.pod.mesh.remove(self.pod)
        self.group.remove()


def _proxy_pid(pod):
    """The proxy that the agent started; before it, the container's own set-up programs come and go."""
    pid = pod.proxy_pid
    arguments = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0") if pid else [""]
    return pid if pathlib.Path(arguments[0]).name == pod.proxy_binary.name and "-c" in arguments else None


class Pair:
    """client → its sidecar → mTLS → the server's sidecar → nginx."""

    def __init__(self, lab, name, proxy):
        self.name = name
        self.server = Sidecar(lab.mesh, f"server-{name}", proxy, ports={"http": PORT})
        self.server.pod.app.stop()
        self.backend = lab.nginx(self.server.pod)
        self.client = Sidecar(lab.mesh, f"client-{name}", proxy)
        self.sidecars = [self.client, self.server]
        self.prefix = ("nsenter", f"--net=/run/netns/{self.client.pod.ns}")
        self.host = f"server-{name}:{PORT}"
        self.address = f"{lab.mesh.service(f'server-{name}')}:{PORT}"
        self.url = f"http://{self.address}/body"
        wait_until(f"an answer through the pair {name}", self._answers)

    def _answers(self):
        done = subprocess.run([*self.prefix, "curl", "-s", "-m", "2", "-o", "/dev/null", "-w", "%{http_code}", "-H",
                               f"Host: {self.host}", self.url], capture_output=True, text=True)
        return done.stdout == "200"


class FloorPair:
    """Two bare relays with TLS between them, in pods without sidecars or redirection."""

    def __init__(self, lab, bench, certificates):
        self.name = "floor"
        client, server, self.backend = lab.plain
        files = {side: [certificates[k] for k in (f"{side}_pem", f"{side}_key", "ca_pem")] for side in ("server", "client")}
        relay = bench.peers.tools / "bench_relay"
        self.server = lab.process(server, 15006, PROXY_CPU, relay, f"{server.ip}:15006", PORT, "--tls-in", *files["server"])
        self.client = lab.process(client, 15001, PROXY_CPU, relay, 15001, f"{server.ip}:15006", "--tls-out", *files["client"])
        self.sidecars = [self.client, self.server]
        self.prefix = ("nsenter", f"--net=/run/netns/{client.ns}")
        self.host, self.address, self.url = "floor", "127.0.0.1:15001", "http://127.0.0.1:15001/body"


class Lab:
    """One mesh of a run; `get(bench)` starts it when first wanted."""

    def __init__(self, bench, comparison, stack=None):
        from harness.mesh import Mesh  # test/mesh; only on the path of a run

        if not bench.root:
            raise Failed("the mesh needs root: network namespaces")
        self._bench = bench
        self._stack = stack or bench.stack
        self.comparison = comparison
        self.mesh = self._stack.enter_context(Mesh(comparison=comparison))
        self.pairs = {}
        self.mesh.apply([{"apiVersion": "v1", "kind": "Service", "metadata": {"name": f"other-{i}"},
                          "spec": {"selector": {"app": "server-clew"}, "ports": [{"name": "http", "port": PORT, "targetPort": PORT}]}}
                         for i in range(SERVICES - 2)], wait=False)

    @classmethod
    def get(cls, bench, comparison=True):
        key = f"mesh {comparison}"
        if key not in bench.shared:
            bench.shared[key] = cls(bench, comparison)
        return bench.shared[key]

    def start_pair(self, name):
        """clew, envoy or clew-stock (clew in the mesh with everything on); the standing pair when there is one."""
        if name not in self.pairs:
            self.pairs[name] = Pair(self, name, name.split("-")[0])
        return contextlib.nullcontext(self.pairs[name])

    @functools.cached_property
    def plain(self):
        """(client, server, nginx): two pods without sidecars."""
        client, server = (self.mesh.pod(f"{side}-plain", sidecar=False) for side in ("client", "server"))
        return client, server, self.nginx(server)

    def nginx(self, pod):
        cwd = pathlib.Path(self._bench.peers.cwd) / pod.name
        (cwd / "www").mkdir(parents=True, exist_ok=True)
        (cwd / "www/body").write_bytes(b"x" * 1024)
        conf = fill("backend-nginx.conf", cwd, listen=PORT, folder=cwd, descriptors=self._bench.peers.descriptors, connections=4096)
        return self.process(pod, PORT, LOAD_CPU, "nginx", "-p", cwd, "-c", conf, cwd=cwd)

    def process(self, pod, port, cpu, *argv, cwd=None):
        """A program in a pod's network that listens on `port`, until the run ends."""
        from harness import netns

        process = self._stack.enter_context(
            Process(["nsenter", f"--net=/run/netns/{pod.ns}", *argv], cpu, cwd or self._bench.peers.cwd, pathlib.Path(str(argv[0])).name))

        def listens():
            with netns.connect(pod.ns, (pod.ip if port != 15001 else "127.0.0.1", port), 1):
                return True
        wait_until(f"{argv[0]} in {pod.name}", listens, process=process)
        return process


def pairs(bench, floor=None):
    """name → start, for compare(): Envoy and clew in the comparing mesh; clew with everything on in the whole run; the floor."""
    lab = Lab.get(bench)
    starts = {n: (lambda n=n: lab.start_pair(n)) for n in bench.contestants([n for n in bench.peers.binaries if bench.peers.binaries[n]])}
    if bench.size == "whole":  # a second control plane stands beside the first from here on, idle
        starts["clew-stock"] = lambda: Lab.get(bench, comparison=False).start_pair("clew-stock")
    if floor and bench.size != "smoke":
        starts["floor"] = lambda: contextlib.nullcontext(bench.shared.setdefault("floor pair", None) or _floor(bench, lab, floor))
    return starts


def _floor(bench, lab, certificates):
    bench.shared["floor pair"] = FloorPair(lab, bench, certificates)
    return bench.shared["floor pair"]
