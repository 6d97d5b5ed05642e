"""etcd, the Kubernetes API and stock istiod, in the namespace that stands for the node."""

import concurrent.futures
import http.client
import json
import os
import secrets
import time

import yaml

from . import netns, peers
from .kube import ApiError, Kube
from .procs import Failed, Process, wait_for

ROOT_NAMESPACE = "istio-system"
NODE_IP, NODE_IP6 = "10.244.0.1", "fd00:10:244::1"
SERVICE_CIDR, SERVICE_CIDR6 = "10.96.0.0/16", "fd00:10:96::/112"
API_PORT = 6443

# What a default install differs in from a mesh whose sidecars are Envoy's own binary, which lacks Istio's filters.
COMPARISON_ENV = {"PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false"}
COMPARISON_OBJECT = {
    "apiVersion": "telemetry.istio.io/v1", "kind": "Telemetry",
    "metadata": {"name": "no-istio-stats", "namespace": ROOT_NAMESPACE},
    "spec": {"metrics": [{"providers": [{"name": "prometheus"}],
                          "overrides": [{"match": {"metric": "ALL_METRICS"}, "disabled": True}]}]},
}


class ControlPlane:
    def __init__(self, run, directory, mesh_config=None, env=None, comparison=False):
        self.dir = directory / "control-plane"
        self.dir.mkdir()
        self.ns = netns.add(run, "node")
        self._mesh_config = mesh_config or {}
        self._env = {**(COMPARISON_ENV if comparison else {}), **(env or {})}
        self._comparison = comparison
        self._processes = {}
        self._token = secrets.token_hex(16)
        self.kube = Kube(self.ns, API_PORT, self._token)
        self.kubeconfig = self.dir / "kubeconfig"
        self.timings = {}

    def start(self):
        began = time.monotonic()
        self._make_network()
        self._write_files()
        self._start_etcd()
        self._start_api()
        self.timings["kubernetes"] = time.monotonic() - began
        self._install()
        self.timings["manifest"] = time.monotonic() - began
        self.start_istiod()
        self.timings["istiod"] = time.monotonic() - began

    def stop(self):
        for process in reversed(list(self._processes.values())):
            process.stop()

    # istiod

    def start_istiod(self):
        env = {
            "PATH": os.environ["PATH"], "HOME": str(self.dir), "POD_NAME": "istiod-0", "POD_NAMESPACE": ROOT_NAMESPACE,
            "SERVICE_ACCOUNT": "istiod", "REVISION": "default", "CLUSTER_ID": "Kubernetes", "PILOT_CERT_PROVIDER": "istiod",
            "PILOT_TRACE_SAMPLING": "1", "PILOT_ENABLE_ANALYSIS": "false", "CA_TRUSTED_NODE_ACCOUNTS": "istio-system/ztunnel",
            # Istio's default is 100 ms; the tests change much and wait for it often.
            "PILOT_DEBOUNCE_AFTER": "20ms",
            # Means nothing to a proxy that has addresses of one family.
            "ISTIO_DUAL_STACK": "true", **self._env}
        # --keepaliveMaxServerConnectionAge is what the chart sets.
        self._spawn("istiod", peers.istio("pilot-discovery"), "discovery", "--kubeconfig", self.kubeconfig,
                    "--domain", "cluster.local", "--keepaliveMaxServerConnectionAge", "30m", env=env)
        self._wait("istiod", lambda: self.istiod_get("/ready")[0] == 200)

    def stop_istiod(self):
        self._processes["istiod"].stop()

    @property
    def istiod(self):
        return self._processes["istiod"]

    def istiod_get(self, path, port=8080):
        """GET from istiod's debug port: (status, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.sock = netns.connect(self.ns, ("127.0.0.1", port))
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def debug(self, path):
        status, body = self.istiod_get(path)
        if status != 200:
            raise AssertionError(f"istiod {path}: {status} {body[:500]}")
        return json.loads(body)

    def metric(self, name, **labels):
        """Sum of istiod's samples of a metric with these labels."""
        total = 0.0
        for line in self.istiod_get("/metrics", port=15014)[1].splitlines():
            if line.startswith(name) and line[len(name)] in "{ " and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def nacks(self):
        """istiod's log lines about refused configuration."""
        text = self.istiod.log.read_text(errors="replace")
        return [line for line in text.splitlines() if "ACK ERROR" in line]

    # parts

    def _spawn(self, name, *argv, env=None):
        self._processes[name] = Process(name, argv, self.ns, self.dir / f"{name}.log", env=env, cwd=self.dir)

    def _wait(self, name, condition, timeout=60.0):
        process = self._processes[name]

        def checked():
            if not process.running():
                raise Failed(f"{name} ended while starting\n{process.explain()}")
            return condition()
        wait_for(f"{name} to be ready", checked, timeout, explain=process.explain)

    def _make_network(self):
        # A bridge without an address of its own takes the lowest of its ports', and changes it when a pod comes or goes.
        netns.sh("ip", "-n", self.ns, "link", "add", "br0", "address", "02:00:00:00:00:01", "type", "bridge")
        netns.sh("ip", "-n", self.ns, "addr", "add", f"{NODE_IP}/16", "dev", "br0")
        netns.sh("ip", "-n", self.ns, "addr", "add", f"{NODE_IP6}/64", "dev", "br0", "nodad")
        netns.sh("ip", "-n", self.ns, "link", "set", "br0", "up")
        # No kube-proxy: a connection to a service's address that no sidecar took is refused at once instead of timing out.
        inside = ("ip", "netns", "exec", self.ns)
        netns.sh(*inside, "sysctl", "-qwe", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.bridge.bridge-nf-call-iptables=0")
        netns.sh("ip", "-n", self.ns, "-6", "route", "add", "unreachable", SERVICE_CIDR6)
        netns.sh("ip", "-n", self.ns, "route", "add", SERVICE_CIDR, "dev", "br0")
        netns.sh(*inside, "iptables", "-A", "FORWARD", "-d", SERVICE_CIDR, "-p", "tcp", "--syn", "-j", "REJECT", "--reject-with", "tcp-reset")
        netns.sh(*inside, "iptables", "-A", "FORWARD", "-d", SERVICE_CIDR, "-j", "DROP")

    def _write_files(self):
        (self.dir / "tokens.csv").write_text(f"{self._token},admin,admin,system:masters\n")
        netns.sh("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", self.dir / "sa.key")
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "mesh",
            "clusters": [{"name": "mesh", "cluster": {
                "server": f"https://127.0.0.1:{API_PORT}", "insecure-skip-tls-verify": True}}],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [{"name": "mesh", "context": {"cluster": "mesh", "user": "admin"}}]}))

    def _start_etcd(self):
        self._spawn("etcd", "etcd", "--data-dir", self.dir / "etcd", "--unsafe-no-fsync",
                    "--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
                    "--listen-peer-urls", "http://127.0.0.1:2380", "--log-level", "warn")

    def _start_api(self):
        self._spawn("kube-apiserver", peers.kubernetes("kube-apiserver"),
                    "--etcd-servers", "http://127.0.0.1:2379", "--token-auth-file", self.dir / "tokens.csv",
                    "--cert-dir", self.dir / "api-certs", "--bind-address", "127.0.0.1", "--secure-port", API_PORT,
                    "--advertise-address", NODE_IP, "--service-cluster-ip-range", f"{SERVICE_CIDR},{SERVICE_CIDR6}",
                    "--disable-admission-plugins", "ServiceAccount", "--allow-privileged",
                    "--authorization-mode", "AlwaysAllow", "--api-audiences", "https://kubernetes.default.svc,istio-ca",
                    "--service-account-issuer", "https://kubernetes.default.svc",
                    "--service-account-key-file", self.dir / "sa.key",
                    "--service-account-signing-key-file", self.dir / "sa.key")
        self._wait("kube-apiserver", lambda: self.kube.call("GET", "/readyz") == "ok")
        self._spawn("kube-controller-manager", peers.kubernetes("kube-controller-manager"),
                    "--kubeconfig", self.kubeconfig, "--leader-elect=false", "--bind-address", "127.0.0.1",
                    "--controllers", "endpointslice-controller,namespace-controller")

    def _install(self):
        self.apply_namespace(ROOT_NAMESPACE)
        # Without a node the endpoint slice controller gives up on a pod.
        self.kube.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}})
        objects = json.loads(peers.istio("manifest.json").read_text())
        # istiod runs beside the cluster here, so its own workload objects would only mislead.
        objects = [o for o in objects if o["kind"] not in ("Deployment", "HorizontalPodAutoscaler", "PodDisruptionBudget")]
        for obj in objects:
            if obj["kind"] == "ConfigMap" and obj["metadata"]["name"] == "istio":
                self._mesh_config_map = obj
                self._stock_mesh_config = yaml.safe_load(obj["data"]["mesh"])
                obj["data"]["mesh"] = self._merged_mesh_config({})
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(self.kube.apply, objects))
        ip = self.kube.get("v1", "Service", "istiod", ROOT_NAMESPACE)["spec"]["clusterIP"]
        self.istiod_ip = ip
        netns.sh("ip", "-n", self.ns, "addr", "add", f"{ip}/32", "dev", "lo")
        netns.sh("ip", "netns", "exec", self.ns, "iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", ip,
                 "--dport", "443", "-j", "REDIRECT", "--to-ports", "15017")
        if self._comparison:
            wait_for("the Telemetry CRD", lambda: self._try_apply(COMPARISON_OBJECT))

    def set_mesh_config(self, changes):
        """meshConfig as at the start, with `changes`; istiod sees it by itself."""
        self._mesh_config_map["data"]["mesh"] = self._merged_mesh_config(changes)
        self.kube.apply(self._mesh_config_map)

    def _merged_mesh_config(self, changes):
        return yaml.safe_dump({**self._stock_mesh_config, **self._mesh_config, **changes})

    def _try_apply(self, obj):
        try:
            return self.kube.apply(obj)
        except ApiError as e:
            if e.status == 404:
                return None
            raise

    def apply_namespace(self, name, **labels):
        self.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
