"""Fixtures of the mesh ring: README.md says how a scenario is written."""

import pytest

from harness import figures, peers
from harness.lifetime import stop_on_signals
from harness.scenario import PROXIES, Meshes, Scenario

_meshes = Meshes()


def pytest_addoption(parser):
    parser.addoption("--proxies", default=",".join(PROXIES), help="which runs: " + ",".join(PROXIES))


def pytest_configure(config):
    stop_on_signals()
    config.addinivalue_line("markers", "both_proxies(stock=True): the scenario runs on Envoy too, and what it compares must be "
                            "equal; stock=False: only under the settings that Envoy can run")


def pytest_generate_tests(metafunc):
    if "mesh" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("both_proxies")
        able = [p for p in PROXIES if p != "clew" or both.kwargs.get("stock", True)] if both else ["clew"]
        wanted = metafunc.config.getoption("--proxies").split(",")
        metafunc.parametrize("mesh", [p for p in able if p in wanted], indirect=True)


def pytest_collection_modifyitems(items):
    # A scenario that has no run among the chosen --proxies comes with a parameter that is none of them.
    items[:] = [item for item in items if _proxy(item) in (None, *PROXIES)]
    # Envoy first, so that clew has something to be compared with, and each kind of pod is started once.
    items.sort(key=lambda item: PROXIES.index(_proxy(item)) if _proxy(item) else -1)


def _proxy(item):
    return item.callspec.params.get("mesh") if hasattr(item, "callspec") else None


@pytest.fixture
def mesh(request):
    if request.param != "envoy" and not peers.clew().exists():
        pytest.exit(f"{peers.clew()} does not exist: build it, or name another binary by CLEW_BINARY")
    others = {k: v for k, v in request.node.callspec.params.items() if k != "mesh"}
    scenario = Scenario(_meshes, request.param, (request.node.nodeid.split("[")[0], *sorted(others.items())))
    yield scenario
    scenario.end()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    outcome = yield
    report = outcome.get_result()
    scenario = item.funcargs.get("mesh") if hasattr(item, "funcargs") else None
    if report.failed and isinstance(scenario, Scenario):
        report.sections.append(("sidecars", scenario.explain()))


def pytest_terminal_summary(terminalreporter):
    figures.summarize(terminalreporter)


def pytest_sessionfinish(session):
    problem = _meshes.close()
    if problem:
        print(f"\n{problem}")
        session.exitstatus = 1
