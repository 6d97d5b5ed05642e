"""HTTP/2 by hand: frames that no library would send, on a plain socket, in either role."""

import collections
import select
import socket
import struct
import time

import hpack
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, HAS_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL, COMPRESSION_ERROR = 5, 6, 7, 8, 9
ENHANCE_YOUR_CALM = 11
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 3, 4, 5

_huffman = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)

Frame = collections.namedtuple("Frame", "type flags stream payload")


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in pairs))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def rst_stream(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def goaway(last, code=NO_ERROR):
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code))


def data(stream, payload=b"", end=False):
    return frame(DATA, END_STREAM if end else 0, stream, payload)


def headers(stream, block, end=False, more=False):
    return frame(HEADERS, (END_STREAM if end else 0) | (0 if more else END_HEADERS), stream, block)


def _length(n, prefix, first=0):
    """HPACK's integers, RFC 7541 5.1."""
    limit = (1 << prefix) - 1
    if n < limit:
        return bytes([first | n])
    out, n = [first | limit], n - limit
    while n >= 128:
        out.append(n % 128 + 128)
        n //= 128
    return bytes([*out, n])


def indexed(index):
    return _length(index, 7, 0x80)


def literal(name, value, remember=False, huffman=False):
    """A field whose name and value go as they are, whatever bytes they hold."""
    name, value = _bytes(name), _bytes(value)
    if huffman:
        value = _huffman.encode(value)
    return (b"\x40" if remember else b"\x00") + _length(len(name), 7) + name + _length(len(value), 7, 0x80 if huffman else 0) + value


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def block(*fields):
    return b"".join(literal(n, v) for n, v in fields)


def request(path="/", method="GET", *extra, authority="victim", scheme="http"):
    return block((":method", method), (":scheme", scheme), (":authority", authority), (":path", path), *extra)


class Peer:
    """One end of an HTTP/2 connection. Keeps what the other end sent; answers nothing unless told."""

    def __init__(self, sock, opening):
        self.sock = sock
        self._in = b""
        self._decoder = hpack.Decoder()
        self._decoder.max_header_list_size = 1 << 24
        self.frames = []
        self.closed = False
        self.heads = {}      # stream → the fields of its heads, one dict after the other
        self.bodies = collections.Counter()
        self.ended = set()   # streams with END_STREAM
        self.resets = {}     # stream → code
        self.goaways = []    # (last stream, code)
        self.send(opening)

    @classmethod
    def client(cls, port, *pairs, timeout=10.0):
        return cls(socket.create_connection(("127.0.0.1", port), timeout), PREFACE + settings(*pairs))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, bytes_, patience=10.0):
        """Sends what the other end takes; reads meanwhile, so that neither waits for the other. False: it is gone."""
        view, deadline = memoryview(bytes_), time.monotonic() + patience
        self.sock.setblocking(False)
        while view and not self.closed and time.monotonic() < deadline:
            readable, writable, _ = select.select([self.sock], [self.sock], [], 0.5)
            if readable:
                self._read()
            if writable:
                try:
                    view = view[self.sock.send(view):]
                except BlockingIOError:
                    pass
                except OSError:
                    self._drain()
        return not view and not self.closed

    def send_blindly(self, bytes_, patience=2.0):
        """Sends without ever reading, until the other end's socket is full for `patience` seconds or gone: how much went."""
        self.sock.settimeout(patience)
        sent = 0
        try:
            while sent < len(bytes_):
                sent += self.sock.send(bytes_[sent:sent + 65536])
        except (TimeoutError, OSError):
            pass
        return sent

    def until(self, condition, timeout=10.0):
        """Reads until the condition holds or the other end is gone; whether it holds."""
        deadline = time.monotonic() + timeout
        self.sock.setblocking(False)
        while not condition():
            left = deadline - time.monotonic()
            if self.closed or left <= 0:
                return bool(condition())
            if select.select([self.sock], [], [], left)[0]:
                self._read()
        return True

    def until_closed(self, timeout=10.0):
        return self.until(lambda: self.closed, timeout)

    def fate(self):
        """How it ended, for a table."""
        code = next((c for _, c in reversed(self.goaways) if c), None)
        return "open" if not self.closed else f"GOAWAY {code}" if code is not None else "closed"

    def status(self, stream):
        return next((int(h[":status"]) for h in reversed(self.heads.get(stream, [])) if ":status" in h), None)

    def _drain(self):
        while not self.closed:
            self._read()

    def _read(self):
        try:
            got = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            got = b""
        if not got:
            self.closed = True
            return
        self._in += got
        if self._in.startswith(PREFACE):
            self._in = self._in[len(PREFACE):]
        at = 0
        while len(self._in) - at >= 9:
            size = int.from_bytes(self._in[at:at + 3], "big")
            if len(self._in) - at < 9 + size:
                break
            kind, flags, stream = struct.unpack(">BBI", self._in[at + 3:at + 9])
            self._take(Frame(kind, flags, stream & 0x7fffffff, self._in[at + 9:at + 9 + size]))
            at += 9 + size
        self._in = self._in[at:]

    def _take(self, f):
        self.frames.append(f._replace(payload=f.payload[:64]))
        if f.type in (HEADERS, CONTINUATION):
            payload = f.payload[5:] if f.flags & HAS_PRIORITY else f.payload
            fields = {}
            for name, value in self._decoder.decode(payload, raw=True):
                name, value = name.decode("latin-1"), value.decode("latin-1")
                fields[name] = f"{fields[name]}, {value}" if name in fields else value
            self.heads.setdefault(f.stream, []).append(fields)
        elif f.type == DATA:
            self.bodies[f.stream] += len(f.payload)
        elif f.type == RST_STREAM:
            self.resets[f.stream] = int.from_bytes(f.payload, "big")
        elif f.type == GOAWAY:
            self.goaways.append(struct.unpack(">II", f.payload[:8]))
        if f.type in (HEADERS, DATA) and f.flags & END_STREAM:
            self.ended.add(f.stream)
