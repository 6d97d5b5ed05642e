"""Access-log operators: what each prints of the same requests, as Envoy prints it."""

import json
import pathlib
import re
import ssl
import sys

from harness import netns
from harness.client import Connection
from harness.procs import wait_for
from harness.resources import LISTENER_PORT, TYPE, listener, listener_filter, manager, static_bootstrap, static_cluster

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench"))

from suite.peers import make_certificates  # noqa: E402

TLS_PORT = 10002
TLS = TYPE + "envoy.extensions.transport_sockets.tls.v3."
OPERATORS = """
BYTES_RECEIVED BYTES_RETRANSMITTED PACKETS_RETRANSMITTED CUSTOM_FLAGS LOCAL_REPLY_BODY ROUNDTRIP_DURATION
TLS_JA3_FINGERPRINT TLS_JA4_FINGERPRINT VIRTUAL_CLUSTER_NAME TRACE_ID SPAN_ID REQUEST_HEADERS_BYTES RESPONSE_TRAILERS_BYTES
PROTOCOL UPSTREAM_PROTOCOL RESPONSE_CODE RESPONSE_FLAGS RESPONSE_CODE_DETAILS ROUTE_NAME FILTER_CHAIN_NAME REQUESTED_SERVER_NAME
ACCESS_LOG_TYPE GRPC_STATUS QUERY_PARAM(q) DYNAMIC_METADATA(none) CONNECTION_TERMINATION_DETAILS
UPSTREAM_HOST_NAME UPSTREAM_HOST_NAME_WITHOUT_PORT UPSTREAM_CLUSTER UPSTREAM_REQUEST_ATTEMPT_COUNT UPSTREAM_TRANSPORT_FAILURE_REASON
DOWNSTREAM_TRANSPORT_FAILURE_REASON
DOWNSTREAM_TLS_VERSION DOWNSTREAM_TLS_CIPHER DOWNSTREAM_TLS_GROUP DOWNSTREAM_TLS_SESSION_ID UPSTREAM_TLS_VERSION UPSTREAM_TLS_CIPHER UPSTREAM_TLS_GROUP
DOWNSTREAM_PEER_URI_SAN DOWNSTREAM_PEER_DNS_SAN DOWNSTREAM_PEER_IP_SAN DOWNSTREAM_PEER_EMAIL_SAN DOWNSTREAM_PEER_SUBJECT
DOWNSTREAM_PEER_ISSUER DOWNSTREAM_PEER_SERIAL DOWNSTREAM_PEER_FINGERPRINT_256 DOWNSTREAM_PEER_FINGERPRINT_1
DOWNSTREAM_PEER_CHAIN_SERIALS DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_256 DOWNSTREAM_PEER_CHAIN_FINGERPRINTS_1 DOWNSTREAM_PEER_CERT
DOWNSTREAM_PEER_CERT_V_START DOWNSTREAM_PEER_CERT_V_END(%s) DOWNSTREAM_LOCAL_URI_SAN DOWNSTREAM_LOCAL_DNS_SAN
DOWNSTREAM_LOCAL_IP_SAN DOWNSTREAM_LOCAL_EMAIL_SAN DOWNSTREAM_LOCAL_SUBJECT
UPSTREAM_PEER_URI_SAN UPSTREAM_PEER_DNS_SAN UPSTREAM_PEER_IP_SAN UPSTREAM_PEER_SUBJECT UPSTREAM_PEER_ISSUER UPSTREAM_PEER_CERT
UPSTREAM_PEER_CERT_V_START(%Y) UPSTREAM_PEER_CERT_V_END UPSTREAM_LOCAL_URI_SAN UPSTREAM_LOCAL_DNS_SAN UPSTREAM_LOCAL_IP_SAN
""".split()
_certificates = {}


def certificates(lab):
    """The same for both proxies."""
    if not _certificates:
        _certificates.update(make_certificates(lab.dir, "p256"))
    return _certificates


def tls(files, name, trust=True):
    def text(kind):
        return {"inline_string": pathlib.Path(files[f"{name}_{kind}"]).read_text()}
    context = {"tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},  # Envoy's clients stop at 1.2 by themselves
               "tls_certificates": [{"certificate_chain": text("pem"), "private_key": text("key")}]}
    if trust:
        context["validation_context"] = {"trusted_ca": {"filename": files["ca_pem"]}}
    return context


def test_operators(lab, compare):
    files, app, behind_tls = certificates(lab), lab.app("app"), lab.app("behind-tls", protocol="tls")
    log = lab.dir / f"operators-{lab.name}.log"
    access_log = [{"name": "file", "typed_config": {
        "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(log),
        "log_format": {"json_format": {**{o: f"%{o}%" for o in OPERATORS}, "path": "%REQ(:PATH)%",
                                       "connections": "%CONNECTION_ID% %UPSTREAM_CONNECTION_ID%",
                                       "of the answer": "%RESPONSE_HEADERS_BYTES%"}}}}]
    routes = [{"name": "direct", "match": {"prefix": "/direct"}, "direct_response": {"status": 200, "body": {"inline_string": "hi"}}}]
    routes += [{"name": cluster, "match": {"prefix": f"/{cluster}"}, "route": {"cluster": cluster}} for cluster in ("app", "tls", "dead")]
    table = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}
    secure = listener("secure", TLS_PORT, manager(table, access_log=access_log),
                      listener_filters=[listener_filter("tls_inspector", "TlsInspector")])
    secure["filter_chains"][0].update(name="of the secure", transport_socket={"name": "tls", "typed_config": {
        "@type": TLS + "DownstreamTlsContext", "common_tls_context": tls(files, "server"), "require_client_certificate": True}})
    to_tls = {"name": "tls", "typed_config": {"@type": TLS + "UpstreamTlsContext", "common_tls_context": tls(files, "client", trust=False)}}
    proxy = lab.proxy(static_bootstrap(
        [listener("plain", LISTENER_PORT, manager(table, access_log=access_log)), secure],
        [static_cluster("app", app.port), static_cluster("tls", behind_tls.port, transport_socket=to_tls), static_cluster("dead", 1)]),
        concurrency=1, options=["--file-flush-interval-msec", "100"])

    def ask(path, secured=False):
        sock = netns.connect(lab.ns, ("127.0.0.1", TLS_PORT if secured else LISTENER_PORT), 10)
        if secured:
            context = ssl.create_default_context(cafile=files["ca_pem"])
            context.load_cert_chain(files["client_pem"], files["client_key"])
            sock = context.wrap_socket(sock, server_hostname="localhost")
        with Connection(sock) as connection:
            # A body whose request goes nowhere is read by Envoy alone.
            body = b"hello" if path.startswith(("/app", "/tls")) else None
            connection.request("POST" if body else "GET", path, "x", body=body)
    asked = ["/app/a?q=1&r=2", "/direct", "/nowhere", "/dead", "/tls/b"]
    for path in asked:
        ask(path)
    ask("/app/secure", secured=True)
    lines = wait_for("all lines", lambda: (found := log.read_text().splitlines()) and len(found) == len(asked) + 1 and found)
    for line in map(json.loads, lines):
        path, size = line.pop("path"), line.pop("of the answer")
        downstream, upstream = map(int, line.pop("connections").split())
        assert downstream > 0 and (upstream > 0) == path.startswith(("/app", "/tls")), path
        line["UPSTREAM_HOST_NAME"] = re.sub(r":\d+$", ":PORT", line["UPSTREAM_HOST_NAME"] or "")
        if path == "/direct":
            compare("bytes of the answer's head", size)
        compare(path, line)
