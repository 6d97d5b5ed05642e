"""One proxy in a network namespace, with a bootstrap of the test's own, an ADS server that does what it is told, and
applications. The same for clew and Envoy."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import threading

from harness import netns, peers
from harness.admin import Admin
from harness.app import App
from harness.client import Connection
from harness.procs import Failed, Process, wait_for

BUILD = peers.clew().parent
ADMIN_PORT = 15000
LISTENER_PORT = 10000
SANITIZERS = {"ASAN_OPTIONS": "log_path={0}:detect_stack_use_after_return=0", "UBSAN_OPTIONS": "log_path={0}:print_stacktrace=1",
              "TSAN_OPTIONS": "log_path={0}"}

HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
ROUTER = {"name": "envoy.filters.http.router",
          "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}
HTTP_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
TYPES = {kind: f"type.googleapis.com/envoy.{path}" for kind, path in {
    "cluster": "config.cluster.v3.Cluster", "endpoints": "config.endpoint.v3.ClusterLoadAssignment",
    "listener": "config.listener.v3.Listener", "route": "config.route.v3.RouteConfiguration",
    "secret": "extensions.transport_sockets.tls.v3.Secret"}.items()}
ADS = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}  # as istiod's: waits for ever


# ---- resources

def address(port, ip="127.0.0.1"):
    return {"socket_address": {"address": ip, "port_value": port}}


def endpoints(name, *ports, ip="127.0.0.1"):
    return {"@type": TYPES["endpoints"], "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(p, ip)}} for p in ports]}] if ports else []}


def static_cluster(name, *ports, ip="127.0.0.1", **fields):
    assignment = {k: v for k, v in endpoints(name, *ports, ip=ip).items() if k != "@type"}
    return {"@type": TYPES["cluster"], "name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment, **fields}


def eds_cluster(name, **fields):
    return {"@type": TYPES["cluster"], "name": name, "type": "EDS", "connect_timeout": "1s",
            "eds_cluster_config": {"eds_config": ADS, "service_name": name}, **fields}


def http2(cluster):
    return {**cluster, "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": HTTP_OPTIONS, "explicit_http_config": {"http2_protocol_options": {}}}}}


# istiod's default for every outbound route
ISTIO_RETRIES = {"retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes", "num_retries": 2,
                 "retry_host_predicate": [{"name": "envoy.retry_host_predicates.previous_hosts", "typed_config": {
                     "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}],
                 "host_selection_retry_max_attempts": "5", "retriable_status_codes": [503]}


def route(name, *targets, **fields):
    """targets: cluster names (everything goes to the one), or (prefix, cluster)."""
    routes = [{"name": cluster, "match": {"prefix": prefix}, "route": {"cluster": cluster, "timeout": "0s", **fields}}
              for prefix, cluster in [t if isinstance(t, tuple) else ("/", t) for t in targets]]
    return {"@type": TYPES["route"], "name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}


def manager(routes=None, **fields):
    """An HTTP connection manager: with this route table, or asking ADS for the table of this name."""
    source = {"rds": {"route_config_name": routes, "config_source": ADS}} if isinstance(routes, str) else {
        "route_config": {k: v for k, v in routes.items() if k != "@type"}}
    return {"name": "envoy.filters.network.http_connection_manager",
            "typed_config": {"@type": HCM, "stat_prefix": "test", **source, "http_filters": [ROUTER], **fields}}


def tcp_proxy(cluster, **fields):
    return {"name": "envoy.filters.network.tcp_proxy",
            "typed_config": {"@type": TCP_PROXY, "stat_prefix": "tcp", "cluster": cluster, **fields}}


def listener(name, port, filters, **fields):
    chain = {"filters": [filters]}
    return {"@type": TYPES["listener"], "name": name, "address": address(port, "0.0.0.0"), "filter_chains": [chain], **fields}


def listener_filter(kind, message, **fields):
    return {"name": f"envoy.filters.listener.{kind}",
            "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.filters.listener.{kind}.v3.{message}", **fields}}


def static_bootstrap(listeners, clusters, **fields):
    def plain(resources):
        return [{k: v for k, v in r.items() if k != "@type"} for r in resources]
    return {"node": {"id": "sidecar~10.0.0.1~test.default~default.svc.cluster.local", "cluster": "test.default"},
            "admin": {"address": address(ADMIN_PORT)},
            "static_resources": {"listeners": plain(listeners), "clusters": plain(clusters)}, **fields}


def ads_bootstrap(socket_path):
    """As the agent's: everything by delta ADS over a unix socket."""
    xds = http2({"name": "xds-grpc", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {
        "cluster_name": "xds-grpc", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(socket_path)}}}}]}]}})
    return static_bootstrap([], [xds], dynamic_resources={
        "lds_config": ADS, "cds_config": ADS,
        "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": True,
                       "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}]}})


# ---- processes

class Ads:
    """The ADS server of test/integration as a process; what the proxy tells it is kept as dicts."""

    def __init__(self, lab):
        self.path = lab.dir / f"ads{next(lab.numbers)}"
        self.messages = []
        self._start()

    def _start(self):
        self.path.unlink(missing_ok=True)
        self._process = subprocess.Popen([BUILD / "bin/ads_server", self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        wait_for("the ADS server's socket", self.path.exists)

    def _read(self, lines):
        for line in lines:
            self.messages.append(json.loads(line))

    def stop(self):
        self._process.kill()
        self._process.wait()

    def restart(self, *resources):
        """A new server, which knows only these: the old one's streams break off."""
        self.stop()
        self._start()
        self.set(*resources)

    def order(self, **order):
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def set(self, *resources):
        if resources:
            self.order(set=list(resources))

    def remove(self, kind, *names):
        self.order(remove=[TYPES[kind], *names])

    def hold(self, kind):
        self.order(hold=TYPES[kind])

    def let_go(self, kind):
        self.order(let_go=TYPES[kind])

    def send(self, kind, *resources, **response):
        """A response as it is; resources: (name, Any)."""
        self.order(send={"typeUrl": TYPES.get(kind, kind), "resources": [{"name": n, "resource": r} for n, r in resources], **response})

    def answers(self, kind, since=0):
        """ACKs and NACKs of a type."""
        assert not any("error" in m for m in self.messages), self.messages
        return [m for m in self.messages[since:] if m.get("type_url") == TYPES.get(kind, kind) and m.get("response_nonce")]

    def settle(self, kind, act):
        """Does `act` and returns the answer to the response that it makes the server send."""
        before = len(self.answers(kind))
        act()
        return wait_for(f"an answer about a {kind}", lambda: self.answers(kind)[before:])[0]


class Proxy(Admin):
    def __init__(self, lab, binary, bootstrap, options=(), prefix=(), concurrency=2, log_level="warning"):
        self.lab, self.name = lab, "envoy" if binary.name == "envoy" else "clew"
        self._file = lab.dir / f"proxy{next(lab.numbers)}.json"
        self._file.write_text(json.dumps(bootstrap))
        self.log = self._file.with_suffix(".log")
        self._argv = [*prefix, binary, "-c", self._file, "--concurrency", str(concurrency), "--disable-hot-restart", "-l", log_level, *options]
        self.process = None
        self.start()

    def start(self):
        reports = {k: v.format(self.lab.dir / "sanitizer") for k, v in SANITIZERS.items()}
        self.process = Process(self.name, self._argv, self.lab.ns, self.log, env={**os.environ, **reports})

    def stop(self):
        if self.process:
            self.process.stop()

    @property
    def pid(self):
        return self.process.pid

    def explain(self):
        return self.process.explain()

    def http(self, path, method="GET", port=ADMIN_PORT, timeout=10.0):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        connection.sock = netns.connect(self.lab.ns, ("127.0.0.1", port), timeout)
        with contextlib.closing(connection):
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")

    def ask_admin(self, path, method):
        return self.http(path, method)

    def ready(self):
        return self.http("/ready")[0] == 200

    def wait_ready(self, timeout=20.0):
        def ready():
            if not self.process.running():
                raise Failed(f"the proxy ended\n{self.explain()}")
            return self.ready()
        wait_for("the proxy to be ready", ready, timeout, explain=self.explain)
        return self

    def get(self, path="/", port=LISTENER_PORT, timeout=10.0):
        """Status of one request on its own connection; "closed" or "refused" without one."""
        try:
            return self.http(path, port=port, timeout=timeout)[0]
        except ConnectionRefusedError:
            return "refused"
        except (ConnectionError, http.client.HTTPException):
            return "closed"

    def connect(self, port=LISTENER_PORT, timeout=10.0, ip="127.0.0.1"):
        return Connection(netns.connect(self.lab.ns, (ip, port), timeout))

    def usage(self):
        """rss_kib, cpu_seconds, descriptors, threads"""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return {"rss_kib": int(re.search(r"VmRSS:\s+(\d+)", status)[1]),
                "cpu_seconds": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
                "descriptors": len(os.listdir(f"/proc/{self.pid}/fd")),
                "threads": int(re.search(r"Threads:\s+(\d+)", status)[1])}


class Lab:
    """What one test uses; gone when it ends. `name` is the proxy that is tested: envoy or clew."""

    numbers = iter(range(1, 1 << 60))

    def __init__(self, name, run, directory):
        self.name = name
        self.dir = directory
        self.ns = netns.add(run, f"lab{next(self.numbers)}")
        self._end = contextlib.ExitStack()

    def close(self):
        self._end.close()
        netns.delete(self.ns)
        return [p.read_text(errors="replace") for p in self.dir.glob("sanitizer*")]

    def proxy(self, bootstrap, wait=True, **options):
        proxy = Proxy(self, peers.envoy() if self.name == "envoy" else peers.clew(), bootstrap, **options)
        self._end.callback(proxy.stop)
        return proxy.wait_ready() if wait else proxy

    def ads(self):
        ads = Ads(self)
        self._end.callback(ads.stop)
        return ads

    def app(self, name, port=None, protocol="http"):
        """An application; its port is app.port."""
        app = App(name, self.ns)
        app.port = port or self.free_port()
        app.listen(app.port, protocol)
        self._end.callback(app.stop)
        return app

    def free_port(self):
        with netns.entered(self.ns), socket.create_server(("127.0.0.1", 0)) as s:
            return s.getsockname()[1]

    def run(self, *argv):
        """A program beside the proxy; its Process."""
        process = Process(str(argv[0]), argv, self.ns, self.dir / f"program{next(self.numbers)}.log")
        self._end.callback(process.stop)
        return process

    def sh(self, *argv):
        return netns.sh("ip", "netns", "exec", self.ns, *map(str, argv))
