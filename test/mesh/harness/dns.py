"""A DNS server that gives one address for every name and remembers what it was asked, and the client side."""

import socket
import struct
import threading

from . import netns

A, AAAA = 1, 28


class Server:
    """Answers over UDP and TCP at `address`, port 53, in namespace `ns`; A questions with `answer`, others with nothing."""

    def __init__(self, ns, address, answer):
        self.asked = []  # (name, who asked)
        self._answer = socket.inet_aton(answer)
        with netns.entered(ns):
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.bind((address, 53))
            self._tcp = socket.create_server((address, 53))
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in (self._udp, self._tcp):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # UDP is not connected; what waits in it is woken all the same
            sock.close()

    def _serve_udp(self):
        try:
            while True:
                question, peer = self._udp.recvfrom(4096)
                if not question:
                    return
                self._udp.sendto(self._reply(question, peer[0]), peer)
        except OSError:
            return

    def _serve_tcp(self):
        try:
            while True:
                connection, peer = self._tcp.accept()
                with connection:
                    connection.settimeout(5)
                    stream = connection.makefile("rb")
                    reply = self._reply(stream.read(struct.unpack("!H", stream.read(2))[0]), peer[0])
                    connection.sendall(struct.pack("!H", len(reply)) + reply)
        except OSError:
            return

    def _reply(self, question, peer):
        name, end = _read_name(question, 12)
        kind = struct.unpack_from("!H", question, end)[0]
        self.asked.append((name, peer))
        answers = b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 30, 4) + self._answer if kind == A else b""
        return question[:2] + struct.pack("!HHHHH", 0x8180, 1, bool(answers), 0, 0) + question[12:end + 4] + answers


def _read_name(message, at):
    labels = []
    while size := message[at]:
        labels.append(message[at + 1:at + 1 + size].decode())
        at += 1 + size
    return ".".join(labels), at + 1


def ask(ns, server, name, owner, tcp=False, timeout=10.0):
    """The IPv4 addresses that a process of this user and group gets for a name."""
    question = (struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
                + b"\0" + struct.pack("!HH", A, 1))
    if tcp:
        with netns.connect(ns, (server, 53), timeout, owner=owner) as sock:
            sock.sendall(struct.pack("!H", len(question)) + question)
            stream = sock.makefile("rb")
            reply = stream.read(struct.unpack("!H", stream.read(2))[0])
    else:
        with netns.entered(ns), netns.owned_by(*owner):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            sock.settimeout(timeout)
            sock.connect((server, 53))  # takes answers from there only
            sock.send(question)
            reply = sock.recv(4096)
    found, at = [], len(question)
    for _ in range(struct.unpack_from("!H", reply, 6)[0]):
        at = at + 2 if reply[at] >= 0xc0 else _read_name(reply, at)[1]
        kind, _, _, size = struct.unpack_from("!HHIH", reply, at)
        if kind == A:
            found.append(socket.inet_ntoa(reply[at + 10:at + 14]))
        at += 10 + size
    return found
