"""One scenario's view of a mesh that many scenarios share."""

import contextlib

import pytest

from .mesh import Mesh
from .procs import Failed, wait_for

# envoy: under the settings that Envoy's own binary can run. clew-compared: clew under the same. clew: the stock settings.
PROXIES = ["envoy", "clew-compared", "clew"]

both_proxies = pytest.mark.both_proxies


class Meshes:
    """The meshes of a test session: one for each mode, started when first wanted."""

    def __init__(self):
        self._stack = contextlib.ExitStack()
        self._mode = None
        self._mesh = None
        self.results = {}

    def get(self, comparison):
        if self._mesh is None or self._mode != comparison:
            self.close()
            self._mode = comparison
            self._mesh = self._stack.enter_context(Mesh(comparison=comparison))
        return self._mesh

    def close(self):
        """Ends the mesh; returns what a proxy that was asked to exit still complained about."""
        problem = None
        if self._mesh:
            problem = self._mesh.quit_proxies()
            self._mesh = None
        self._stack.close()
        return problem


class Scenario:
    """What a test calls `mesh`: everything of a Mesh, and what it changes is taken back at the end."""

    def __init__(self, meshes, proxy, name):
        self._meshes = meshes
        self._name = name
        self.under = proxy
        self.mesh = meshes.get(comparison=proxy != "clew")
        self.mesh.proxy = proxy.split("-")[0]
        self._applied = []
        self._configured = False
        self._used = []

    def __getattr__(self, name):
        return getattr(self.mesh, name)

    def pod(self, name, ports=None, **options):
        pod = self.mesh.pod(name, ports, **options)
        if pod not in self._used:
            self._used.append(pod)
        return pod

    def apply(self, text, **options):
        objects = self.mesh.apply(text, **options)
        self._applied += objects
        return objects

    def set_mesh_config(self, **changes):
        """Changes meshConfig for this scenario."""
        self._configured = True
        self.mesh.set_mesh_config(**changes)

    def until(self, what, condition, timeout=30.0):
        """Waits for a condition; the failure shows the sidecars' logs."""
        return wait_for(what, condition, timeout, explain=self.explain)

    def compare(self, what, value):
        """Under Envoy: remembers; under clew: must be equal to what Envoy did in this session."""
        key = (self._name, what)
        if self.under == "envoy":
            self._meshes.results[key] = value
        elif key in self._meshes.results:
            expected = self._meshes.results[key]
            assert value == expected, f"{what}\n{_difference(value, expected, self.under)}"

    def explain(self):
        return "\n".join(pod.explain() for pod in self._used if pod.agent)

    def end(self):
        if self._applied:
            self.mesh.delete(self._applied)
        if self._configured:
            self.mesh.set_mesh_config()
        if not self.mesh.control_plane.istiod.running():
            self.mesh.control_plane.start_istiod()
        problems = self.mesh.sanitizer_reports()
        for pod in self._used:
            if pod.agent and not pod.agent.running() and pod is self.mesh.pods.get(pod.name):
                problems.append(f"the sidecar of {pod.name} ended\n{pod.explain()}")
                self.mesh.remove(pod)
        if problems:
            raise Failed("\n".join(problems))


def _difference(value, expected, under):
    """Two results side by side; of two tables, only the rows that differ."""
    if isinstance(value, dict) and isinstance(expected, dict):
        rows = [k for k in {**expected, **value} if value.get(k) != expected.get(k)]
        return "\n".join(f"  {k}\n    Envoy: {expected.get(k)!r}\n    {under}: {value.get(k)!r}" for k in rows)
    return f"  Envoy: {expected!r}\n  {under}: {value!r}"
