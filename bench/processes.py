"""Programs under measurement: started on one core, measured by what the kernel says they used."""
import os
import pathlib
import socket
import subprocess
import tempfile
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
PROXY_CPU, LOAD_CPU = 0, min(1, (os.cpu_count() or 1) - 1)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    """A program and its children, pinned to one core; CPU seconds and memory from /proc."""

    def __init__(self, argv, cpu, cwd):
        self.log = open(pathlib.Path(cwd) / f"{pathlib.Path(argv[0]).name}.log", "wb")
        self.started = time.monotonic()
        self.child = subprocess.Popen(["taskset", "-c", str(cpu), *argv], stdout=self.log, stderr=self.log, cwd=cwd)

    def pids(self):
        pids, todo = [], [self.child.pid]
        while todo:
            pid = todo.pop()
            pids.append(pid)
            for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                todo += [int(c) for c in children.read_text().split()]
        return pids

    def cpu_seconds(self):
        """(user, system) of all its processes, alive ones only."""
        user = system = 0
        for pid in self.pids():
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            user, system = user + int(fields[11]), system + int(fields[12])
        return user / TICKS, system / TICKS

    def memory_kib(self):
        """(RSS, PSS) of all its processes."""
        rss = pss = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    rss += int(line.split()[1])
                elif line.startswith("Pss:"):
                    pss += int(line.split()[1])
        return rss, pss

    def stop(self):
        self.child.terminate()
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.log.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def wait_http(url, process, seconds=20):
    """Until url answers 200; the program's own log tells why when it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.child.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"{url} does not answer: {pathlib.Path(process.log.name).read_text()[-2000:]}")


def scratch():
    return tempfile.TemporaryDirectory(prefix="clew-bench-")
