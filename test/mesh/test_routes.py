"""VirtualServices on a sidecar: matches, timeouts, retries, and what happens when nothing matches."""

import yaml

from harness.scenario import both_proxies

SERVER = {"http": 8080, "tcp": 9000, "auto": 9090}


def two(mesh):
    return mesh.pod("client"), mesh.pod("server", ports=SERVER)


def virtual_service(mesh, http):
    mesh.apply([{
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "server"},
        "spec": {"hosts": ["server"], "http": yaml.safe_load(http)}}])


def routed(mesh, client, url, app, **options):
    return mesh.until(f"{url} to reach {app}", lambda: (r := client.get(url, **options)).status == 200 and r.app.app == app and r)


@both_proxies
def test_by_path_and_header(mesh):
    client, _ = two(mesh)
    mesh.pod("other", ports={"http": 8080})
    virtual_service(mesh, """
      - name: by-prefix
        match: [{uri: {prefix: /other/}}]
        route: [{destination: {host: other, port: {number: 8080}}}]
      - name: by-exact
        match: [{uri: {exact: /exactly}}]
        route: [{destination: {host: other}}]
      - name: by-regex
        match: [{uri: {regex: "/r[0-9]+/.*"}}]
        route: [{destination: {host: other}}]
      - name: by-header
        match: [{headers: {end-user: {exact: jason}}}]
        route: [{destination: {host: other}}]
      - name: by-method
        match: [{method: {exact: DELETE}}]
        route: [{destination: {host: other}}]
      - name: by-query
        match: [{queryParams: {q: {exact: "1"}}}]
        route: [{destination: {host: other}}]
      - name: the-rest
        route: [{destination: {host: server}}]
      """)
    url = "http://server:8080"
    routed(mesh, client, url + "/other/x", "other")
    for path, headers, app in (
            ("/other/x", {}, "other"), ("/other", {}, "server"), ("/exactly", {}, "other"), ("/exactly?a=b", {}, "other"),
            ("/exactly/not", {}, "server"), ("/r12/x", {}, "other"), ("/r12", {}, "server"), ("/xr12/x", {}, "server"),
            ("/h", {"end-user": "jason"}, "other"), ("/h", {"End-User": "jason"}, "other"), ("/h", {"end-user": "jasons"}, "server"),
            ("/q?q=1", {}, "other"), ("/q?q=2", {}, "server"), ("/q?a=b&q=1", {}, "other")):
        r = client.get(url + path, headers=headers)
        assert (r.status, r.app.app) == (200, app), (path, headers)
    assert client.request("DELETE", url + "/d").app.app == "other"
    line = client.access_log.wait_for(path="/other/x", response_code=200)
    assert (line.route_name, line.upstream_cluster) == ("by-prefix", "outbound|8080||other.default.svc.cluster.local")
    names = [line.route_name for line in client.access_log.wait_for(path="/h", count=3)]
    assert sorted(names) == ["by-header", "by-header", "the-rest"]  # two workers hand over their lines by turns


@both_proxies
def test_no_route(mesh):
    client, server = two(mesh)
    virtual_service(mesh, """
      - match: [{uri: {prefix: /known}}]
        route: [{destination: {host: server}}]
      """)
    r = mesh.until("404", lambda: (r := client.get("http://server:8080/unknown")).status == 404 and r)
    line = client.access_log.wait_for(path="/unknown", response_code=404)
    assert (line.response_flags, line.response_code_details) == ("NR", "route_not_found")
    mesh.compare("answer", (r.status, r.body, sorted(r.headers.names())))
    mesh.compare("line", line.stable())
    assert client.get("http://server:8080/known").status == 200


@both_proxies
def test_timeout(mesh):
    client, server = two(mesh)
    virtual_service(mesh, """
      - timeout: 0.3s
        retries: {attempts: 0}
        route: [{destination: {host: server}}]
      """)
    r = mesh.until("504", lambda: (r := client.get("http://server:8080/delay/1")).status == 504 and r)
    line = client.access_log.wait_for(path="/delay/1", response_code=504)
    assert (line.response_flags, line.response_code_details) == ("UT", "response_timeout")
    assert r.body == b"upstream request timeout"
    mesh.compare("answer", (r.status, r.body, sorted(r.headers.names())))
    mesh.compare("line", line.stable())
    mesh.compare("headers at the application", [n for n in client.get("http://server:8080/fast").app.headers.names()
                                                if not n.startswith("x-envoy-peer-metadata")])


@both_proxies
def test_retries_until_it_works(mesh):
    client, server = two(mesh)
    virtual_service(mesh, """
      - retries: {attempts: 3, retryOn: "5xx"}
        route: [{destination: {host: server}}]
      """)
    key = f"works-{mesh.under}"
    mesh.until("retries", lambda: client.get(f"http://server:8080/flaky/{key}-warm/1").status == 200)
    r = client.get(f"http://server:8080/flaky/{key}/2")
    assert r.status == 200
    assert len(server.app.saw(f"/flaky/{key}/2")) == 3
    assert r.app.headers["x-envoy-attempt-count"] == "3"
    mesh.compare("answer's headers", sorted(r.headers.names()))


@both_proxies
def test_retries_end(mesh):
    client, server = two(mesh)
    virtual_service(mesh, """
      - retries: {attempts: 2, retryOn: "5xx"}
        route: [{destination: {host: server}}]
      """)
    key = f"ends-{mesh.under}"
    mesh.until("retries", lambda: client.get(f"http://server:8080/flaky/{key}-warm/1").status == 200)
    client.access_log.mark()
    path = f"/flaky/{key}/9"
    r = client.get("http://server:8080" + path)
    assert (r.status, len(server.app.saw(path))) == (503, 3)
    line = client.access_log.wait_for(path=path)
    assert line.response_flags == "URX"
    mesh.compare("line", {k: v for k, v in line.stable().items() if k not in ("request", "bytes_sent")})


@both_proxies
def test_default_retries_spare_requests_that_may_have_worked(mesh):
    client, server = two(mesh)
    for method, path in (("GET", "/status/503/once"), ("POST", "/close/once")):
        before = len(server.app.saw(path))
        assert client.request(method, "http://server:8080" + path).status == 503
        mesh.compare(f"attempts of {method} {path}", len(server.app.saw(path)) - before)


@both_proxies
def test_redirect_and_direct_response(mesh):
    client, _ = two(mesh)
    virtual_service(mesh, """
      - match: [{uri: {prefix: /moved}}]
        redirect: {uri: /here, authority: elsewhere.example.com, redirectCode: 302}
      - match: [{uri: {prefix: /direct}}]
        directResponse: {status: 418, body: {string: "a teapot"}}
      - route: [{destination: {host: server}}]
      """)
    r = mesh.until("302", lambda: (r := client.get("http://server:8080/moved")).status == 302 and r)
    assert r.headers["location"] == "http://elsewhere.example.com/here"
    direct = client.get("http://server:8080/direct")
    assert (direct.status, direct.body) == (418, b"a teapot")
    mesh.compare("redirect", sorted(r.headers.names()))
    mesh.compare("direct", sorted(direct.headers.names()))
    mesh.compare("line", client.access_log.wait_for(path="/direct").stable())


@both_proxies
def test_rewrite_and_header_changes(mesh):
    client, server = two(mesh)
    virtual_service(mesh, """
      - match: [{uri: {prefix: /old/}}]
        rewrite: {uri: /new/, authority: renamed}
        headers:
          request: {set: {x-set: "1"}, add: {x-add: "2"}, remove: [x-gone]}
          response: {set: {x-answer: "3"}, remove: [x-app]}
        route: [{destination: {host: server}}]
      - route: [{destination: {host: server}}]
      """)
    r = mesh.until("the rewrite", lambda: (r := client.get("http://server:8080/old/a?b=c", headers={"x-gone": "x"})).app.path == "/new/a?b=c" and r)
    assert r.app.headers["host"] == "renamed"
    assert (r.app.headers["x-set"], r.app.headers["x-add"], "x-gone" in r.app.headers) == ("1", "2", False)
    assert (r.headers["x-answer"], "x-app" in r.headers) == ("3", False)
    mesh.compare("headers at the application", sorted(n for n in r.app.headers.names() if not n.startswith("x-envoy-peer-metadata")))
    assert client.access_log.wait_for(path="/old/a?b=c").response_code == 200


@both_proxies
def test_weights(mesh):
    client, _ = two(mesh)
    mesh.pod("other", ports={"http": 8080})
    virtual_service(mesh, """
      - route:
        - {destination: {host: server}, weight: 50}
        - {destination: {host: other}, weight: 50}
      """)
    mesh.until("both", lambda: {client.get("http://server:8080/w").app.app for _ in range(20)} == {"server", "other"})
    apps = [client.get("http://server:8080/w").app.app for _ in range(200)]
    assert 50 < apps.count("other") < 150


@both_proxies
def test_subsets(mesh):
    client = mesh.pod("client")
    mesh.pod("multi-v1", service="multi", version="v1", ports={"http": 8080})
    mesh.pod("multi-v2", service="multi", version="v2", ports={"http": 8080})
    mesh.apply("""
        apiVersion: networking.istio.io/v1
        kind: DestinationRule
        metadata: {name: multi}
        spec:
          host: multi
          subsets: [{name: one, labels: {version: v1}}, {name: two, labels: {version: v2}}]
        ---
        apiVersion: networking.istio.io/v1
        kind: VirtualService
        metadata: {name: multi}
        spec:
          hosts: [multi]
          http:
          - match: [{uri: {prefix: /two}}]
            route: [{destination: {host: multi, subset: two}}]
          - route: [{destination: {host: multi, subset: one}}]
        """)
    mesh.until("the subsets", lambda: {client.get("http://multi:8080/one").app.app for _ in range(10)} == {"multi-v1"})
    assert {client.get("http://multi:8080/one").app.app for _ in range(10)} == {"multi-v1"}
    assert {client.get("http://multi:8080/two").app.app for _ in range(10)} == {"multi-v2"}
    assert client.access_log.wait_for(path="/two", response_code=200).upstream_cluster == "outbound|8080|two|multi.default.svc.cluster.local"


@both_proxies
def test_host_by_any_of_its_names(mesh):
    client, _ = two(mesh)
    for host in ("server:8080", "server.default:8080", "server.default.svc:8080", "server.default.svc.cluster.local:8080", "server",
                 "SERVER:8080"):
        r = client.get("http://server:8080/names", headers={"host": host})
        mesh.compare(host, r.status)
    outside = mesh.pod("outside", ports={"http": 7070, "http-b": 8080, "tcp": 7071}, service="", account="default", sidecar=False)
    unknown = client.get("http://unknown.example.com:8080/names", address=(outside.ip, 8080))
    assert (unknown.status, unknown.app.app) == (200, "outside")
