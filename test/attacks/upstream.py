"""The upstream, hostile or not: a test says what each connection gets, and sees what came."""

import select
import socket
import threading

from frames import Peer, settings


class Upstream:
    """Listens as long as the tests run. `script(Conversation)` runs for each connection, in a thread of its own."""

    def __init__(self, port):
        self._socket = socket.create_server(("127.0.0.1", port), backlog=1024)
        self.script = None
        self.connections = []
        threading.Thread(target=self._accept, daemon=True).start()

    def reset(self, script):
        """The next test: all connections of the last one go."""
        self.script = script
        for conversation in self.connections:
            conversation.close()
        self.connections = []

    def received(self):
        """All bytes that came, of each connection."""
        return [bytes(c.received) for c in self.connections]

    def _accept(self):
        while True:
            sock, _ = self._socket.accept()
            conversation = Conversation(sock)
            self.connections.append(conversation)
            threading.Thread(target=self._run, args=(conversation, self.script), daemon=True).start()

    @staticmethod
    def _run(conversation, script):
        try:
            script(conversation)
        except OSError:
            pass
        finally:
            conversation.close()


class Conversation:
    """A connection from the proxy, with a tap on what it sends."""

    def __init__(self, sock):
        self.sock = sock
        self.received = bytearray()
        self._taken = 0
        self.requests = 0

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()

    def send(self, bytes_):
        self.sock.sendall(bytes_)

    def more(self, timeout=None):
        """False at the end, or when nothing came in time."""
        if timeout is not None and not select.select([self.sock], [], [], timeout)[0]:
            return False
        got = self.sock.recv(65536)
        self.received += got
        return bool(got)

    def head(self):
        """The next request's head; None at the end. Framing is the script's to read."""
        while (end := self.received.find(b"\r\n\r\n", self._taken)) < 0:
            if not self.more():
                return None
        head = bytes(self.received[self._taken:end + 4])
        self._taken = end + 4
        self.requests += 1
        return head

    def body(self, head):
        """The body that the head declares."""
        lower = head.lower()
        if b"\r\ntransfer-encoding: chunked\r\n" in lower:
            out = b""
            while True:
                size = int(self._line(), 16)
                piece = self._exactly(size + 2)[:-2]
                if not size:
                    return out
                out += piece
        if b"\r\ncontent-length: " in lower:
            return self._exactly(int(lower.split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0]))
        return b""

    def _line(self):
        while (end := self.received.find(b"\r\n", self._taken)) < 0:
            if not self.more():
                raise ConnectionResetError
        line = bytes(self.received[self._taken:end])
        self._taken = end + 2
        return line

    def _exactly(self, size):
        while len(self.received) - self._taken < size:
            if not self.more():
                raise ConnectionResetError
        piece = bytes(self.received[self._taken:self._taken + size])
        self._taken += size
        return piece

    def h2(self, *pairs):
        """The same connection, spoken to in frames."""
        return Peer(self.sock, settings(*pairs))


def good_http1(body=b"fine"):
    """Answers every request, after its body."""
    def script(connection):
        while head := connection.head():
            connection.body(head)
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + (b"" if head.startswith(b"HEAD") else body))
    return script


def requests(connection, whole=False):
    """(the connection, a stream) for each request that comes; `whole`: when it has ended."""
    peer, done = connection.h2(), set()
    there = lambda: (peer.ended if whole else set(peer.heads)) - done
    while peer.until(lambda: peer.closed or there(), 30) and not peer.closed:
        for stream in there():
            done.add(stream)
            yield peer, stream
