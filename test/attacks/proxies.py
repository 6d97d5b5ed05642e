"""clew and Envoy beside each other: one bootstrap, one worker each, no control plane. Both forward to the same scripted upstream."""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import types
import urllib.request

from harness import peers
from harness.procs import Failed, tail, wait_for

H1_UPSTREAM, H2_UPSTREAM, TLS_UPSTREAM = 7001, 7002, 7003
TYPE = "type.googleapis.com/"
_libc = ctypes.CDLL(None)


def _address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _cluster(name, port, options=None):
    return {
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(port)}}]}]},
        "circuit_breakers": {"thresholds": [{"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}]},
        **({"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions", **options}}} if options else {}),
    }


def binary(name):
    return peers.clew() if name == "clew" else peers.envoy()


ROUTER = {"name": "envoy.filters.http.router", "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.router.v3.Router"}}
FAULT = {"name": "envoy.filters.http.fault", "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.fault.v3.HTTPFault", "delay": {
    "fixed_delay": "0.005s", "percentage": {"numerator": 50}}}}


def _listener(name, port, log, retry=None, **manager):
    def route(prefix, cluster):
        return {"match": {"prefix": prefix}, "route": {"cluster": cluster, "timeout": "10s", **({"retry_policy": retry} if retry else {})}}
    fields = {"path": "%REQ(:PATH)%", "status": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "details": "%RESPONSE_CODE_DETAILS%",
              "agent": "%REQ(USER-AGENT)%", "sni": "%REQUESTED_SERVER_NAME%"}
    config = {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name, "codec_type": "AUTO", "delayed_close_timeout": "0.1s", "proxy_100_continue": True,
        "access_log": [{"name": "envoy.access_loggers.file", "typed_config": {
            "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log),
            "log_format": {"json_format": fields}}}],
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "route_config": {"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            route("/h1", "h1"), route("/h2", "h2"), route("/tls", "tls"),
            {"match": {"prefix": "/redirect"}, "redirect": {"host_redirect": "elsewhere", "response_code": "FOUND"}},
            {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "direct\n"}}}]}]},
        "http_filters": [ROUTER],
        **manager}
    return {"name": name, "address": _address(port), "filter_chains": [{"filters": [
        {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}]}]}


def bootstrap(base, log):
    h2 = {"explicit_http_config": {"http2_protocol_options": {}}}
    # A gateway's settings (Istio's edge profile), with waits that a test can sit out.
    edge = {"stream_idle_timeout": "2s", "request_headers_timeout": "2s", "http2_protocol_options": {
        "max_concurrent_streams": 100, "initial_stream_window_size": 65536, "initial_connection_window_size": 1048576}}
    return {
        "node": {"id": "sidecar~127.0.0.1~a.b~c", "cluster": "attacks"},
        "admin": {"address": _address(base)},
        "layered_runtime": {"layers": [{"name": "Istio's", "static_layer": {
            "envoy.reloadable_features.http_reject_path_with_fragment": False}}]},
        "static_resources": {
            "listeners": [
                _listener("plain", base + 1, log), _listener("edge", base + 2, log, **edge),
                _listener("filters", base + 3, log, {"retry_on": "5xx,reset", "num_retries": 2}, http_filters=[FAULT, ROUTER]),
                _listener("http2", base + 4, log, codec_type="HTTP2")],
            "clusters": [_cluster("h1", H1_UPSTREAM), _cluster("h2", H2_UPSTREAM, h2), _cluster("tls", TLS_UPSTREAM) | {"transport_socket": {
                "name": "envoy.transport_sockets.tls",
                "typed_config": {"@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"}}}],
        },
    }


class Proxy:
    """One of the two, running. Ports: `port` with default settings, `edge` with a gateway's, `filters` with a chain of filters and
    retries, `http2` without a codec to guess."""

    def __init__(self, name, base, directory):
        self.name = name
        self.sanitized = name == "clew" and b"__asan_init" in binary(name).read_bytes()
        self.admin, self.port, self.edge, self.filters, self.http2 = range(base, base + 5)
        self.access_log = directory / f"{name}.access"
        self.output = directory / f"{name}.log"
        config = directory / f"{name}.json"
        config.write_text(json.dumps(bootstrap(base, self.access_log)))
        self._argv = [binary(name), "-c", config, "--concurrency", "1", "-l", "warning", "--file-flush-interval-msec", "50",
                      *(["--disable-hot-restart"] if name == "envoy" else [])]

    def __enter__(self):
        with open(self.output, "wb") as out:
            self._process = subprocess.Popen([*map(str, self._argv)], stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=self._limits)
        wait_for(f"{self.name} to serve", lambda: self.running() and socket.create_connection(("127.0.0.1", self.port)).close() is None, 60)
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(30)
        finally:
            self._process.kill()
        if self.name == "clew" and self._process.returncode != 0:
            raise Failed(f"exit code {self._process.returncode}\n{tail(self.output, 80)}")

    def _limits(self):
        _libc.prctl(1, signal.SIGKILL)  # gone with its parent
        if self.name == "clew" and not self.sanitized:  # what runs deep shows itself (A13)
            resource.setrlimit(resource.RLIMIT_STACK, (256 * 1024, resource.getrlimit(resource.RLIMIT_STACK)[1]))

    @property
    def pid(self):
        return self._process.pid

    def running(self):
        if self._process.poll() is not None:
            raise Failed(f"{self.name} ended with {self._process.returncode}\n{tail(self.output, 80)}")
        return True

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

    def stat(self, name):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/stats", timeout=20) as r:
            found = re.search(rf"^{re.escape(name)}: (\d+)$", r.read().decode(), re.M)
        return int(found[1]) if found else 0

    def log_lines(self, path):
        """The access-log lines of requests for `path`, once there is one."""
        def lines():
            text = self.access_log.read_text(errors="replace") if self.access_log.exists() else ""
            return [row for row in map(json.loads, text.splitlines()) if row["path"] == path]
        return wait_for(f"a line for {path}", lines)
