"""The proxy under test on one side, Envoy on the other, both ways round."""

import json
import socket

import pytest

from harness.app import GRPC_PEER
from harness.h2 import Http2
from harness.scenario import both_proxies

UPGRADE = """
    apiVersion: networking.istio.io/v1
    kind: DestinationRule
    metadata: {name: upgrade}
    spec: {host: "*.default.svc.cluster.local", trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}}
    """


def pairs(mesh):
    """(client, server's name) with Envoy as the server, then as the client."""
    ports = {"http": 8086, "tcp": 9001, "grpc": 8106, "http2": 8107, "tcp-closes-first": 9002}
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


@both_proxies(stock=False)
def test_operation_names_stay_between_the_proxies(mesh):
    """The server's proxy tells its name for the operation to the client's, which must not tell the application."""
    for client, server in pairs(mesh):
        r = client.get(f"http://{server}:8086/operation")
        assert "x-envoy-decorator-operation" not in r.headers
        assert "x-envoy-decorator-operation" not in r.app.headers


@both_proxies(stock=False)
def test_grpc(mesh):
    for client, server in pairs(mesh):
        results = json.loads(client.exec(*GRPC_PEER, "call", f"{mesh.resolve(server, client)}:8106", f"{server}:8106"))
        assert results["conversation"]["messages"] == ["A", "B", "C"]
        assert results["server stream"]["messages"] == [str(i) for i in range(20)]
        assert (results["client stream"]["messages"], results["large"]["messages"]) == (["500000"], [3_000_000])
        assert results["unary"]["trailing"] == [["say-bye", "trailing"], ["say-bytes-bin", "00ff"]]
        # The client, its proxy and the server's count the same 300 ms: who is first is chance.
        assert results.pop("too slow")["code"] in ("DEADLINE_EXCEEDED", "UNAVAILABLE")
        mesh.compare(f"outcomes of {client.name}", results)


@both_proxies(stock=False)
@pytest.mark.parametrize("port", [8086, 8107])
def test_http2_from_the_application(mesh, port):
    for client, server in pairs(mesh):
        with Http2(client.connect(server, port).sock) as connection:
            for size in (0, 70_000, 1_000_000):
                r = connection.request("POST", "/mixed-h2-app", f"{server}:{port}", body=b"x" * size)
                assert (r.status, len(r.app.body)) == (200, size)
                assert int(r.headers["content-length"]) == len(r.body)


@both_proxies(stock=False)
def test_websocket(mesh):
    for client, server in pairs(mesh):
        with client.connect(server, 8086) as connection:
            connection.send(f"GET /websocket HTTP/1.1\r\nhost: {server}:8086\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\nsooner".encode())
            assert connection.read_response().status == 101
            assert connection.exactly(14) == b"welcome\nsooner"
            connection.send(b"\x00" * 300_000)
            assert connection.exactly(300_000) == b"\x00" * 300_000
        mesh.compare(f"flags for {client.name}", client.access_log.wait_for(path="/websocket").response_flags)


@both_proxies(stock=False)
def test_continue_and_early_answers(mesh):
    for client, server in pairs(mesh):
        with client.connect(server, 8086) as connection:
            connection.send(f"POST /e HTTP/1.1\r\nhost: {server}:8086\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n".encode())
            assert connection.read_response(interim=True).status == 100
            connection.send(b"hello")
            assert connection.read_response().app.body == "hello"
        with client.connect(server, 8086) as connection:
            connection.send(f"POST /early/413 HTTP/1.1\r\nhost: {server}:8086\r\ncontent-length: 100000\r\n\r\n".encode() + b"x" * 100)
            assert connection.read_response().body == b"early\n"


@both_proxies(stock=False)
def test_either_side_of_tcp_may_end_first(mesh):
    for client, server in pairs(mesh):
        app = mesh.pods[server].app
        seen = len(app.saw("after goodbye"))
        with client.connect(server, 9002) as connection:
            assert connection.read_to_end() == b"goodbye\n"
            connection.send(b"one more thing")
            connection.sock.shutdown(socket.SHUT_WR)
            mesh.until("the application to have read on", lambda: len(app.saw("after goodbye")) > seen)
        assert app.saw("after goodbye")[-1]["body"] == "one more thing"
        with client.connect(server, 9001) as connection:
            connection.send(b"one\ntwo\n")
            connection.sock.shutdown(socket.SHUT_WR)
            assert connection.read_to_end().count(b"127.0.0.6") == 2
