"""One proxy in a network namespace, with a bootstrap of the test's own, an ADS server that does what it is told, and
applications. The same for clew and Envoy."""

import contextlib
import http.client
import json
import os
import pathlib
import re
import socket
import subprocess
import threading
import types

from . import netns, peers
from .admin import Admin
from .app import App
from .client import Connection
from .procs import Failed, Process, wait_for
from .resources import LISTENER_PORT, TYPES

BUILD = peers.clew().parent
SANITIZERS = {"ASAN_OPTIONS": "log_path={0}:detect_stack_use_after_return=0", "UBSAN_OPTIONS": "log_path={0}:print_stacktrace=1",
              "TSAN_OPTIONS": "log_path={0}"}


@contextlib.contextmanager
def own_run():
    """(name, directory) of a run whose namespaces, processes and files go with this process, however it ends."""
    name, directory = netns.new_run()
    reaper = netns.start_reaper(name)
    try:
        yield name, directory
    finally:
        reaper.stdin.close()
        reaper.wait()


class Ads:
    """The ADS server of test/integration as a process; what the proxy tells it is kept as dicts."""

    def __init__(self, lab):
        self.path = lab.dir / f"ads{next(lab.numbers)}"
        self.messages = []
        self._start()

    def _start(self):
        self.path.unlink(missing_ok=True)
        self._process = subprocess.Popen([BUILD / "bin/ads_server", self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
        wait_for("the ADS server's socket", self.path.exists)

    def _read(self, lines):
        for line in lines:
            self.messages.append(json.loads(line))

    def stop(self):
        self._process.kill()
        self._process.wait()

    def restart(self, *resources):
        """A new server, which knows only these: the old one's streams break off."""
        self.stop()
        self._start()
        self.set(*resources)

    def order(self, **order):
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def set(self, *resources):
        if resources:
            self.order(set=list(resources))

    def remove(self, kind, *names):
        self.order(remove=[TYPES[kind], *names])

    def hold(self, kind):
        self.order(hold=TYPES[kind])

    def let_go(self, kind):
        self.order(let_go=TYPES[kind])

    def send(self, kind, *resources, **response):
        """A response as it is; resources: (name, Any)."""
        self.order(send={"typeUrl": TYPES.get(kind, kind), "resources": [{"name": n, "resource": r} for n, r in resources], **response})

    def answers(self, kind, since=0):
        """ACKs and NACKs of a type."""
        assert not any("error" in m for m in self.messages), self.messages
        return [m for m in self.messages[since:] if m.get("type_url") == TYPES.get(kind, kind) and m.get("response_nonce")]

    def settle(self, kind, act):
        """Does `act` and returns the answer to the response that it makes the server send."""
        before = len(self.answers(kind))
        act()
        return wait_for(f"an answer about a {kind}", lambda: self.answers(kind)[before:])[0]


class Proxy(Admin):
    def __init__(self, lab, name, bootstrap, options=(), prefix=(), concurrency=2, log_level="warning"):
        self.lab, self.name = lab, name
        self.admin_port = bootstrap["admin"]["address"]["socket_address"]["port_value"]
        self._file = lab.dir / f"proxy{next(lab.numbers)}.json"
        self._file.write_text(json.dumps(bootstrap))
        self.log = self._file.with_suffix(".log")
        self._argv = [*prefix, peers.proxy(name), "-c", self._file, "--concurrency", str(concurrency), "--disable-hot-restart", "-l", log_level, *options]
        self.process = None
        self.start()

    def start(self):
        reports = {k: v.format(self.lab.dir / "sanitizer") for k, v in SANITIZERS.items()}
        self.process = Process(self.name, self._argv, self.lab.ns, self.log, env={**os.environ, **reports})

    def stop(self, grace=0.0):
        if self.process:
            self.process.stop(grace)

    @property
    def sanitized(self):
        return self.name == "clew" and peers.sanitized()

    @property
    def pid(self):
        return self.process.pid

    def explain(self):
        return self.process.explain()

    def http(self, path, method="GET", port=None, timeout=10.0):
        port = port or self.admin_port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        connection.sock = netns.connect(self.lab.ns, ("127.0.0.1", port), timeout)
        with contextlib.closing(connection):
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")

    def ask_admin(self, path, method):
        return self.http(path, method)

    def ready(self):
        return self.http("/ready")[0] == 200

    def wait_ready(self, timeout=20.0):
        def ready():
            if not self.process.running():
                raise Failed(f"the proxy ended\n{self.explain()}")
            return self.ready()
        wait_for("the proxy to be ready", ready, timeout, explain=self.explain)
        return self

    def get(self, path="/", port=LISTENER_PORT, timeout=10.0):
        """Status of one request on its own connection; "closed" or "refused" without one."""
        try:
            return self.http(path, port=port, timeout=timeout)[0]
        except ConnectionRefusedError:
            return "refused"
        except (ConnectionError, http.client.HTTPException):
            return "closed"

    def connect(self, port=LISTENER_PORT, timeout=10.0, ip="127.0.0.1"):
        return Connection(netns.connect(self.lab.ns, (ip, port), timeout))

    def usage(self):
        """rss_kib, cpu_seconds, descriptors, threads"""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return {"rss_kib": int(re.search(r"VmRSS:\s+(\d+)", status)[1]),
                "cpu_seconds": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
                "descriptors": len(os.listdir(f"/proc/{self.pid}/fd")),
                "threads": int(re.search(r"Threads:\s+(\d+)", status)[1])}

    @contextlib.contextmanager
    def growth(self):
        """What the process took at most, beyond what it had before: `.bytes` after the block. Nothing under a sanitizer."""
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")  # the peak is now
        before, grown = self._peak(), types.SimpleNamespace(bytes=0)
        yield grown
        grown.bytes = 0 if self.sanitized else max(0, self._peak() - before)

    def _peak(self):
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{self.pid}/status").read_text())[1])

    def cpu(self):
        """Seconds of all threads, to the nanosecond."""
        tasks = pathlib.Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((t / "schedstat").read_text().split()[0]) for t in tasks) / 1e9


class Lab:
    """What one test uses; gone when it ends. `name` is the proxy that is tested: envoy or clew."""

    numbers = iter(range(1, 1 << 60))

    def __init__(self, name, run, directory):
        self.name = name
        self.dir = directory
        self.ns = netns.add(run, f"lab{next(self.numbers)}")
        self._end = contextlib.ExitStack()

    def close(self):
        self._end.close()
        netns.delete(self.ns)
        return self.reports()

    def reports(self):
        """What sanitizers wrote."""
        return [p.read_text(errors="replace") for p in self.dir.glob("sanitizer*")]

    def proxy(self, bootstrap, wait=True, **options):
        proxy = Proxy(self, self.name, bootstrap, **options)
        self._end.callback(proxy.stop)
        return proxy.wait_ready() if wait else proxy

    def ads(self):
        ads = Ads(self)
        self._end.callback(ads.stop)
        return ads

    def app(self, name, port=None, protocol="http"):
        """An application; its port is app.port."""
        app = App(name, self.ns)
        app.port = port or self.free_port()
        app.listen(app.port, protocol)
        self._end.callback(app.stop)
        return app

    def free_port(self):
        with netns.entered(self.ns), socket.create_server(("127.0.0.1", 0)) as s:
            return s.getsockname()[1]

    def run(self, *argv):
        """A program beside the proxy; its Process."""
        process = Process(str(argv[0]), argv, self.ns, self.dir / f"program{next(self.numbers)}.log")
        self._end.callback(process.stop)
        return process

    def sh(self, *argv):
        return netns.sh("ip", "netns", "exec", self.ns, *map(str, argv))
