"""HTTP/2 without TLS, on Debian's python3-h2: the client and the server side of one connection, one stream at a time."""

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from .client import Closed, Headers, Response


class Http2:
    """Of `sock`; `client` says which side. Reads block until what is asked for is there."""

    def __init__(self, sock, client=True):
        self.sock = sock
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=client, header_encoding="latin-1"))
        self._h2.initiate_connection()
        self._events = []
        self._flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def _flush(self):
        if data := self._h2.data_to_send():
            self.sock.sendall(data)

    def _next(self):
        """The next event; what arrived is acknowledged, so that the other side may go on."""
        while not self._events:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                raise Closed(b"", "end of connection")
            self._events += self._h2.receive_data(data)
            for event in self._events:
                if isinstance(event, h2.events.DataReceived):
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self._flush()
        return self._events.pop(0)

    def send_body(self, stream, data):
        """The whole body and the end of the stream, as the other side's windows allow."""
        held = []  # what comes while the window is closed
        while data:
            size = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size, len(data))
            if size:
                self._h2.send_data(stream, data[:size])
                data = data[size:]
                self._flush()
                continue
            event = self._next()
            if isinstance(event, h2.events.StreamReset) and event.stream_id == stream:
                raise Closed(b"", f"RST_STREAM {event.error_code} while a body was being sent")
            held.append(event)
        self._events = held + self._events
        self._h2.end_stream(stream)
        self._flush()

    def request(self, method, path, authority, headers=(), body=None):
        """The response of a request that is sent whole; a stream that was reset raises Closed with the error's number."""
        stream = self.begin(method, path, authority, headers, end=body is None)
        if body is not None:
            self.send_body(stream, body)
        return self.read_response(stream)

    def begin(self, method, path, authority, headers=(), end=False):
        """Sends the head of a request; the stream's number."""
        stream = self._h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path), *headers]
        self._h2.send_headers(stream, head, end_stream=end)
        self._flush()
        return stream

    def read_response(self, stream):
        response = Response(0, "", Headers(), b"")
        response.trailers = Headers()
        while True:
            event = self._next()
            if isinstance(event, h2.events.ConnectionTerminated):
                raise Closed(b"", f"GOAWAY {event.error_code}")
            if getattr(event, "stream_id", None) != stream:
                continue
            if isinstance(event, h2.events.ResponseReceived):
                response.status = int(dict(event.headers)[":status"])
                response.headers = Headers((n, v) for n, v in event.headers if not n.startswith(":"))
            elif isinstance(event, h2.events.DataReceived):
                response.body += event.data
            elif isinstance(event, h2.events.TrailersReceived):
                response.trailers = Headers(event.headers)
            elif isinstance(event, h2.events.StreamReset):
                raise Closed(response.body, f"RST_STREAM {event.error_code}")
            elif isinstance(event, h2.events.StreamEnded):
                return response

    def serve(self, answer):
        """Calls answer(method, path, headers, body) → (status, headers, body, trailers) for each request, until the end."""
        requests = {}
        while True:
            event = self._next()
            if isinstance(event, h2.events.RequestReceived):
                pseudo = {n: v for n, v in event.headers if n.startswith(":")}
                fields = [(n, v) for n, v in event.headers if not n.startswith(":")]
                requests[event.stream_id] = [pseudo, fields, b""]
            elif isinstance(event, h2.events.DataReceived):
                requests[event.stream_id][2] += event.data
            elif isinstance(event, h2.events.StreamReset):
                requests.pop(event.stream_id, None)
            elif isinstance(event, h2.events.StreamEnded):
                pseudo, fields, body = requests.pop(event.stream_id)
                status, headers, payload = answer(
                    pseudo[":method"], pseudo[":path"], [("host", pseudo.get(":authority", "")), *fields], body)
                self._h2.send_headers(event.stream_id, [(":status", str(status)), *headers], end_stream=not payload)
                self._flush()
                if payload:
                    self.send_body(event.stream_id, payload)
