"""S13: 10,000 virtual hosts, any of them asked for; 1,000 routes in one host, every other by a regular expression, the last matches.

The floor looks at no host and no route."""

from suite import http
from suite.bench import per_request

SCRIPT = """
local n = 0
request = function()
  n = (n * 48271 + 11) % {hosts}
  return "GET /body HTTP/1.1\\r\\nHost: host-" .. n .. ".bench.example\\r\\n\\r\\n"
end
"""


def route(i):
    match = {"safe_regex": {"regex": f"/service-{i}/[a-z]+"}} if i % 2 else {"prefix": f"/prefix-{i}/"}
    return {"match": match, "route": {"cluster": "backend", "timeout": "0s"}}


def run(bench):
    hosts, routes = bench.pick((100, 50), (10000, 1000), (10000, 1000))
    many_hosts = [{"name": f"host-{i}", "domains": [f"host-{i}.bench.example"],
                   "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "backend", "timeout": "0s"}}]} for i in range(hosts)]
    many_routes = [{"name": "all", "domains": ["*"], "routes": [route(i) for i in range(routes)]}]
    script = bench.peers.cwd / "hosts.lua"
    script.write_text(SCRIPT.format(hosts=hosts))
    folder = bench.peers.cwd / f"www/service-{routes - 1}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "body").write_bytes(b"x" * 1024)
    names = [n for n, binary in bench.peers.binaries.items() if binary]
    with bench.peers.backend() as backend:
        for variant, config, path, lua in ((f"{hosts} hosts", many_hosts, "/body", script),
                                           (f"{routes} routes", many_routes, f"/service-{routes - 1}/body", None)):
            def load(proxy, seconds):
                return bench.loads.wrk(f"http://127.0.0.1:{proxy.port}{path}", seconds, script=lua)
            bench.compare(variant, http.start_all(bench, "h1", backend.port, names, floor=True, routes=config, wait=False),
                          lambda p: per_request([p], lambda: load(p, bench.seconds), backend), warm=lambda p: load(p, 1))
