"""Unary gRPC by hand, both ends, one request after the other: what the counts of a request see is the proxy alone."""

import pathlib
import socket
import ssl
import struct
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "test/attacks"), str(ROOT / "bench")]
import frames  # noqa: E402
from suite.peers import make_certificates  # noqa: E402

MESSAGE = b"\0\0\0\3\xfb" + b"x" * 1019
WIDE = frames.window_update(0, 2**31 - 1 - 65535)
REQUEST = b"".join(map(frames.indexed, (3, 6))) + b"".join(frames.literal(n, v) for n, v in (
    (":path", "/gates.Unary/Ask"), (":authority", "gates.example"), ("content-type", "application/grpc"), ("te", "trailers"),
    ("user-agent", "grpc-c++/1.51.1"), ("grpc-accept-encoding", "identity, deflate, gzip")))
RESPONSE = frames.indexed(8) + frames.literal("content-type", "application/grpc")
TRAILERS = frames.literal("grpc-status", "0")


class Connection:
    """Reads whole frames; acknowledges SETTINGS."""

    def __init__(self, sock, opening):
        self.sock, self.buffer = sock, b""
        sock.sendall(opening)

    def read(self):
        """(type, flags, stream) of the next frame; None at the end."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            got = self.sock.recv(65536)
            if not got:
                return None
            self.buffer += got
        size = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
        self.buffer = self.buffer[9 + size:]
        if kind == frames.SETTINGS and not flags & frames.ACK:
            self.sock.sendall(frames.frame(frames.SETTINGS, frames.ACK))
        return kind, flags, stream


class Client(Connection):
    def __init__(self, sock):
        super().__init__(sock, frames.PREFACE + frames.settings() + WIDE)
        self.stream = -1

    def ask(self, times):
        for _ in range(times):
            self.stream += 2
            self.sock.sendall(frames.headers(self.stream, REQUEST) + frames.data(self.stream, MESSAGE, end=True))
            while True:
                got = self.read()
                if got is None or got[0] in (frames.RST_STREAM, frames.GOAWAY):
                    raise RuntimeError(f"no answer: {got}")
                if got[0] in (frames.HEADERS, frames.DATA) and got[1] & frames.END_STREAM:
                    break


def answer(sock):
    preface = b""
    while len(preface) < len(frames.PREFACE):
        preface += sock.recv(len(frames.PREFACE) - len(preface))
    connection = Connection(sock, frames.settings() + WIDE)
    while (got := connection.read()) is not None:
        kind, flags, stream = got
        if kind in (frames.HEADERS, frames.DATA) and flags & frames.END_STREAM:
            sock.sendall(frames.headers(stream, RESPONSE) + frames.data(stream, MESSAGE) + frames.headers(stream, TRAILERS, end=True))


def serve():
    """Listens; the port. Ends with the process."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


class Certificates:
    """A CA and a certificate for either end, in `folder`: mutual TLS for a listener, and for those who connect to it."""

    def __init__(self, folder):
        self.files = make_certificates(folder, "p256")

    def downstream(self):
        """The transport socket of a listener."""
        def file(name):
            return {"filename": self.files[name]}
        return {"name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": True, "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_certificates": [{"certificate_chain": file("server_pem"), "private_key": file("server_key")}],
                "validation_context": {"trusted_ca": file("ca_pem")}}}}

    def client(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.files["ca_pem"])
        context.load_cert_chain(self.files["client_pem"], self.files["client_key"])
        context.set_alpn_protocols(["h2"])
        return context
