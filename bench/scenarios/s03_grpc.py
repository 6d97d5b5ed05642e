"""S3: unary gRPC, h2 → h2, 16 connections × 32 streams.

Windows: 64 KiB a stream, 1 MiB a connection where there is such a setting. 1 KiB up, 1 KiB and trailers down."""

import pathlib

from suite import http
from suite.bench import per_request


def run(bench):
    body = pathlib.Path(bench.peers.cwd) / "message"
    body.write_bytes(b"\0\0\0\3\xfb" + b"x" * 1019)
    connections, streams = bench.pick((2, 8), (16, 32), (16, 32))
    with bench.peers.grpc_backend() as backend:
        def load(proxy, seconds):
            return bench.loads.h2(f"http://127.0.0.1:{proxy.port}/unary", seconds, connections, streams, body)
        bench.compare("unary gRPC", http.start_all(bench, "grpc", backend.port, floor=True),
                      lambda p: per_request([p], lambda: load(p, bench.seconds), backend), warm=lambda p: load(p, 1))
