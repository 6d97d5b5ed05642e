"""Faults F3 to F11 of the control plane: what an ADS server says late, wrongly, in another order, or not at all."""

import socket
import threading
import time

from harness import netns
from harness.figures import scaled
from harness.load import Load
from harness.procs import wait_for
from harness.resources import (ADS, LISTENER_PORT, ROUTER, TYPES, address, ads_bootstrap, eds_cluster, endpoints, listener, manager, route,
                               static_cluster, tcp_proxy)


def serve(lab, *apps, **options):
    """An ADS server and a proxy with a listener, a route to the first of these applications, and a cluster for each."""
    ads = lab.ads()
    ads.set(*(eds_cluster(a.name) for a in apps))
    ads.set(*(endpoints(a.name, a.port) for a in apps))
    ads.set(route("r", apps[0].name))
    ads.set(listener("l", LISTENER_PORT, manager("r")))
    proxy = lab.proxy(ads_bootstrap(ads.path), **options)
    wait_for("a request to go through", lambda: proxy.get() == 200, explain=proxy.explain)
    return ads, proxy


def load(lab, app, **options):
    return Load(lab.ns, ("127.0.0.1", LISTENER_PORT), "all", lambda _: ("", app.name), **options)


class Between:
    """A socket between proxy and ADS server that a test can slow down, stall and break."""

    def __init__(self, lab, ads):
        self.path, self._ads = lab.dir / f"between{next(lab.numbers)}", ads.path
        self.byte_pause, self.stalled, self.accepted, self.refusing = 0.0, False, 0, False
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen()
        self._pairs = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            near, _ = self._listener.accept()
            self.accepted += 1
            if self.refusing:
                near.close()
                continue
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(str(self._ads))
            except OSError:
                near.close()
                continue
            self._pairs.append((near, far))
            threading.Thread(target=self._copy, args=(near, far), daemon=True).start()
            threading.Thread(target=self._copy, args=(far, near), daemon=True).start()

    def _copy(self, source, to):
        try:
            while data := source.recv(65536):
                while self.stalled:
                    time.sleep(0.01)
                if self.byte_pause and len(data) > 200:
                    for i in range(0, len(data), max(1, len(data) // 50)):
                        to.sendall(data[i:i + max(1, len(data) // 50)])
                        time.sleep(self.byte_pause)
                else:
                    to.sendall(data)
        except OSError:
            pass
        for end in (source, to):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        for pair in self._pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self._pairs = []


def test_f3_slow_stalled_and_broken_control_plane(lab, figure):
    """Frames that trickle, a peer that stalls, streams that break at once: traffic goes on, and the stream comes back.
    CI: 2 s of refused streams; full: 60 s."""
    app = lab.app("app")
    ads = lab.ads()
    between = Between(lab, ads)
    ads.set(eds_cluster("app"), endpoints("app", app.port), route("r", "app"), listener("l", LISTENER_PORT, manager("r")))
    between.byte_pause = 0.01
    proxy = lab.proxy(ads_bootstrap(between.path))
    wait_for("a request to go through", lambda: proxy.get() == 200)
    between.byte_pause = 0.0
    with load(lab, app) as traffic:
        between.stalled = True
        traffic.more(50)
        between.stalled = False
        between.refusing = True
        between.cut()
        accepted, cpu = between.accepted, proxy.usage()["cpu_seconds"]
        seconds = scaled(60, 2)
        traffic.more(200 * seconds)
        tries = between.accepted - accepted
        between.refusing = False
        since = time.monotonic()
        wait_for("the stream again", lambda: proxy.stat("control_plane.connected_state") == 1, 40)
        back = time.monotonic() - since
        assert ads.settle("route", lambda: ads.set(route("r", "app", timeout="7s"))).get("error_detail") is None
    traffic.ledger.check(app)
    assert 1 <= tries <= 10  # back-off: 0.5 s, doubled; drawn from [0, that), ten within seconds are as good as impossible
    assert back <= 30
    figure("F3 control plane broken", f"{traffic.ledger}; {tries} tries in {seconds} s; back after {back:.1f} s")


def test_f3_a_dead_peer_is_found(lab, figure):
    """connection_keepalive on xDS (as istiod's bootstrap may have it): a peer that answers nothing any more is left."""
    app = lab.app("app")
    ads = lab.ads()
    between = Between(lab, ads)
    ads.set(eds_cluster("app"), endpoints("app", app.port), route("r", "app"), listener("l", LISTENER_PORT, manager("r")))
    bootstrap = ads_bootstrap(between.path)
    options = bootstrap["static_resources"]["clusters"][0]["typed_extension_protocol_options"].popitem()[1]
    options["explicit_http_config"]["http2_protocol_options"]["connection_keepalive"] = {"interval": "1s", "timeout": "1s"}
    bootstrap["static_resources"]["clusters"][0]["typed_extension_protocol_options"][
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"] = options
    proxy = lab.proxy(bootstrap)
    wait_for("a request to go through", lambda: proxy.get() == 200)
    accepted = between.accepted
    between.stalled = True
    since = time.monotonic()
    wait_for("another connection", lambda: between.accepted > accepted, 15)
    figure("F3 dead peer", f"left after {time.monotonic() - since:.1f} s with keepalive 1 s + 1 s")
    between.stalled = False
    assert proxy.get() == 200


def test_f4_first_start_without_control_plane(lab, compare, figure):
    """Nothing listens, /ready is 503, the CPU rests; then it comes."""
    app = lab.app("app")
    ads = lab.ads()
    ads.stop()
    proxy = lab.proxy(ads_bootstrap(ads.path), wait=False)
    wait_for("the admin port", lambda: proxy.http("/ready"), explain=proxy.explain)
    compare("ready", proxy.http("/ready"))
    compare("request", proxy.get())
    before = proxy.usage()["cpu_seconds"]
    seconds = scaled(60, 2)
    time.sleep(seconds)
    cpu = (proxy.usage()["cpu_seconds"] - before) / seconds
    assert proxy.http("/ready")[0] == 503
    ads.restart(eds_cluster("app"), endpoints("app", app.port), route("r", "app"), listener("l", LISTENER_PORT, manager("r")))
    wait_for("a request to go through", lambda: proxy.get() == 200, 40)
    assert proxy.ready()
    assert cpu < 0.02, cpu
    figure("F4 no control plane", f"{100 * cpu:.1f} % CPU while waiting")


BAD_BYTES = {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "no resource"}


def bad_resources(app):
    """kind → [(what, name, the resource)]: each must be refused."""
    good_listener = listener("bad", 10001, manager("r"))
    chain = good_listener["filter_chains"][0]

    def with_filter(config):
        return {**good_listener, "filter_chains": [{"filters": [config]}]}

    def http(**fields):
        return with_filter(manager("r", **fields))
    unknown = {"name": "unheard-of", "typed_config": {"@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
                                                      "type_url": "type.googleapis.com/example.UnheardOf", "value": {"a": "b"}}}
    good_cluster = static_cluster("bad", app.port)
    table = {
        "listener": {
            "another type": BAD_BYTES,
            "no address": {k: v for k, v in good_listener.items() if k != "address"},
            "no filter chain": {**good_listener, "filter_chains": []},
            "unknown network filter": with_filter(unknown),
            "unknown HTTP filter": http(http_filters=[unknown, ROUTER]),
            "no router": http(http_filters=[]),
            "router not last": http(http_filters=[ROUTER, ROUTER]),
            "chains alike": {**good_listener, "filter_chains": [chain, chain]},
            "bad regex in a route": with_filter(manager(route("x", "app") | {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [
                {"match": {"safe_regex": {"regex": "("}}, "route": {"cluster": "app"}}]}]})),
            "bad access-log format": http(access_log=[{"name": "f", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": "/dev/null",
                "log_format": {"text_format_source": {"inline_string": "%NOT_A_COMMAND%"}}}}]),
            "log that cannot be opened": http(access_log=[{"name": "f", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": "/no/such/folder/log"}}]),
            "port out of range": {**good_listener, "address": {"socket_address": {"address": "0.0.0.0", "port_value": 70000}}},
            "address that is none": {**good_listener, "address": {"socket_address": {"address": "nowhere", "port_value": 1}}},
        },
        "cluster": {
            "another type": BAD_BYTES,
            "no connect": {**good_cluster, "connect_timeout": "0s"},
            "negative timeout": {**good_cluster, "connect_timeout": "-1s"},
            "EDS without a source": {**eds_cluster("bad"), "eds_cluster_config": {}},
            "endpoints by name in STATIC": static_cluster("bad", 80, ip="server.example"),
            "another name in the endpoints, no name": {**good_cluster, "name": ""},
            "unknown transport socket": {**good_cluster, "transport_socket": unknown},
            "unknown policy": {**good_cluster, "load_balancing_policy": {"policies": [{"typed_extension_config": unknown}]}},
            "two discovery types": {**good_cluster, "eds_cluster_config": {"service_name": "x"}},
        },
        "route": {
            "another type": BAD_BYTES,
            "two hosts of one domain": {**route("r", "app"), "virtual_hosts": [
                {"name": "a", "domains": ["x"]}, {"name": "b", "domains": ["x"]}]},
            "no domain": {**route("r", "app"), "virtual_hosts": [{"name": "a", "domains": []}]},
            "bad regex": {**route("r", "app"), "virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [
                {"match": {"safe_regex": {"regex": "[z-a]"}}, "route": {"cluster": "app"}}]}]},
            "no action": {**route("r", "app"), "virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [{"match": {"prefix": "/"}}]}]},
            "no match": {**route("r", "app"), "virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [{"route": {"cluster": "app"}}]}]},
            "weights of nothing": {**route("r", "app"), "virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": [{"name": "app", "weight": 0}]}}}]}]},
            "status out of range": {**route("r", "app"), "virtual_hosts": [{"name": "a", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "direct_response": {"status": 7}}]}]},
        },
        "endpoints": {
            "another type": BAD_BYTES,
            "no name": {**endpoints("app", app.port), "cluster_name": ""},
            "name as an address": endpoints("app", app.port, ip="server.example"),
            "weight of nothing": {"@type": TYPES["endpoints"], "cluster_name": "app", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": address(app.port)}, "load_balancing_weight": 0}]}]},
            "port out of range": endpoints("app", 70000),
            "priority with a gap": {"@type": TYPES["endpoints"], "cluster_name": "app", "endpoints": [
                {"priority": 500, "lb_endpoints": [{"endpoint": {"address": address(app.port)}}]}]},
        },
    }
    name = {"listener": "bad", "cluster": "bad", "route": "r", "endpoints": "app"}
    return [(kind, what, name[kind], resource) for kind, rows in table.items() for what, resource in rows.items()]


def test_f5_bad_resources(lab, compare, figure):
    """Each invalid resource in one response with a good one, under traffic: refused by its nonce, the version in use serves on,
    the good one follows Envoy's rule, and the next good response is accepted."""
    app = lab.app("app")
    ads, proxy = serve(lab, app)
    fine = {"listener": lambda i: listener("good", 10002, manager("r"), stat_prefix=f"g{i}"),
            "cluster": lambda i: static_cluster(f"good{i}", app.port)}
    verdicts = {}
    with load(lab, app) as traffic:
        for i, (kind, what, name, resource) in enumerate(bad_resources(app)):
            extra = [(f"good{i}" if kind == "cluster" else "good", fine[kind](i))] if kind in fine else []
            answer = ads.settle(kind, lambda: ads.send(kind, (name, resource), *extra))
            verdicts[f"{kind}: {what}"] = "refused" if "error_detail" in answer else "accepted"
            # Each resource alone: Envoy drops the good one too where a message breaks a constraint of its proto.
            assert kind != "cluster" or lab.name == "envoy" or f"good{i}::" in proxy.admin("/clusters")
            answer = ads.settle(kind, lambda: {
                "listener": lambda: ads.remove("listener", "bad"), "cluster": lambda: ads.remove("cluster", "bad"),
                "route": lambda: ads.set(route("r", "app", timeout=f"{i + 1}s")),
                "endpoints": lambda: ads.set(endpoints("app", app.port)),
            }[kind]())
            assert "error_detail" not in answer, answer
    traffic.ledger.check(app)
    figure("F5 bad resources", f"{list(verdicts.values()).count('refused')} refused; {traffic.ledger}")
    for what in STRICTER:
        assert lab.name == "envoy" or verdicts[what] == "refused"
    compare("verdicts", {what: verdict for what, verdict in verdicts.items() if what not in STRICTER})


# Requests could only get 404 there.
STRICTER = {"listener: no router"}


def test_f6_duplicates_and_unknown_types(lab, compare):
    app = lab.app("app")
    ads, proxy = serve(lab, app)
    table = {}
    for kind, name, one, two in (
            ("cluster", "twice", static_cluster("twice", 1), static_cluster("twice", 2)),
            ("listener", "twice", listener("twice", 10001, manager("r")), listener("twice", 10002, manager("r"))),
            ("route", "r", route("r", "app"), route("r", "nobody")),
            ("endpoints", "app", endpoints("app", app.port), endpoints("app", 1))):
        answer = ads.settle(kind, lambda: ads.send(kind, (name, one), (name, two)))
        table[f"{kind} twice in one response"] = "error_detail" in answer
        table[f"request after {kind} twice"] = proxy.get()
    for what, response in (("both set and removed", {"resources": [("both", static_cluster("both", 1))], "removedResources": ["both"]}),
                           ("removed that never was", {"resources": [], "removedResources": ["never"]})):
        answer = ads.settle("cluster", lambda: ads.send("cluster", *response["resources"], removedResources=response["removedResources"]))
        table[what] = "error_detail" in answer
    ads.send("type.googleapis.com/envoy.config.core.v3.Node", ("x", BAD_BYTES))  # a type that nobody asked for
    answer = ads.settle("cluster", lambda: ads.set(static_cluster("after", app.port)))
    table["after an unknown type"] = "error_detail" in answer
    table["request"] = proxy.get()
    compare("verdicts", table)


def test_f7_cds_before_eds(lab, compare, figure):
    """A new cluster is hidden until its endpoints come; an updated one serves as it was until then.
    CI: 40 updates of a cluster under traffic; full: 1,000."""
    app, other = lab.app("app"), lab.app("other")
    ads, proxy = serve(lab, app)
    ads.hold("endpoints")
    ads.set(eds_cluster("other"))
    ads.set(route("r", ("/other", "other"), ("/", "app")))
    wait_for("the route", lambda: proxy.get("/other") == 503)
    compare("a cluster without endpoints", (proxy.get("/other"), proxy.stat("cluster_manager.warming_clusters")))
    ads.set(endpoints("other", other.port))
    compare("still without", proxy.get("/other"))
    ads.let_go("endpoints")
    wait_for("the cluster", lambda: proxy.get("/other") == 200)
    updates = scaled(1000, 40)
    with load(lab, app) as traffic:
        ads.hold("endpoints")
        ads.set(eds_cluster("app", eds_cluster_config={"eds_config": ADS, "service_name": "moved"}))
        wait_for("the new version to wait", lambda: proxy.stat("cluster_manager.warming_clusters") == 1)
        traffic.more(100)  # the old one serves
        ads.set(endpoints("moved", app.port))
        ads.let_go("endpoints")
        wait_for("the new version", lambda: proxy.stat("cluster_manager.warming_clusters") == 0)
        for i in range(updates):
            cluster = eds_cluster("app", circuit_breakers={"thresholds": [{"max_connections": 10000 + i}]})
            # As istiod does: endpoints follow each change of their cluster, which Envoy keeps waiting until then.
            answer = ads.settle("cluster", lambda: ads.set(cluster, endpoints("app", app.port)))
            assert "error_detail" not in answer, answer
    traffic.ledger.check(app)
    figure("F7 CDS before EDS", f"{updates} updates of a cluster: {traffic.ledger}")


def test_f7_endpoints_that_never_come(lab, compare):
    """initial_fetch_timeout: the cluster goes live without endpoints (503 UH instead of NC), an updated one keeps those it had."""
    app = lab.app("app")
    ads, proxy = serve(lab, app)
    source = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0.5s"}
    ads.hold("endpoints")

    def timed(name, **fields):
        return eds_cluster(name, eds_cluster_config={"eds_config": source, "service_name": name}, **fields)
    ads.set(timed("silent"))
    ads.set(route("r", ("/silent", "silent"), ("/", "app")))
    body = wait_for("the cluster to go live", lambda: "no healthy upstream" in (r := proxy.http("/silent", port=LISTENER_PORT))[1] and r)
    compare("no endpoints", body)
    ads.set(timed("app", circuit_breakers={"thresholds": [{"max_connections": 77777}]}))
    wait_for("the new version", lambda: "max_connections::77777" in proxy.admin("/clusters"))
    compare("with those it had", proxy.get())


def test_f8_lds_before_rds(lab, compare):
    """A listener waits for its routes, the old version serves meanwhile, on the same socket."""
    app, other = lab.app("app"), lab.app("other")
    ads, proxy = serve(lab, app, other)
    ads.hold("route")
    ads.set(listener("new", 10001, manager("late")))
    ads.settle("cluster", lambda: ads.set(static_cluster("something", 1)))
    compare("before its routes", proxy.get(port=10001))
    inode = lab.sh("ss", "-tlneH", f"sport = :{LISTENER_PORT}")
    with load(lab, app) as traffic:
        ads.settle("listener", lambda: ads.set(listener("l", LISTENER_PORT, manager("late"))))
        traffic.more(50)
        compare("old routes", proxy.get())
        ads.set(route("late", "other"))
        ads.let_go("route")
        wait_for("the new routes", lambda: proxy.http("/ledger/1", port=LISTENER_PORT)[1].startswith("other"))
        traffic.stop()
    assert not traffic.ledger.lost and not traffic.ledger.corrupted
    assert lab.sh("ss", "-tlneH", f"sport = :{LISTENER_PORT}") == inode
    compare("new listener", proxy.get(port=10001))


def chains(*prefixes):
    """A listener with a chain for each source address 127.0.0.N."""
    return {**listener("l", LISTENER_PORT, manager("r")), "filter_chains": [
        {"name": f"c{i}", "filter_chain_match": {"source_prefix_ranges": [{"address_prefix": f"127.0.0.{i}", "prefix_len": 32}]},
         "filters": [manager("r", stat_prefix=prefix)]} for i, prefix in prefixes]}


def test_f8_unrelated_connections_survive_chain_updates(lab, figure):
    """One filter chain of a listener changes again and again: connections of the other are never touched.
    CI: 25 updates; full: 1,000."""
    app = lab.app("app")
    ads, proxy = serve(lab, app, options=["--drain-strategy", "immediate"])
    ads.settle("listener", lambda: ads.set(chains((2, "a"), (3, "b0"))))
    updates = scaled(1000, 25)
    with Load(lab.ns, ("127.0.0.1", LISTENER_PORT), "all", lambda _: ("", "app"), source=("127.0.0.2", 0)) as steady, \
            Load(lab.ns, ("127.0.0.1", LISTENER_PORT), "all", lambda _: ("", "app"), source=("127.0.0.3", 0)) as changing:
        for i in range(updates):
            assert "error_detail" not in ads.settle("listener", lambda: ads.set(chains((2, "a"), (3, f"b{i + 1}"))))
        steady.more(50)
        changing.more(50)
    steady.ledger.check(app)
    changing.ledger.check(app)
    assert steady.ledger.connections == 8 and changing.ledger.connections > 8
    figure("F8 chain updates", f"{updates} updates: untouched chain {steady.ledger}, 0 reconnects; changed one {changing.ledger}")


def test_f9_removed_listener_drains(lab, compare, figure):
    """What is under way ends well within the drain time, an idle connection is told by nothing but its end, and what has not
    ended by then is closed, with its upstream connection. CI: drain time 3 s; full: Istio's 45 s."""
    app = lab.app("app")
    seconds = scaled(45, 3)
    ads, proxy = serve(lab, app, options=["--drain-time-s", str(seconds), "--drain-strategy", "immediate"])
    busy, late, tunnel = proxy.connect(), proxy.connect(timeout=seconds + 10), proxy.connect(timeout=seconds + 10)
    idle = proxy.connect(timeout=seconds + 10)
    assert idle.request("GET", "/", "x").status == 200
    busy.send(b"GET /delay/1 HTTP/1.1\r\nhost: x\r\n\r\n")
    late.send(f"GET /delay/{2 * seconds} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    wait_for("the requests at the application", lambda: len(app.saw("/delay/1")) + len(app.saw(f"/delay/{2 * seconds}")) == 2)
    began = time.monotonic()
    ads.settle("listener", lambda: ads.remove("listener", "l"))
    wait_for("the port to be closed", lambda: proxy.get() == "refused")
    answer = busy.read_response()
    compare("what was under way", (answer.status, answer.headers.get("connection")))
    r = idle.request("GET", "/after", "x")
    compare("a request on a connection that was idle", (r.status, r.headers.get("connection")))
    compare("the late one", late.read_to_end())
    took = time.monotonic() - began
    assert took <= seconds + 2, took
    wait_for("upstream connections to end", lambda: proxy.stat("cluster.app.upstream_rq_active") == 0)
    tunnel.close()
    figure("F9 drain", f"in-flight answered; the rest cut {took - seconds:+.1f} s from the drain time of {seconds} s")


def tls_context(side, name):
    """A transport socket whose certificate is the secret of this name."""
    return {"name": "tls", "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{side}TlsContext",
            "common_tls_context": {"tls_certificate_sds_secret_configs": [{"name": name, "sds_config": ADS}]}}}


def test_f11_secret_absent_at_start(lab, compare):
    """A listener waits for its certificate; never is anything served in plain text instead."""
    app = lab.app("app")
    ads, proxy = serve(lab, app)
    ads.hold("secret")
    secure = listener("secure", 10001, manager("r"))
    secure["filter_chains"][0]["transport_socket"] = tls_context("Downstream", "own")
    ads.settle("listener", lambda: ads.set(secure))
    compare("before its certificate", proxy.get(port=10001))
    ads.set(static_cluster("secure", app.port, transport_socket=tls_context("Upstream", "own")))
    ads.set(route("r", ("/secure", "secure"), ("/nobody", "nobody"), ("/", "app")))
    wait_for("the route", lambda: proxy.get("/nobody") == 503)
    compare("a cluster without its certificate", proxy.get("/secure"))
    assert not app.saw("/secure")
    key, cert = lab.dir / "key.pem", lab.dir / "cert.pem"
    netns.sh("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=x")
    ads.set({"@type": TYPES["secret"], "name": "own", "tls_certificate": {
        "certificate_chain": {"inline_string": cert.read_text()}, "private_key": {"inline_string": key.read_text()}}})
    ads.let_go("secret")
    wait_for("the listener", lambda: proxy.get(port=10001) != "refused")
    compare("plain text to the secure port", proxy.get(port=10001))
    answer = lab.sh("sh", "-c", "printf 'GET /tls HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n' | "
                    "openssl s_client -quiet -connect 127.0.0.1:10001 2>/dev/null")
    assert "200 OK" in answer


def test_names_that_do_not_exist(lab, compare):
    """Names that were asked for and are none come back as removed. A listener waits for its route table all the same, and what
    serves keeps what it has; a cluster does without endpoints."""
    app = lab.app("app")
    ads, proxy = serve(lab, app)

    def asked_for(name):
        wait_for(f"{name} to be asked for", lambda: any(name in m.get("resource_names_subscribe", []) for m in ads.messages))
    for kind in ("route", "endpoints"):
        ads.hold(kind)
    ads.set(listener("new", 10001, manager("no-table")), eds_cluster("no-endpoints"))
    ads.set(route("r", ("/nothing", "no-endpoints"), ("/", "app")))
    asked_for("no-table")
    asked_for("no-endpoints")
    ads.settle("route", lambda: ads.send("route", removedResources=["no-table"]))
    ads.settle("endpoints", lambda: ads.send("endpoints", removedResources=["no-endpoints"]))
    ads.settle("route", lambda: ads.send("route", ("r", route("r", ("/nothing", "no-endpoints"), ("/", "app")))))
    compare("a listener without its route table", (proxy.get(port=10001), proxy.stat("listener_manager.total_listeners_warming")))
    compare("a cluster without its endpoints", (proxy.http("/nothing", port=LISTENER_PORT), proxy.stat("cluster_manager.warming_clusters")))
    ads.settle("route", lambda: ads.send("route", removedResources=["r"]))
    ads.settle("endpoints", lambda: ads.send("endpoints", removedResources=["app"]))
    compare("what serves is said not to exist", proxy.get())
    ads.set(route("no-table", "app"))
    ads.let_go("route")
    wait_for("the route table", lambda: proxy.get(port=10001) == 200)


def test_f2_streams_that_break(lab, figure):
    """The ADS server dies each second, and a new one knows the same: nothing is lost, no listener is made anew, no connection
    drained. CI: 3 times; full: 100."""
    app = lab.app("app")
    ads, proxy = serve(lab, app)
    resources = (eds_cluster("app"), endpoints("app", app.port), route("r", "app"), listener("l", LISTENER_PORT, manager("r")))
    times = scaled(100, 3)
    with load(lab, app) as traffic:
        for _ in range(times):
            ads.restart(*resources)
            wait_for("the stream", lambda: proxy.stat("control_plane.connected_state") == 1 and ads.answers("listener"), 40)
            traffic.more(100)
    traffic.ledger.check(app)
    assert traffic.ledger.connections == 8
    assert proxy.stat("listener_manager.listener_modified") == 0 and proxy.stat("cluster_manager.cluster_modified") == 0
    figure("F2 broken streams", f"{times} servers: {traffic.ledger}; 0 connections drained")


def first_version_refused(lab, kind, names, good, bad, *others):
    """A start at which the server sends the first version of `bad` alone and wrong, after `good`. Returns the ready proxy."""
    ads = lab.ads()
    ads.hold(kind)
    ads.set(*others)
    proxy = lab.proxy(ads_bootstrap(ads.path), wait=False)
    wait_for(f"each {kind} to be asked for", lambda: names <= {n for m in ads.messages for n in m.get("resource_names_subscribe", [])},
             explain=proxy.explain)
    for name, resource in good:
        assert "error_detail" not in ads.settle(kind, lambda: ads.send(kind, (name, resource)))
    assert not proxy.ready()
    assert "error_detail" in ads.settle(kind, lambda: ads.send(kind, bad))
    return ads, proxy.wait_ready()


def state(proxy):
    return {name: proxy.stat(name) for name in ("server.state", "listener_manager.total_listeners_warming",
                                                "listener_manager.total_listeners_active", "cluster_manager.warming_clusters")}


BAD_TABLE = {"@type": TYPES["route"], "name": "bad", "virtual_hosts": [{"name": "a", "domains": ["x"]}, {"name": "b", "domains": ["x"]}]}


def test_refused_at_start_route(lab, compare):
    """A route table of which no version was accepted answers 404; what else there is serves."""
    app = lab.app("app")
    ads, proxy = first_version_refused(
        lab, "route", {"r", "bad"}, [("r", route("r", "app"))], ("bad", BAD_TABLE),
        eds_cluster("app"), endpoints("app", app.port), listener("l", LISTENER_PORT, manager("r")), listener("m", 10001, manager("bad")))
    compare("state", state(proxy))
    compare("the good one", proxy.get())
    compare("the refused one", proxy.http("/", port=10001))
    ads.let_go("route")
    ads.set(route("bad", "app"))
    wait_for("a good version", lambda: proxy.get(port=10001) == 200)


def test_refused_at_start_endpoints(lab, compare):
    app = lab.app("app")
    ads, proxy = first_version_refused(
        lab, "endpoints", {"app", "bad"}, [("app", endpoints("app", app.port))], ("bad", endpoints("bad", 70000)),
        eds_cluster("app"), eds_cluster("bad"), route("r", ("/bad", "bad"), ("/", "app")), listener("l", LISTENER_PORT, manager("r")))
    compare("state", state(proxy))
    compare("the good one", proxy.get())
    compare("the refused one", proxy.http("/bad", port=LISTENER_PORT))
    ads.let_go("endpoints")
    ads.set(endpoints("bad", app.port))
    wait_for("a good version", lambda: proxy.get("/bad") == 200)


def bad_secret(name):
    return name, {"@type": TYPES["secret"], "name": name, "tls_certificate": {
        "certificate_chain": {"inline_string": "no certificate"}, "private_key": {"inline_string": "no key"}}}


def test_refused_at_start_secret_of_a_listener(lab, compare):
    """Its connections are closed; nothing is served in plain text instead."""
    app = lab.app("app")
    secure = listener("secure", 10001, manager("r"))
    secure["filter_chains"][0]["transport_socket"] = tls_context("Downstream", "own")
    _, proxy = first_version_refused(
        lab, "secret", {"own"}, [], bad_secret("own"), eds_cluster("app"), endpoints("app", app.port), route("r", "app"),
        listener("l", LISTENER_PORT, manager("r")), secure)
    compare("state", state(proxy))
    compare("the good one", proxy.get())
    compare("plain text to the secure port", proxy.get(port=10001))


def test_refused_at_start_secret_of_a_cluster(lab, compare):
    app = lab.app("app")
    _, proxy = first_version_refused(
        lab, "secret", {"own"}, [], bad_secret("own"), eds_cluster("app"), endpoints("app", app.port),
        static_cluster("secure", app.port, transport_socket=tls_context("Upstream", "own")),
        route("r", ("/secure", "secure"), ("/", "app")), listener("l", LISTENER_PORT, manager("r")))
    compare("state", state(proxy))
    compare("the good one", proxy.get())
    compare("a cluster without its certificate", proxy.http("/secure", port=LISTENER_PORT))
    assert not app.saw("/secure")


def test_refused_route_is_not_passed_over(lab, compare):
    """Under way: a port's listener whose route table is refused answers for it; its connections do not fall to where unknown
    ones go."""
    app = lab.app("app")
    lab.sh("iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "80", "-j", "REDIRECT", "--to-ports", "15001")
    ads, proxy = serve(lab, app)
    ads.set(static_cluster("passthrough", app.port))
    ads.set({**listener("outbound", 15001, tcp_proxy("passthrough")), "use_original_dst": True})
    wait_for("the listener", lambda: proxy.get(port=80) == 200)
    ads.hold("route")
    ads.set({**listener("0.0.0.0_80", 80, manager("bad")), "bind_to_port": False})
    wait_for("its route table to be asked for", lambda: any("bad" in m.get("resource_names_subscribe", []) for m in ads.messages))
    compare("before its route table", proxy.get(port=80))
    assert "error_detail" in ads.settle("route", lambda: ads.send("route", ("bad", BAD_TABLE)))
    compare("the refused one", proxy.http("/", port=80))
