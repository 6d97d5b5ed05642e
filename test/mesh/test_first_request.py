"""From one pod to another through two sidecars, as a default install has it."""

import re

import pytest

from harness.client import Closed
from harness.scenario import both_proxies

SERVER = {"http": 8080, "tcp": 9000, "auto": 9090}


def two(mesh):
    return mesh.pod("client"), mesh.pod("server", ports=SERVER)


@both_proxies
def test_request_and_identity(mesh):
    client, server = two(mesh)
    r = client.get("http://server:8080/hello", headers={"x-custom": "kept"})
    assert r.status == 200
    assert r.app.headers["x-custom"] == "kept"
    assert r.app.peer == "127.0.0.6"
    assert re.fullmatch(r'By=spiffe://cluster\.local/ns/default/sa/server;Hash=[0-9a-f]{64};Subject="";'
                        r"URI=spiffe://cluster\.local/ns/default/sa/client", r.app.headers["x-forwarded-client-cert"])
    assert r.headers["server"] == "envoy"
    mesh.compare("headers at the client", sorted(r.headers.names()))
    # The stock settings add the peers' metadata, which the compared ones leave out.
    names = [n for n in r.app.headers.names() if not n.startswith("x-envoy-peer-metadata")]
    mesh.compare("headers at the application", names)


@both_proxies
def test_both_access_logs(mesh):
    client, server = two(mesh)
    client.get("http://server:8080/logged", headers={"user-agent": "the-test/1.0", "x-request-id": "f5b1c4e2-0000-4000-8000-000000000001"})
    out = client.access_log.wait_for(path="/logged")
    into = server.access_log.wait_for(path="/logged")
    assert out.upstream_cluster == "outbound|8080||server.default.svc.cluster.local"
    assert into.upstream_cluster == "inbound|8080||"
    assert into.requested_server_name == "outbound_.8080_._.server.default.svc.cluster.local"
    assert into.upstream_local_address.startswith("127.0.0.6:")
    assert out.upstream_host == into.downstream_local_address == f"{server.ip}:8080"
    assert out.upstream_local_address == into.downstream_remote_address
    assert out.downstream_local_address == f"{mesh.service('server')}:8080"
    assert out.request_id == into.request_id
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", out.start_time)
    sizes = {"bytes_sent"}  # the answer holds what the application saw, which differs between the settings
    mesh.compare("outbound", {k: v for k, v in out.stable().items() if k not in sizes})
    mesh.compare("inbound", {k: v for k, v in into.stable().items() if k not in sizes})


@both_proxies
def test_what_the_log_does_not_quote(mesh):
    client, server = two(mesh)
    client.access_log.mark()
    client.request("POST", "http://server:8080/post?a=b", body=b"hello", headers={
        "user-agent": 'with "quotes" in it', "x-request-id": "f5b1c4e2-0000-4000-8000-000000000002", "x-forwarded-for": "1.2.3.4, \xe4"})
    line = mesh.until("the line", lambda: [l for l in client.access_log.text().splitlines() if "/post?a=b" in l])[-1]
    mesh.compare("from the request on", re.sub(r'("| )\d+\.\d+\.\d+\.\d+:\d+', r"\1ADDRESS", re.sub(r" 5 \d+ \d+ \d+ ", " SIZES ", line.split("] ", 1)[1])))


@both_proxies
def test_request_id_is_made_and_kept(mesh):
    client, _ = two(mesh)
    made = client.get("http://server:8080/").app.headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", made)
    kept = client.get("http://server:8080/", headers={"x-request-id": "not-even-a-uuid"}).app.headers["x-request-id"]
    mesh.compare("a request id that is no uuid", kept)


@both_proxies
def test_a_client_cannot_forge_its_identity(mesh):
    _, server = two(mesh)
    plain = mesh.pod("plain", sidecar=False)
    forged = "By=spiffe://x;URI=spiffe://cluster.local/ns/default/sa/admin"
    seen = plain.get("http://server:8080/", headers={"x-forwarded-client-cert": forged}).app
    assert "admin" not in (seen.headers.get("x-forwarded-client-cert") or "")
    through = mesh.pod("client").get("http://server:8080/", headers={"x-forwarded-client-cert": forged}).app
    assert "admin" not in through.headers["x-forwarded-client-cert"]
    mesh.compare("fields with a forged identity", re.sub(r"Hash=\w+", "Hash=", through.headers["x-forwarded-client-cert"]))


@both_proxies
def test_envoy_headers_from_inside(mesh):
    client, _ = two(mesh)
    r = client.get("http://server:8080/", headers={
        "x-envoy-upstream-rq-timeout-ms": "9000", "x-envoy-retry-on": "5xx", "x-forwarded-for": "1.2.3.4", "x-forwarded-proto": "https",
        "x-envoy-internal": "true", "x-envoy-decorator-operation": "op", "x-envoy-expected-rq-timeout-ms": "1"})
    keep = [(n.lower(), v) for n, v in r.app.headers if n.lower() not in ("x-request-id", "x-forwarded-client-cert")
            and not n.lower().startswith("x-envoy-peer-metadata")]
    mesh.compare("headers at the application", sorted(keep))


@both_proxies
def test_many_requests_on_one_connection(mesh):
    client, server = two(mesh)
    with client.connect("server", 8080) as connection:
        for i in range(50):
            r = connection.request("POST", f"/many/{i}", "server:8080", body=b"x" * i * 1000)
            assert (r.status, r.app.path, len(r.app.body)) == (200, f"/many/{i}", i * 1000)


@both_proxies
def test_large_bodies(mesh):
    client, _ = two(mesh)
    assert len(client.get("http://server:8080/bytes/20000000").body) == 20_000_000
    chunk = b"%x\r\n" % 65536 + b"y" * 65536 + b"\r\n"
    with client.connect("server", 8080) as connection:
        connection.send(b"POST /up HTTP/1.1\r\nhost: server:8080\r\ntransfer-encoding: chunked\r\n\r\n" + chunk * 32 + b"0\r\n\r\n")
        assert len(connection.read_response().app.body) == 32 * 65536


@both_proxies
@pytest.mark.parametrize("method", ["HEAD", "DELETE", "PUT", "OPTIONS", "PATCH"])
def test_methods(mesh, method):
    client, server = two(mesh)
    path = f"/method/{method}"
    r = client.request(method, "http://server:8080" + path)
    assert r.status == 200
    assert [s["method"] for s in server.app.saw(path)][-1] == method


@both_proxies
@pytest.mark.parametrize("status", [204, 304, 404, 500, 503])
def test_statuses_pass(mesh, status):
    client, server = two(mesh)
    r = client.get(f"http://server:8080/status/{status}")
    assert r.status == status
    line = client.access_log.wait_for(path=f"/status/{status}")
    assert (line.response_code, line.response_code_details) == (status, "via_upstream")
    # A 204 has no content-length (RFC 9110 8.6); Envoy passes the application's on.
    mesh.compare("headers", sorted(n for n in r.headers.names() if (status, n) != (204, "content-length")))
    mesh.compare("line", {k: v for k, v in line.stable().items() if k != "bytes_sent"})


@both_proxies
def test_expect_continue(mesh):
    client, _ = two(mesh)
    with client.connect("server", 8080) as connection:
        connection.send(b"POST /e HTTP/1.1\r\nhost: server:8080\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
        interim = connection.sock.recv(1000)
        assert interim.startswith(b"HTTP/1.1 100 ")
        connection.send(b"hello")
        assert connection.read_response().app.body == "hello"


@both_proxies
def test_h2_between_the_sidecars_when_a_rule_upgrades(mesh):
    client, server = two(mesh)
    mesh.apply("""
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: upgrade}
        spec:
          host: server.default.svc.cluster.local
          trafficPolicy:
            connectionPool: {http: {h2UpgradePolicy: UPGRADE}}
        """)

    def upgraded():
        server.access_log.mark()
        r = client.get("http://server:8080/upgraded")
        line = server.access_log.wait_for(path="/upgraded")
        return line.request == "GET /upgraded HTTP/2" and r
    r = mesh.until("HTTP/2 between the sidecars", upgraded)
    assert r.app.protocol == "HTTP/1.1"
    assert "sa/client" in r.app.headers["x-forwarded-client-cert"]
    line = client.access_log.wait_for(path="/upgraded")
    assert line.request == "GET /upgraded HTTP/1.1"
    assert len(client.get("http://server:8080/bytes/3000000").body) == 3_000_000
    with client.connect("server", 8080) as connection:
        r = connection.request("POST", "/upgraded-post", "server:8080", body=b"z" * 500_000)
        assert len(r.app.body) == 500_000
    mesh.compare("headers over h2", [n for n in client.get("http://server:8080/upgraded").app.headers.names()
                                     if not n.startswith("x-envoy-peer-metadata")])


@both_proxies
def test_permissive_takes_plain_clients(mesh):
    _, server = two(mesh)
    plain = mesh.pod("plain", sidecar=False)
    r = plain.get("http://server:8080/from-plain")
    assert r.status == 200
    assert "x-forwarded-client-cert" not in r.app.headers
    line = server.access_log.wait_for(path="/from-plain")
    assert (line.upstream_cluster, line.requested_server_name, line.response_flags) == ("inbound|8080||", "-", "-")
    mesh.compare("headers at the application", [n for n in r.app.headers.names() if not n.startswith("x-envoy-peer-metadata")])
    mesh.compare("headers to the client", sorted(n for n in r.headers.names() if not n.startswith("x-envoy-peer-metadata")))


@both_proxies
def test_strict_refuses_plain_clients(mesh):
    client, server = two(mesh)
    plain = mesh.pod("plain", sidecar=False)
    mesh.apply("""
        apiVersion: security.istio.io/v1
        kind: PeerAuthentication
        metadata: {name: strict}
        spec: {mtls: {mode: STRICT}}
        """)

    def refused():
        try:
            plain.get("http://server:8080/refused")
            return False
        except Closed as e:
            return e.received == b""
    mesh.until("plain text to be refused", refused)
    seen = len(server.app.saw("/refused"))
    with pytest.raises(Closed):
        plain.get("http://server:8080/refused")
    assert len(server.app.saw("/refused")) == seen
    assert client.get("http://server:8080/still").status == 200
    line = server.access_log.wait_for(response_flags="NR")
    mesh.compare("the log of a refused connection", line.stable())


@both_proxies
def test_disabled_mtls_is_plain_text(mesh):
    client, server = two(mesh)
    mesh.apply("""
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: plain-text}
        spec: {host: server.default.svc.cluster.local, trafficPolicy: {tls: {mode: DISABLE}}}
        """)
    r = mesh.until("a request without identity", lambda: "x-forwarded-client-cert" not in
                   (r := client.get("http://server:8080/p")).app.headers and r)
    assert r.status == 200


@both_proxies
def test_sniffed_port_takes_http(mesh):
    client, server = two(mesh)
    assert client.get("http://server:9090/sniffed").status == 200
    assert client.access_log.wait_for(path="/sniffed").upstream_cluster == "outbound|9090||server.default.svc.cluster.local"


@both_proxies
def test_a_pod_reaches_itself(mesh):
    _, server = two(mesh)
    assert server.get("http://server:8080/self").status == 200


@both_proxies
def test_endpoints_follow_the_pods(mesh):
    client, _ = two(mesh)
    first = mesh.pod("twin-1", service="twin", ports={"http": 8080})
    mesh.until("the first twin", lambda: client.get("http://twin:8080/").app.app == "twin-1")
    second = mesh.pod("twin-2", service="twin", ports={"http": 8080})
    mesh.until("both twins", lambda: {client.get("http://twin:8080/").app.app for _ in range(10)} == {"twin-1", "twin-2"})
    first.set_ready(False)
    mesh.until("only the second", lambda: {client.get("http://twin:8080/").app.app for _ in range(10)} == {"twin-2"})
    assert all(client.get("http://twin:8080/").status == 200 for _ in range(20))
    first.set_ready(True)
    mesh.until("both again", lambda: {client.get("http://twin:8080/").app.app for _ in range(10)} == {"twin-1", "twin-2"})
    mesh.remove(second)
    mesh.remove(first)
