"""Living with istiod: readiness, refusals, restarts, the other xDS form."""

import json
import os
import pathlib
import signal
import threading
import time

from harness import peers
from harness.objects import gone
from harness.scenario import both_proxies

SERVER = {"http": 8080, "tcp": 9000, "auto": 9090}

# A filter that nobody has.
UNKNOWN_FILTER = """
    apiVersion: networking.istio.io/v1alpha3
    kind: EnvoyFilter
    metadata: {name: unknown-filter}
    spec:
      workloadSelector: {labels: {app: client}}
      configPatches:
      - applyTo: HTTP_FILTER
        match:
          context: SIDECAR_OUTBOUND
          listener: {portNumber: 8080, filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}
        patch:
          operation: INSERT_BEFORE
          value:
            name: example.unheard-of
            typed_config: {"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/example.UnheardOf, value: {a: b}}
    """


def two(mesh):
    return mesh.pod("client"), mesh.pod("server", ports=SERVER)


class Traffic:
    """Requests one after another, until told to stop; every one must work."""

    def __init__(self, client, url):
        self._client, self._url = client, url
        self._stop = threading.Event()
        self.answers = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.is_set():
            try:
                self.answers.append(self._client.get(self._url).status)
            except (AssertionError, OSError) as e:
                self.answers.append(repr(e))
            time.sleep(0.01)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def wait_more(self, mesh, count=30):
        """Waits until so many more requests were answered."""
        target = len(self.answers) + count
        mesh.until(f"{count} more answers", lambda: len(self.answers) >= target)


@both_proxies
def test_ready_for_kubernetes(mesh):
    client, _ = two(mesh)
    status, _ = client.http_get(15021, "/healthz/ready")
    assert status == 200
    assert client.stat("listener_manager.workers_started") == 1
    assert client.stat("server.state") == 0


@both_proxies
def test_read_only_root(mesh):
    """As istiod injects it: a sidecar writes only where volumes are; the agent's template and its bootstrap are in two of them."""
    client, _ = two(mesh)
    mounts = [line.split() for line in pathlib.Path(f"/proc/{client.proxy_pid}/mountinfo").read_text().splitlines()]
    options = {fields[4]: fields[5].split(",") for fields in mounts}
    assert "ro" in options["/"] and "ro" in options["/run"]
    assert {path for path, words in options.items() if "rw" in words and not path.startswith(("/proc", "/sys", "/dev"))} >= {
        "/etc/istio", "/var/lib/istio", "/run/secrets"}
    # What the proxy has open to write: its log's file, sockets, and nothing of the root's.
    files = [os.readlink(p) for p in pathlib.Path(f"/proc/{client.proxy_pid}/fd").iterdir()]
    assert not [f for f in files if f.startswith("/") and not f.startswith(("/dev/", "/tmp/", "/etc/istio/", "/run/secrets/"))], files


@both_proxies
def test_bootstrap_template_of_its_own(mesh):
    """ISTIO_BOOTSTRAP, which the stock image may set: another template than the agent's default."""
    stock = peers.istio("envoy_bootstrap.json").read_text()
    template = mesh.dir / "template.json"
    template.write_text(stock.replace("{", '{\n  "stats_flush_interval": "7s",', 1))
    pod = mesh.pod("templated", env={"ISTIO_BOOTSTRAP": str(template)})
    bootstrap = json.loads(pod.admin("/config_dump?mask=bootstrap"))["configs"][0]["bootstrap"]
    assert json.loads(pod.bootstrap)["stats_flush_interval"] == "7s"
    mesh.compare("what the proxy says of it", bootstrap.get("stats_flush_interval"))
    assert bootstrap["stats_flush_interval"] == "7s"
    mesh.remove(pod)


@both_proxies
def test_the_agents_command_line_and_bootstrap(mesh):
    client, _ = two(mesh)
    line = client.command_line
    assert line[1:3] == ["-c", "etc/istio/proxy/envoy-rev.json"]
    assert json.loads(client.bootstrap)["node"]["id"].startswith("sidecar~")
    mesh.compare("command line", line[1:])


@both_proxies
def test_istiod_stopped_and_started_again(mesh):
    client, server = two(mesh)
    with Traffic(client, "http://server:8080/steady") as traffic:
        traffic.wait_more(mesh)
        mesh.control_plane.stop_istiod()
        traffic.wait_more(mesh, 100)
        mesh.control_plane.start_istiod()
        mesh.until("the proxies to come back", lambda: {p["proxy"] for p in mesh.control_plane.debug("/debug/syncz")} >=
                   {"client.default", "server.default"}, 60)
        traffic.wait_more(mesh)
    assert set(traffic.answers) == {200}
    # And what is new after that arrives.
    mesh.apply("""
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: server}
        spec: {hosts: [server], http: [{directResponse: {status: 418}}]}
        """)
    mesh.until("the new route", lambda: client.get("http://server:8080/new").status == 418)


@both_proxies
def test_a_refused_listener_leaves_traffic_alone(mesh):
    client, _ = two(mesh)
    assert client.get("http://server:8080/before").status == 200
    seen = len(mesh.control_plane.nacks())
    with Traffic(client, "http://server:8080/steady") as traffic:
        mesh.apply(UNKNOWN_FILTER)
        nacks = mesh.until("istiod to be told", lambda: [n for n in mesh.control_plane.nacks()[seen:] if "client" in n])
        traffic.wait_more(mesh)
    assert set(traffic.answers) == {200}
    assert "0.0.0.0_8080" in nacks[-1]
    assert "UnheardOf" in nacks[-1] or "unheard-of" in nacks[-1]
    assert client.stat("listener_manager.lds.update_rejected") > 0
    # Only this listener: others go on changing.
    mesh.pod("later", ports={"http": 8083})
    mesh.until("a service that came later", lambda: client.get("http://later:8083/").status == 200)


@both_proxies
def test_a_refused_cluster_leaves_the_others_alone(mesh):
    client, _ = two(mesh)
    seen = len(mesh.control_plane.nacks())
    mesh.apply("""
        apiVersion: networking.istio.io/v1alpha3
        kind: EnvoyFilter
        metadata: {name: broken-cluster}
        spec:
          workloadSelector: {labels: {app: client}}
          configPatches:
          - applyTo: CLUSTER
            match: {context: SIDECAR_OUTBOUND, cluster: {portNumber: 9000, service: server.default.svc.cluster.local}}
            patch:
              operation: MERGE
              value:
                load_balancing_policy:
                  policies:
                  - typed_extension_config:
                      name: example.unheard-of
                      typed_config: {"@type": type.googleapis.com/udpa.type.v1.TypedStruct, type_url: type.googleapis.com/example.UnheardOf}
        """)
    nacks = mesh.until("istiod to be told", lambda: [n for n in mesh.control_plane.nacks()[seen:] if "client" in n])
    assert "outbound|9000||server.default.svc.cluster.local" in nacks[-1]
    assert client.get("http://server:8080/other-cluster").status == 200


@both_proxies
def test_state_of_the_world_xds(mesh):
    """The older form of xDS, which a setting of the agent brings back: clew refuses it, and says which setting that is."""
    mesh.pod("server", ports=SERVER)
    annotations = {"proxy.istio.io/config": "proxyMetadata: {ISTIO_DELTA_XDS: 'false'}"}
    old = mesh.pod("client-sotw", annotations=annotations, wait=False)
    if mesh.proxy == "clew":
        mesh.until("the sidecar to end", lambda: not old.agent.running())
        assert "ISTIO_DELTA_XDS" in old.proxy_log
        mesh.remove(old)
        return
    old.wait_ready()
    assert '"GRPC"' in old.bootstrap and "DELTA_GRPC" not in old.bootstrap
    assert old.get("http://server:8080/sotw").status == 200
    mesh.apply("""
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: server}
        spec: {hosts: [server], http: [{directResponse: {status: 418}}]}
        """)
    mesh.until("the new route", lambda: old.get("http://server:8080/new").status == 418)


@both_proxies
def test_a_service_goes_and_comes(mesh):
    client, _ = two(mesh)
    guest = mesh.pod("guest", ports={"http": 8084})
    mesh.until("the service", lambda: client.get("http://guest:8084/").status == 200)
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "guest", "namespace": "default"}}
    mesh.mesh.delete([service])
    mesh.until("its listener to go", lambda: "0.0.0.0_8084" not in client.admin("/listeners") and "guest" not in client.admin("/clusters"))
    mesh.remove(guest)
    guest = mesh.pod("guest", ports={"http": 8084})
    mesh.mesh.forget_service("guest")
    mesh.until("the service again", lambda: client.get("http://guest:8084/").status == 200)
    mesh.remove(guest)


@both_proxies
def test_many_updates_under_traffic(mesh):
    client, server = two(mesh)
    with Traffic(client, "http://server:8080/steady") as traffic:
        for i in range(10):
            mesh.apply(gone(i))
            mesh.until("the change", lambda: client.get(f"http://server:8080/gone-{i}").status == 410)
    assert set(traffic.answers) == {200}


def logging_pods(mesh):
    """Pods of these scenarios alone: a connection keeps the log format that its listener had when it was accepted."""
    return mesh.pod("log-client"), mesh.pod("log-server", ports={"http": 8087, "tcp": 9087})


@both_proxies
def test_access_log_as_json(mesh):
    client, server = logging_pods(mesh)
    mesh.set_mesh_config(accessLogEncoding="JSON")

    def logged():
        client.get("http://log-server:8087/json", headers={"user-agent": 'a "quoted" \\ agent'})
        lines = [[o for o in pod.access_log.json() if o.get("path") == "/json"] for pod in (client, server)]
        return all(lines) and [found[-1] for found in lines]
    out, into = mesh.until("JSON lines", logged)
    volatile = {"start_time", "duration", "upstream_service_time", "x_request_id", "request_id", "upstream_local_address",
                "downstream_local_address", "downstream_remote_address", "upstream_host", "bytes_sent"}
    mesh.compare("outbound", {k: v for k, v in out.items() if k not in volatile})
    mesh.compare("inbound", {k: v for k, v in into.items() if k not in volatile})
    mesh.compare("fields", sorted(out))
    assert (out["response_code"], out["method"], out["user_agent"]) == (200, "GET", 'a "quoted" \\ agent')


@both_proxies
def test_access_log_with_a_format_of_its_own(mesh):
    client, _ = logging_pods(mesh)
    mesh.set_mesh_config(accessLogFormat="own %RESPONSE_CODE% %REQ(X-TEST)% %REQ(X-TEST):3% %RESP(CONTENT-TYPE)% %PROTOCOL% %ROUTE_NAME% %BYTES_RECEIVED% end\n")

    def logged():
        client.get("http://log-server:8087/own", headers={"x-test": "abcdef"})
        return [line for line in client.access_log.text().splitlines() if line.startswith("own ")]
    line = mesh.until("lines of that format", logged)[-1]
    assert line == "own 200 abcdef abc application/json HTTP/1.1 default 0 end"


def test_access_log_says_who_the_peers_are(mesh):
    """Metadata exchange between two of us, ahead of TCP's bytes and in HTTP's headers, printed as istio-proxy prints its
    filter state. The Envoy beside has no such filters."""
    client, server = logging_pods(mesh)
    plain = mesh.pod("plain", sidecar=False)
    state = {"client": "%FILTER_STATE(downstream_peer)%", "server": "%FILTER_STATE(upstream_peer)%",
             "tcp_server": "%UPSTREAM_FILTER_STATE(upstream_peer)%", "client_workload": "%FILTER_STATE(downstream_peer_obj:FIELD:workload)%"}
    mesh.set_mesh_config(accessLogEncoding="JSON", accessLogFormat=json.dumps(
        {"start_time": "%START_TIME%", "cluster": "%UPSTREAM_CLUSTER_RAW%", "remote": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", **state}))

    def told(pod, cluster, by=None):
        return [{k: o[k] for k in state} for o in pod.access_log.json()
                if o.get("cluster") == cluster and (by is None or o["remote"] == by.ip)][-1:]

    def logged():
        client.get("http://log-server:8087/peers")
        for pod, host in ((client, "log-server"), (plain, server.ip)):
            with pod.connect(host, 9087) as connection:
                connection.send(b"hello\n")
                assert connection.sock.makefile("rb").readline() == b"log-server 127.0.0.6 hello\n"
        outbound = [f"outbound|{port}||log-server.default.svc.cluster.local" for port in (8087, 9087)]
        lines = [*(told(client, cluster) for cluster in outbound), told(server, "inbound|8087||", client),
                 told(server, "inbound|9087||", client), told(server, "inbound|9087||", plain)]
        return all(lines) and [line for [line] in lines]

    def peer(name):
        return {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {
            "name": name, "namespace": "default", "workload": name, "cluster": "Kubernetes", "app": name, "service": name,
            "revision": "v1", "version": "v1", "type": "pod"}}
    nobody = dict.fromkeys(state)
    assert mesh.until("lines of that format", logged) == [
        {**nobody, "server": peer("log-server")},
        {**nobody, "tcp_server": peer("log-server")},
        {**nobody, "client": peer("log-client"), "client_workload": "log-client"},
        {**nobody, "client": peer("log-client"), "client_workload": "log-client"},
        nobody]


@both_proxies
def test_drain_of_a_pod_that_ends(mesh):
    """What the agent does on SIGTERM: connections are told to go, new ones still served, and then the pod is gone."""
    client, _ = two(mesh)
    ending = mesh.pod("ending", ports={"http": 8085}, env={"TERMINATION_DRAIN_DURATION_SECONDS": "3"})
    mesh.until("the service", lambda: client.get("http://ending:8085/").status == 200)
    plain = mesh.pod("plain", sidecar=False)
    with plain.connect(ending.ip, 8085) as connection:
        assert connection.request("GET", "/", "ending:8085").status == 200
        ending.agent.signal(signal.SIGTERM)
        r = mesh.until("a hint to go", lambda: (r := connection.request("GET", "/", "ending:8085")).headers.get("connection") == "close" and r)
        assert r.status == 200
    mesh.until("the agent to end", lambda: not ending.agent.running())
    mesh.remove(ending)
