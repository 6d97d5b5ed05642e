"""A plain HTTP/1.1 client that shows what was on the wire, for tests of a proxy: no redirects, no pooling, no repairs."""

import dataclasses
import json
import socket
import time


class Headers(list):
    """(name, value) pairs as received; look-up by name ignores case and joins repeated fields with commas."""

    def __getitem__(self, key):
        if isinstance(key, (int, slice)):
            return super().__getitem__(key)
        value = self.get(key)
        if value is None:
            raise KeyError(f"{key} not in {list(self)}")
        return value

    def __contains__(self, name):
        return self.get(name) is not None

    def get(self, name, default=None):
        values = [v for n, v in self if n.lower() == name.lower()]
        return ",".join(values) if values else default

    def names(self):
        return [n.lower() for n, _ in self]


@dataclasses.dataclass
class Seen:
    """A request as the application saw it."""
    method: str
    path: str
    headers: Headers
    body: str
    peer: str
    app: str
    protocol: str


@dataclasses.dataclass
class Response:
    status: int
    reason: str
    headers: Headers
    body: bytes
    seconds: float = 0.0

    @property
    def text(self):
        return self.body.decode(errors="replace")

    @property
    def app(self):
        """What the test application says it saw; fails when the answer is not its own."""
        try:
            fields = json.loads(self.body)
            return Seen(**{**fields, "headers": Headers(map(tuple, fields["headers"]))})
        except (ValueError, TypeError, KeyError) as e:
            raise AssertionError(f"no answer of the application, but {self.status} {self.text[:300]!r}") from e


class Closed(AssertionError):
    """The connection ended before a whole response came; `received` is what did."""

    def __init__(self, received, why):
        super().__init__(f"connection closed ({why}) after {received[:200]!r}")
        self.received = received


class Connection:
    """One client connection; several requests can follow each other on it."""

    def __init__(self, sock):
        self.sock = sock
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)

    def request(self, method, path, host, headers=(), body=None):
        lines = [f"{method} {path} HTTP/1.1", f"host: {host}"]
        items = list(headers.items() if isinstance(headers, dict) else headers)
        lines += [f"{n}: {v}" for n, v in items]
        if body is not None and not any(n.lower() == "content-length" for n, _ in items):
            lines.append(f"content-length: {len(body)}")
        began = time.monotonic()
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b""))
        response = self.read_response(head=method == "HEAD")
        response.seconds = time.monotonic() - began
        return response

    def read_response(self, head=False, interim=False):
        """The next final response; interim ones are passed over, or with `interim` count as well."""
        while True:
            while b"\r\n\r\n" not in self._buffer:
                self._more()
            block, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
            first, *rest = block.decode("latin-1").split("\r\n")
            version, status, *reason = first.split(" ", 2)
            if not version.startswith("HTTP/1."):
                raise AssertionError(f"not an HTTP/1 response: {first!r}")
            headers = Headers((n, v.strip()) for n, v in (line.split(":", 1) for line in rest))
            if interim or status == "101" or not status.startswith("1"):
                break
        body = b"" if head or status[0] == "1" or status in ("204", "304") else self._body(headers)
        return Response(int(status), reason[0] if reason else "", headers, body)

    def read_to_end(self):
        """Everything until the peer closes."""
        try:
            while True:
                self._more()
        except Closed:
            pass
        data, self._buffer = self._buffer, b""
        return data

    def closed_by_peer(self, timeout=10.0):
        """True when the peer ends the connection, with nothing more to read, within `timeout`."""
        self.sock.settimeout(timeout)
        try:
            return not self._buffer and not self.sock.recv(1)
        except (ConnectionResetError, BrokenPipeError):
            return True
        except TimeoutError:
            return False

    def heard_nothing(self, seconds):
        """True when not a byte comes for so long."""
        if self._buffer:
            return False
        self.sock.settimeout(seconds)
        try:
            self._more()
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(20)
        return False

    def _more(self):
        try:
            data = self.sock.recv(65536)
        except ConnectionResetError:
            raise Closed(self._buffer, "reset") from None
        if not data:
            raise Closed(self._buffer, "end of stream")
        self._buffer += data

    def exactly(self, size):
        """So many bytes."""
        while len(self._buffer) < size:
            self._more()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _line(self):
        while b"\r\n" not in self._buffer:
            self._more()
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line

    def _body(self, headers):
        if (headers.get("transfer-encoding") or "").lower() == "chunked":
            parts = []
            while size := int(self._line().split(b";")[0], 16):
                parts.append(self.exactly(size))
                self._line()
            while self._line():
                pass
            return b"".join(parts)
        if "content-length" in headers:
            return self.exactly(int(headers["content-length"]))
        return self.read_to_end()


def half_close(sock):
    sock.shutdown(socket.SHUT_WR)
