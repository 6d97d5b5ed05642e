"""The ring of faults: one proxy between a test's own ADS server, applications, clients and attackers, without a mesh.

    python3 -m pytest test/faults                    CI scale, Envoy first, then clew
    CLEW_SCALE=full python3 -m pytest test/faults    full scale, as each docstring says (make soak)
    python3 -m pytest test/faults --proxies clew

Every test runs on both proxies. `compare(what, value)` fails when clew's value is not the one that Envoy had in the same run.
"""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "mesh"))

from harness import figures, peers  # noqa: E402
from harness.lifetime import stop_on_signals  # noqa: E402
from harness.standalone import Lab, own_run  # noqa: E402

PROXIES = ["envoy", "clew"]


def pytest_addoption(parser):
    parser.addoption("--proxies", default=",".join(PROXIES), help="which runs: " + ",".join(PROXIES))


def pytest_configure(config):
    stop_on_signals()
    config.addinivalue_line("markers", "clew_only(why): Envoy cannot run it")


def pytest_generate_tests(metafunc):
    if "lab" in metafunc.fixturenames:
        able = ["clew"] if metafunc.definition.get_closest_marker("clew_only") else PROXIES
        wanted = metafunc.config.getoption("--proxies").split(",")
        metafunc.parametrize("lab", [p for p in able if p in wanted], indirect=True)


@pytest.fixture(scope="session")
def run():
    with own_run() as run:
        yield run


@pytest.fixture
def lab(request, run):
    if not peers.clew().exists():
        pytest.exit(f"{peers.clew()} does not exist: build it, or name another binary by CLEW_BINARY")
    lab = Lab(request.param, *run)
    yield lab
    reports = lab.close()
    assert not reports, reports


_results = {}


@pytest.fixture
def compare(request, lab):
    """compare(what, value): remembered under Envoy, equal to it under clew."""
    def check(what, value):
        others = {k: v for k, v in request.node.callspec.params.items() if k != "lab"}
        key = (request.node.originalname, *others.items(), what)
        if lab.name == "envoy":
            _results[key] = value
        elif key in _results:
            assert value == _results[key], f"{what}\n  Envoy: {_results[key]!r}\n  clew:  {value!r}"
    return check


@pytest.fixture
def figure(lab):
    """figure(row, text): shown at the end of the run."""
    return lambda row, text: figures.figure(row, lab.name, text)


def pytest_terminal_summary(terminalreporter):
    figures.summarize(terminalreporter)
