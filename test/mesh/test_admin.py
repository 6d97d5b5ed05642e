"""Port 15000, and what stock istioctl makes of it."""

import json
import re

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
    pushed = {c["cluster"]["name"] for c in client.config_dump()["configs"][1].get("dynamicActiveClusters", [])} or names
    assert pushed <= names
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
    assert int(json.loads(client.admin("/memory"))["allocated"]) > 0
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
