"""Where a connection may go: services, the outside, nowhere."""

import pytest

from harness.client import Closed
from harness.scenario import both_proxies

SERVER = {"http": 8080, "tcp": 9000, "auto": 9090}
REGISTRY_ONLY = """
    apiVersion: networking.istio.io/v1
    kind: Sidecar
    metadata: {name: closed}
    spec: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}
    """


PROXIED = """
    apiVersion: networking.istio.io/v1
    kind: ServiceEntry
    metadata: {{name: told}}
    spec:
      hosts: [told.example]
      addresses: [240.1.5.1]
      location: MESH_EXTERNAL
      resolution: STATIC
      ports:
      - {{number: 80, name: http, protocol: HTTP, targetPort: 7080}}
      - {{number: 81, name: tcp, protocol: TCP, targetPort: 7081}}
      endpoints: [{{address: {ip}}}]
    ---
    apiVersion: networking.istio.io/v1
    kind: ServiceEntry
    metadata: {{name: told-tls}}
    spec:
      hosts: [told-tls.example]
      addresses: [240.1.5.2]
      location: MESH_EXTERNAL
      resolution: STATIC
      ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 7443}}]
      endpoints: [{{address: {ip}}}]
    ---
    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata: {{name: told}}
    spec:
      host: told.example
      trafficPolicy: {{proxyProtocol: {{version: {version}}}}}
    ---
    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata: {{name: told-tls}}
    spec:
      host: told-tls.example
      trafficPolicy:
        proxyProtocol: {{version: {version}}}
        tls: {{mode: SIMPLE, insecureSkipVerify: true}}
    """


def two(mesh):
    return mesh.pod("client"), mesh.pod("server", ports=SERVER)


def outside(mesh):
    """A pod that no service knows."""
    return mesh.pod("outside", ports={"http": 7070, "http-b": 8080, "tcp": 7071}, service="", account="default", sidecar=False)


def tcp_line(connection, text):
    connection.send(text)
    return connection.sock.makefile("rb").readline()


@both_proxies
def test_tcp_service(mesh):
    client, server = two(mesh)
    client.access_log.mark()
    server.access_log.mark()
    with client.connect("server", 9000) as connection:
        assert tcp_line(connection, b"hello\n") == b"server 127.0.0.6 hello\n"
        assert tcp_line(connection, b"again\n") == b"server 127.0.0.6 again\n"
    out = client.access_log.wait_for(upstream_cluster="outbound|9000||server.default.svc.cluster.local")
    into = server.access_log.wait_for(upstream_cluster="inbound|9000||")
    assert (out.request, out.response_code, out.bytes_received, out.bytes_sent) == ("- - -", 0, 12, 46)
    assert into.requested_server_name == "outbound_.9000_._.server.default.svc.cluster.local"
    mesh.compare("outbound", out.stable())
    mesh.compare("inbound", into.stable())


@both_proxies
def test_tcp_weights(mesh):
    """A VirtualService's tcp route: connections go to both services by weight, each as to the service itself."""
    client, _ = two(mesh)
    mesh.pod("second", ports={"tcp": 9000})
    mesh.apply("""
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: server-tcp}
        spec:
          hosts: [server]
          tcp:
          - match: [{port: 9000}]
            route:
            - {destination: {host: server, port: {number: 9000}}, weight: 30}
            - {destination: {host: second, port: {number: 9000}}, weight: 70}
        """)

    def reached():
        with client.connect("server", 9000) as connection:
            return tcp_line(connection, b"x\n").split()[0].decode()
    mesh.until("both", lambda: {reached() for _ in range(10)} == {"server", "second"})
    apps = [reached() for _ in range(200)]
    assert 90 < apps.count("second") < 190
    for app in ("server", "second"):
        line = client.access_log.wait_for(upstream_cluster=f"outbound|9000||{app}.default.svc.cluster.local")
        mesh.compare(app, {k: v for k, v in line.stable().items() if not k.startswith("bytes")})


@both_proxies
def test_tcp_client_leaves_while_the_upstream_is_connecting(mesh):
    client, _ = two(mesh)
    mesh.apply("""
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {name: nowhere}
        spec:
          hosts: [nowhere.example]
          addresses: [240.1.1.1]
          ports: [{number: 7443, name: tcp, protocol: TCP}]
          resolution: STATIC
          endpoints: [{address: 10.244.99.99}]
        """)
    client.access_log.mark()
    with client.connect("240.1.1.1", 7443) as connection:
        connection.send(b"nobody hears this\n")
    line = client.access_log.wait_for(upstream_cluster="outbound|7443||nowhere.example")
    mesh.compare("line", line.stable())
    mesh.until("nothing to be left", lambda: client.stat("cluster.outbound|7443||nowhere.example;.upstream_cx_active") == 0)


@both_proxies
def test_tcp_half_close(mesh):
    client, _ = two(mesh)
    with client.connect("server", 9000) as connection:
        connection.send(b"one\ntwo\n")
        connection.sock.shutdown(1)
        assert connection.read_to_end() == b"server 127.0.0.6 one\nserver 127.0.0.6 two\n"


@both_proxies
def test_server_speaks_first(mesh):
    client = mesh.pod("client")
    mesh.pod("greeter", ports={"tcp-server-first": 9100})
    with client.connect("greeter", 9100) as connection:
        assert connection.sock.makefile("rb").readline() == b"welcome to greeter\n"


@both_proxies
def test_tcp_large_transfer(mesh):
    client, _ = two(mesh)
    line = b"x" * 1_000_000 + b"\n"
    with client.connect("server", 9000) as connection:
        stream = connection.sock.makefile("rb")
        for _ in range(5):
            connection.send(line)
            assert stream.readline() == b"server 127.0.0.6 " + line


@both_proxies
@pytest.mark.parametrize("port", [7070, 8080])
def test_passthrough_to_the_outside(mesh, port):
    client, _ = two(mesh)
    external = outside(mesh)
    client.access_log.mark()
    r = client.get(f"http://{external.ip}:{port}/outside")
    assert (r.status, r.app.app) == (200, "outside")
    assert "x-forwarded-client-cert" not in r.app.headers
    line = client.access_log.wait_for(upstream_cluster="PassthroughCluster")
    assert line.upstream_host == f"{external.ip}:{port}"
    # 8080 is a port that services speak HTTP on, so that it is HTTP there; 7070 is nobody's.
    mesh.compare("line", {k: v for k, v in line.stable().items() if not k.startswith("bytes") and k != "authority"})
    mesh.compare("headers at the application", [n for n in r.app.headers.names() if not n.startswith("x-envoy-peer-metadata")])


@both_proxies
def test_passthrough_tcp(mesh):
    client = mesh.pod("client")
    external = outside(mesh)
    with client.connect(external.ip, 7071) as connection:
        assert tcp_line(connection, b"raw\n") == f"outside {client.ip} raw\n".encode()


@both_proxies
def test_black_hole_for_http(mesh):
    client, server = two(mesh)
    external = outside(mesh)
    mesh.apply(REGISTRY_ONLY)
    url = f"http://{external.ip}:8080/closed"
    mesh.until("502", lambda: client.get(url).status == 502)
    client.access_log.mark()
    r = client.get(url)
    assert (r.status, external.app.saw("/closed")[1:]) == (502, external.app.saw("/closed")[1:])
    mesh.compare("answer", (r.status, r.body, sorted(r.headers.names())))
    line = client.access_log.wait_for(path="/closed", response_code=502)
    mesh.compare("line", {k: v for k, v in line.stable().items() if k != "authority"})
    assert client.get("http://server:8080/open").status == 200


@both_proxies
def test_black_hole_for_tcp(mesh):
    client, _ = two(mesh)
    external = outside(mesh)
    mesh.apply(REGISTRY_ONLY)

    def closed():
        before = external.app.connections
        with client.connect(external.ip, 7071) as connection:
            connection.send(b"x\n")
            return connection.closed_by_peer(2) and external.app.connections == before
    mesh.until("the connection to be closed", closed)
    client.access_log.mark()
    assert closed()
    line = client.access_log.wait_for(upstream_cluster="BlackHoleCluster")
    mesh.compare("line", {k: v for k, v in line.stable().items() if not k.startswith("bytes")})


@both_proxies
def test_service_entry(mesh):
    client, _ = two(mesh)
    external = outside(mesh)
    mesh.apply(f"""
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {{name: external}}
        spec:
          hosts: [api.example.com]
          addresses: [240.1.2.3]
          location: MESH_EXTERNAL
          resolution: STATIC
          ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 7070}}]
          endpoints: [{{address: {external.ip}}}]
        """)
    r = mesh.until("the service entry", lambda: (r := client.get("http://api.example.com/entry", address=("240.1.2.3", 80))).status == 200 and r)
    assert r.app.headers["host"] == "api.example.com"
    line = client.access_log.wait_for(path="/entry", response_code=200)
    assert line.upstream_cluster == "outbound|80||api.example.com"
    mesh.compare("line", {k: v for k, v in line.stable().items() if not k.startswith("bytes")})


@both_proxies
def test_no_healthy_upstream(mesh):
    client, _ = two(mesh)
    mesh.apply("""
        apiVersion: v1
        kind: Service
        metadata: {name: empty}
        spec: {selector: {app: empty}, ports: [{name: http, port: 8080}]}
        """)
    r = mesh.until("503", lambda: (r := client.get("http://empty:8080/nobody")).status == 503 and r)
    assert r.body == b"no healthy upstream"
    line = client.access_log.wait_for(path="/nobody", response_code=503)
    assert (line.response_flags, line.response_code_details) == ("UH", "no_healthy_upstream")
    mesh.compare("answer", (r.status, r.body, sorted(r.headers.names())))
    mesh.compare("line", line.stable())


@both_proxies
def test_nobody_behind_the_port(mesh):
    client, _ = two(mesh)
    hollow = mesh.pod("hollow", ports={"http": 8081})
    mesh.until("the service", lambda: client.get("http://hollow:8081/").status == 200)
    hollow.app.stop(8081)
    try:
        r = client.get("http://hollow:8081/hollow")
        assert r.status == 503
        into = hollow.access_log.wait_for(path="/hollow")
        out = client.access_log.wait_for(path="/hollow")
        assert into.response_flags == "URX,UF"
        mesh.compare("answer", (r.status, r.body, sorted(r.headers.names())))
        mesh.compare("inbound", into.stable())
        mesh.compare("outbound", out.stable())
    finally:
        mesh.remove(hollow)


@both_proxies
def test_nobody_at_the_address(mesh):
    """An endpoint without a sidecar whose port is closed: the outbound side is the one that fails."""
    client, _ = two(mesh)
    bare = mesh.pod("bare", ports={"http": 8082}, sidecar=False)
    mesh.until("the service", lambda: client.get("http://bare:8082/").status == 200)
    bare.app.stop(8082)
    try:
        r = client.get("http://bare:8082/bare")
        line = client.access_log.wait_for(path="/bare")
        assert (r.status, line.response_flags) == (503, "URX,UF")
        mesh.compare("answer", (r.status, r.body, sorted(r.headers.names())))
        mesh.compare("line", line.stable())
    finally:
        mesh.remove(bare)


@both_proxies
def test_the_application_hangs_up(mesh):
    client, server = two(mesh)
    r = client.get("http://server:8080/close")
    into = server.access_log.wait_for(path="/close")
    out = client.access_log.wait_for(path="/close")
    mesh.compare("answer", (r.status, r.body, sorted(r.headers.names())))
    mesh.compare("inbound", into.stable())
    mesh.compare("outbound", out.stable())


@both_proxies
def test_the_client_hangs_up(mesh):
    client, server = two(mesh)
    with client.connect("server", 8080) as connection:
        connection.send(b"GET /delay/1.5/gone HTTP/1.1\r\nhost: server:8080\r\n\r\n")
        mesh.until("the request to arrive", lambda: server.app.saw("/delay/1.5/gone"))
    line = client.access_log.wait_for(path="/delay/1.5/gone")
    mesh.compare("outbound", line.stable())
    mesh.compare("inbound", server.access_log.wait_for(path="/delay/1.5/gone").stable())
    assert client.get("http://server:8080/after").status == 200


@both_proxies
@pytest.mark.parametrize("port", [15001, 15006])
def test_proxy_ports_cannot_be_addressed(mesh, port):
    _, server = two(mesh)
    plain = mesh.pod("plain", sidecar=False)
    before = server.app.connections
    for source, address in ((plain, server.ip), (server, "127.0.0.1"), (server, server.ip), (mesh.pod("client"), server.ip)):
        try:
            with source.connect(address, port, timeout=5) as connection:
                connection.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                answer = connection.read_to_end()
        except (Closed, OSError) as e:
            answer = b""
        assert not answer.startswith(b"HTTP/1.1 200"), (source.name, address, answer)
        mesh.compare(f"{source.name} {address == '127.0.0.1'} {port}", answer[:12])
    assert server.app.connections == before
    assert mesh.pod("client").get("http://server:8080/").status == 200


@both_proxies
def test_wrong_subject_name(mesh):
    client, server = two(mesh)
    mesh.apply("""
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: other-name}
        spec:
          host: server.default.svc.cluster.local
          trafficPolicy: {tls: {mode: ISTIO_MUTUAL, subjectAltNames: ["spiffe://cluster.local/ns/default/sa/somebody-else"]}}
        """)
    seen = len(server.app.saw("/wrong"))
    r = mesh.until("503", lambda: (r := client.get("http://server:8080/wrong")).status == 503 and r)
    client.access_log.mark()
    seen = len(server.app.saw("/wrong"))
    r = client.get("http://server:8080/wrong")
    assert (r.status, len(server.app.saw("/wrong"))) == (503, seen)
    line = client.access_log.wait_for(path="/wrong", response_code=503)
    assert line.response_flags == "URX,UF"
    assert "TLS" in line.upstream_transport_failure_reason
    mesh.compare("answer", (r.status, r.body, sorted(r.headers.names())))
    mesh.compare("line", line.stable())


@both_proxies
@pytest.mark.parametrize("version", ["V1", "V2"])
def test_upstream_is_told_by_a_proxy_header(mesh, version):
    """trafficPolicy.proxyProtocol: HTTP, HTTP over TLS and TCP; each client's connection has one of its own behind it."""
    client = mesh.pod("client")
    told = mesh.pod("told", ports={"http-proxied": 7080, "http-proxied-tls": 7443, "tcp-proxied-tcp": 7081}, service="",
                    account="default", sidecar=False)
    mesh.apply(PROXIED.format(ip=told.ip, version=version))
    for host, address in (("told.example", "240.1.5.1"), ("told-tls.example", "240.1.5.2")):
        mesh.until("the header", lambda: client.get(f"http://{host}/", address=(address, 80)).status == 200)
        told.app.headers.clear()
        for connection in [client.connect(address, 80) for _ in range(3)]:
            with connection:
                seen = [connection.request("GET", f"/told/{i}", host).app for i in range(2)]
                assert [s.peer for s in seen] == [client.ip] * 2
        assert len(told.app.headers) == len(set(told.app.headers)) == 3  # of each client's connection, and no other
        mesh.compare(f"headers to {host}", [shape(h, client.ip) for h in told.app.headers])
    with client.connect("240.1.5.1", 81) as connection:
        assert tcp_line(connection, b"hello\n") == f"told {client.ip} hello\n".encode()
    mesh.compare("header of TCP", shape(told.app.headers[-1], client.ip))


def shape(header, client):
    """A PROXY header without what differs from run to run: the client's address and port."""
    if header.startswith(b"PROXY "):
        return header.decode().replace(client, "CLIENT").split()[:4] + header.decode().split()[5:]
    return (header[:16] + header[20:24] + header[26:]).hex()
