"""What statistics count, step by step: after each step the same counters have moved by as much as Envoy's."""

import re

import pytest

from harness.procs import wait_for
from harness.resources import (LISTENER_PORT, ads_bootstrap, eds_cluster, endpoints, listener, manager, route, static_bootstrap,
                               static_cluster, tcp_proxy)

# What one of them alone tells (stat_names.csv); bytes of answers that say how long they took; resets of what was answered already.
NOT_COMPARED = re.compile(r"http\.test\.downstream_(cx_tx_bytes_total|rq_rx_reset)|.*_buffered|cluster\..*\.remaining_cx_pools"
                          r"|tcp\.tcp\.downstream_cx_active")
FAMILIES = ("http.test.", "cluster.", "tcp.tcp.", "listener.0.0.0.0_10000.")


def numbers(proxy):
    """Counters and gauges by name."""
    lines = (line.split(": ") for line in proxy.admin("/stats").splitlines() if ": " in line)
    return {name: int(value) for name, value in lines if value.isdigit() and name.startswith(FAMILIES)}


def moved(before, after):
    return {name: value - before.get(name, 0) for name, value in after.items()
            if value != before.get(name, 0) and not NOT_COMPARED.fullmatch(name)}


def but_requests(values):
    """Envoy takes a TCP connection for a request as well when it comes to limits."""
    return {name: value for name, value in values.items() if not name.endswith("remaining_rq")}


def head(method, path, *fields, body=""):
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *fields, "", body]).encode()


# name, what is sent, whether the client stays to read an answer
STEPS = [
    ("a request", head("GET", "/ok"), True),
    ("with a body", head("POST", "/ok", "Content-Length: 5", body="hello"), True),
    ("that closes", head("GET", "/ok", "Connection: close"), True),
    ("answered by the route", head("GET", "/direct"), True),
    ("redirected", head("GET", "/redirect"), True),
    ("without a route", head("GET", "/nowhere"), True),
    ("without a cluster", head("GET", "/nocluster"), True),
    ("to nobody", head("GET", "/dead"), True),
    ("of priority HIGH", head("GET", "/high"), True),
    ("an upgrade that is not allowed", head("GET", "/ok", "Connection: upgrade", "Upgrade: websocket"), True),
    ("answered before its end", head("POST", "/direct", "Content-Length: 10"), True),
    ("that is none", b"NONSENSE\r\n\r\n", True),
    ("for no path", head("OPTIONS", "*"), True),
    ("whose client leaves before its end", head("POST", "/ok", "Content-Length: 10"), False),
]


def static(lab, app):
    routes = [{"match": {"prefix": "/direct"}, "direct_response": {"status": 200, "body": {"inline_string": "hi"}}},
              {"match": {"prefix": "/redirect"}, "redirect": {"path_redirect": "/x"}},
              {"match": {"prefix": "/high"}, "route": {"cluster": "app", "priority": "HIGH"}}]
    routes += [{"match": {"prefix": f"/{path}"}, "route": {"cluster": cluster}}
               for path, cluster in (("ok", "app"), ("dead", "dead"), ("nocluster", "none"))]
    table = {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}], "validate_clusters": False}
    limits = {"thresholds": [{"max_connections": 7, "track_remaining": True},
                             {"priority": "HIGH", "max_requests": 3, "track_remaining": True}]}
    return lab.proxy(static_bootstrap([listener("l", LISTENER_PORT, manager(table)), listener("tcp", 10001, tcp_proxy("app"))],
                                      [static_cluster("app", app.port, circuit_breakers=limits), static_cluster("dead", 1)]),
                     concurrency=1)


def test_requests(lab, compare):
    proxy = static(lab, lab.app("app"))
    for done, (name, sent, stays) in enumerate(STEPS, 1):
        before = numbers(proxy)
        with proxy.connect() as connection:
            connection.send(sent)
            if stays:
                connection.read_response()
            else:
                wait_for("the request to be under way", lambda: proxy.stat("cluster.app.upstream_rq_active"))
        wait_for("the connection to end", lambda: proxy.stat("http.test.downstream_cx_destroy") == done)
        changes = moved(before, numbers(proxy))
        if not stays:  # what becomes of the upstream's connection then is each proxy's own way
            changes = {name: by for name, by in changes.items() if not name.startswith("cluster.")}
        compare(name, changes)


def test_tcp_bytes_while_the_connection_lasts(lab, compare):
    proxy = static(lab, lab.app("app"))
    before = numbers(proxy)
    with proxy.connect(10001) as connection:
        assert connection.request("GET", "/", "x").status == 200
        wait_for("what was read to be counted", lambda: proxy.stat("tcp.tcp.downstream_cx_tx_bytes_total"))
        compare("open", moved(before, but_requests(numbers(proxy))))
    wait_for("the connection to end", lambda: proxy.stat("cluster.app.upstream_cx_destroy"))
    compare("closed by the client", moved(before, but_requests(numbers(proxy))))


def test_endpoints(lab, compare):
    app = lab.app("app")
    ads = lab.ads()
    ads.set(eds_cluster("app"))
    ads.set(endpoints("app", app.port))
    ads.set(route("r", "app"))
    ads.set(listener("l", LISTENER_PORT, manager("r")))
    proxy = lab.proxy(ads_bootstrap(ads.path), concurrency=1)
    wait_for("a request to go through", lambda: proxy.get() == 200)
    names = ("update_success", "update_rejected", "update_empty", "membership_change", "membership_total", "membership_healthy",
             "membership_degraded", "membership_excluded", "max_host_weight", "init_fetch_timeout")

    def told():
        return {name: proxy.stat(f"cluster.app.{name}") for name in names}
    compare("at first", told())
    ads.settle("endpoints", lambda: ads.set(endpoints("app", app.port, 1)))
    compare("one more", told())
    ads.settle("endpoints", lambda: ads.set(endpoints("app", app.port)))
    compare("one less", told())
    bad = endpoints("app", app.port)
    bad["endpoints"][0]["priority"] = 200
    assert "error_detail" in ads.settle("endpoints", lambda: ads.send("endpoints", ("app", bad)))
    compare("refused", told())


def test_a_listener_that_goes(lab, compare):
    app = lab.app("app")
    ads = lab.ads()
    ads.set(eds_cluster("app"))
    ads.set(endpoints("app", app.port))
    ads.set(listener("going", 10001, tcp_proxy("app")), listener("staying", LISTENER_PORT, tcp_proxy("app")))
    proxy = lab.proxy(ads_bootstrap(ads.path), concurrency=1, options=["--drain-time-s", "600"])

    def told():
        return {name: proxy.stat(f"listener_manager.{name}") for name in (
            "total_listeners_active", "total_listeners_draining", "total_listeners_warming", "total_filter_chains_draining",
            "listener_removed", "listener_modified", "workers_started")}
    with proxy.connect(10001) as connection:
        assert connection.request("GET", "/", "x").status == 200
        compare("with a connection", told())
        ads.settle("listener", lambda: ads.remove("listener", "going"))
        wait_for("the listener to drain", lambda: proxy.stat("listener_manager.total_listeners_draining") == 1)
        compare("gone", told())
    if lab.name == "clew":  # Envoy keeps it for the whole time
        wait_for("the last connection to end", lambda: proxy.stat("listener_manager.total_listeners_draining") == 0)
    assert "error" not in proxy.admin("/stats?filter=listener_manager")
    pytest.raises(OSError, proxy.connect, 10001)
