"""The names of statistics: those of Envoy after the same traffic, but for what stat_names.csv says and why."""

import csv
import pathlib
import re

import pytest

from harness.procs import wait_for
from harness.resources import (LISTENER_PORT, ads_bootstrap, eds_cluster, endpoints, listener, manager, route, static_bootstrap,
                               static_cluster, tcp_proxy)

EXCUSES = list(csv.DictReader(pathlib.Path(__file__).with_name("stat_names.csv").open(encoding="utf-8")))
SUBSCRIPTIONS = ("cluster_manager.cds", "listener_manager.lds", "http.test.rds.r")
_envoy = {}
_used = set()


def excused(side, name):
    for row in EXCUSES:
        if row["side"] == side and re.fullmatch(row["pattern"], name):
            _used.add(row["pattern"])
            return True
    return False


def configured(lab, app, how):
    table = {**route("r", ("/nowhere", "nowhere"), ("/nobody", "nobody"), ("/", "app")), "validate_clusters": False}
    resources = [table, listener("tcp", 10001, tcp_proxy("app"))]
    if how == "static":
        return lab.proxy(static_bootstrap([listener("l", LISTENER_PORT, manager(resources[0])), resources[1]],
                                          [static_cluster("app", app.port), static_cluster("nowhere", 1)]), concurrency=1)
    ads = lab.ads()
    ads.set(eds_cluster("app"), eds_cluster("nowhere"))
    ads.set(endpoints("app", app.port), endpoints("nowhere", 1))
    ads.set(resources[0])
    ads.set(listener("l", LISTENER_PORT, manager("r")), resources[1])
    proxy = lab.proxy(ads_bootstrap(ads.path), concurrency=1)
    wait_for("a request to go through", lambda: proxy.get() == 200)
    # One of a kind is refused, and one that was fine goes.
    assert "error_detail" in ads.settle("route", lambda: ads.send("route", ("r", {**route("r", "app"), "virtual_hosts": [{"name": "a"}]})))
    ads.settle("cluster", lambda: ads.set(eds_cluster("gone"), endpoints("gone", 1)))
    ads.settle("cluster", lambda: ads.remove("cluster", "gone"))
    return proxy


@pytest.mark.parametrize("how", ["static", "ads"])
def test_names_of_statistics(lab, compare, figure, how):
    app = lab.app("app")
    proxy = configured(lab, app, how)
    assert [proxy.get(path) for path in ("/", "/status/404", "/nowhere", "/nobody")] == [200, 404, 503, 503]
    with proxy.connect(10001) as connection:
        assert connection.request("GET", "/over-tcp", "x").status == 200
    if how == "ads":
        counted = ("update_attempt", "update_success", "update_rejected", "update_failure")
        compare("counts of updates", {f"{s}.{c}": proxy.stat(f"{s}.{c}") for s in SUBSCRIPTIONS for c in counted})
    names = {line.split(": ")[0] for line in proxy.admin("/stats").splitlines() if ": " in line}
    # An address is no part of a name.
    names = {re.sub(r"^listener\.\d+\.\d+\.\d+\.\d+_\d+\.", "listener.ADDRESS.", name) for name in names}
    if lab.name == "envoy":
        _envoy[how] = names
        return
    if how not in _envoy:
        pytest.skip("nothing to compare with: Envoy did not run")
    missing = sorted(n for n in _envoy[how] - names if not excused("Envoy", n))
    more = sorted(n for n in names - _envoy[how] if not excused("clew", n))
    assert not missing and not more, "\n".join(["missing:", *missing, "more:", *more])
    figure(f"names of statistics, {how}", f"{len(names & _envoy[how])} as Envoy's, {len(_envoy[how] - names)} of Envoy's are excused")


def test_excuses_are_needed():
    """A row of stat_names.csv that excuses nothing is to go."""
    if set(_envoy) != {"static", "ads"} or not _used:
        pytest.skip("not everything was compared")
    assert [row["pattern"] for row in EXCUSES if row["pattern"] not in _used] == []
