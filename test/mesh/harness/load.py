"""A load with a ledger: each request has an id of its own, and what became of it is known in the end.

The answer of App's /ledger/ID is checked to the byte, and App counts what arrives. So a request is answered, lost (no correct
answer), duplicated (arrived twice), corrupted (an answer that is not its own) or misrouted (answered by whom it was not for).
"""

import asyncio
import collections
import threading
import time

from . import netns


def payload(app, number, length=0):
    """What App answers to /ledger/NUMBER with a body of `length` bytes."""
    return f"{app} {number} {length} ".encode() + b"%08d" % number * (number % 64)


class Ledger:
    def __init__(self):
        self.answered = 0
        self.statuses = collections.Counter()
        self.lost = []        # (id, why)
        self.corrupted = []   # (id, what came)
        self.misrouted = []   # (id, whom it was for, who answered)
        self.seconds = []     # of each correct answer
        self.connections = 0  # opened

    def duplicated(self, *apps):
        """Ids that arrived more than once, at any of these."""
        seen = collections.Counter()
        for app in apps:
            seen.update(app.ledger)
        return [number for number, count in seen.items() if count > 1]

    def percentile(self, p):
        """In milliseconds."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))] if ordered else float("nan")

    def __str__(self):
        return (f"{self.answered} answered, {len(self.lost)} lost, {len(self.corrupted)} corrupted, {len(self.misrouted)} misrouted, "
                f"p50 {self.percentile(50):.1f} ms, p99 {self.percentile(99):.1f} ms")

    def check(self, *apps, duplicates=False):
        """Nothing lost, corrupted or misrouted; nor, with the apps given, duplicated (unless `duplicates` may be)."""
        problems = {"lost": self.lost, "corrupted": self.corrupted, "misrouted": self.misrouted}
        if not duplicates:
            problems["duplicated"] = self.duplicated(*apps)
        assert not any(problems.values()), {k: (len(v), v[:5]) for k, v in problems.items() if v}
        assert self.answered > 0


class Load:
    """`with Load(...) as load`: `rate` requests a second over `connections` keep-alive connections, from a thread of its own.

    `target(number)` → (path prefix, the app that must answer). A connection that the peer ended between two requests, or said
    it would end, is made again: nothing is lost by that.
    """

    _numbers = iter(range(1, 1 << 60))  # of the whole session, so that an app can tell them apart

    def __init__(self, ns, address, host, target, rate=200, connections=8, method="GET", source=None, timeout=20.0):
        self.ledger = Ledger()
        self._ns, self._address, self._host, self._target = ns, address, host, target
        self._pace, self._connections, self._method = connections / rate, connections, method
        self._source, self._timeout = source, timeout
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stopping = True
        self._thread.join()

    def more(self, count):
        """Waits until so many more requests are settled."""
        def settled():
            return self.ledger.answered + len(self.ledger.lost) + len(self.ledger.corrupted) + len(self.ledger.misrouted)
        target = settled() + count
        while settled() < target and self._thread.is_alive():
            time.sleep(0.01)

    def _run(self):
        with netns.entered(self._ns):
            asyncio.run(self._all())

    async def _all(self):
        await asyncio.gather(*(self._one_connection(i) for i in range(self._connections)))

    async def _one_connection(self, index):
        loop = asyncio.get_running_loop()
        streams = None
        due = loop.time() + self._pace * index / self._connections
        while not self._stopping:
            await asyncio.sleep(max(0.0, due - loop.time()))
            due = max(due + self._pace, loop.time() - 1.0)  # what was missed longer ago is not made up for
            number = next(self._numbers)
            try:
                if streams is None or streams[0].at_eof() or streams[1].is_closing():
                    if streams:
                        streams[1].close()
                    self.ledger.connections += 1
                    streams = await asyncio.wait_for(asyncio.open_connection(*self._address, local_addr=self._source), self._timeout)
                keep = await asyncio.wait_for(self._request(number, *streams), self._timeout)
            except (OSError, EOFError, ValueError, asyncio.TimeoutError, asyncio.LimitOverrunError) as e:
                self.ledger.lost.append((number, repr(e)))
                keep = False
            if not keep and streams:
                streams[1].close()
                streams = None
        if streams:
            streams[1].close()

    async def _request(self, number, reader, writer):
        prefix, app = self._target(number)
        body = b"x" * (number % 5000) if self._method == "POST" else b""
        length = f"content-length: {len(body)}\r\n" if body else ""
        began = time.monotonic()
        writer.write(f"{self._method} {prefix}/ledger/{number} HTTP/1.1\r\nhost: {self._host}\r\n{length}\r\n".encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ", 2)[1])
        fields = {n.lower(): v.strip() for n, v in (line.split(":", 1) for line in head[1:] if line)}
        if fields.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(await reader.readuntil(b"\r\n"), 16):
                parts.append((await reader.readexactly(size + 2))[:-2])
            await reader.readexactly(2)
            answer = b"".join(parts)
        else:
            answer = await reader.readexactly(int(fields.get("content-length", 0)))
        self._settle(number, app, status, answer, len(body), time.monotonic() - began)
        return fields.get("connection") != "close"

    def _settle(self, number, app, status, answer, length, seconds):
        ledger = self.ledger
        ledger.statuses[status] += 1
        if status != 200:
            ledger.lost.append((number, f"{status} {answer[:100]!r}"))
        elif answer == payload(app, number, length):
            ledger.answered += 1
            ledger.seconds.append(seconds)
        elif (who := answer.split(b" ")[0].decode("latin-1")) != app and answer == payload(who, number, length):
            ledger.misrouted.append((number, app, who))
        else:
            ledger.corrupted.append((number, answer[:100]))
