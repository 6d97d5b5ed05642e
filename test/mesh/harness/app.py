"""The application inside a test pod: threads of the test process that listen in the pod's namespace.

HTTP ports answer with what they saw, as JSON. The path asks for more:
  /status/503[/...]   that status              /delay/1.5[/...]   after so many seconds
  /bytes/100000       so many bytes of body    /close             ends the connection without an answer
  /raw/...            the bytes given to App.raw
  /flaky/KEY/2        503 for the first two requests with this KEY, then 200
  …/ledger/ID         what load.payload says; counted in App.ledger and nowhere else
HTTP/1 ports alone:
  /early/413          that status before the body is read, which is then read and dropped
  /early-close/413    the same, and the connection is closed at once
  /refuse/417         that status instead of 100 Continue         /mute      no 100 Continue
  /websocket          101 and a greeting, then every byte comes back (/websocket/bye: the end); /no-websocket answers 426
TCP ports echo each line with the pod's name before it; a "server-first" port greets; "closes-first" says goodbye, ends its
side, and reads on. "tls" is HTTP/1 over TLS, "http2" HTTP/2 without TLS, "grpc" a program: grpc_peer.py. "proxied",
"proxied-tls" and "proxied-tcp" want a PROXY header first, and believe it.
"""

import collections
import contextlib
import functools
import json
import pathlib
import socket
import ssl
import subprocess
import tempfile
import threading
import time

from . import netns
from .client import Closed
from .h2 import Http2
from .load import payload as ledger_payload
from .procs import Process, wait_for

GRPC_PEER = ["/usr/bin/python3", pathlib.Path(__file__).with_name("grpc_peer.py")]  # Debian's, which has Debian's grpcio


class App:
    def __init__(self, name, ns):
        self.name = name
        self.ns = ns
        self.requests = []  # dicts, as answered
        self.connections = 0
        self.raw = b""
        self.headers = []  # PROXY headers
        self.ledger = collections.Counter()  # id → how often it came
        self._flaky = collections.Counter()
        self._lock = threading.Lock()
        self._listeners = collections.defaultdict(list)  # port → sockets
        self._open = collections.defaultdict(set)  # port → connections
        self._programs = []

    def listen(self, port, protocol="http", addresses=("0.0.0.0",)):
        if protocol == "grpc":
            return self._run_grpc(port)
        serve = {"http": self._serve_http, "tcp": self._serve_tcp, "server-first": self._serve_first,
                 "closes-first": self._close_first, "tls": self._serve_tls, "http2": self._serve_http2,
                 "proxied": self._proxied(self._serve_http), "proxied-tls": self._proxied(self._serve_tls),
                 "proxied-tcp": self._proxied(self._serve_tcp)}[protocol]
        for address in addresses:
            with netns.entered(self.ns):
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                listener = socket.create_server((address, port), family=family, backlog=512)
            self._listeners[port].append(listener)
            threading.Thread(target=self._accept, args=(port, listener, serve), daemon=True).start()

    def ports(self):
        return set(self._listeners)

    def stop(self, port=None):
        """Closes one port, or all, and its connections: nobody is behind it then."""
        for number in [port] if port else list(self._listeners):
            listeners = self._listeners.pop(number)
            for sock in [*listeners, *self._open.pop(number, ())]:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for listener in listeners:
                listener.close()
        if not port:
            for program in self._programs:
                program.stop()

    def saw(self, path):
        """The requests with this path, as dicts."""
        return [r for r in list(self.requests) if r["path"].split("?")[0] == path]

    def _accept(self, port, listener, serve):
        while True:
            try:
                sock, peer = listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open[port].add(sock)
            threading.Thread(target=self._guarded, args=(port, serve, sock, peer), daemon=True).start()

    def _guarded(self, port, serve, sock, peer):
        with sock, contextlib.suppress(OSError, ValueError, Closed):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            serve(sock, peer)
        self._open[port].discard(sock)

    def _serve_tcp(self, sock, peer):
        for line in sock.makefile("rb"):
            sock.sendall(f"{self.name} {peer[0]} ".encode() + line)

    def _serve_first(self, sock, peer):
        sock.sendall(f"welcome to {self.name}\n".encode())
        self._serve_tcp(sock, peer)

    def _close_first(self, sock, peer):
        sock.sendall(b"goodbye\n")
        sock.shutdown(socket.SHUT_WR)
        self.requests.append({"path": "after goodbye", "body": sock.makefile("rb").read().decode()})

    def _proxied(self, serve):
        """`serve` for the connection of whom a PROXY header names."""
        def told(sock, _):
            header = sock.recv(16, socket.MSG_WAITALL)
            if header.startswith(b"PROXY "):
                while not header.endswith(b"\r\n"):
                    header += sock.recv(1) or b"\r\n"
                source = header.split()[2].decode()
            elif header.startswith(b"\r\n\r\n\0\r\nQUIT\n"):
                header += sock.recv(int.from_bytes(header[14:], "big"), socket.MSG_WAITALL)
                source = socket.inet_ntop(socket.AF_INET, header[16:20])
            else:
                raise ValueError("no PROXY header")
            self.headers.append(header)
            serve(sock, (source, 0))
        return told

    def _serve_tls(self, sock, peer):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate())
        context.set_alpn_protocols(["http/1.1"])
        with context.wrap_socket(sock, server_side=True) as tls:
            self._serve_http(tls, peer)

    def _serve_http2(self, sock, peer):
        def answer(method, path, headers, body):
            status, payload, kind = self._response(peer, method, path, "HTTP/2", headers, body)
            return status, [("content-type", kind), ("content-length", str(len(payload))), ("x-app", self.name)], payload
        Http2(sock, client=False).serve(answer)

    def _run_grpc(self, port):
        log = pathlib.Path(tempfile.gettempdir()) / f"{self.ns}-grpc-{port}.log"
        self._programs.append(Process(f"{self.name}/grpc", [*GRPC_PEER, "serve", port], self.ns, log))

        def listening():
            with netns.connect(self.ns, ("127.0.0.1", port), 1.0):
                return True
        wait_for(f"the gRPC service of {self.name}", listening, explain=self._programs[-1].explain)
        log.unlink()

    def _serve_http(self, sock, peer):
        stream = sock.makefile("rb")
        while line := stream.readline():
            method, path, version = line.decode("latin-1").rstrip("\r\n").split(" ")
            headers = []
            while (field := stream.readline()) not in (b"\r\n", b""):
                name, value = field.decode("latin-1").rstrip("\r\n").split(":", 1)
                headers.append((name, value.strip()))
            lower = {n.lower(): v for n, v in headers}
            command, *arguments = path.split("?")[0].lstrip("/").split("/")
            if command in ("early", "early-close", "refuse"):
                sock.sendall(f"HTTP/1.1 {arguments[0]} Early\r\ncontent-length: 6\r\nx-app: {self.name}\r\n\r\nearly\n".encode())
                if command == "early":
                    self._read_body(stream, lower)
                    continue
                return
            if command in ("websocket", "no-websocket"):
                return self._websocket(sock, stream, command, path, headers)
            if lower.get("expect", "").lower() == "100-continue" and command != "mute":
                sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = self._read_body(stream, lower)
            if not self._answer(sock, peer, method, path, version, headers, body):
                return
            if lower.get("connection", "").lower() == "close" or version == "HTTP/1.0":
                return

    @staticmethod
    def _read_body(stream, headers):
        if headers.get("transfer-encoding", "").lower() == "chunked":
            parts = []
            while size := int(stream.readline().split(b";")[0], 16):
                parts.append(stream.read(size))
                stream.readline()
            while stream.readline() not in (b"\r\n", b""):
                pass
            return b"".join(parts)
        return stream.read(int(headers.get("content-length", 0)))

    def _websocket(self, sock, stream, command, path, headers):
        self.requests.append({"path": path, "headers": headers})
        if command == "no-websocket":
            sock.sendall(b"HTTP/1.1 426 Upgrade Required\r\nupgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 3\r\n\r\nno\n")
            return
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                     b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\nwelcome\n")
        while not path.endswith("/bye") and (data := stream.read1()):
            sock.sendall(data)

    def _response(self, peer, method, path, version, headers, body):
        """(status, body, content type) of what the path asks for."""
        if "/ledger/" in path:
            number = int(path.rsplit("/", 1)[1])
            self.ledger[number] += 1
            return 200, ledger_payload(self.name, number, len(body)), "text/plain"
        seen = {"method": method, "path": path, "headers": headers, "body": body.decode("latin-1"),
                "peer": peer[0], "app": self.name, "protocol": version}
        self.requests.append(seen)
        status, payload, kind = 200, json.dumps(seen).encode(), "application/json"
        command, *arguments = path.split("?")[0].lstrip("/").split("/")
        if command == "status":
            status = int(arguments[0])
        elif command == "delay":
            time.sleep(float(arguments[0]))
        elif command == "bytes":
            payload, kind = b"x" * int(arguments[0]), "application/octet-stream"
        elif command == "flaky":
            with self._lock:
                self._flaky[arguments[0]] += 1
                status = 503 if self._flaky[arguments[0]] <= int(arguments[1]) else 200
        if status in (204, 304):
            payload = b""
        return status, b"" if method == "HEAD" and version == "HTTP/2" else payload, kind

    def _answer(self, sock, peer, method, path, version, headers, body):
        status, payload, kind = self._response(peer, method, path, version, headers, body)
        command = path.split("?")[0].lstrip("/").split("/")[0]
        if command == "close":
            return False
        if command == "raw":
            sock.sendall(self.raw)
            return False
        length = "" if status == 204 else f"content-length: {len(payload)}\r\n"
        head = (f"HTTP/1.1 {status} {'OK' if status == 200 else 'Status'}\r\ncontent-type: {kind}\r\n"
                f"{length}x-app: {self.name}\r\n\r\n")
        sock.sendall(head.encode() + (b"" if method == "HEAD" else payload))
        return True


@functools.cache
def certificate():
    """A key and a certificate of the applications' own, which the mesh knows nothing of."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="clew-app-tls-"))
    key, chain = directory / "key.pem", directory / "chain.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", "/CN=application", "-keyout", key, "-out", chain], check=True, capture_output=True)
    return chain, key
