"""Starts a contestant on a lane. A lane is what a proxy is to do: h1, mtls, grpc, tcp; ../peers/NAME-LANE.conf says how it
does that, clew and Envoy share the bootstrap of bootstrap.py. A proxy without a file for a lane takes no part in it."""

import json
import pathlib
import shutil
import socket
import string
import subprocess

from . import bootstrap
from .machine import LOAD_CPU, PROXY_CPU, free_port
from .process import Failed, Process, wait_http, wait_until

CONFIGS = pathlib.Path(__file__).resolve().parents[1] / "peers"
COMMANDS = {
    "nginx": lambda cwd, conf: ["nginx", "-p", cwd, "-c", conf],
    "haproxy": lambda cwd, conf: ["haproxy", "-f", conf],
    "nghttpx": lambda cwd, conf: ["nghttpx", f"--conf={conf}"],
    "h2o": lambda cwd, conf: ["h2o", "-c", conf],
}


def fill(template, cwd, **values):
    """A config of ../peers with its $names filled in; the path."""
    path = pathlib.Path(cwd) / template
    path.write_text(string.Template((CONFIGS / template).read_text()).substitute(values))
    return path


class Proxy(Process):
    """A running contestant: `port` takes the load, `admin` is clew's and Envoy's admin port."""

    name = port = admin = None


class Peers:
    """The binaries of this run and how to start each."""

    def __init__(self, cwd, clew, envoy, tools, descriptors):
        self.cwd = pathlib.Path(cwd)
        self.binaries = {"clew": clew, "envoy": envoy}
        self.tools = tools
        self.descriptors = descriptors

    def able(self, lane):
        """Names of those that can take part, ours first."""
        names = [name for name, binary in self.binaries.items() if binary]
        names += [name for name in COMMANDS if shutil.which(name) and (CONFIGS / f"{name}-{lane}.conf").exists()]
        return names

    def start(self, name, lane, upstream, certificates=None, routes=None, wait=True):
        """Started and answering; only listening where it is not plain HTTP/1.1, or without `wait`."""
        listen, admin = free_port(), free_port()
        if name in self.binaries:
            proxy = self.start_binary(name, bootstrap.bootstrap(lane, listen, upstream, admin, routes, certificates), listen, admin)
        elif name == "floor":
            return self.start_floor(upstream)
        else:
            proxy = Proxy(COMMANDS[name](self.cwd, fill(
                f"{name}-{lane}.conf", self.cwd, listen=listen, upstream=upstream, connections=self.descriptors // 2 - 100,
                descriptors=self.descriptors, **(certificates or {}))), PROXY_CPU, self.cwd, name)
            proxy.name, proxy.port = name, listen
        try:
            if lane == "h1" and wait:
                wait_http(listen, proxy)
            else:
                wait_until(f"{name} on port {listen}", lambda: listens(listen), process=proxy)
        except BaseException:
            proxy.stop()
            raise
        return proxy

    def start_binary(self, name, config, listen, admin, concurrency=1):
        """clew or Envoy with this bootstrap; not waited for."""
        path = self.cwd / f"{name}-{listen}.json"
        path.write_text(json.dumps(config))
        proxy = Proxy([self.binaries[name], "-c", path, "--concurrency", concurrency, "-l", "warning", "--disable-hot-restart"],
                      PROXY_CPU, self.cwd, name)
        proxy.name, proxy.port, proxy.admin = name, listen, admin
        return proxy

    def start_floor(self, upstream, tls_in=None, tool="bench_relay"):
        """The bare relay (upstream "answer": it answers itself), or another tool that is the floor of a scenario."""
        return self._floor(tool, upstream, *(["--tls-in", *server_files(tls_in)] if tls_in else []))

    def start_idle_floor(self, certificates=None):
        """What answers itself, and of an idle connection keeps only what it must: HTTP/1.1, with certificates mTLS and HTTP/2."""
        return self._floor("bench_idle", *server_files(certificates or {}))

    def _floor(self, program, *arguments):
        port = free_port()
        floor = Proxy([self.tools / program, port, *arguments], PROXY_CPU, self.cwd, "floor")
        floor.name, floor.port = "floor", port
        wait_until("the floor", lambda: listens(port), process=floor)
        return floor

    def backend(self, bodies=("body",), cpu=LOAD_CPU):
        """nginx with files: `body` has 1 KiB, `body1m` 1 MiB."""
        www = self.cwd / "www"
        www.mkdir(exist_ok=True)
        for name in bodies:
            (www / name).write_bytes(b"x" * (2**20 if name.endswith("1m") else 1024))
        port = free_port()
        conf = fill("backend-nginx.conf", self.cwd, listen=port, folder=self.cwd, descriptors=self.descriptors,
                    connections=self.descriptors - 500)
        process = Proxy(["nginx", "-p", self.cwd, "-c", conf], cpu, self.cwd, "backend")
        process.name, process.port = "backend", port
        try:
            wait_http(port, process)
        except BaseException:
            process.stop()
            raise
        return process

    def grpc_backend(self):
        """nghttpd: 1 KiB and gRPC's trailer for /unary, whatever the upload."""
        port = free_port()
        (self.cwd / "grpc").mkdir(exist_ok=True)
        (self.cwd / "grpc" / "unary").write_bytes(b"\0\0\0\3\xfb" + b"x" * 1019)
        process = Proxy(["nghttpd", "--no-tls", "--trailer", "grpc-status: 0", "-a", "127.0.0.1", "-m", "1024", "-d", self.cwd / "grpc", port],
                        LOAD_CPU, self.cwd, "grpc-backend")
        process.name, process.port = "backend", port
        wait_until("nghttpd", lambda: listens(port), process=process)
        return process

    def tool(self, name, *argv, cpu=LOAD_CPU):
        """One of our own programs that stays up (a server)."""
        return Process([self.tools / name, *argv], cpu, self.cwd, name)


def server_files(certificates):
    return [certificates[k] for k in ("server_pem", "server_key", "ca_pem") if k in certificates]


def listens(port):
    with socket.create_connection(("127.0.0.1", port), 1):
        return True


def make_certificates(folder, key):
    """A CA, a server and a client, all with keys of one kind (p256, rsa2048): paths of the files."""
    folder = pathlib.Path(folder) / f"certificates-{key}"
    folder.mkdir(exist_ok=True)
    new_key = ["-newkey", "rsa:2048"] if key == "rsa2048" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    def run(*argv):
        done = subprocess.run(["openssl", *map(str, argv)], capture_output=True, text=True, cwd=folder)
        if done.returncode:
            raise Failed(f"openssl: {done.stderr[-300:]}")
    run("req", "-x509", *new_key, "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/O=bench")
    for name in ("server", "client"):
        (folder / "san").write_text(f"subjectAltName=DNS:localhost,URI:spiffe://cluster.local/ns/default/sa/{name}\n")
        run("req", *new_key, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/O=bench/CN={name}")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
            "-extfile", "san", "-out", f"{name}.pem")
    (folder / "server.both").write_text((folder / "server.pem").read_text() + (folder / "server.key").read_text())
    return {f"{name}_{kind}": str(folder / f"{name}.{kind}")
            for name, kind in (("ca", "pem"), ("server", "pem"), ("server", "key"), ("server", "both"), ("client", "pem"), ("client", "key"))}
