"""A mesh: the control plane, pods, Istio objects, and the words tests use for them."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import os
import pathlib
import re
import subprocess
import textwrap
import threading
import time

from . import kube, netns, peers
from .control_plane import ROOT_NAMESPACE, ControlPlane
from .pod import Pod
from .procs import Failed, wait_for

SANITIZER_ENV = {
    "ASAN_OPTIONS": "log_path={dir}/sanitizer:detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "log_path={dir}/sanitizer:print_stacktrace=1",
    "TSAN_OPTIONS": "log_path={dir}/sanitizer",
}


@dataclasses.dataclass(frozen=True)
class PodSpec:
    name: str
    namespace: str
    service: str  # pods of one service share it; "" for none
    account: str
    ports: dict  # name → number; the name says the protocol: README.md
    proxy: str  # clew, envoy, or a path
    sidecar: bool
    version: str
    labels: dict
    annotations: dict
    env: dict
    family: str  # v4, v6 or dual: the pod's addresses, and its service's
    log_level: str
    wait: bool


class Mesh:
    """Started with `with Mesh() as mesh`. `comparison` makes istiod leave out what Envoy's own binary cannot run."""

    def __init__(self, proxy="clew", comparison=False, mesh_config=None, istiod_env=None):
        self.proxy = proxy
        self.comparison = comparison
        self._mesh_config = {"accessLogFile": "/dev/stdout", **(mesh_config or {})}
        self._istiod_env = istiod_env
        self.pods = {}
        self._lock = threading.Lock()
        self._next_ip = 2
        self._services = {}
        self._failures = collections.Counter()  # what a pod was made of → how often its sidecar did not become ready

    # life

    def __enter__(self):
        self.run, self.dir = netns.new_run()
        self._reaper = netns.start_reaper(self.run)
        try:
            (self.dir / "pods").mkdir()
            self.sanitizer_dir = self.dir / "sanitizer"
            self.sanitizer_dir.mkdir()
            self.sanitizer_dir.chmod(0o777)
            self.proxy_env = {k: v.format(dir=self.sanitizer_dir) for k, v in SANITIZER_ENV.items()}
            self.control_plane = ControlPlane(self.run, self.dir, self._mesh_config, self._istiod_env, self.comparison)
            self.kube = self.control_plane.kube
            self.control_plane.start()
            self.add_namespace("default")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self._keep_logs()
        for pod in self.pods.values():
            if pod.app:
                pod.app.stop()
        # The reaper does all of it, in the same way whether this process ends well or is killed.
        self._reaper.stdin.close()
        self._reaper.wait()

    def _keep_logs(self):
        keep = os.environ.get("CLEW_MESH_LOGS")
        if keep:
            target = pathlib.Path(keep) / self.run
            target.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-r", "--parents", *[str(p.relative_to(self.dir)) for p in self.dir.rglob("*.log")], target],
                           cwd=self.dir, check=False)

    # objects

    def add_namespace(self, name, injection=True):
        """A namespace that is ready for pods."""
        self.control_plane.apply_namespace(name, **({"istio-injection": "enabled"} if injection else {}))
        wait_for(f"istiod's root certificate in namespace {name}", lambda: self.root_cert(name),
                 explain=self.control_plane.istiod.explain)
        return name

    def root_cert(self, namespace):
        return self.kube.get("v1", "ConfigMap", "istio-ca-root-cert", namespace)["data"]["root-cert.pem"]

    def apply(self, text, wait=True):
        """Applies YAML objects and waits until istiod has pushed them and every proxy has answered."""
        objects = kube.parse(textwrap.dedent(text)) if isinstance(text, str) else list(text)
        pushes = self._push_count()
        for obj in objects:
            obj["metadata"].setdefault("namespace", "default")
            self.kube.apply(obj)
        if wait:
            self.wait_pushed(pushes)
        return objects

    def delete(self, objects, wait=True):
        pushes = self._push_count()
        for obj in objects:
            self.kube.delete(obj)
        if wait:
            self.wait_pushed(pushes)

    def _push_count(self):
        return self.control_plane.metric("pilot_push_triggers")

    def wait_pushed(self, since, timeout=2.0):
        """Waits for a push after `since` (an object that changes nothing causes none), then for every proxy's answer."""
        deadline = time.monotonic() + timeout
        while self._push_count() <= since and time.monotonic() < deadline:
            time.sleep(0.02)
        with contextlib.suppress(Failed):  # a proxy that is down or refuses: the scenario says what it expects of that
            wait_for("proxies to acknowledge", self._all_acknowledged, 5.0)

    def _all_acknowledged(self):
        for proxy in self.control_plane.debug("/debug/syncz"):
            for kind in ("cluster", "listener", "route", "endpoint"):
                if proxy.get(f"{kind}_sent") != proxy.get(f"{kind}_acked"):
                    return False
        return True

    def set_mesh_config(self, **changes):
        """Changes meshConfig against what the mesh was started with, and waits for the push."""
        pushes = self._push_count()
        self.control_plane.set_mesh_config(changes)
        self.wait_pushed(pushes)

    def istioctl(self, *argv, check=True):
        done = subprocess.run(
            ["ip", "netns", "exec", self.control_plane.ns, peers.istio("istioctl"), "--kubeconfig", self.control_plane.kubeconfig, *argv],
            capture_output=True, text=True)
        if check and done.returncode:
            raise AssertionError(f"istioctl {' '.join(argv)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    # pods

    def pod(self, name, ports=None, service=None, namespace="default", account=None, proxy=None, sidecar=True, version="v1",
            labels=None, annotations=None, env=None, family="v4", log_level=None, wait=True):
        """The pod of this name: the standing one when it was made with the same words, else a new one (in place of the old)."""
        spec = PodSpec(
            name=name, namespace=namespace, service=name if service is None else service, account=account or service or name,
            ports=dict(ports or {}), proxy=proxy or self.proxy, sidecar=sidecar, version=version, labels=dict(labels or {}),
            annotations=dict(annotations or {}), env=dict(env or {}), family=family, log_level=log_level, wait=wait)
        standing = self.pods.get(name)
        if standing and standing.spec == spec and (not sidecar or standing.agent.running()):
            return standing
        if standing:
            self.remove(standing)
        with self._lock:
            number = self._next_ip
            self._next_ip += 1
        pod = Pod(self, spec, number)
        key = repr(spec)
        if self._failures[key] >= 2:
            raise Failed(f"the sidecar of {name} did not become ready twice before, with the same words; not tried again")
        self.pods[name] = pod
        self.kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": spec.account, "namespace": namespace}})
        if spec.ports and spec.service:
            self._apply_service(spec)
        try:
            pod.start()
        except BaseException:
            self._failures[key] += 1
            self.pods.pop(name, None)
            pod.stop()
            raise
        if spec.ports and spec.service:
            self._wait_endpoint(pod)
        return pod

    def start_pods(self, *calls):
        """Several pods at once: each call is (name, options)."""
        with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(lambda c: self.pod(c[0], **c[1]), calls))

    def remove(self, pod):
        self.pods.pop(pod.name, None)
        pod.stop()

    def service(self, name, namespace="default"):
        """The cluster address of a service; its first, if it has two."""
        return self.service_ips(name, namespace)[0]

    def service_ips(self, name, namespace="default"):
        key = (name, namespace)
        if key not in self._services:
            self._services[key] = self.kube.get("v1", "Service", name, namespace)["spec"]["clusterIPs"]
        return self._services[key]

    def forget_service(self, name, namespace="default"):
        """Its address is asked for again."""
        self._services.pop((name, namespace), None)

    def resolve(self, host, pod=None):
        """What the mesh's DNS would say. A pod without sidecar gets a pod's address, since nothing here routes cluster addresses."""
        if re.fullmatch(r"[0-9.]+|localhost", host) or ":" in host:
            return host
        labels = host.split(".")
        namespace = labels[1] if len(labels) > 1 else (pod.namespace if pod else "default")
        if pod and not pod.spec.sidecar:
            for other in self.pods.values():
                if labels[0] in (other.spec.service, other.name) and other.namespace == namespace:
                    return other.ip
        return self.service(labels[0], namespace)

    def write_hosts(self):
        """/etc/hosts of each pod's network, for programs that are run there."""
        for pod in self.pods.values():
            lines = ["127.0.0.1 localhost", f"{self.control_plane.istiod_ip} istiod.istio-system.svc"]
            for (name, namespace) in {(p.spec.service, p.namespace) for p in self.pods.values() if p.spec.ports and p.spec.service}:
                address = self.resolve(f"{name}.{namespace}", pod)
                lines.append(f"{address} {name}.{namespace}.svc.cluster.local {name}.{namespace} {name}.{namespace}.svc"
                             + (f" {name}" if namespace == pod.namespace else ""))
            directory = netns.HOSTS_DIR / pod.ns
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "hosts").write_text("\n".join(lines) + "\n")

    def _apply_service(self, spec):
        families = {"v4": {}, "v6": {"ipFamilies": ["IPv6"]}, "dual": {"ipFamilyPolicy": "RequireDualStack"}}[spec.family]
        self.kube.apply({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": spec.service, "namespace": spec.namespace},
            "spec": {"selector": {"app": spec.service}, **families,
                     "ports": [{"name": n, "port": p, "targetPort": p} for n, p in spec.ports.items()]}})

    def _wait_endpoint(self, pod):
        """Until the new pod is an endpoint, with each of its addresses, and the sidecars that are there have heard of it: a request
        before that has nobody to go to (503 UH)."""
        def known():
            path = (f"/apis/discovery.k8s.io/v1/namespaces/{pod.namespace}/endpointslices"
                    f"?labelSelector=kubernetes.io/service-name%3D{pod.spec.service}")
            endpoints = [e for s in self.kube.call("GET", path)["items"] for e in s.get("endpoints") or []]
            ready = {ip for e in endpoints if e.get("conditions", {}).get("ready") for ip in e["addresses"]}
            return ready.issuperset(pod.ips)
        wait_for(f"the endpoint of {pod.name}", known)
        with contextlib.suppress(Failed):  # a proxy that takes no updates: the scenario says what it expects of that
            wait_for("sidecars to hear of it", lambda: not any(self._lacks(other, pod) for other in list(self.pods.values())), 5.0)

    @staticmethod
    def _lacks(other, pod):
        """Whether a sidecar knows the pod's service, and not the pod."""
        hosts = [f"[{ip}]:" if ":" in ip else f"::{ip}:" for ip in pod.ips if any((":" in ip) == (":" in own) for own in other.ips)]
        if not hosts or not other.spec.sidecar:
            return False
        try:
            clusters = other.admin("/clusters")
        except (OSError, AssertionError):
            return False  # not there yet, or not any more
        service = f"||{pod.spec.service}.{pod.namespace}.svc.cluster.local::"
        lines = [line for line in clusters.splitlines() if line.startswith("outbound") and service in line]
        return bool(lines) and not any(host in line for host in hosts for line in lines)

    # what went wrong

    def quit_proxies(self):
        """Lets every clew exit by itself, so that a leak is found; returns the reports, None when there are none."""
        for pod in self.pods.values():
            if pod.agent and pod.spec.proxy == "clew" and pod.agent.running():
                with contextlib.suppress(OSError, AssertionError):
                    pod.admin("/quitquitquit", "POST")
                    pod.agent.wait(10)
        return "\n".join(self.sanitizer_reports()) or None

    def sanitizer_reports(self):
        """Files that a sanitizer wrote since the last call."""
        reports = []
        for path in self.sanitizer_dir.iterdir():
            reports.append(path.read_text(errors="replace"))
            path.unlink()
        return reports
