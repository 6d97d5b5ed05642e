"""clew and Envoy beside each other: one bootstrap, one worker each, no control plane. Both forward to the same scripted upstream."""

import json

from harness import peers
from harness.procs import Failed, wait_for
from harness.resources import ROUTER, TYPE, http2, listener, manager, static_bootstrap, static_cluster
from harness.standalone import Proxy

H1_UPSTREAM, H2_UPSTREAM, TLS_UPSTREAM = 7001, 7002, 7003
UNLIMITED = {"circuit_breakers": {"thresholds": [{"max_connections": 100000, "max_pending_requests": 100000, "max_requests": 100000}]}}
FAULT = {"name": "envoy.filters.http.fault", "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.fault.v3.HTTPFault", "delay": {
    "fixed_delay": "0.005s", "percentage": {"numerator": 50}}}}
LOG_FIELDS = {"path": "%REQ(:PATH)%", "status": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "details": "%RESPONSE_CODE_DETAILS%",
              "agent": "%REQ(USER-AGENT)%", "sni": "%REQUESTED_SERVER_NAME%"}


def _cluster(name, port, **fields):
    return static_cluster(name, port, connect_timeout="5s", **UNLIMITED, **fields)


def _listener(name, port, log, retry=None, **fields):
    def route(prefix, cluster):
        return {"match": {"prefix": prefix}, "route": {"cluster": cluster, "timeout": "10s", **({"retry_policy": retry} if retry else {})}}
    routes = {"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
        route("/h1", "h1"), route("/h2", "h2"), route("/tls", "tls"), route("/told/v1", "V1"), route("/told/v2", "V2"),
        {"match": {"prefix": "/redirect"}, "redirect": {"host_redirect": "elsewhere", "response_code": "FOUND"}},
        {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "direct\n"}}}]}]}
    access_log = [{"name": "envoy.access_loggers.file", "typed_config": {
        "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log), "log_format": {"json_format": LOG_FIELDS}}}]
    return listener(name, port, manager(routes, **{
        "stat_prefix": name, "codec_type": "AUTO", "delayed_close_timeout": "0.1s", "proxy_100_continue": True,
        "access_log": access_log, "upgrade_configs": [{"upgrade_type": "websocket"}], **fields}))


def bootstrap(base, log):
    # A gateway's settings (Istio's edge profile), with waits that a test can sit out.
    edge = {"stream_idle_timeout": "2s", "request_headers_timeout": "2s", "http2_protocol_options": {
        "max_concurrent_streams": 100, "initial_stream_window_size": 65536, "initial_connection_window_size": 1048576}}
    tls = {"name": "envoy.transport_sockets.tls",
           "typed_config": {"@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"}}
    def told(version):
        return _cluster(version, H1_UPSTREAM, transport_socket={"name": "envoy.transport_sockets.upstream_proxy_protocol", "typed_config": {
            "@type": TYPE + "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
            "config": {"version": version}, "transport_socket": {"name": "envoy.transport_sockets.raw_buffer", "typed_config": {
                "@type": TYPE + "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}}})
    return static_bootstrap(
        [_listener("plain", base + 1, log), _listener("edge", base + 2, log, **edge),
         _listener("filters", base + 3, log, {"retry_on": "5xx,reset", "num_retries": 2}, http_filters=[FAULT, ROUTER]),
         _listener("http2", base + 4, log, codec_type="HTTP2")],
        [_cluster("h1", H1_UPSTREAM), http2(_cluster("h2", H2_UPSTREAM)), _cluster("tls", TLS_UPSTREAM, transport_socket=tls),
         told("V1"), told("V2")],
        admin_port=base,
        layered_runtime={"layers": [{"name": "Istio's", "static_layer": {
            "envoy.reloadable_features.http_reject_path_with_fragment": False}}]})


class Attacked(Proxy):
    """One of the two, running. Ports: `port` with default settings, `edge` with a gateway's, `filters` with a chain of filters and
    retries, `http2` without a codec to guess."""

    def __init__(self, lab, name, base):
        _, self.port, self.edge, self.filters, self.http2 = range(base, base + 5)
        self.access_log = lab.dir / f"access{next(lab.numbers)}"
        # What runs deep shows itself (A13).
        small_stack = ["prlimit", "--stack=262144:"] if name == "clew" and not peers.sanitized() else []
        super().__init__(lab, name, bootstrap(base, self.access_log), options=["--file-flush-interval-msec", "50"], prefix=small_stack,
                         concurrency=1)

    def __enter__(self):
        return self.wait_ready(60)

    def __exit__(self, *_):
        self.stop(grace=30)
        if self.name == "clew" and self.process.popen.returncode != 0:
            raise Failed("\n".join([self.explain(), *self.lab.reports()]))

    def running(self):
        if not self.process.running():
            raise Failed("\n".join([self.explain(), *self.lab.reports()]))
        return True

    def log_lines(self, path):
        """The access-log lines of requests for `path`, once there is one."""
        def lines():
            text = self.access_log.read_text(errors="replace") if self.access_log.exists() else ""
            return [row for row in map(json.loads, text.splitlines()) if row["path"] == path]
        return wait_for(f"a line for {path}", lines)
