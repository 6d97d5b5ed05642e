"""S4: TCP passthrough: CPU per GiB, and per round trip of 128 bytes on 32 connections.

CPU of the bulk rows is µs per GiB."""

from suite import http
from suite.bench import per_request
from suite.machine import free_port
from suite.process import wait_until
import socket


def run(bench):
    port = free_port()
    with bench.peers.tool("bench_tcp", "serve", port) as server:
        wait_until("the echo server", lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None, process=server)
        starts = http.start_all(bench, "tcp", port, floor=True)
        bench.compare("128-byte round trips", starts,
                      lambda p: per_request([p], lambda: bench.loads.pingpong(p.port, bench.seconds), server))
        bench.compare("bulk", starts, lambda p: per_request([p], lambda: bench.loads.bulk(p.port, bench.seconds), server))
