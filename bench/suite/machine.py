"""The machine: which core does what, how busy it was, and a network of our own."""

import contextlib
import os
import pathlib
import platform
import resource
import socket
import subprocess
import sys

TICKS = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
PROXY_CPU, LOAD_CPU = CORES[0], CORES[-1]  # the proxy has one core to itself; load and backend share the other


def enter_own_network(argv):
    """Runs the program again in a network namespace and a session of its own, so that rules and settings touch nobody else;
    it gets SIGTERM when the first one is gone. Returns False when it may not (no root); scenarios that need it then say so."""
    if os.environ.get("CLEW_BENCH_NETWORK"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        for key, value in (("ip_local_port_range", "10000 65000"), ("tcp_tw_reuse", "1")):
            pathlib.Path(f"/proc/sys/net/ipv4/{key}").write_text(value)
        return True
    if os.geteuid() != 0:
        return False
    os.environ["CLEW_BENCH_NETWORK"] = "1"
    os.execvp("setsid", ["setsid", "--wait", "setpriv", "--pdeathsig", "TERM", "unshare", "--net", sys.executable, *argv])


def raise_limits():
    """As many descriptors as we may have; proxies inherit it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def go_first(pid="self"):
    """A process and what it starts come before what else runs on the machine, so that it disturbs less. Linux weighs whole
    sessions against each other (autogroups), so a nice value would only count within ours."""
    with contextlib.suppress(OSError):  # no right to, or no such groups
        pathlib.Path(f"/proc/{pid}/autogroup").write_text("-20")


@contextlib.contextmanager
def punctual(*usages):
    """Their processes run as soon as they can, whatever else wants their core: what sends, times and answers must not be late
    itself. The proxies between are scheduled like everybody. Gives what a program is to be started with to be so too."""
    threads = [int(task.name) for usage in usages for pid in usage.pids() for task in pathlib.Path(f"/proc/{pid}/task").iterdir()]

    def schedule(policy, priority):
        for thread in threads:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(thread, policy, os.sched_param(priority))
    try:
        schedule(os.SCHED_RR, 1)
    except PermissionError:  # no root: all are late alike
        yield ()
        return
    try:
        yield ("chrt", "--rr", "1")
    finally:
        schedule(os.SCHED_OTHER, 0)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def busy_seconds():
    """CPU seconds of all cores that were not idle, since boot."""
    user, nice, system, _, _, irq, softirq = map(int, pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8])
    return (user + nice + system + irq + softirq) / TICKS


def stolen_seconds():
    return int(pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[8]) / TICKS


def describe():
    model = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) / 2**20
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"
