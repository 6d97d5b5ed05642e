"""/drain_listeners, as the agent asks for it (POST, keys without values) and as people may, Envoy beside."""

import time

import pytest

from harness.procs import wait_for
from harness.resources import LISTENER_PORT, listener, manager, route, static_bootstrap, static_cluster

INBOUND, OUTBOUND = LISTENER_PORT, LISTENER_PORT + 1
SECONDS = 2

# what is asked for, a second apart; what has stopped listening in the end
REQUESTS = {
    "inbound": (["inboundonly&graceful"], {INBOUND}),
    "all": (["graceful"], {INBOUND, OUTBOUND}),
    "a native sidecar": (["inboundonly&graceful&skip_exit"], set()),
    "once more": (["inboundonly&graceful", "inboundonly&graceful"], {INBOUND}),
    "wider": (["inboundonly&graceful", "graceful"], {INBOUND, OUTBOUND}),
    "narrower": (["graceful", "inboundonly&graceful"], {INBOUND, OUTBOUND}),
    "to stay, then to end": (["graceful&skip_exit", "graceful"], set()),
    "at once": (["inboundonly"], {INBOUND}),
}


def serve(lab):
    app = lab.app("app")
    listeners = [listener(name, port, manager(route("r", "app")), traffic_direction=name)
                 for name, port in (("INBOUND", INBOUND), ("OUTBOUND", OUTBOUND))]
    return lab.proxy(static_bootstrap(listeners, [static_cluster("app", app.port)]),
                     options=["--drain-time-s", str(SECONDS), "--drain-strategy", "immediate"]).wait_ready()


@pytest.mark.parametrize("name", REQUESTS)
def test_drain_listeners(lab, compare, name):
    """Who is told to go, what still listens during the drain time, and what does not any more after it."""
    requests, stopped = REQUESTS[name]
    proxy = serve(lab)
    standing = {port: proxy.connect(port) for port in (INBOUND, OUTBOUND)}
    assert [c.request("GET", "/", "x").status for c in standing.values()] == [200, 200]
    for i, request in enumerate(requests):
        time.sleep(1 if i else 0)
        compare(f"answer {i}", proxy.http(f"/drain_listeners?{request}", "POST"))
    if "graceful" in requests[0]:
        assert {proxy.get(port=port) for port in standing} == {200}
    told = {port: connection.request("GET", "/", "x").headers.get("connection") for port, connection in standing.items()}
    compare("connections that were told", told)
    wait_for("listeners to stop", lambda: all(proxy.get(port=port) == "refused" for port in stopped))
    time.sleep(SECONDS + 1)  # nothing else stops by then
    assert {port for port in standing if proxy.get(port=port) == "refused"} == stopped


def test_what_is_no_drain(lab, compare):
    proxy = serve(lab)
    compare("a GET", proxy.http("/drain_listeners")[0])
    compare("skip_exit alone", proxy.http("/drain_listeners?skip_exit", "POST"))
    assert {proxy.get(port=port) for port in (INBOUND, OUTBOUND)} == {200}
