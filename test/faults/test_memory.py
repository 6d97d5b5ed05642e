"""Fault F23 for memory: allocations that fail."""

import pathlib
import signal

import pytest

from harness import netns
from harness.figures import scaled
from harness.load import Load
from harness.procs import Failed, wait_for
from harness.resources import LISTENER_PORT, ads_bootstrap, eds_cluster, endpoints, http2, listener, manager, route

SOURCE = pathlib.Path(__file__).with_name("failing_malloc.c")


class Failing:
    """A proxy that takes its configuration over ADS and goes to itself once, by HTTP/2, with a memory that fails as `words` say."""

    def __init__(self, lab, library, ads, words):
        self._lab = lab
        self.proxy = lab.proxy(ads_bootstrap(ads.path), wait=False, prefix=["env", f"LD_PRELOAD={library}", words], concurrency=1)

    def serve(self):
        """Serves requests rightly, or raises Failed when it ends."""
        explain = self.proxy.explain
        wait_for("a request to go through", lambda: self._alive() and self.proxy.get(timeout=2) == 200, 15, explain=explain)

    def load(self, requests):
        """None of the answers is another's; lost they may be."""
        with Load(self._lab.ns, ("127.0.0.1", LISTENER_PORT), "all", lambda _: ("", "app"), rate=2000, timeout=5) as traffic:
            traffic.more(requests)
        assert not traffic.ledger.corrupted and not traffic.ledger.misrouted, traffic.ledger

    def _alive(self):
        if not self.proxy.process.running():
            raise Failed(self.proxy.explain())
        return True

    def ended_well(self):
        """Not by a crash, and it said why."""
        assert not self.proxy.process.running(), self.proxy.explain()  # it hangs
        code = self.proxy.process.popen.returncode
        said = self.proxy.log.read_text().replace("an allocation failed\n", "").strip()
        assert said and code in (1, -signal.SIGABRT), (code, self.proxy.explain())
        return True


@pytest.mark.clew_only("Envoy has an allocator of its own inside")
def test_f23_failing_memory(lab, figure):
    """One allocation of the process fails, the k-th of its life, or the k-th of serving HTTP/1 and HTTP/2: it serves on, or it ends
    with a message, and never by a crash; no answer is another's. CI: 12 at the start, 24 while it serves; full: 1,000 each."""
    library = lab.dir / "failing_malloc.so"
    netns.sh("gcc", "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE))
    app, ads = lab.app("app"), lab.ads()
    ads.set(eds_cluster("app"), http2(eds_cluster("inner")))
    ads.set(endpoints("app", app.port), endpoints("inner", 10001))
    ads.set(route("r", "inner"), route("inner", "app"))
    ads.set(listener("l", LISTENER_PORT, manager("r")), listener("inner", 10001, manager("inner")))
    figures = []

    count, last = scaled(1000, 12), 60_000
    served = 0
    for i in range(1, count + 1):
        failing = Failing(lab, library, ads, f"CLEW_FAIL_AT={round(last ** (i / count))}")
        try:
            failing.serve()
            failing.load(20)
            failing.serve()
            served += 1
        except Failed:
            failing.ended_well()
        failing.proxy.stop()
    figures.append(f"at the start {served} of {count} served on, the rest ended with a message")

    count, served, at = scaled(1000, 24), 0, 1
    while at <= count:
        failing = Failing(lab, library, ads, f"CLEW_FAIL_FROM={at}")
        failing.serve()
        try:
            for at in range(at, count + 1):
                failing.proxy.process.signal(signal.SIGUSR2)
                failing.load(20)
                failing.serve()
                served += 1
            at += 1
        except Failed:
            failing.ended_well()
            at += 1
        failing.proxy.stop()
    figure("F23 memory", "; ".join([*figures, f"while serving {served} of {count}"]))
