"""Peers that a test scripts: TCP servers and a DNS server."""

import asyncio
import contextlib
import socket
import struct
import threading

from harness import netns


class Scripted:
    """A TCP server: a test accepts its connections and does with them what it wants, or gives a function for each."""

    def __init__(self, lab, serve=None):
        self.port = lab.free_port()
        self.accepted = 0
        with netns.entered(lab.ns):
            self._listener = socket.create_server(("0.0.0.0", self.port), backlog=1000)
        if serve:
            threading.Thread(target=self._run, args=(serve,), daemon=True).start()

    def accept(self, timeout=5.0):
        self._listener.settimeout(timeout)
        sock = self._listener.accept()[0]
        sock.settimeout(timeout)
        return sock

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self, serve):
        with contextlib.suppress(OSError):
            while True:
                sock = self._listener.accept()[0]
                self.accepted += 1
                threading.Thread(target=self._guarded, args=(serve, sock), daemon=True).start()

    @staticmethod
    def _guarded(serve, sock):
        with sock, contextlib.suppress(OSError):
            serve(sock)


def read_head(sock):
    """A request's head, or nothing at the end."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = sock.recv(65536)
        if not data:
            return b""
        head += data
    return head


def reset(sock):
    """Ends a connection by RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Gathering:
    """An application that answers when `count` requests are there, all of them, and then keeps their connections."""

    def __init__(self, lab, count):
        self.port, self.here, self.ended = lab.free_port(), 0, 0
        self._count = count
        ready = threading.Event()
        threading.Thread(target=self._run, args=(lab.ns, ready), daemon=True).start()
        ready.wait()

    def _run(self, ns, ready):
        async def main():
            self._all = asyncio.Event()
            async with await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=self._count):
                ready.set()
                await asyncio.Event().wait()
        with netns.entered(ns):
            asyncio.run(main())

    async def _serve(self, reader, writer):
        with contextlib.suppress(OSError, EOFError):
            await reader.readuntil(b"\r\n\r\n")
            self.here += 1
            if self.here == self._count:
                self._all.set()
            await self._all.wait()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            await reader.read()
        self.ended += 1
        writer.close()


class Dns:
    """Answers A queries on 127.0.0.1:53 of the lab as `mode` says; everything else has no records."""

    def __init__(self, lab, addresses):
        self.addresses, self.mode, self.queries, self.ttl = addresses, "good", 0, 0
        with netns.entered(lab.ns):
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.bind(("127.0.0.1", 53))
            self._tcp = socket.create_server(("127.0.0.1", 53))
            self._wrong = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._wrong.bind(("127.0.0.2", 53))
        threading.Thread(target=self._serve_udp, daemon=True).start()
        threading.Thread(target=self._serve_tcp, daemon=True).start()

    def close(self):
        for sock in (self._udp, self._tcp, self._wrong):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _serve_udp(self):
        with contextlib.suppress(OSError):
            while True:
                query, peer = self._udp.recvfrom(4096)
                self.queries += 1
                with contextlib.suppress(IndexError, struct.error):  # no query
                    for sock, answer in self._answers(query, False):
                        sock.sendto(answer, peer)

    def _serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                sock = self._tcp.accept()[0]
                with sock, contextlib.suppress(OSError):
                    while head := sock.recv(2):
                        query = sock.recv(struct.unpack(">H", head)[0])
                        for _, answer in self._answers(query, True):
                            sock.sendall(struct.pack(">H", len(answer)) + answer)

    def _answers(self, query, tcp):
        """[(socket, bytes)]"""
        number, mode = query[:2], self.mode
        end = 12
        while query[end]:
            end += query[end] + 1
        question = query[12:end + 5]
        kind = struct.unpack(">H", query[end + 1:end + 3])[0]

        def message(flags, records, question=question, number=number):
            return number + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)

        def record(data, kind=1, name=b"\xc0\x0c"):
            return name + struct.pack(">HHIH", kind, 1, self.ttl, len(data)) + data
        good = [record(socket.inet_aton(a)) for a in self.addresses] if kind == 1 else []
        poison = [record(socket.inet_aton("127.0.0.66"))] if kind == 1 else []
        if mode == "silent":
            return []
        answers = {
            "good": [message(0x8180, good)],
            "NXDOMAIN": [message(0x8183, [])],
            "SERVFAIL": [message(0x8182, [])],
            "empty": [message(0x8180, [])],
            "wrong id": [message(0x8180, poison, number=bytes([number[0] ^ 0xff, number[1]]))],
            "wrong question": [message(0x8180, poison, question=b"\4evil\4test\0" + question[-4:])],
            "loop of names": [message(0x8180, [record(question[:-4], kind=5)])],
            "garbage": [number + b"\x81\x80" + b"\xff" * 50],
            "half a record": [message(0x8180, good)[:-2]],
            "pointer to itself": [message(0x8180, [record(b"\x7f\0\0\x42", name=b"\xc0" + bytes([len(question) + 12]))])],
        }.get(mode)
        if mode == "truncated":
            return [(self._udp, message(0x8180, good) if tcp else message(0x8380, []))]
        if mode == "wrong sender":
            return [(self._wrong, message(0x8180, poison))]
        return [(self._udp, a) for a in answers]
