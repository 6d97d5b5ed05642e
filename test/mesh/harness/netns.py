"""Network namespaces of one run: named `clew-RUN-NAME`, and gone with everything in them when the run ends.

A run is one mesh. Its name holds the pid of the process that owns it, so that whatever a killed process left
behind can be told from a run that is still alive.
"""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PREFIX = "clew-"
CLONE_NEWNET = 0x40000000
NETNS_DIR = pathlib.Path("/run/netns")
HOSTS_DIR = pathlib.Path("/etc/netns")

_libc = ctypes.CDLL(None, use_errno=True)
_state = threading.local()


def sh(*argv):
    """Runs a command that must succeed; its output is in the exception when it does not."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit code {done.returncode}\n{done.stdout}")
    return done.stdout


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def entered(name):
    """The calling thread is in namespace `name`; sockets made here stay there for their life."""
    if getattr(_state, "name", None) == name:
        yield
        return
    before = getattr(_state, "name", None)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        fd = os.open(NETNS_DIR / name, os.O_RDONLY)
        try:
            _setns(fd)
        finally:
            os.close(fd)
        _state.name = name
        try:
            yield
        finally:
            _setns(home)
            _state.name = before
    finally:
        os.close(home)


@contextlib.contextmanager
def owned_by(uid, gid):
    """Sockets that this thread makes here belong to this user and group, as the kernel's owner match sees it."""
    before = _libc.setfsgid(gid), _libc.setfsuid(uid)
    try:
        yield
    finally:
        _libc.setfsuid(before[1])
        _libc.setfsgid(before[0])


def connect(name, address, timeout=10.0, source=None, owner=(0, 0)):
    """A TCP connection made from inside namespace `name`, by a process of this user and group."""
    with entered(name), owned_by(*owner):
        return socket.create_connection(address, timeout, source_address=source)


def new_run():
    """A fresh run: its name and its private directory."""
    remove_stale_runs()
    directory = pathlib.Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}x"))
    directory.chmod(0o755)
    return directory.name[len(PREFIX):], directory


def add(run, name):
    """Makes namespace `name` of `run`, with its loopback up; returns its full name."""
    full = f"{PREFIX}{run}-{name}"
    sh("ip", "netns", "add", full)
    sh("ip", "-n", full, "link", "set", "lo", "up")
    return full


def delete(full):
    """Kills what runs in a namespace and removes it."""
    for _ in range(50):
        pids = _pids_in(full)
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    subprocess.run(["ip", "netns", "del", full], stderr=subprocess.DEVNULL)
    shutil.rmtree(HOSTS_DIR / full, ignore_errors=True)


def cleanup(run):
    """Removes every trace of a run. Safe to repeat, and from any process."""
    names = [p.name for p in _listdir(NETNS_DIR) + _listdir(HOSTS_DIR) if p.name.startswith(f"{PREFIX}{run}-")]
    for full in sorted(set(names)):
        delete(full)
    shutil.rmtree(pathlib.Path(tempfile.gettempdir()) / f"{PREFIX}{run}", ignore_errors=True)


def remove_stale_runs():
    """Cleans up after runs whose owner is dead."""
    runs = {p.name[len(PREFIX):] for p in pathlib.Path(tempfile.gettempdir()).glob(f"{PREFIX}[0-9]*x*")}
    runs |= {p.name[len(PREFIX):].split("-")[0] for p in _listdir(NETNS_DIR) if p.name.startswith(PREFIX)}
    for run in runs:
        owner = run.split("x")[0]
        if owner.isdigit() and not pathlib.Path(f"/proc/{owner}").exists():
            cleanup(run)


def start_reaper(run):
    """A process that outlives this one and cleans the run up as soon as this one is gone, however it went.

    Closing the returned process's stdin starts the clean-up; waiting for it ends it.
    """
    return subprocess.Popen([sys.executable, __file__, run], stdin=subprocess.PIPE, start_new_session=True)


def _listdir(path):
    return list(path.iterdir()) if path.exists() else []


def _pids_in(full):
    try:
        inode = (NETNS_DIR / full).stat().st_ino
    except OSError:
        return []
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{entry}/ns/net").st_ino == inode:
                    found.append(int(entry))
    return found


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    cleanup(sys.argv[1])
