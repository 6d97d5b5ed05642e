"""One pod: a namespace on the mesh's bridge, a test application, and (unless it is plain) a sidecar as the real webhook injects it."""

import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import urllib.parse

from . import netns, peers
from .access_log import AccessLog
from .admin import Admin
from .app import App
from .client import Connection
from .control_plane import NODE_IP, NODE_IP6
from .procs import Failed, Process, wait_for

ENTER = pathlib.Path(__file__).with_name("enter_pod.sh")
PROXY_UID = 1337
AGENT_CHATTER = re.compile(r"^\S+Z\tinfo\t|^[a-zA-Z]+: \S+$|^$")  # what the agent says when all is well
BIN = "/usr/local/bin"  # where the container has its programs


class Pod(Admin):
    def __init__(self, mesh, spec, number):
        self.mesh = mesh
        self.spec = spec
        self.name = spec.name
        self.namespace = spec.namespace
        self.number = number
        v4, v6 = f"10.244.{number // 250}.{number % 250 + 2}", f"fd00:10:244::{number + 256:x}"
        self.ips = {"v4": [v4], "v6": [v6], "dual": [v4, v6]}[spec.family]
        self.ip = self.ips[0]
        self.loopback = "::1" if spec.family == "v6" else "127.0.0.1"
        self.ns = None
        self.object = None
        self.agent = None
        self.dir = mesh.dir / "pods" / spec.name
        self.app = None
        self.access_log = None

    # life

    def start(self):
        self._make_namespace()
        self.app = App(self.name, self.ns)
        for port_name, port in self.spec.ports.items():
            self.app.listen(port, _app_protocol(port_name), {"v4": ["0.0.0.0"], "v6": ["::"], "dual": ["0.0.0.0", "::"]}[self.spec.family])
        self._create_object()
        if self.spec.sidecar:
            self._write_files()
            self.redirect()
            self.start_sidecar()
        return self

    def stop(self):
        if self.app:
            self.app.stop()
        if self.agent:
            self.agent.stop()
        if self.object:
            self.mesh.kube.delete(self.object)
        if self.ns:
            netns.delete(self.ns)

    def start_sidecar(self):
        """Runs the stock agent with the chosen proxy, as the injected container says."""
        container = self._container("istio-proxy")
        env = self._container_env(container)
        config = json.loads(env.get("PROXY_CONFIG") or "{}")
        config["binaryPath"] = f"{BIN}/{self.proxy_binary.name}"
        env["PROXY_CONFIG"] = json.dumps(config)
        env.update(self.spec.env)
        args = [self._expand(a, env) for a in container["args"]]
        if self.spec.log_level:
            args = [f"--proxyLogLevel={self.spec.log_level}" if a.startswith("--proxyLogLevel=") else a for a in args]
        shutil.rmtree(self.dir / "upper", ignore_errors=True)  # what an earlier container wrote
        for log in (self.stdout, self.stderr):
            log.touch()
            os.chown(log, PROXY_UID, PROXY_UID)
            log.chmod(0o664)
        self.access_log = AccessLog(self.stdout, self.explain)
        self.agent = self._container_process("sidecar", _user(container), [f"{BIN}/pilot-agent", *args], env,
                                             read_only=container["securityContext"].get("readOnlyRootFilesystem", False))
        if self.spec.wait:
            self.wait_ready()

    def add_host(self, name, ip):
        """A line in the container's /etc/hosts, which its resolvers read."""
        with open(self.dir / "files/etc/hosts", "a") as hosts:
            hosts.write(f"{ip} {name}\n")

    def stop_sidecar(self):
        """Kills agent and proxy at once; the pod, its rules and its application stay."""
        self.agent.stop()

    def restart_sidecar(self):
        """A new agent and proxy, as when the container is started again."""
        self.stop_sidecar()
        self.start_sidecar()

    def wait_ready(self, timeout=60.0):
        def ready():
            if not self.agent.running():
                raise Failed(f"the sidecar of {self.name} ended before it was ready\n{self.explain()}")
            return self.http_get(15021, "/healthz/ready")[0] == 200
        wait_for(f"the sidecar of {self.name} to be ready", ready, timeout, explain=self.explain)

    def explain(self, lines=15):
        """The logs that tell what is wrong with this pod."""
        text = self.agent.explain(lines, skip=AGENT_CHATTER) if self.agent else f"--- {self.name} has no sidecar"
        nacks = [n for n in self.mesh.control_plane.nacks() if f"{self.name}.{self.namespace}" in n]
        return text + "\n--- what istiod says it refused\n" + "\n".join(n[:2000] for n in nacks[-5:])

    # what runs

    @property
    def proxy_binary(self):
        choice = self.spec.proxy
        return peers.proxy(choice) if choice in ("clew", "envoy") else pathlib.Path(choice)

    @property
    def stdout(self):
        """The sidecar's standard output: the agent's lines and the access log."""
        return self.dir / "stdout.log"

    @property
    def stderr(self):
        """The sidecar's standard error: the proxy's own log."""
        return self.dir / "stderr.log"

    @property
    def proxy_log(self):
        return self.stderr.read_text(errors="replace")

    @property
    def proxy_pid(self):
        """The pid of the proxy that the agent started."""
        children = pathlib.Path(f"/proc/{self.agent.pid}/task").glob("*/children")
        pids = [int(pid) for c in children for pid in c.read_text().split()]
        return pids[0] if pids else None

    def proxy_stats(self):
        """What the proxy uses: rss_kib, cpu_seconds, threads, descriptors."""
        pid = self.proxy_pid
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return {
            "rss_kib": int(re.search(r"VmRSS:\s+(\d+)", status)[1]),
            "cpu_seconds": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
            "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        }

    @property
    def command_line(self):
        return pathlib.Path(f"/proc/{self.proxy_pid}/cmdline").read_text().split("\0")[:-1]

    @property
    def bootstrap(self):
        """The bootstrap that the agent wrote, as text."""
        return (self.dir / "files/etc/istio/proxy/envoy-rev.json").read_text()

    # asking the proxy

    def http_get(self, port, path, method="GET", headers=None, timeout=10.0):
        """A request from inside the pod to localhost, which no rule redirects: (status, text)."""
        connection = http.client.HTTPConnection(self.loopback, port, timeout=timeout)
        connection.sock = netns.connect(self.ns, (self.loopback, port), timeout)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def ask_admin(self, path, method):
        return self.http_get(15000, path, method)

    def config_dump(self):
        """What istiod says it sent to this proxy."""
        return self.mesh.control_plane.debug(f"/debug/config_dump?proxyID={self.name}.{self.namespace}")

    # asking as the application

    def connect(self, host, port, timeout=20.0, source=None, owner=(0, 0)):
        """A TCP connection of the application's; `host` is an address or a name the mesh knows, `owner` its user and group."""
        return Connection(netns.connect(self.ns, (self.mesh.resolve(host, self), port), timeout, source, owner))

    def request(self, method, url, headers=(), body=None, timeout=20.0, address=None, owner=(0, 0)):
        """One HTTP/1.1 request on its own connection. `address` connects there, whatever the URL says."""
        parts = urllib.parse.urlsplit(url)
        port = parts.port or 80
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host, port = address or (parts.hostname, port)
        authority = parts.netloc
        if any(n.lower() == "host" for n, _ in (headers.items() if isinstance(headers, dict) else headers)):
            headers = list(headers.items() if isinstance(headers, dict) else headers)
            authority = next(v for n, v in headers if n.lower() == "host")
            headers = [(n, v) for n, v in headers if n.lower() != "host"]
        with self.connect(host, port, timeout, owner=owner) as connection:
            return connection.request(method, path, authority, headers, body)

    def get(self, url, **options):
        return self.request("GET", url, **options)

    def raw(self, data, host, port, timeout=10.0):
        """Sends bytes, and returns all that comes back until the peer closes."""
        with self.connect(host, port, timeout) as connection:
            connection.send(data)
            return connection.read_to_end()

    def exec(self, *argv, timeout=60.0, check=True):
        """Runs a program in the pod's network, with the mesh's names in /etc/hosts; its output."""
        self.mesh.write_hosts()
        done = subprocess.run(["ip", "netns", "exec", self.ns, *map(str, argv)], capture_output=True, text=True, timeout=timeout)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(map(str, argv))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    # parts

    def _make_namespace(self):
        node = self.mesh.control_plane.ns
        self.ns = netns.add(self.mesh.run, self.name)
        link = f"v{self.number}"
        netns.sh("ip", "-n", node, "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", self.ns)
        netns.sh("ip", "-n", node, "link", "set", link, "master", "br0", "up")
        # A link-local address that is still being tried would keep the kernel from using the others.
        netns.sh("ip", "-n", self.ns, "link", "set", "eth0", "addrgenmode", "none", "up")
        for ip in self.ips:
            v6 = ":" in ip
            netns.sh("ip", "-n", self.ns, "addr", "add", *([f"{ip}/64", "nodad"] if v6 else [f"{ip}/16"]), "dev", "eth0")
            netns.sh("ip", "-n", self.ns, "route", "add", "default", "via", NODE_IP6 if v6 else NODE_IP)
        # The agent asks the cloud's metadata server where it is; without an answer at once that costs 2 s.
        netns.sh("ip", "-n", self.ns, "route", "add", "unreachable", "169.254.0.0/16")

    def _create_object(self):
        labels = {"app": self.spec.service, "version": self.spec.version, **self.spec.labels}
        if not self.spec.sidecar:
            labels["sidecar.istio.io/inject"] = "false"
        self.object = self.mesh.kube.create({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": labels, "annotations": self.spec.annotations},
            "spec": {
                "serviceAccountName": self.spec.account, "nodeName": "node",
                "containers": [{"name": "app", "image": "app", "ports": [
                    {"name": _port_name(n), "containerPort": p} for n, p in self.spec.ports.items()]}],
            }})
        if self.spec.sidecar and not self._container("istio-proxy", missing_ok=True):
            raise Failed(f"the webhook did not inject {self.name}\n{self.mesh.control_plane.istiod.explain()}")
        self.set_ready(True)

    def set_ready(self, ready):
        """What the kubelet would say: an unready pod leaves its service's endpoints."""
        status = "True" if ready else "False"
        self.mesh.kube.patch_status(self.object, {
            "phase": "Running", "podIP": self.ip, "podIPs": [{"ip": ip} for ip in self.ips], "hostIP": NODE_IP,
            "conditions": [{"type": "Ready", "status": status}, {"type": "ContainersReady", "status": status}]})

    def _container(self, name, missing_ok=False):
        spec = self.object["spec"]
        for container in spec["containers"] + spec.get("initContainers", []):
            if container["name"] == name:
                return container
        if missing_ok:
            return None
        raise Failed(f"{self.name} has no container {name}")

    def _write_files(self):
        files = self.dir / "files"
        if self.dir.exists():
            shutil.rmtree(self.dir)
        for path in ("etc/istio/proxy", "etc/istio/pod", "var/lib/istio/data", "var/lib/istio/envoy", "var/run/secrets/istio",
                     "var/run/secrets/tokens", "var/run/secrets/workload-spiffe-uds", "var/run/secrets/workload-spiffe-credentials",
                     "var/run/secrets/credential-uds"):
            (files / path).mkdir(parents=True)
        shutil.copy(peers.istio("envoy_bootstrap.json"), files / "var/lib/istio/envoy/envoy_bootstrap_tmpl.json")
        (files / "var/run/secrets/istio/root-cert.pem").write_text(self.mesh.root_cert(self.namespace))
        (files / "var/run/secrets/tokens/istio-token").write_text(
            self.mesh.kube.token(self.namespace, self.spec.account, "istio-ca"))
        meta = self.object["metadata"]
        for what in ("labels", "annotations"):
            (files / "etc/istio/pod" / what).write_text(
                "".join(f"{k}={json.dumps(v)}\n" for k, v in sorted(meta.get(what, {}).items())))
        istiod = NODE_IP6 if self.spec.family == "v6" else self.mesh.control_plane.istiod_ip
        (files / "etc/hosts").write_text(f"127.0.0.1 localhost\n::1 localhost\n{self.ip} {self.name}\n{istiod} istiod.istio-system.svc\n")
        (files / "etc/resolv.conf").write_text(f"nameserver {NODE_IP6 if self.spec.family == 'v6' else NODE_IP}\n")
        for path in files.rglob("*"):
            os.chown(path, PROXY_UID, PROXY_UID)
            path.chmod(path.stat().st_mode | (path.stat().st_mode & 0o700) >> 3)  # the group may what the owner may: fsGroup

    def redirect(self, *more):
        """Sets the rules as the injected init container says, with `more` arguments. The stock tool does it beside another proxy than ours."""
        container = self._container("istio-init")
        env = self._container_env(container)
        log = self.dir / "init.log"
        tool = "clew" if self.proxy_binary.name == "clew" else "pilot-agent"
        init = self._container_process("init", "root", [f"{BIN}/{tool}", *container["args"], *more], env, log)
        if init.popen.wait(30):
            raise Failed(f"setting the redirect rules failed\n{init.explain()}")

    def _container_process(self, name, user, argv, env, log=None, read_only=False):
        binds = [(program, f"{BIN}/{program.name}") for program in (peers.istio("pilot-agent"), self.proxy_binary)]
        binds.append((self.mesh.sanitizer_dir, self.mesh.sanitizer_dir))
        return Process(
            f"{self.name}/{name}", ["unshare", "--mount", ENTER, self.dir, user, *argv], self.ns,
            log or self.stdout, None if log else self.stderr, cwd="/",
            env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME": self.name, "HOME": "/",
                 "BINDS": ":".join(f"{source}={target}" for source, target in binds), "READ_ONLY_ROOT": str(read_only).lower(),
                 **env, **self.mesh.proxy_env})

    def _container_env(self, container):
        env = {}
        for item in container.get("env", []):
            env[item["name"]] = item["value"] if "value" in item else self._value_from(item.get("valueFrom", {}))
        return env

    def _value_from(self, source):
        if "fieldRef" in source:
            path = source["fieldRef"]["fieldPath"]
            return {
                "metadata.name": self.name, "metadata.namespace": self.namespace, "spec.nodeName": "node",
                "spec.serviceAccountName": self.spec.account, "status.podIP": self.ip, "status.podIPs": ",".join(self.ips),
                "status.hostIP": NODE_IP,
            }.get(path, "")
        reference = source.get("resourceFieldRef", {})
        limits = self._container(reference.get("containerName") or "istio-proxy").get("resources", {}).get("limits", {})
        kind, amount = reference["resource"].split(".")[1], limits
        value = str(amount.get(kind, "2" if kind == "cpu" else "1073741824"))
        if value.endswith("m"):
            return str(-(-int(value[:-1]) // 1000))
        scale = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30}.get(value[-2:])
        return str(int(value[:-2]) * scale) if scale else value

    @staticmethod
    def _expand(text, env):
        return re.sub(r"\$\((\w+)\)", lambda m: env.get(m[1], m[0]), text)


def _user(container):
    """Whom a container runs as, for enter_pod.sh: UID:GID, and the capabilities that it keeps."""
    context = container["securityContext"]
    kept = [f"+{name.lower()}" for name in context.get("capabilities", {}).get("add", [])]
    return ":".join([str(context["runAsUser"]), str(context["runAsGroup"]), ",".join(["-all", *kept])])


def _app_protocol(port_name):
    """What the application speaks: what the port's name says to Istio, or what its end says, when the two are to differ."""
    end = port_name.removeprefix("tcp-").removeprefix("auto-").removeprefix("http-")
    if end in ("server-first", "closes-first", "grpc", "tls", "proxied", "proxied-tls", "proxied-tcp"):
        return end
    return {"http": "http", "auto": "http", "http2": "http2", "grpc": "grpc", "https": "tls"}.get(port_name.split("-")[0], "tcp")


def _port_name(port_name):
    """The Kubernetes port name; one that starts with auto has no protocol in it, so that it is sniffed."""
    return port_name[:15]
