"""Port 15000, and what stock istioctl makes of it."""

import json
import re

from harness import peers
from harness.scenario import both_proxies

SERVER = {"http": 8080, "tcp": 9000, "auto": 9090}


def two(mesh):
    return mesh.pod("client"), mesh.pod("server", ports=SERVER)


@both_proxies
def test_ready_and_server_info(mesh):
    client, _ = two(mesh)
    assert client.admin("/ready") == "LIVE\n"
    info = json.loads(client.admin("/server_info"))
    assert info["state"] == "LIVE"
    assert info["node"]["id"] == json.loads(client.bootstrap)["node"]["id"]
    assert info["command_line_options"]["concurrency"] == 2
    mesh.compare("server_info's fields", sorted(set(info) - {"node", "command_line_options"}))


@both_proxies
def test_the_agents_queries(mesh):
    client, _ = two(mesh)
    for query in (r"^(cluster_manager\.cds|listener_manager\.lds)\.(update_success|update_rejected)$",
                  r"^(server\.state|listener_manager\.workers_started)"):
        lines = client.admin(f"/stats?usedonly&filter={query}").splitlines()
        assert all(re.fullmatch(r"[^:]+: \d+", line) for line in lines)
        names = {line.split(":")[0] for line in lines}
        assert names >= ({"cluster_manager.cds.update_success", "listener_manager.lds.update_success"} if "cds" in query else
                         {"server.state", "listener_manager.workers_started"})


@both_proxies
def test_scrape(mesh):
    client, _ = two(mesh)
    client.get("http://server:8080/counted")
    for port in (15090, 15020):
        status, text = client.http_get(port, "/stats/prometheus", headers={"Accept": "text/plain;version=0.0.4"})
        assert status == 200
        assert 'envoy_server_state{} 0' in text or "envoy_server_state 0" in text
        for line in text.splitlines():
            assert re.fullmatch(r"#.*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? [-+0-9.eEnNaAiIfF]+( \d+)?|", line), line


@both_proxies
def test_config_dump(mesh):
    client, _ = two(mesh)
    dump = json.loads(client.admin("/config_dump?include_eds"))["configs"]
    types = [c["@type"].rsplit(".", 1)[1] for c in dump]
    assert types[:1] == ["BootstrapConfigDump"]
    for kind in ("ClustersConfigDump", "ListenersConfigDump", "RoutesConfigDump", "SecretsConfigDump", "EndpointsConfigDump"):
        assert kind in types
    clusters = next(c for c in dump if c["@type"].endswith("ClustersConfigDump"))
    names = {c["cluster"]["name"] for c in clusters["dynamic_active_clusters"]}
    assert "outbound|8080||server.default.svc.cluster.local" in names
    sent = next(c for c in client.config_dump()["configs"] if c["@type"].endswith("ClustersConfigDump"))
    pushed = {c["cluster"]["name"] for c in sent.get("dynamicActiveClusters", [])}
    assert pushed and pushed <= names
    mesh.compare("clusters", sorted(n for n in names if "|" not in n or "|server." in n or "istio-system" in n))
    assert "BEGIN PRIVATE KEY" not in json.dumps(dump) and "BEGIN RSA PRIVATE KEY" not in json.dumps(dump)
    only = json.loads(client.admin("/config_dump?resource=dynamic_listeners"))["configs"]
    assert {c["@type"].rsplit(".", 1)[1] for c in only} == {"DynamicListener"}


@both_proxies
def test_pages(mesh):
    client, _ = two(mesh)
    clusters = client.admin("/clusters")
    assert re.search(r"^outbound\|8080\|\|server\.default\.svc\.cluster\.local::\d+\.\d+\.\d+\.\d+:8080::health_flags::healthy$", clusters, re.M)
    assert json.loads(client.admin("/clusters?format=json"))["cluster_statuses"]
    assert "virtualOutbound::0.0.0.0:15001" in client.admin("/listeners")
    certificates = json.loads(client.admin("/certs"))["certificates"]
    assert any("spiffe://cluster.local/ns/default/sa/client" in json.dumps(c) for c in certificates)
    memory = {key: int(value) for key, value in json.loads(client.admin("/memory")).items()}
    assert memory["total_physical_bytes"] > 0
    assert memory["allocated"] > 0 or "asan" in peers.clew().parts  # its allocator keeps no account for others
    assert "<" in client.admin("/")
    mesh.compare("methods", [(p, client.http_get(15000, p)[0]) for p in ("/quitquitquit", "/logging", "/drain_listeners", "/nothing")])


@both_proxies
def test_logging(mesh):
    client, _ = two(mesh)
    assert "active loggers:" in client.admin("/logging", "POST")
    assert client.http_get(15000, "/logging?level=warning", "POST")[0] == 200
    mesh.compare("bad level", client.http_get(15000, "/logging?level=loud", "POST")[0])


@both_proxies
def test_istioctl_proxy_config(mesh):
    client, server = two(mesh)
    dump, clusters = mesh.dir / "dump.json", mesh.dir / "clusters.json"
    dump.write_text(client.admin("/config_dump"))
    clusters.write_text(client.admin("/clusters?format=json"))
    for kind, expected in (("clusters", "server.default.svc.cluster.local"), ("listeners", "15001"), ("routes", "server"),
                           ("endpoints", f"{server.ip}:8080"), ("bootstrap", "xds-grpc"), ("secret", "default")):
        text = mesh.istioctl("proxy-config", kind, "--file", str(clusters if kind == "endpoints" else dump), *(["-o", "json"] if kind == "bootstrap" else []))
        assert expected in text, (kind, text[:1000])
        if kind in ("clusters", "listeners"):
            mesh.compare(kind, sorted(" ".join(line.split()) for line in text.splitlines()
                                      if re.match(r"\w*Cluster |istiod\.|server\.|agent|prometheus|xds|sds|0\.0\.0\.0 150", line)))


@both_proxies
def test_istioctl_proxy_config_in_full(mesh):
    """Each kind as JSON, and what `all` and `ecds` make of the dump."""
    client, _ = two(mesh)
    dump = mesh.dir / "dump-eds.json"
    dump.write_text(client.admin("/config_dump?include_eds=true"))
    for kind in ("clusters", "listeners", "routes", "secret", "bootstrap"):
        parsed = json.loads(mesh.istioctl("proxy-config", kind, "--file", str(dump), "-o", "json"))
        assert parsed, kind
        if kind == "clusters":
            cluster = next(c for c in parsed if c["name"] == "outbound|9000||server.default.svc.cluster.local")
            mesh.compare("a cluster as istiod sent it", {k: v for k, v in cluster.items() if k not in ("filters", "transportSocketMatches")})
        if kind == "listeners":
            assert {"virtualInbound", "virtualOutbound"} <= {l["name"] for l in parsed}
        if kind == "routes":
            names = {r["name"] for r in parsed if "name" in r}
            assert {"8080", "server.default.svc.cluster.local:9090"} <= names
    everything = mesh.istioctl("proxy-config", "all", "--file", str(dump))
    for part in ("server.default.svc.cluster.local", "virtualOutbound", "ROOTCA"):
        assert part in everything
    mesh.compare("no extension configs", "EcdsConfigDump" in client.admin("/config_dump?include_eds=true"))


def to_istiod(mesh):
    """How istioctl reaches it, as from outside the cluster: no kubelet forwards ports here."""
    mesh.kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "istio-system"}})
    return ["--xds-address", "localhost:15012", "--insecure"]


def test_istioctl_proxy_status(mesh):
    """Stock istioctl compares what istiod holds for this proxy with the proxy's own dump."""
    client, _ = two(mesh)
    istiod = to_istiod(mesh)
    dump = mesh.dir / "dump.json"

    def status():
        dump.write_text(client.admin("/config_dump"))
        return mesh.istioctl("proxy-status", "client.default", "--file", str(dump), *istiod)
    alike = ["Clusters Match", "Listeners Match", "Routes Match"]
    mesh.until("istiod and the proxy to say the same", lambda: [line.split(" (")[0] for line in status().splitlines()] == alike)
    changed = dump.read_text().replace('"connect_timeout": "10s"', '"connect_timeout": "11s"')
    dump.write_text(changed)
    assert "Clusters Don't Match" in mesh.istioctl("proxy-status", "client.default", "--file", str(dump), *istiod)
    assert re.search(r"^client\.default +Kubernetes +\S+ +\S+ +4 \(CDS,LDS,EDS,RDS\)", mesh.istioctl("proxy-status", *istiod), re.M)


def test_istioctl_reads_a_refused_route_table(mesh):
    """The first version of a route table is refused (a mirror): what istioctl makes of the dump says so and does not panic."""
    client, _ = two(mesh)
    mesh.apply("""
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: mirrored}
        spec:
          hosts: [mirrored]
          http:
          - route: [{destination: {host: mirrored}}]
            mirror: {host: server}
        """)
    mesh.apply("""
        apiVersion: v1
        kind: Service
        metadata: {name: mirrored}
        spec: {selector: {app: server}, ports: [{name: http, port: 8086, targetPort: 8080}]}
        """, wait=False)
    dump = mesh.dir / "dump-refused.json"

    def refused():
        dump.write_text(client.admin("/config_dump"))
        routes = next(c for c in json.loads(dump.read_text())["configs"] if c["@type"].endswith(".RoutesConfigDump"))
        return [r for r in routes["dynamic_route_configs"] if r["route_config"].get("name") == "8086" and "error_state" in r]
    entry = mesh.until("the route table to be refused", refused)[0]
    assert "request_mirror_policies" in entry["error_state"]["details"]
    assert "virtual_hosts" not in entry["route_config"]
    assert "Routes Don't Match" in mesh.istioctl("proxy-status", "client.default", "--file", str(dump), *to_istiod(mesh))
    assert "8080" in mesh.istioctl("proxy-config", "routes", "--file", str(dump))


# What people and scripts ask, and what they get when they ask wrongly: the words are compared where they are short.
QUESTIONS = """
    GET /ready
    POST /ready
    GET /config_dump?mask=nonsense
    GET /config_dump?resource=nonsense
    GET /config_dump?resource=version_info
    GET /config_dump?resource=dynamic_warming_clusters
    GET /clusters?filter=(
    GET /stats?filter=(
    GET /stats?type=foo
    GET /stats?filter=server.live
    POST /stats?filter=server.live
    GET /init_dump
    GET /init_dump?mask=listener
    POST /healthcheck/fail
    GET /ready
    POST /healthcheck/ok
    GET /ready
    POST /reopen_logs
    POST /reset_counters
    GET /hot_restart_version
    GET /logging
    GET /quitquitquit
    GET /drain_listeners
    GET /reset_counters
    GET /healthcheck/fail
    """
# Only the status, and the words up to the first blank line's end or the list of commands, which are each proxy's own.
LONG = """
    GET /nothing
    GET /
    GET /help
    GET /config_dump?name_regex=(
    GET /config_dump?resource=dynamic_listeners&mask=nonsense
    GET /config_dump?resource=dynamic_active_clusters&mask=cluster.name
    GET /stats?format=xml
    GET /stats?histogram_buckets=foo
    GET /stats?format=json&filter=server
    GET /stats?format=prometheus&filter=server
    GET /clusters?format=json
    GET /listeners?format=json
    GET /certs
    GET /memory
    GET /runtime
    GET /server_info
    GET /contention
    POST /logging
    POST /logging?level=loud
    POST /logging?nonsense=debug
    POST /logging?http=debug&admin=debug
    POST /logging?paths=http
    POST /logging?paths=nonsense:info
    POST /logging?paths=http:warning,admin:warning
    """


@both_proxies
def test_answers_and_refusals(mesh):
    asked = mesh.pod("asked")
    for number, line in enumerate(QUESTIONS.split("\n")[1:-1]):
        status, text = asked.http_get(15000, line.split()[1], line.split()[0])
        mesh.compare(f"{number}: {line.strip()}", (status, text.strip()))
    for line in LONG.split("\n")[1:-1]:
        method, path = line.split()
        status, text = asked.http_get(15000, path, method)
        mesh.compare(line.strip(), (status, text.split("\n")[0] if status == 400 and "logging" in path else ""))
    mesh.remove(asked)


@both_proxies
def test_statistics_that_people_read(mesh):
    client, _ = two(mesh)
    client.get("http://server:8080/counted")
    names = {line.split(":")[0] for line in client.admin("/stats").splitlines()}
    wanted = {f"cluster_manager.{n}" for n in ("active_clusters", "warming_clusters", "cluster_added", "cluster_modified", "cluster_removed",
                                               "cds.update_attempt", "cds.update_success", "cds.update_rejected", "cds.version_text")}
    wanted |= {f"listener_manager.{n}" for n in ("listener_create_success", "listener_create_failure", "workers_started", "lds.version_text",
                                                 "total_listeners_active", "total_listeners_warming", "lds.update_success")}
    wanted |= {f"server.{n}" for n in ("state", "live", "uptime", "memory_allocated", "memory_heap_size", "concurrency", "total_connections",
                                       "days_until_first_cert_expiring")}
    wanted |= {f"cluster.xds-grpc;.{n}" for n in ("upstream_cx_active", "upstream_cx_connect_fail", "upstream_rq_total", "membership_healthy")}
    assert names >= wanted, wanted - names
    assert client.stat("server.days_until_first_cert_expiring") in (0, 1)  # a day's certificate, just issued
    mesh.compare("no listener failed", client.stat("listener_manager.listener_create_failure"))


@both_proxies
def test_histogram_buckets(mesh):
    """sidecar.istio.io/statsHistogramBuckets: other buckets for names with a prefix, Envoy's own for the rest."""
    mesh.pod("server", ports=SERVER)
    bucketed = mesh.pod("bucketed", annotations={
        "sidecar.istio.io/statsHistogramBuckets": '{"cluster.xds-grpc": [0.5, 2, 70000], "listener": [3, 9]}',
        "sidecar.istio.io/statsInclusionPrefixes": "listener,http"})
    assert bucketed.get("http://server:8080/counted").status == 200

    def bounds(name):
        return [line.split('le="')[1].split('"')[0] for line in bucketed.admin("/stats/prometheus").splitlines()
                if line.startswith(name + "_bucket{")]
    mesh.until("the connection to be counted", lambda: bounds("envoy_listener_downstream_cx_length_ms"))
    own = bounds("envoy_cluster_upstream_cx_connect_ms")
    assert own == ["0.5", "2", "70000", "+Inf"]
    assert set(bounds("envoy_listener_downstream_cx_length_ms")) == {"3", "9", "+Inf"}
    assert {"0.5", "1", "3600000"} <= set(bounds("envoy_http_downstream_cx_length_ms"))
    mesh.compare("a cluster's buckets", own)

    def text():  # Envoy's are as old as its last flush
        line = next(line for line in bucketed.admin("/stats?histogram_buckets=cumulative").splitlines()
                    if re.match(r"cluster\.xds-grpc;?\.upstream_cx_connect_ms:", line))
        return re.findall(r" B([^(]+)\(", line)
    mesh.until("a connection to be flushed", text)
    mesh.compare("their text", text())
    mesh.remove(bucketed)


@both_proxies
def test_masks_and_shapes(mesh):
    client, _ = two(mesh)
    named = json.loads(client.admin("/config_dump?resource=dynamic_active_clusters&mask=cluster.name"))["configs"]
    name = "outbound|9000||server.default.svc.cluster.local"
    mesh.compare("a masked cluster", next(c for c in named if c["cluster"]["name"] == name))
    text = client.admin("/config_dump?mask=bootstrap")
    assert text.startswith('{\n "configs": [\n  {\n   "@type"')  # one space a level, as scripts have learned
    only = json.loads(client.admin("/config_dump?name_regex=.*9000.*server.*&resource=dynamic_active_clusters"))["configs"]
    assert [c["cluster"]["name"] for c in only] == [name]
    for page, key in (("/certs", "certificates"), ("/runtime", "entries"), ("/memory", None), ("/listeners?format=json", "listener_statuses")):
        value = json.loads(client.admin(page))
        first = value[key] if key else value
        first = sorted(first[0]) if isinstance(first, list) else sorted(first)
        mesh.compare(f"keys of {page}", first)
    mesh.compare("runtime's layers", json.loads(client.admin("/runtime"))["layers"])
    certificate = json.loads(client.admin("/certs"))["certificates"][0]
    mesh.compare("a certificate's keys", {k: sorted(v[0]) for k, v in certificate.items()})
    host = next(h for c in json.loads(client.admin("/clusters?format=json"))["cluster_statuses"] if c["name"] == name
                for h in c["host_statuses"])
    mesh.compare("a host's keys", (sorted(host), [s["name"] for s in host["stats"]]))
    mesh.compare("a cluster's lines", sorted({line.split("::", 1)[1].split("::")[-2] for line in client.admin("/clusters").splitlines()
                                              if line.startswith(name)}))


@both_proxies
def test_quit(mesh):
    quitter = mesh.pod("quitter")
    assert quitter.http_get(15000, "/quitquitquit", "POST") == (200, "OK\n")
    mesh.until("proxy and agent to end", lambda: not quitter.agent.running())
    mesh.remove(quitter)


@both_proxies
def test_memory_of_an_idle_sidecar_is_known(mesh):
    client, _ = two(mesh)
    stats = client.proxy_stats()
    assert 0 < stats["rss_kib"] and stats["threads"] > 0
