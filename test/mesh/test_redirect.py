"""How traffic comes to the sidecars of injected pods, in each way that a pod can ask for. Where it went is told by who answered,
by whom the application saw, and by which sidecar's log has it."""

import json

import pytest

from harness import dns, netns
from harness.control_plane import NODE_IP
from harness.scenario import both_proxies

SERVER = {"http": 8080, "http-b": 8081, "tcp": 9000}
APP, PROXY = (1000, 1000), (1337, 1337)
EXCLUDED_IP = "10.244.255.7"
SECOND_NETWORK = {"spared": "10.250.0.1", "outside": "10.250.0.2"}


def settings(metadata=None, **annotations):
    """Pod annotations, with environment variables for agent and init container."""
    out = {f"traffic.sidecar.istio.io/{name}": value for name, value in annotations.items()}
    return {**out, "proxy.istio.io/config": json.dumps({"proxyMetadata": metadata})} if metadata else out


PODS = {
    "tproxy": dict(ports=SERVER, family="dual", annotations={**settings({"ISTIO_DUAL_STACK": "true"}), "sidecar.istio.io/interceptionMode": "TPROXY"}),
    "dual": dict(ports=SERVER, family="dual", annotations=settings({"ISTIO_DUAL_STACK": "true"})),
    "six": dict(ports=SERVER, family="v6"),
    # Only what is listed is redirected …
    "listed": dict(ports=SERVER, annotations=settings(
        {"ISTIO_OUTBOUND_OWNER_GROUPS": "1000,2000"}, includeInboundPorts="8080", includeOutboundIPRanges="10.96.0.0/16",
        includeOutboundPorts="7071")),
    # … or all but what is listed.
    "spared": dict(ports=SERVER, annotations=settings(
        {"ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE": "2000", "ISTIO_META_DNS_CAPTURE": "true"}, excludeInboundPorts="8081",
        excludeOutboundPorts="7071", excludeOutboundIPRanges="10.244.255.0/24", excludeInterfaces="net1")),
    "client": {},
    "plain": dict(sidecar=False),
    "outside": dict(ports={"http": 7070, "http-b": 8080, "tcp": 7071}, service="", account="default", sidecar=False),
    "outside-six": dict(ports={"http": 8080, "tcp": 9000}, service="", account="default", sidecar=False, family="v6"),
    "server": dict(ports={"http": 8080, "tcp": 9000, "auto": 9090}),
}


def pods(mesh, *names):
    """Those pods; all of this file start together, when the first is wanted."""
    mesh.start_pods(*PODS.items())
    return [mesh.pod(name, **PODS[name]) for name in names]


def get(pod, name, path, address=None, port=8080):
    """A request of an application in the pod, to the service or to this address; it must be answered."""
    r = pod.request("GET", f"http://{name}:{port}{path}", address=address and (address, port), owner=APP)
    assert r.status == 200
    return r


def tcp_line(pod, address, port):
    with pod.connect(address, port, owner=APP) as connection:
        connection.send(b"hello\n")
        return connection.sock.makefile("rb").readline().decode()


def ip_of(address):
    """Of a log's HOST:PORT."""
    return address.rsplit(":", 1)[0].strip("[]")


def stable(line):
    return {k: v for k, v in line.stable().items() if not k.startswith("bytes") and k != "authority"}


def assert_logged(pod, paths, but_not=()):
    """The sidecar's log has these paths, and none of the others, which were asked for before."""
    for path in paths:
        pod.access_log.wait_for(path=path)
    assert [line.path for path in but_not for line in pod.access_log.lines(path=path)] == []


@both_proxies
@pytest.mark.parametrize("family", [4, 6])
def test_tproxy_keeps_the_source_address(mesh, family):
    """Two clients in turn, one with a sidecar: no connection to the application is used for somebody else."""
    server, meshed, outside = pods(mesh, "tproxy", *(["client", "outside"] if family == 4 else ["six", "outside-six"]))
    service, own = mesh.service_ips("tproxy")[family == 6], server.ips[family == 6]
    turns = [(f"/tproxy/{family}/{number}", *turn) for number, turn in enumerate(2 * [(meshed, service), (outside, own)])]
    for path, source, address in turns:
        r = get(source, "tproxy", path, address)
        assert r.app.peer == source.ip
        mesh.compare(f"{path} headers", r.app.headers.names())
        assert tcp_line(source, address, 9000) == f"tproxy {source.ip} hello\n"
    for path, source, _ in turns:
        line = server.access_log.wait_for(path=path)
        assert ip_of(line.upstream_local_address) == ip_of(line.downstream_remote_address) == source.ip
        assert (line.upstream_host, ip_of(line.upstream_host)) == (line.downstream_local_address, own)
        mesh.compare(path, stable(line))


@both_proxies
def test_tproxy_pod_as_a_client(mesh):
    client, server, outside = pods(mesh, "tproxy", "server", "outside")
    assert get(client, "server", "/from-tproxy").app.peer == "127.0.0.6"
    assert get(client, "outside", "/to-outside", outside.ip).app.peer == client.ip
    # Itself, through its service: out by one half of the sidecar, in by the other.
    assert get(client, "tproxy", "/self").app.peer == client.ip
    assert client.access_log.wait_for(path="/from-tproxy").upstream_cluster == "outbound|8080||server.default.svc.cluster.local"
    assert client.access_log.wait_for(path="/to-outside").upstream_cluster == "PassthroughCluster"
    assert ip_of(server.access_log.wait_for(path="/from-tproxy").downstream_remote_address) == client.ip
    lines = client.access_log.wait_for(count=2, path="/self")
    assert sorted(line.upstream_cluster.split("|")[0] for line in lines) == ["inbound", "outbound"]


@both_proxies
def test_ipv6_only(mesh):
    client, server, outside = pods(mesh, "six", "dual", "outside-six")
    r = get(client, "dual", "/from-six", mesh.service_ips("dual")[1])
    assert r.app.peer == "::6"
    assert "/sa/six" in r.app.headers["x-forwarded-client-cert"]
    assert get(client, "outside", "/six-to-outside", outside.ip).app.peer == client.ip
    assert tcp_line(client, "six", 9000) == "six ::6 hello\n"
    assert tcp_line(client, outside.ip, 9000) == f"outside-six {client.ip} hello\n"
    into = server.access_log.wait_for(path="/from-six")
    assert (ip_of(into.downstream_local_address), ip_of(into.downstream_remote_address)) == (server.ips[1], client.ip)
    line = client.access_log.wait_for(path="/six-to-outside")
    assert (line.upstream_cluster, line.upstream_host) == ("PassthroughCluster", f"[{outside.ip}]:8080")
    mesh.compare("inbound", stable(into))
    mesh.compare("passthrough", stable(line))
    mesh.compare("outbound", stable(client.access_log.wait_for(path="/from-six")))


@both_proxies
def test_dual_stack(mesh):
    """One pod, one sidecar, both families in both directions."""
    dual, *others = pods(mesh, "dual", "client", "six", "outside", "outside-six")
    for family, other, outside, passthrough in ((0, others[0], others[2], "127.0.0.6"), (1, others[1], others[3], "::6")):
        service = mesh.service_ips("dual")[family]
        assert get(other, "dual", f"/dual/in/{family}", service).app.peer == passthrough
        assert get(dual, "outside", f"/dual/out/{family}", outside.ip).app.peer == dual.ips[family]
        assert get(dual, "dual", f"/dual/self/{family}", service).app.peer in ("127.0.0.6", "::6")
    for family, other in ((0, others[0]), (1, others[1])):
        line = dual.access_log.wait_for(path=f"/dual/in/{family}")
        assert (ip_of(line.downstream_local_address), ip_of(line.downstream_remote_address)) == (dual.ips[family], other.ip)
        mesh.compare(f"inbound {family}", stable(line))
        line = dual.access_log.wait_for(path=f"/dual/out/{family}")
        assert (line.upstream_cluster, ip_of(line.upstream_local_address)) == ("PassthroughCluster", dual.ips[family])
        mesh.compare(f"passthrough {family}", stable(line))
        dual.access_log.wait_for(count=2, path=f"/dual/self/{family}")


@both_proxies
def test_inbound_ports(mesh):
    """An included port and one that is not; one that is not excluded and one that is."""
    plain, *servers = pods(mesh, "plain", "listed", "spared")
    for server in servers:
        assert get(plain, server.name, "/port/8080").app.peer == "127.0.0.6"
        assert get(plain, server.name, "/port/8081", port=8081).app.peer == plain.ip
    for server in servers:
        assert_logged(server, ["/port/8080"], but_not=["/port/8081"])


@both_proxies
def test_outbound_ports_and_cidrs(mesh):
    listed, spared, outside, _ = pods(mesh, "listed", "spared", "outside", "server")
    netns.sh("ip", "-n", outside.ns, "addr", "replace", f"{EXCLUDED_IP}/16", "dev", "eth0")
    for pod, path, address, captured in (
            (listed, "/included-cidr", None, True), (listed, "/other-address", outside.ip, False),
            (spared, "/service", None, True), (spared, "/address", outside.ip, True), (spared, "/excluded-cidr", EXCLUDED_IP, False)):
        assert ("x-request-id" in get(pod, "server", path, address).app.headers) == captured, path
    for pod in (listed, spared):  # 7071 is included there, excluded here
        assert tcp_line(pod, outside.ip, 7071) == f"outside {pod.ip} hello\n"
    listed.access_log.wait_for(upstream_host=f"{outside.ip}:7071")
    assert_logged(listed, ["/included-cidr"], but_not=["/other-address"])
    assert_logged(spared, ["/service", "/address"], but_not=["/excluded-cidr"])
    assert spared.access_log.lines(upstream_host=f"{outside.ip}:7071") == []


@both_proxies
def test_owner_groups(mesh):
    """Groups that are captured, and one that is not: it meets the service's bare address, where nobody is."""
    listed, spared, _ = pods(mesh, "listed", "spared", "server")
    for pod, groups, left in ((listed, (1000, 2000), 3000), (spared, (1000, 3000), 2000)):
        for gid in groups:
            assert "x-request-id" in pod.get(f"http://server:8080/group/{gid}", owner=(1000, gid)).app.headers
        with pytest.raises(ConnectionRefusedError):
            pod.connect("server", 8080, owner=(1000, left))
    assert_logged(listed, ["/group/1000", "/group/2000"])
    assert_logged(spared, ["/group/1000", "/group/3000"])


@both_proxies
def test_excluded_interface(mesh):
    spared, outside = pods(mesh, "spared", "outside")
    if "net1" not in netns.sh("ip", "-n", spared.ns, "-br", "link"):
        netns.sh("ip", "-n", spared.ns, "link", "add", "net1", "type", "veth", "peer", "name", "net1", "netns", outside.ns)
        for pod in (spared, outside):
            netns.sh("ip", "-n", pod.ns, "addr", "add", f"{SECOND_NETWORK[pod.name]}/24", "dev", "net1")
            netns.sh("ip", "-n", pod.ns, "link", "set", "net1", "up")
    r = get(spared, "outside", "/net1", SECOND_NETWORK["outside"])
    assert (r.app.peer, "x-request-id" in r.app.headers) == (SECOND_NETWORK["spared"], False)
    assert get(outside, "spared", "/by-net1", SECOND_NETWORK["spared"]).app.peer == SECOND_NETWORK["outside"]
    assert get(outside, "spared", "/by-eth0", spared.ip).app.peer == "127.0.0.6"
    assert_logged(spared, ["/by-eth0"], but_not=["/net1", "/by-net1"])


@both_proxies
@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_dns_capture(mesh, tcp):
    """The agent answers what it knows of the mesh, and asks the pod's server for the rest; elsewhere the server is asked at once."""
    spared, client, _ = pods(mesh, "spared", "client", "server")
    name, unknown = "server.default.svc.cluster.local", "elsewhere.example"
    with dns.Server(mesh.control_plane.ns, NODE_IP, "192.0.2.7") as server:
        assert dns.ask(spared.ns, NODE_IP, name, APP, tcp) == [mesh.service("server")]
        assert server.asked == []
        assert dns.ask(spared.ns, NODE_IP, unknown, APP, tcp) == ["192.0.2.7"]
        assert (unknown, spared.ip) in server.asked
        assert dns.ask(spared.ns, NODE_IP, name, PROXY, tcp) == ["192.0.2.7"]
        assert dns.ask(client.ns, NODE_IP, name, APP, tcp) == ["192.0.2.7"]


@both_proxies
def test_reconcile_after_half_of_the_rules_was_flushed(mesh):
    plain, _ = pods(mesh, "plain", "server")
    mended = mesh.pod("mended", ports={"http": 8080})

    def through_the_sidecar():
        inbound = get(plain, "mended", "/in").app.peer == "127.0.0.6"
        try:
            outbound = "x-request-id" in get(mended, "server", "/out").app.headers
        except ConnectionRefusedError:
            outbound = False
        return inbound, outbound
    assert through_the_sidecar() == (True, True)
    for chain in ("OUTPUT", "ISTIO_INBOUND"):
        mended.exec("iptables", "-t", "nat", "-F", chain)
    assert through_the_sidecar() == (False, False)
    mended.redirect("--reconcile")
    assert through_the_sidecar() == (True, True)
