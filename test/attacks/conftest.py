"""Fixtures of the attacks: README.md says how one is written."""

import contextlib
import os
import subprocess

import pytest

from harness import netns, peers
from harness.lifetime import stop_on_signals
from harness.standalone import Lab, own_run
from proxies import H1_UPSTREAM, H2_UPSTREAM, TLS_UPSTREAM, Attacked
from upstream import Upstream, good_http1

FULL = os.environ.get("CLEW_SCALE") == "full"  # a test's docstring says what that is, and what CI has
_table = []  # (row, what, proxy, shown, holds)


def pytest_configure(config):
    stop_on_signals()
    config.addinivalue_line("markers", "proxies(NAME...): those that a test runs on, where not on both")


def pytest_generate_tests(metafunc):
    if "proxy" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("proxies")
        metafunc.parametrize("proxy", only.args if only else ["envoy", "clew"], indirect=True)


@pytest.fixture(scope="session")
def lab():
    """A network of its own: ports are free, nothing leaks out. This thread is in it, and those that it starts."""
    if not peers.clew().exists():
        pytest.exit(f"{peers.clew()} does not exist: build it, or name another binary by CLEW_BINARY")
    with own_run() as run, contextlib.closing(Lab("both", *run)) as lab, netns.entered(lab.ns):
        yield lab


@pytest.fixture(scope="session")
def upstreams(lab):
    return Upstream(H1_UPSTREAM), Upstream(H2_UPSTREAM), Upstream(TLS_UPSTREAM)


@pytest.fixture(scope="session")
def envoy(lab):
    with Attacked(lab, "envoy", 9000) as proxy:
        yield proxy


@pytest.fixture
def h1(upstreams):
    """The HTTP/1 upstream, reached by /h1…; answers every request until a test scripts it."""
    upstreams[0].reset(good_http1())
    return upstreams[0]


@pytest.fixture
def h2(upstreams):
    """The HTTP/2 upstream, reached by /h2…"""
    upstreams[1].reset(None)
    return upstreams[1]


@pytest.fixture
def tls(upstreams):
    """The upstream that the proxy expects a handshake from, reached by /tls…"""
    return upstreams[2]


@pytest.fixture
def proxy(request, lab, h1, h2):
    """The one under attack. clew is a new process for each test, so that its memory is the attack's; Envoy takes longer to start, and stays.
    After the test it must still serve."""
    with contextlib.ExitStack() as stack:
        if request.param == "envoy":
            proxy = request.getfixturevalue("envoy")
        else:
            proxy = stack.enter_context(Attacked(lab, "clew", 9100))
        proxy.missed = []
        row, _, what = request.node.originalname.removeprefix("test_").partition("_")
        proxy.expect = lambda *args: _expect(proxy, f"{row.upper()} {what}".replace("_", " ").rstrip(), *args)
        yield proxy
        h1.reset(good_http1())
        h2.reset(None)
        proxy.running()
        proxy.expect("a good client is served afterwards", serves(proxy))
        assert not proxy.missed, "\n".join([*proxy.missed, proxy.explain()])


def _expect(proxy, row, what, holds, shown=None):
    """Envoy's result is for the table; clew's decides, when the test is over."""
    shown = ("yes" if holds else "NO") if shown is None else str(shown)
    _table.append((row, what, proxy.name, shown, bool(holds)))
    if not holds and proxy.name == "clew":
        proxy.missed.append(f"{what}: {shown}")


def serves(proxy):
    done = subprocess.run(["curl", "-s", "--max-time", "20", f"http://127.0.0.1:{proxy.port}/h1/after"], capture_output=True)
    h2 = subprocess.run(["curl", "-s", "--http2-prior-knowledge", "--max-time", "20", f"http://127.0.0.1:{proxy.port}/h1/after"], capture_output=True)
    return done.stdout == h2.stdout == b"fine"


def pytest_terminal_summary(terminalreporter):
    rows = {}
    for row, what, name, shown, holds in _table:
        rows.setdefault((row, what), {})[name] = shown if holds else f"{shown} (!)"
    lines = ["| row | asserted of clew | clew | Envoy |", "|---|---|---|---|"]
    lines += [f"| {row} | {what} | {r.get('clew', '-')} | {r.get('envoy', '-')} |" for (row, what), r in sorted(rows.items())
              if what != "a good client is served afterwards" or "NO" in str(r)]
    if rows:
        report = peers.ROOT / "build/attacks.md"
        report.write_text("\n".join(lines) + "\n")
        terminalreporter.write_line(f"attacks: {len(rows)} results beside Envoy's in {report.relative_to(peers.ROOT)}")
