"""HTTP/1 clients that send what no library would, and a client of either protocol that only wants to know how it ends."""

import socket

from frames import Peer, headers, request
from harness.client import Closed, Connection

GET, POST = b"GET %s HTTP/1.1\r\nhost: victim\r\n", b"POST %s HTTP/1.1\r\nhost: victim\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n"


def connect(port, timeout=5.0):
    return Connection(socket.create_connection(("127.0.0.1", port), timeout))


def outcome(port, bytes_, timeout=5.0):
    """Statuses of the answers, and whether the connection was then closed by the proxy («closed») or served on («open»)."""
    statuses = []
    with connect(port, timeout) as connection:
        try:
            # A last request shows whether the proxy still reads where we think it does.
            connection.send(bytes_ + b"GET /direct/mark HTTP/1.1\r\nhost: victim\r\n\r\n")
            while True:
                r = connection.read_response()
                if r.body == b"direct\n":
                    return statuses, "open"
                statuses.append(r.status)
        except (Closed, BrokenPipeError, ConnectionResetError):
            return statuses, "closed"
        except TimeoutError:
            return statuses, "waits"


def chunks(body, extra=b""):
    return POST % b"/PATH" + CHUNKED + extra + b"\r\n" + body


def answer(proxy, down, path, method="GET", timeout=5.0):
    """(status, body bytes, whether it came to a clean end)."""
    if down == "h2":
        with Peer.client(proxy.port) as peer:
            peer.send(headers(1, request(path, method), end=True))
            peer.until(lambda: 1 in peer.ended or 1 in peer.resets or peer.closed, timeout)
            return peer.status(1), peer.bodies[1], 1 in peer.ended
    with connect(proxy.port, timeout) as connection:
        connection.send(f"{method} {path} HTTP/1.1\r\nhost: victim\r\n\r\n".encode())
        try:
            r = connection.read_response(head=method == "HEAD")
            return r.status, len(r.body), True
        except Closed as e:
            return None, len(e.received), False
        except TimeoutError:
            return None, 0, False
