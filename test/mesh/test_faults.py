"""Faults F1, F2, F10, F13, F19, F20 and F22 under stock istiod and pilot-agent, with a ledger of every request."""

import os
import re
import signal
import time

from harness.figures import figure, scaled
from harness.load import Load
from harness.objects import gone
from harness.scenario import both_proxies

SERVER = {"http": 8080, "tcp": 9000, "auto": 9090}


def two(mesh):
    client, server = mesh.pod("client"), mesh.pod("server", ports=SERVER)
    mesh.until("the way to the server", lambda: client.get("http://server:8080/").status == 200)
    return client, server


def load(mesh, client, host="server", port=8080, **options):
    target = options.pop("target", lambda _: ("", host))
    return Load(client.ns, (mesh.resolve(host, client), port), f"{host}:{port}", target, **options)


def connected(mesh, *pods):
    """istiod has them all, and nothing that they have not acknowledged."""
    proxies = {p["proxy"]: p for p in mesh.control_plane.debug("/debug/syncz")}
    return all(f"{pod.name}.{pod.namespace}" in proxies for pod in pods)


@both_proxies
def test_f1_istiod_down(mesh):
    """CI: down for 2 s; full: ten minutes."""
    client, server = two(mesh)
    with load(mesh, client, rate=scaled(500, 200)) as traffic:
        mesh.control_plane.stop_istiod()
        time.sleep(scaled(600, 2))
        mesh.control_plane.start_istiod()
        began = time.monotonic()
        mesh.until("the proxies to come back", lambda: connected(mesh, client, server), 40)
        back = time.monotonic() - began
        traffic.more(50)
    traffic.ledger.check(server.app)
    assert traffic.ledger.connections == 8 and back <= 30
    figure("F1 istiod down", mesh.under, f"{traffic.ledger}; back {back:.1f} s after istiod")


@both_proxies
def test_f2_istiod_restarts_in_a_push(mesh):
    """istiod is killed right after a change, and started: the change arrives, nothing is lost, no connection is drained.
    CI: 2 times; full: 100."""
    client, server = two(mesh)
    times = scaled(100, 2)
    with load(mesh, client) as traffic:
        for i in range(times):
            mesh.apply(gone(i), wait=False)
            mesh.control_plane.stop_istiod()
            mesh.control_plane.start_istiod()
            mesh.until("the change", lambda: client.get(f"http://server:8080/gone-{i}").status == 410, 60)
            traffic.more(50)
    traffic.ledger.check(server.app)
    assert traffic.ledger.connections == 8
    figure("F2 istiod restarts", mesh.under, f"{times} restarts: {traffic.ledger}; 0 connections drained")


@both_proxies
def test_f10_virtual_service_churn(mesh):
    """Ten changes of a VirtualService a second, counted as acknowledged at istiod. CI: 6 s; full: ten minutes."""
    client, server = two(mesh)
    seconds = scaled(600, 6)
    before = acknowledged(mesh, client)
    with load(mesh, client, rate=500, connections=16) as traffic:
        began, i, pushes = time.monotonic(), 0, set()
        while time.monotonic() - began < seconds:
            mesh.apply(gone(i), wait=False)
            pushes.add(acknowledged(mesh, client))
            i += 1
            time.sleep(max(0.0, began + i / 10 - time.monotonic()))
        mesh.until("the last change", lambda: client.get(f"http://server:8080/gone-{i - 1}").status == 410)
    traffic.ledger.check(server.app)
    figure("F10 VirtualService churn", mesh.under, f"{i} changes, {len(pushes - {before})} versions seen as acknowledged: {traffic.ledger}")


def acknowledged(mesh, pod):
    for proxy in mesh.control_plane.debug("/debug/syncz"):
        if proxy["proxy"] == f"{pod.name}.{pod.namespace}":
            return proxy.get("route_acked")
    return None


@both_proxies(stock=False)
def test_f13_agents_rotate_certificates(mesh):
    """Stock agents whose certificates live 20 s and are renewed after 5 s, on both sides, under load over connections of ten requests
    each: none is lost, and new handshakes show the new certificates, the server's and the client's.
    CI: 2 renewals of each; full: 100."""
    short = {"SECRET_TTL": "20s", "SECRET_GRACE_PERIOD_RATIO": "0.75"}
    client, server = mesh.start_pods(("turning-client", {"env": short}), ("turning", {"ports": {"http": 8094}, "env": short}))
    plain = mesh.pod("plain", sidecar=False)
    mesh.apply("""
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: turning}
        spec: {host: turning, trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 10}}}}
        """)
    mesh.until("the way to the server", lambda: client.get("http://turning:8094/").status == 200)
    servers, clients = set(), set()

    def renewed():
        traffic.more(50)
        hello = f"openssl s_client -connect {server.ip}:8094 -alpn istio </dev/null 2>/dev/null | openssl x509 -noout -serial"
        servers.add(plain.exec("sh", "-c", hello))
        answer = client.get("http://turning:8094/who")
        clients.update(re.findall(r"Hash=(\w+)", answer.app.headers["x-forwarded-client-cert"]))
        return min(len(servers), len(clients)) > scaled(100, 2)
    with load(mesh, client, "turning", 8094) as traffic:
        mesh.until("the certificates to change", renewed, scaled(1200, 60))
        traffic.more(50)
    traffic.ledger.check(server.app)
    figure("F13 agent", mesh.under, f"{len(servers)} certificates of the server, {len(clients)} of the client seen: {traffic.ledger}")
    mesh.remove(client)
    mesh.remove(server)


@both_proxies
def test_f19_pod_that_ends(mesh):
    """The agent's way to end a pod, under load from a client with a sidecar, with another pod behind the service: requests shorter
    than the wait are not lost, to whom they were sent."""
    client, _ = two(mesh)
    wait = {"TERMINATION_DRAIN_DURATION_SECONDS": "2"}
    staying = mesh.pod("staying", ports={"http": 8086}, service="pair", account="pair")
    ending = mesh.pod("ending-pair", ports={"http": 8086}, service="pair", account="pair", env=wait)
    mesh.until("both", lambda: client.get("http://pair:8086/").status == 200 and
               {client.get("http://pair:8086/").app.app for _ in range(10)} == {"staying", "ending-pair"})
    with load(mesh, client, "pair", 8086, target=lambda _: ("", "pair")) as traffic:
        traffic.more(50)
        ending.set_ready(False)
        ending.agent.signal(signal.SIGTERM)
        mesh.until("the agent to end", lambda: not ending.agent.running(), 20)
        traffic.more(100)
    # Two names answer to one; what counts is that each answer is whole.
    lost, wrong = traffic.ledger.lost, traffic.ledger.corrupted
    assert not lost and not wrong, (lost[:5], wrong[:5])
    assert not traffic.ledger.duplicated(staying.app, ending.app)
    figure("F19 pod ends", mesh.under, f"{traffic.ledger.answered + len(traffic.ledger.misrouted)} answered, 0 lost, 0 corrupted, 0 duplicated")
    mesh.remove(ending)


@both_proxies
def test_f20_native_sidecar_drain(mesh):
    """The preStop hook's POST /drain to the agent, then SIGTERM to the proxy: connections are told to go, all that comes is served
    (drain_listeners?graceful&skip_exit), and the end is at once."""
    client, server = two(mesh)
    pod = mesh.pod("native", ports={"http": 8089})
    mesh.until("the service", lambda: client.get("http://native:8089/").status == 200)
    plain = mesh.pod("plain", sidecar=False)
    with load(mesh, client, "native", 8089) as traffic, plain.connect(pod.ip, 8089) as standing:
        traffic.more(20)
        assert standing.request("GET", "/", "native").headers.get("connection") is None
        assert pod.http_get(15020, "/drain", "POST")[0] == 200
        r = mesh.until("a hint to go", lambda: (r := standing.request("GET", "/", "native")).headers.get("connection") == "close" and r)
        assert r.status == 200
        traffic.more(100)
    traffic.ledger.check(pod.app)
    began = time.monotonic()
    proxy = pod.proxy_pid
    os.kill(proxy, signal.SIGTERM)
    mesh.until("the proxy to end", lambda: pod.proxy_pid != proxy, 10)
    took = time.monotonic() - began
    assert took <= 1.5, took
    figure("F20 native drain", mesh.under, f"{traffic.ledger}; SIGTERM to end {took:.2f} s")
    mesh.remove(pod)


@both_proxies
def test_f22_crash(mesh):
    """SIGKILL of the proxy, then the container starts again: ready with 500 clusters. CI: once; full: 100 times."""
    client, server = two(mesh)
    mesh.apply("\n---\n".join(f"""
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {{name: many-{i}}}
        spec:
          hosts: [{", ".join(f"h{i}-{j}.example" for j in range(50))}]
          ports: [{{number: 80, name: http, protocol: HTTP}}]
          resolution: STATIC
          endpoints: [{{address: 10.244.99.99}}]
        """ for i in range(10)))
    crashing = mesh.pod("crashing", ports={"http": 8090})
    took = []
    for _ in range(scaled(100, 1)):
        os.kill(crashing.proxy_pid, signal.SIGKILL)
        mesh.until("the agent to end", lambda: not crashing.agent.running(), 20)
        crashing.stop_sidecar()
        began = time.monotonic()
        crashing.start_sidecar()
        took.append(time.monotonic() - began)
        assert crashing.get("http://server:8080/after").status == 200
    assert crashing.admin("/clusters").count(".example::default_priority::max_connections") >= 500
    figure("F22 crash", mesh.under, f"agent and proxy ready after {max(took):.1f} s with 500 clusters")
    mesh.remove(crashing)
