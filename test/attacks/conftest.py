"""Fixtures of the attacks: README.md says how one is written."""

import contextlib
import ctypes
import os
import pathlib
import subprocess
import tempfile

import pytest

from harness import peers
from harness.procs import tail
from proxies import H1_UPSTREAM, H2_UPSTREAM, TLS_UPSTREAM, Proxy
from upstream import Upstream, good_http1

FULL = os.environ.get("CLEW_SCALE") == "full"  # a test's docstring says what that is, and what CI has
_table = []  # (row, what, proxy, shown, holds)


def pytest_configure(config):
    config.addinivalue_line("markers", "proxies(NAME...): those that a test runs on, where not on both")
    # All of it happens in a network of its own, which goes with this process: ports are free, nothing leaks out.
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):
        pytest.exit("needs root: each run has a network namespace of its own")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def pytest_generate_tests(metafunc):
    if "proxy" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("proxies")
        metafunc.parametrize("proxy", only.args if only else ["envoy", "clew"], indirect=True)


@pytest.fixture(scope="session")
def directory():
    if not peers.clew().exists():
        pytest.exit(f"{peers.clew()} does not exist: build it, or name another binary by CLEW_BINARY")
    with tempfile.TemporaryDirectory(prefix="clew-attacks-") as name:
        yield pathlib.Path(name)


@pytest.fixture(scope="session")
def upstreams():
    return Upstream(H1_UPSTREAM), Upstream(H2_UPSTREAM), Upstream(TLS_UPSTREAM)


@pytest.fixture(scope="session")
def envoy(directory):
    with Proxy("envoy", 9000, directory) as proxy:
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
def proxy(request, directory, h1, h2):
    """The one under attack. clew is a new process for each test, so that its memory is the attack's; Envoy takes longer to start, and stays.
    After the test it must still serve."""
    with contextlib.ExitStack() as stack:
        if request.param == "envoy":
            proxy = request.getfixturevalue("envoy")
        else:
            proxy = stack.enter_context(Proxy("clew", 9100, directory))
        proxy.missed = []
        row, _, what = request.node.originalname.removeprefix("test_").partition("_")
        proxy.expect = lambda *args: _expect(proxy, f"{row.upper()} {what}".replace("_", " ").rstrip(), *args)
        yield proxy
        h1.reset(good_http1())
        h2.reset(None)
        proxy.running()
        proxy.expect("a good client is served afterwards", serves(proxy))
        assert not proxy.missed, "\n".join([*proxy.missed, tail(proxy.output, 20)])


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
