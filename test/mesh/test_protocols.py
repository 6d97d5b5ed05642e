"""Whatever an application speaks, through two sidecars: gRPC, HTTP/2, WebSocket, early answers, TLS of its own, plain TCP."""

import json
import socket
import ssl

import pytest
from h2.exceptions import ProtocolError

from harness.app import GRPC_PEER
from harness.client import Closed
from harness.h2 import Http2
from harness.scenario import both_proxies

PORTS = {"http": 8090, "http2": 8091, "grpc": 8092, "http-grpc": 8093, "auto-grpc": 8094, "https": 8095, "tcp-closes-first": 8096,
         "auto-server-first": 8097}
UNDECLARED = 8098


def two(mesh):
    return mesh.pod("client"), mesh.pod("speaker", ports=PORTS)


def names(headers):
    """The names of headers without those of the metadata exchange, which the compared runs lack."""
    return sorted(n for n in headers.names() if not n.startswith("x-envoy-peer-metadata"))


def lines(client, server, path):
    """The log lines of both sidecars: a retry that one of them made shows as a count."""
    return [pod.access_log.wait_for(path=path).stable() for pod in (client, server)]


def compare_lines(mesh, client, server, path, without=()):
    for side, line in zip(("outbound", "inbound"), lines(client, server, path)):
        mesh.compare(f"{side} line of {path}", {k: v for k, v in line.items() if k not in without})


def next_answer(connection, path, body=b""):
    """What the next request on a connection gets, after the rest of the body before it."""
    try:
        connection.send(body)
        return connection.request("GET", path, "speaker:8090").status
    except (Closed, OSError):
        return "closed"


# gRPC

def grpc_calls(client, port):
    address = client.mesh.resolve("speaker", client)
    return json.loads(client.exec(*GRPC_PEER, "call", f"{address}:{port}", f"speaker:{port}"))


@both_proxies
def test_grpc(mesh):
    client, speaker = two(mesh)
    client.access_log.mark()
    results = grpc_calls(client, 8092)
    said = [["say-hello", "initial"]]
    bye = [["say-bye", "trailing"], ["say-bytes-bin", "00ff"]]
    assert results["unary"]["messages"] == ["cba"] and results["unary"]["code"] == "OK"
    assert (results["unary"]["initial"], results["unary"]["trailing"]) == (said + [["say-it-bin", "\x01\x02"], ["say-so", "x"]], bye)
    assert (results["large"]["messages"], results["client stream"]["messages"]) == ([3_000_000], ["500000"])
    assert results["server stream"]["messages"] == [str(i) for i in range(20)]
    assert (results["empty stream"]["messages"], results["empty stream"]["trailing"]) == ([], bye)
    assert results["conversation"]["messages"] == ["A", "B", "C"]
    assert (results["refused"]["code"], results["refused"]["details"]) == ("FAILED_PRECONDITION", "no: 100% ä\n")
    assert (results["refused midway"]["messages"], results["refused midway"]["code"]) == (["one"], "DATA_LOSS")
    assert results["unknown method"]["code"] == "UNIMPLEMENTED"
    # The client, its proxy and the server's count the same 300 ms: who is first is chance.
    assert results.pop("too slow")["code"] in ("DEADLINE_EXCEEDED", "UNAVAILABLE")
    mesh.compare("outcomes", results)
    for method in ("Unary", "Split", "Fail", "Nothing"):
        compare_lines(mesh, client, speaker, f"/clew.test.Echo/{method}", ("bytes_received", "bytes_sent", "user_agent"))


@both_proxies
@pytest.mark.parametrize("port", [8093, 8094])
def test_grpc_on_a_port_that_is_not_said_to_be(mesh, port):
    """Declared as http: it goes on as HTTP/1.1, which a gRPC server cannot take. Sniffed: as it came."""
    client, _ = two(mesh)
    results = grpc_calls(client, port)
    assert (results["unary"]["code"] == "OK") == (port == 8094)
    mesh.compare("outcomes", {kind: result["code"] for kind, result in results.items()})
    if port == 8094:
        assert results["conversation"]["messages"] == ["A", "B", "C"]
        mesh.compare("all of them", results)


# HTTP/1 and HTTP/2 in all directions

def via_h1(client, port, method, path, body=None):
    return client.request(method, f"http://speaker:{port}{path}", body=body)


def via_h2(client, port, method, path, body=None):
    with Http2(client.connect("speaker", port).sock) as connection:
        return connection.request(method, path, f"speaker:{port}", body=body)


@both_proxies
@pytest.mark.parametrize("via", [via_h1, via_h2])
@pytest.mark.parametrize("port", [8090, 8091])
def test_versions_of_http(mesh, via, port):
    client, speaker = two(mesh)
    tag = f"{via.__name__}-{port}"
    for size in (0, 1, 70_000, 1_000_000):
        r = via(client, port, "POST", f"/{tag}/{size}", b"x" * size)
        seen = r.app
        assert (r.status, len(seen.body)) == (200, size)
        assert seen.protocol == ("HTTP/2" if port == 8091 else "HTTP/1.1")
        assert int(r.headers["content-length"]) == len(r.body)
        mesh.compare(f"request of {size} at the application", (names(seen.headers), seen.headers.get("content-length")))
        mesh.compare(f"answer to {size}", names(r.headers))
        assert len(via(client, port, "GET", f"/bytes/{size}").body) == size
    head = via(client, port, "HEAD", f"/{tag}/head")
    mesh.compare("HEAD", (head.status, names(head.headers), head.body))
    mesh.compare("HEAD's length is told", "content-length" in head.headers)
    nothing = via(client, port, "GET", "/status/304")
    mesh.compare("304", (nothing.status, nothing.body))
    # The client goes as soon as it has the declared length: whether that was before the end is seen is chance.
    compare_lines(mesh, client, speaker, f"/{tag}/70000", ("bytes_sent", "response_flags", "response_code_details"))


@both_proxies
def test_chunks_and_trailers_over_h1(mesh):
    client, speaker = two(mesh)
    speaker.app.raw = (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-checksum\r\n\r\n"
                       b"5\r\nhello\r\n0\r\nx-checksum: abc\r\n\r\n")
    r = client.get("http://speaker:8090/raw/trailers")
    assert (r.status, r.body) == (200, b"hello")
    mesh.compare("answer", names(r.headers))
    over_h2 = via_h2(client, 8090, "GET", "/raw/trailers")
    assert over_h2.body == b"hello"
    mesh.compare("answer over HTTP/2", (names(over_h2.headers), list(over_h2.trailers)))


# Upgrades

HANDSHAKE = (b"GET %s HTTP/1.1\r\nhost: speaker:8090\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
             b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n")


@both_proxies
def test_websocket(mesh):
    client, speaker = two(mesh)
    with client.connect("speaker", 8090) as connection:
        connection.send(HANDSHAKE % b"/websocket")
        r = connection.read_response()
        assert (r.status, r.headers["upgrade"]) == (101, "websocket")
        assert connection.exactly(8) == b"welcome\n"
        for size in (1, 1000, 300_000):
            connection.send(b"\x00" * size)
            assert connection.exactly(size) == b"\x00" * size
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.read_to_end() == b""
    mesh.compare("answer", sorted((n, v.lower()) for n, v in r.headers if n != "date"))
    mesh.compare("at the application", sorted(n for n, _ in speaker.app.saw("/websocket")[-1]["headers"] if "peer-metadata" not in n))
    compare_lines(mesh, client, speaker, "/websocket")


@both_proxies
def test_websocket_that_the_application_ends(mesh):
    client, speaker = two(mesh)
    with client.connect("speaker", 8090) as connection:
        connection.send(HANDSHAKE % b"/websocket/bye")
        assert connection.read_response().status == 101
        assert connection.read_to_end() == b"welcome\n"
    compare_lines(mesh, client, speaker, "/websocket/bye")


@both_proxies
def test_websocket_refused(mesh):
    client, speaker = two(mesh)
    with client.connect("speaker", 8090) as connection:
        connection.send(HANDSHAKE % b"/no-websocket")
        r = connection.read_response()
        assert (r.status, r.body) == (426, b"no\n")
        mesh.compare("answer", sorted((n, v) for n, v in r.headers if n not in ("date", "x-envoy-upstream-service-time")))
        mesh.compare("the next request on the connection", next_answer(connection, "/after-refusal"))
    compare_lines(mesh, client, speaker, "/no-websocket")


@both_proxies
def test_websocket_client_that_does_not_wait(mesh):
    client, speaker = two(mesh)
    with client.connect("speaker", 8090) as connection:
        connection.send(HANDSHAKE % b"/websocket/eager" + b"sooner")
        r = connection.read_response()
        assert r.status == 101
        assert connection.exactly(14) == b"welcome\nsooner"
        connection.sock.shutdown(socket.SHUT_WR)
        assert connection.read_to_end() == b""
    compare_lines(mesh, client, speaker, "/websocket/eager")


@both_proxies
@pytest.mark.parametrize("upgrade", ["h2c", "made-up"])
def test_upgrade_to_something_else(mesh, upgrade):
    client, speaker = two(mesh)
    path = f"/upgrade/{upgrade}"
    r = client.get("http://speaker:8090" + path, headers={"connection": "upgrade, http2-settings", "upgrade": upgrade, "http2-settings": "AAMAAABk"})
    mesh.compare("answer", (r.status, r.body if r.status != 200 else b"", names(r.headers)))
    if seen := speaker.app.saw(path):
        mesh.compare("at the application", sorted(n.lower() for n, _ in seen[-1]["headers"] if "peer-metadata" not in n))
    mesh.compare("outbound", client.access_log.wait_for(path=path).stable()["response_code_details"])


# Bodies that are waited for, or not

def expect(client, path, body=b"hello"):
    """(answers until the final one, in order) of a client that sends its body after the first of them."""
    with client.connect("speaker", 8090) as connection:
        connection.send(f"POST {path} HTTP/1.1\r\nhost: speaker:8090\r\nexpect: 100-continue\r\ncontent-length: {len(body)}\r\n\r\n".encode())
        first = connection.read_response(interim=True)
        if first.status != 100:
            return [first]
        connection.send(body)
        return [first, connection.read_response()]


@both_proxies
def test_continue_is_given(mesh):
    client, speaker = two(mesh)
    interim, final = expect(client, "/expect/given")
    assert (interim.status, final.status, final.app.body) == (100, 200, "hello")
    mesh.compare("interim", names(interim.headers))
    mesh.compare("at the application", names(final.app.headers))
    compare_lines(mesh, client, speaker, "/expect/given", ("bytes_sent",))


@both_proxies
@pytest.mark.parametrize("status", [417, 401])
def test_continue_is_refused(mesh, status):
    client, speaker = two(mesh)
    answers = expect(client, f"/refuse/{status}")
    assert [r.status for r in answers] == [status]
    mesh.compare("answer", (names(answers[-1].headers), answers[-1].body))
    compare_lines(mesh, client, speaker, f"/refuse/{status}")


@both_proxies
def test_continue_never_comes(mesh):
    """The application reads on without a word: the client sends its body after a while, as clients do."""
    client, _ = two(mesh)
    with client.connect("speaker", 8090) as connection:
        connection.send(b"POST /mute HTTP/1.1\r\nhost: speaker:8090\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
        mesh.compare("anything before the body", connection.heard_nothing(0.3))
        connection.send(b"hello")
        r = connection.read_response()
        assert (r.status, r.app.body) == (200, "hello")


@both_proxies
@pytest.mark.parametrize("command", ["early", "early-close"])
def test_answer_before_the_body_is_there(mesh, command):
    client, speaker = two(mesh)
    path = f"/{command}/413"
    with client.connect("speaker", 8090) as connection:
        connection.send(f"POST {path} HTTP/1.1\r\nhost: speaker:8090\r\ncontent-length: 100000\r\n\r\n".encode() + b"x" * 1000)
        r = connection.read_response()
        assert (r.status, r.body) == (413, b"early\n")
        mesh.compare("answer", names(r.headers))
        mesh.compare("the next request on the connection", next_answer(connection, "/after-early", b"x" * 99_000))
    compare_lines(mesh, client, speaker, path, ("bytes_received",))


@both_proxies
def test_answer_before_the_body_is_there_over_h2(mesh):
    client, speaker = two(mesh)
    path = "/early/400"
    with Http2(client.connect("speaker", 8090).sock) as connection:
        stream = connection.begin("POST", path, "speaker:8090", [("content-length", "100000")])
        r = connection.read_response(stream)
        assert (r.status, r.body) == (400, b"early\n")
        assert connection.request("GET", "/after-early-h2", "speaker:8090").status == 200
    compare_lines(mesh, client, speaker, path, ("bytes_received",))


# HTTP/1.0

@both_proxies
def test_http_1_0_client(mesh):
    """What istiod does not list as HTTP goes through as bytes, to an address that nobody has."""
    client, _ = two(mesh)
    client.access_log.mark()
    mesh.compare("answer", client.raw(b"GET /old HTTP/1.0\r\nhost: speaker:8090\r\n\r\n", "speaker", 8090))
    mesh.compare("line", client.access_log.wait_for(request="- - -").stable())


@both_proxies
def test_http_1_0_where_it_is_asked_for(mesh):
    old = mesh.pod("old", ports={"http": 8100}, env={"ISTIO_META_HTTP10": "1"})
    plain = mesh.pod("plain", sidecar=False)
    for what in (b"host: old:8100\r\n", b""):
        answer = plain.raw(b"GET /1.0 HTTP/1.0\r\n" + what + b"\r\n", "old", 8100)
        head, _, body = answer.partition(b"\r\n\r\n")
        mesh.compare(f"answer to {what}", (head.split(b"\r\n")[0], sorted(line.split(b":")[0] for line in head.split(b"\r\n")[1:])))
    seen = old.app.saw("/1.0")[0]
    mesh.compare("at the application", (seen["protocol"], sorted(n.lower() for n, _ in seen["headers"] if "peer-metadata" not in n)))
    with plain.connect("old", 8100) as connection:
        for i in (1, 2):
            connection.send(b"GET /kept HTTP/1.0\r\nhost: old:8100\r\nconnection: keep-alive\r\n\r\n")
            r = connection.read_response()
            mesh.compare(f"kept open, {i}", (r.status, names(r.headers), r.headers.get("connection")))
    mesh.compare("line", old.access_log.wait_for(request="GET /kept HTTP/1.0").stable())
    mesh.remove(old)


@both_proxies
def test_http_1_0_application(mesh):
    client, speaker = two(mesh)
    speaker.app.raw = b"HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nuntil the end"
    for via in (via_h1, via_h2):
        r = via(client, 8090, "GET", f"/raw/{via.__name__}")
        assert (r.status, r.body) == (200, b"until the end")
        mesh.compare(via.__name__, (names(r.headers), r.headers.get("transfer-encoding")))


# TLS of the application's own

def tls(client, host, port, sni):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = client.connect(host, port)
    connection.sock = context.wrap_socket(connection.sock, server_hostname=sni)
    return connection


@both_proxies
def test_tls_passes_through(mesh):
    client, speaker = two(mesh)
    mesh.apply("""
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {name: by-sni}
        spec:
          hosts: [one.example.com, two.example.com]
          addresses: [240.9.9.9]
          location: MESH_EXTERNAL
          resolution: STATIC
          ports: [{number: 443, name: tls, protocol: TLS, targetPort: 8443}]
          endpoints: [{address: %s}]
        ---
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: by-sni}
        spec:
          hosts: [one.example.com, two.example.com]
          tls:
          - match: [{sniHosts: [one.example.com]}]
            route: [{destination: {host: one.example.com}}]
          - match: [{sniHosts: [two.example.com]}]
            route: [{destination: {host: speaker.default.svc.cluster.local, port: {number: 8095}}}]
        """ % mesh.pod("tls-outside", ports={"https": 8443}, service="", account="default", sidecar=False).ip, wait=False)

    def reached(sni):
        with tls(client, "240.9.9.9", 443, sni) as connection:
            return connection.request("GET", "/tls", sni).app.app
    mesh.until("the second name", lambda: reached("two.example.com") == "speaker")
    assert reached("one.example.com") == "tls-outside"
    for sni, cluster in (("one.example.com", "outbound|443||one.example.com"), ("two.example.com", "outbound|8095||speaker.default.svc.cluster.local")):
        line = client.access_log.wait_for(requested_server_name=sni, upstream_cluster=cluster)
        mesh.compare(sni, {k: v for k, v in line.stable().items() if not k.startswith("bytes")})
    into = speaker.access_log.wait_for(upstream_cluster="inbound|8095||")
    mesh.compare("inbound", {k: v for k, v in into.stable().items() if not k.startswith("bytes")})


@both_proxies
def test_tls_to_a_service(mesh):
    client, speaker = two(mesh)
    with tls(client, "speaker", 8095, "speaker") as connection:
        r = connection.request("GET", "/its-own-tls", "speaker:8095")
        assert (r.status, r.app.peer) == (200, "127.0.0.6")
    plain = mesh.pod("plain", sidecar=False)
    with tls(plain, "speaker", 8095, "speaker") as connection:
        assert connection.request("GET", "/from-plain", "speaker:8095").status == 200
    line = mesh.until("the plain client's line", lambda: [l for l in speaker.access_log.lines(upstream_cluster="inbound|8095||")
                                                          if l.requested_server_name == "speaker"])[-1]
    mesh.compare("a client without sidecar", {k: v for k, v in line.stable().items() if not k.startswith("bytes")})


# TCP

@both_proxies
def test_server_ends_its_side_first(mesh):
    client, speaker = two(mesh)
    with client.connect("speaker", 8096) as connection:
        assert connection.read_to_end() == b"goodbye\n"
        connection.send(b"one more thing")
        connection.sock.shutdown(socket.SHUT_WR)
        heard = mesh.until("the application to have read on", lambda: [r["body"] for r in speaker.app.saw("after goodbye")])
    assert heard[-1] == "one more thing"


@both_proxies
def test_server_first_on_a_sniffed_port(mesh):
    """Nobody says a word until the client does, or until the time for sniffing is over when there is one."""
    client, _ = two(mesh)
    with client.connect("speaker", 8097) as connection:
        mesh.compare("silence", connection.heard_nothing(0.3))
        connection.send(b"me first\n")
        stream = connection.sock.makefile("rb")
        mesh.compare("then", (stream.readline(), stream.readline()))
    mesh.set_mesh_config(protocolDetectionTimeout="0.1s")

    def greeted():
        with client.connect("speaker", 8097, timeout=2) as connection:
            return connection.sock.makefile("rb").readline() == b"welcome to speaker\n"
    mesh.until("a greeting without a word from the client", greeted)


@both_proxies
def test_headless_service(mesh):
    client = mesh.pod("client")
    crowd = [mesh.pod(f"crowd-{i}", service="crowd", ports={"tcp": 9300}) for i in (0, 1)]
    mesh.apply("""
        apiVersion: v1
        kind: Service
        metadata: {name: crowd-headless}
        spec:
          clusterIP: None
          selector: {app: crowd}
          ports: [{name: tcp, port: 9300, targetPort: 9300}]
        """, wait=False)
    name = "outbound|9300||crowd-headless.default.svc.cluster.local"
    server_name = "outbound_.9300_._.crowd-headless.default.svc.cluster.local"
    for pod in crowd:
        def through():
            with client.connect(pod.ip, 9300) as connection:
                connection.send(b"hello\n")
                said = connection.sock.makefile("rb").readline()
            return said == f"{pod.name} 127.0.0.6 hello\n".encode() and client.access_log.lines(upstream_cluster=name, upstream_host=f"{pod.ip}:9300")
        line = mesh.until(f"{pod.name} by its own address", through)[-1]
        mesh.compare(f"outbound to {pod.name}", line.stable())
        # Not the line of a try before the listener was there: that one came as it was, without TLS.
        line = pod.access_log.wait_for(upstream_cluster="inbound|9300||", requested_server_name=server_name)
        mesh.compare(f"inbound at {pod.name}", line.stable())
    for pod in crowd:
        mesh.remove(pod)


# What no service declares

@both_proxies
def test_a_port_that_no_service_has(mesh):
    client, speaker = two(mesh)
    if UNDECLARED not in speaker.app.ports():
        speaker.app.listen(UNDECLARED)
        speaker.app.listen(UNDECLARED + 1, "tcp")
    plain = mesh.pod("plain", sidecar=False)
    for source in (client, plain):
        r = source.get(f"http://{speaker.ip}:{UNDECLARED}/undeclared-{source.name}")
        assert (r.status, r.app.peer) == (200, "127.0.0.6")
        line = speaker.access_log.wait_for(path=f"/undeclared-{source.name}")
        assert line.upstream_cluster == "InboundPassthroughCluster"
        mesh.compare(f"{source.name}'s request", ({k: v for k, v in line.stable().items() if k not in ("authority", "bytes_sent")}, names(r.app.headers)))
        with source.connect(speaker.ip, UNDECLARED + 1) as connection:
            connection.send(b"hello\n")
            assert connection.sock.makefile("rb").readline() == b"speaker 127.0.0.6 hello\n"
        line = speaker.access_log.wait_for(upstream_cluster="InboundPassthroughCluster", request="- - -")
        mesh.compare(f"{source.name}'s connection", line.stable())


@both_proxies
def test_modes_of_single_ports(mesh):
    client, speaker = two(mesh)
    plain = mesh.pod("plain", sidecar=False)
    mesh.apply("""
        apiVersion: security.istio.io/v1
        kind: PeerAuthentication
        metadata: {name: by-port}
        spec:
          selector: {matchLabels: {app: speaker}}
          mtls: {mode: STRICT}
          portLevelMtls: {8090: {mode: DISABLE}, 8096: {mode: PERMISSIVE}}
        """, wait=False)

    def identity(source):
        try:
            return "x-forwarded-client-cert" in source.get("http://speaker:8090/by-port").app.headers
        except (Closed, AssertionError):
            return "nothing"

    def outcomes():
        with plain.connect("speaker", 8096) as permissive:
            permissive.send(b"me first\n")  # in PERMISSIVE mode the proxy waits for the client's first bytes
            said = permissive.exactly(8)
        try:
            with Http2(plain.connect("speaker", 8091).sock) as strict:
                strict.request("GET", "/strict", "speaker:8091")
                refused = False
        except (Closed, OSError, ProtocolError):  # the last: an answer after GOAWAY, of a listener that is just going
            refused = True
        return (identity(client), identity(plain), said, refused)
    mesh.until("each port its mode", lambda: outcomes() == (False, False, b"goodbye\n", True))
    assert via_h2(client, 8091, "GET", "/strict").status == 200


# Names that DNS knows

@both_proxies
@pytest.mark.parametrize("resolution", ["DNS", "DNS_ROUND_ROBIN"])
def test_service_entry_by_dns(mesh, resolution):
    """STRICT_DNS and LOGICAL_DNS clusters; the proxy's resolver reads the pod's hosts file first, as any does."""
    client, _ = two(mesh)
    external = mesh.pod("outside", ports={"http": 7070, "http-b": 8080, "tcp": 7071}, service="", account="default", sidecar=False)
    host = f"{resolution.lower().replace('_', '-')}.example.com"
    client.add_host("behind-" + host, external.ip)
    mesh.apply(f"""
        apiVersion: networking.istio.io/v1
        kind: ServiceEntry
        metadata: {{name: by-dns}}
        spec:
          hosts: [{host}]
          addresses: [240.1.2.4]
          location: MESH_EXTERNAL
          resolution: {resolution}
          ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 7070}}]
          endpoints: [{{address: {"behind-" + host}}}]
        """, wait=False)
    r = mesh.until("the service entry", lambda: (r := client.get(f"http://{host}/dns", address=("240.1.2.4", 80))).status == 200 and r)
    assert (r.app.app, r.app.headers["host"]) == ("outside", host)
    mesh.compare("headers at the application", names(r.app.headers))
    line = client.access_log.wait_for(path="/dns", response_code=200)
    mesh.compare("line", {k: v for k, v in line.stable().items() if not k.startswith("bytes")})
