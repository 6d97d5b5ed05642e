"""Processes of a run: started in a namespace, logging to files, ended by their own pid."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time


class Failed(AssertionError):
    """Something the harness waited for did not come; says what, and shows the logs that tell why."""


def wait_for(what, condition, timeout=30.0, interval=0.02, explain=None):
    """Waits until `condition()` is true and returns its value. `explain()` adds to the failure's text."""
    deadline = time.monotonic() + timeout
    error = None
    while True:
        try:
            value = condition()
            if value:
                return value
            error = None
        except (OSError, AssertionError, ValueError, KeyError) as e:
            if isinstance(e, Failed):
                raise
            error = e
        if time.monotonic() > deadline:
            text = f"waited {timeout:.0f} s for {what}" + (f"; last error: {error!r}" if error else "")
            raise Failed(text + ("\n" + explain() if explain else ""))
        time.sleep(interval)
        interval = min(interval * 1.3, 0.25)


def tail(path, lines=40, skip=None):
    """The last lines of a file, without those that `skip` matches; what only repeats itself at another time is there once."""
    try:
        text = pathlib.Path(path).read_text(errors="replace").splitlines()
    except OSError:
        return ""
    kept = []
    for line in text:
        if skip and skip.match(line):
            continue
        if kept and line[:2] == "20" and kept[-1].split(maxsplit=1)[1:] == line.split(maxsplit=1)[1:]:
            kept.pop()
        kept.append(line)
    return "\n".join(kept[-lines:])


class Process:
    """One program in a namespace. Output goes to `log`, errors too unless `errors` names another file."""

    def __init__(self, name, argv, ns, log, errors=None, env=None, cwd=None):
        self.name = name
        self.log = pathlib.Path(log)
        self.errors = pathlib.Path(errors) if errors else self.log
        with open(self.log, "ab") as out, open(self.errors, "ab") as err:
            self.popen = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{ns}", "--", *map(str, argv)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, cwd=cwd, start_new_session=True)

    @property
    def pid(self):
        return self.popen.pid

    def running(self):
        return self.popen.poll() is None

    def wait(self, timeout):
        """True when the program ended by itself within `timeout`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(timeout)
        return not self.running()

    def signal(self, number):
        if self.running():
            os.kill(self.pid, number)

    def stop(self, grace=0.0):
        """Ends the process and its group; with `grace`, asks with SIGTERM first."""
        if grace and self.running():
            self.signal(signal.SIGTERM)
            self.wait(grace)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()

    def explain(self, lines=40, skip=None):
        state = "running" if self.running() else f"ended with {self.popen.returncode}"
        text = f"--- {self.name} ({state}), {self.log}\n{tail(self.log, lines, skip)}"
        if self.errors != self.log:
            text += f"\n--- {self.errors}\n{tail(self.errors, lines)}"
        return text
