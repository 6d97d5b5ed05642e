"""The proxy under test on one side, Envoy on the other, both ways round."""

import pytest

from harness.scenario import both_proxies

UPGRADE = """
    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata: {name: upgrade}
    spec: {host: "*.default.svc.cluster.local", trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}}
    """


def pairs(mesh):
    """(client, server's name) with Envoy as the server, then as the client."""
    ports = {"http": 8086, "tcp": 9001}
    ours, theirs = mesh.pod("ours", ports=ports), mesh.pod("theirs", ports=ports, proxy="envoy")
    return [(ours, "theirs"), (theirs, "ours")]


@both_proxies(stock=False)
def test_http(mesh):
    for client, server in pairs(mesh):
        r = client.request("POST", f"http://{server}:8086/mixed", body=b"x" * 100_000)
        assert (r.status, r.app.app, len(r.app.body)) == (200, server, 100_000)
        assert f"URI=spiffe://cluster.local/ns/default/sa/{client.name}" in r.app.headers["x-forwarded-client-cert"]
        assert mesh.pods[server].access_log.wait_for(path="/mixed").request == "POST /mixed HTTP/1.1"


@both_proxies(stock=False)
def test_http2(mesh):
    both = pairs(mesh)
    mesh.apply(UPGRADE)
    for client, server in both:
        def upgraded():
            client.get(f"http://{server}:8086/mixed-h2")
            return mesh.pods[server].access_log.lines(path="/mixed-h2", request="GET /mixed-h2 HTTP/2")
        mesh.until(f"HTTP/2 from {client.name} to {server}", upgraded)
        r = client.request("POST", f"http://{server}:8086/mixed-h2", body=b"x" * 1_000_000)
        assert (r.status, len(r.app.body)) == (200, 1_000_000)
        assert len(client.get(f"http://{server}:8086/bytes/3000000").body) == 3_000_000
        assert client.request("HEAD", f"http://{server}:8086/head").status == 200


@both_proxies(stock=False)
@pytest.mark.parametrize("size", [1, 1_000_000])
def test_tcp(mesh, size):
    line = b"y" * size + b"\n"
    for client, server in pairs(mesh):
        with client.connect(server, 9001) as connection:
            connection.send(line)
            assert connection.sock.makefile("rb").readline() == f"{server} 127.0.0.6 ".encode() + line
