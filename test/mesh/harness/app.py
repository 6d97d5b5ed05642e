"""The application inside a test pod: threads of the test process that listen in the pod's namespace.

HTTP ports answer with what they saw, as JSON. The path asks for more:
  /status/503[/...]   that status              /delay/1.5[/...]   after so many seconds
  /bytes/100000       so many bytes of body    /close             ends the connection without an answer
  /raw/...            the bytes given to App.raw
  /flaky/KEY/2        503 for the first two requests with this KEY, then 200
TCP ports echo each line with the pod's name before it; a "server-first" port greets.
"""

import collections
import contextlib
import json
import socket
import threading
import time

from . import netns


class App:
    def __init__(self, name, ns):
        self.name = name
        self.ns = ns
        self.requests = []  # dicts, as answered
        self.connections = 0
        self.raw = b""
        self._flaky = collections.Counter()
        self._lock = threading.Lock()
        self._listeners = collections.defaultdict(list)  # port → sockets
        self._open = collections.defaultdict(set)  # port → connections

    def listen(self, port, protocol="http", addresses=("0.0.0.0",)):
        serve = {"http": self._serve_http, "tcp": self._serve_tcp, "server-first": self._serve_first}[protocol]
        for address in addresses:
            with netns.entered(self.ns):
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                listener = socket.create_server((address, port), family=family, backlog=512)
            self._listeners[port].append(listener)
            threading.Thread(target=self._accept, args=(port, listener, serve), daemon=True).start()

    def stop(self, port=None):
        """Closes one port, or all, and its connections: nobody is behind it then."""
        for number in [port] if port else list(self._listeners):
            listeners = self._listeners.pop(number)
            for sock in [*listeners, *self._open.pop(number, ())]:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for listener in listeners:
                listener.close()

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
        with sock, contextlib.suppress(OSError, ValueError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            serve(sock, peer)
        self._open[port].discard(sock)

    def _serve_tcp(self, sock, peer):
        for line in sock.makefile("rb"):
            sock.sendall(f"{self.name} {peer[0]} ".encode() + line)

    def _serve_first(self, sock, peer):
        sock.sendall(f"welcome to {self.name}\n".encode())
        self._serve_tcp(sock, peer)

    def _serve_http(self, sock, peer):
        stream = sock.makefile("rb")
        while line := stream.readline():
            method, path, version = line.decode("latin-1").rstrip("\r\n").split(" ")
            headers = []
            while (field := stream.readline()) not in (b"\r\n", b""):
                name, value = field.decode("latin-1").rstrip("\r\n").split(":", 1)
                headers.append((name, value.strip()))
            lower = {n.lower(): v for n, v in headers}
            if lower.get("expect", "").lower() == "100-continue":
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

    def _answer(self, sock, peer, method, path, version, headers, body):
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
        elif command == "close":
            return False
        elif command == "raw":
            sock.sendall(self.raw)
            return False
        if status in (204, 304):
            payload = b""
        length = "" if status == 204 else f"content-length: {len(payload)}\r\n"
        head = (f"HTTP/1.1 {status} {'OK' if status == 200 else 'Status'}\r\ncontent-type: {kind}\r\n"
                f"{length}x-app: {self.name}\r\n\r\n")
        sock.sendall(head.encode() + (b"" if method == "HEAD" else payload))
        return True
