"""Load generators: each call is one run, pinned beside the backend, and returns what it completed. Their own CPU is `load`."""

import json
import pathlib
import re
import subprocess

from . import machine
from .machine import LOAD_CPU, TICKS
from .process import Failed

CONNECTIONS = 32


class Loads:
    """`tools`: the folder of our own programs."""

    def __init__(self, tools):
        self.tools = pathlib.Path(tools)

    def wrk(self, url, seconds, connections=CONNECTIONS, headers=(), script=None, prefix=()):
        """HTTP/1.1, closed loop. Latencies of a closed loop are not reported: a stalled server stops its questions."""
        argv = ["wrk", "-t1", f"-c{connections}", f"-d{_whole(seconds)}s", "--timeout", "10s"]
        for header in headers:
            argv += ["-H", header]
        if script:
            argv += ["-s", script]
        out, cpu = _run([*prefix, *argv, url])
        errors = re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", out)
        if errors:
            raise Failed(f"the load met errors: {errors.group(0)}")
        return {"completed": int(re.search(r"(\d+) requests in", out).group(1)),
                "rate": float(re.search(r"Requests/sec:\s+(\S+)", out).group(1)), "load_seconds": cpu}

    def open_loop(self, address, rate, seconds, backend, connections=CONNECTIONS, host="bench", prefix=()):
        """HTTP/1.1 at a fixed rate, latencies from the intended start."""
        with machine.punctual(backend) as first:
            return self._own([*prefix, *first, self.tools / "bench_open_loop", address, rate, connections, seconds, host])

    def h2(self, url, seconds, connections, streams, body):
        """Unary gRPC's shape: POST, a small body, trailers in the answer."""
        out, cpu = _run(["h2load", "-t1", f"-c{connections}", f"-m{streams}", "-D", str(_whole(seconds)), "-d", body,
                         "-H", "content-type: application/grpc", "-H", "te: trailers", url])
        done, failed = (int(re.search(rf"(\d+) {word}", out).group(1)) for word in ("succeeded", "failed"))
        if failed or not done:
            raise Failed(f"the load met errors: {re.search('requests: .*', out).group(0)}")
        return {"completed": done, "rate": float(re.search(r"finished in .*?, (\S+) req/s", out).group(1)), "load_seconds": cpu}

    def pingpong(self, port, seconds, size=128, connections=CONNECTIONS):
        return self._own([self.tools / "bench_tcp", "pingpong", port, connections, seconds, size])

    def bulk(self, port, seconds, connections=4):
        """completed is in GiB."""
        result = self._own([self.tools / "bench_tcp", "bulk", port, connections, seconds])
        return {**result, "completed": result["completed"] / 2**30, "rate": result["rate"] / 2**30}

    def handshakes(self, port, seconds, certificates, resumed, threads=4):
        files = [certificates[k] for k in ("client_pem", "client_key", "ca_pem")]
        result = self._own([self.tools / "bench_tls", "churn", port, *files, threads, seconds, "resumed" if resumed else "full"])
        if resumed and result["resumed"] < 0.99 * result["completed"]:
            raise Failed(f"only {result['resumed']} of {result['completed']} handshakes were resumed")
        return result

    def _own(self, argv):
        out, cpu = _run(argv)
        result = json.loads(out)
        return {**result, "rate": result["completed"] / result["seconds"], "load_seconds": cpu}


def _whole(seconds):
    return max(1, round(seconds))


def _run(argv):
    """Output and CPU seconds of a program on the load's core."""
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(LOAD_CPU), *map(str, argv)],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        out = process.stdout.read()  # until its end; it has not been waited for, so /proc still tells what it used
        fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    finally:
        process.kill()
        process.wait()
    if process.returncode and process.returncode != -9:
        raise Failed(f"{pathlib.Path(str(argv[0])).name} ended with {process.returncode}: {out[-300:].strip()}")
    return out, (int(fields[11]) + int(fields[12])) / TICKS
