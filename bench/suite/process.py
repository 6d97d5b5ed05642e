"""Programs under measurement: pinned, in a cgroup of their own, measured by what the kernel says they used."""

import contextlib
import itertools
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import typing
import urllib.error
import urllib.request

from .machine import TICKS

CGROUPS = pathlib.Path("/sys/fs/cgroup")
_numbers = itertools.count()
# Joins the groups, then becomes the program; killed with us if we are killed.
ENTER = 'for g in $CLEW_BENCH_GROUPS; do echo $$ >"$g/cgroup.procs"; done; unset CLEW_BENCH_GROUPS; exec setpriv --pdeathsig KILL "$@"'


class Failed(Exception):
    """Something did not start or did not answer; one sentence, shown in the report."""


class Cpu(typing.NamedTuple):
    """CPU seconds. `total` is exact; `user` and `system` may be counted by the clock's ticks, so only their share is used."""

    total: float = 0
    user: float = 0
    system: float = 0

    def __add__(self, other):
        return Cpu(*(a + b for a, b in zip(self, other)))

    def __sub__(self, other):
        return Cpu(*(a - b for a, b in zip(self, other)))

    def split(self):
        """(user, system), whose sum is the total."""
        share = self.user / (self.user + self.system) if self.user + self.system else 0
        return self.total * share, self.total * (1 - share)


class Group:
    """A cgroup for CPU and memory, v1 or v2; without the right to make one, nothing (then /proc alone speaks)."""

    def __init__(self):
        name = f"clew-bench-{os.getpid()}-{next(_numbers)}"
        v2 = (CGROUPS / "cgroup.controllers").exists()
        self.folders = [CGROUPS / name] if v2 else [CGROUPS / kind / name for kind in ("cpuacct", "memory")]
        try:
            for folder in self.folders:
                folder.mkdir()
        except OSError:
            self.remove()
            self.folders = []

    def add(self, pid):
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def memory_kib(self):
        """What the kernel charges to the group, without file pages it can drop at once; None where it does not say."""
        for usage, stat, inactive in (("memory.current", "memory.stat", "inactive_file"),
                                      ("memory.usage_in_bytes", "memory.stat", "total_inactive_file")):
            for folder in self.folders:
                if (folder / usage).exists():
                    fields = dict(line.split() for line in (folder / stat).read_text().splitlines())
                    return (int((folder / usage).read_text()) - int(fields[inactive])) // 1024
        return None

    def cpu(self):
        """A Cpu, processes that ended included; None where the kernel does not say."""
        for folder in self.folders:
            if (folder / "cpuacct.usage").exists():
                return Cpu(*(int((folder / f"cpuacct.usage{kind}").read_text()) / 1e9 for kind in ("", "_user", "_sys")))
            if (folder / "cpu.stat").exists():
                fields = dict(line.split() for line in (folder / "cpu.stat").read_text().splitlines())
                return Cpu(*(int(fields[f"{kind}_usec"]) / 1e6 for kind in ("usage", "user", "system")))
        return None

    def remove(self):
        for folder in self.folders:
            for _ in range(50):  # a killed process leaves its group a moment later
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.02)


def remove_groups():
    """The empty groups of this run and of runs that are over."""
    for folder in (*CGROUPS.glob("clew-bench-*"), *CGROUPS.glob("*/clew-bench-*")):
        owner = folder.name.split("-")[2]
        if int(owner) == os.getpid() or not pathlib.Path(f"/proc/{owner}").exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


class Usage:
    """What a process and its children use. `group`: the cgroup they are in, None to ask /proc alone."""

    def __init__(self, pid, group=None):
        self.pid = pid
        self.group = group

    def pids(self):
        pids, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            pids.append(pid)
            for children in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    todo += [int(c) for c in children.read_text().split()]
        return pids

    def cpu(self):
        """A Cpu since the start."""
        measured = self.group and self.group.cpu()
        if measured:
            return measured
        user = system = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                user, system = user + int(fields[11]), system + int(fields[12])
        return Cpu((user + system) / TICKS, user / TICKS, system / TICKS)

    def memory_kib(self):
        """{"rss", "pss", "cgroup"} of all its processes; cgroup is left out where the kernel does not say."""
        total = {"rss": 0, "pss": 0}
        for pid in self.pids():
            with contextlib.suppress(OSError):
                for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                    key = line.split(":")[0].lower()
                    if key in total:
                        total[key] += int(line.split()[1])
        charged = self.group and self.group.memory_kib()
        return {**total, **({"cgroup": charged} if charged is not None else {})}


class Process(Usage):
    """A program and its children on one core. `with` ends it."""

    def __init__(self, argv, cpu, cwd, nice_name=None, talks=False):
        """`talks`: stdin and stdout are pipes of text, at .child.stdin and .child.stdout."""
        self.log = pathlib.Path(cwd) / f"{nice_name or pathlib.Path(argv[0]).name}-{next(_numbers)}.log"
        group = Group()
        command = ["taskset", "-c", str(cpu), *map(str, argv)]
        with open(self.log, "wb") as log:
            self.started = time.monotonic()
            self.child = subprocess.Popen(
                ["sh", "-c", ENTER, "sh", *command], stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else log, stderr=log, cwd=cwd, text=True, bufsize=1,
                env={**os.environ, "CLEW_BENCH_GROUPS": " ".join(map(str, group.folders))})
        super().__init__(self.child.pid, group)

    def running(self):
        return self.child.poll() is None

    def explain(self):
        state = "runs" if self.running() else f"ended with {self.child.returncode}"
        return f"{self.log.stem} {state}: {self.log.read_text(errors='replace')[-1500:].strip()}"

    def stop(self):
        pids = self.pids()
        if self.running():
            self.child.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(3)
        for pid in pids:
            with contextlib.suppress(OSError):
                if pathlib.Path(f"/proc/{pid}/cwd").resolve() == self.log.parent.resolve():
                    os.kill(pid, signal.SIGKILL)
        self.child.kill()
        self.child.wait()
        self.group.remove()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def wait_until(what, condition, seconds=20, process=None):
    end = time.monotonic() + seconds
    problem = None
    while time.monotonic() < end and (process is None or process.running()):
        try:
            value = condition()
            if value:
                return value
        except OSError as error:
            problem = error
        time.sleep(0.01)
    raise Failed(f"{what} did not come ({problem}); " + (process.explain() if process else ""))


def http_get(port, path="/", host="127.0.0.1", timeout=5):
    """The body of a 200, as bytes; OSError otherwise."""
    with urllib.request.urlopen(f"http://{host}:{port}{path}", timeout=timeout) as answer:
        return answer.read()


def wait_http(port, process, path="/body"):
    wait_until(f"an answer on port {port}", lambda: http_get(port, path, timeout=1) is not None, process=process)


def scratch():
    folder = tempfile.TemporaryDirectory(prefix="clew-bench-", ignore_cleanup_errors=True)
    os.chmod(folder.name, 0o755)
    return folder
