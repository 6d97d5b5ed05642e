"""The benchmark still runs (a few hundred requests a scenario, clew alone), and its arithmetic is right. No number is judged."""

import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BUILD = HERE.parent / "build"
sys.path.insert(0, str(HERE))

from suite import targets  # noqa: E402
from suite.bench import Bench, Sample  # noqa: E402


def measured(*rows):
    bench = Bench("short", None, None, None)
    bench.samples = [Sample("s01", "keep-alive", name, i, {"cpu": cpu}) for i, (name, cpu) in enumerate(rows)]
    rounds = {}
    for sample in bench.samples:  # the nth sample of a name is its nth round
        sample.round = rounds[sample.name] = rounds.get(sample.name, -1) + 1
    return bench


def verdict(tmp_path, bench, first="0.50", aim="0.40", peer="envoy"):
    path = tmp_path / "targets.csv"
    path.write_text(f"row,scenario,variant,metric,peer,first,aim\nS1,s01,keep-alive,cpu,{peer},{first},{aim}\n")
    return targets.judge(bench, path)[0]


def test_what_was_not_measured_is_not_passed(tmp_path):
    assert verdict(tmp_path, measured(("clew", 10))).text == "not measured"
    assert verdict(tmp_path, measured(("envoy", 10))).text == "not measured"


def test_the_ratio_is_the_median_of_the_rounds(tmp_path):
    v = verdict(tmp_path, measured(("clew", 10), ("envoy", 20), ("clew", 60), ("envoy", 100), ("clew", 30), ("envoy", 100)))
    assert (v.value, v.spread, v.text) == (0.5, (0.3, 0.6), "reached")


def test_above_the_first_number_is_not_reached(tmp_path):
    assert verdict(tmp_path, measured(("clew", 51), ("envoy", 100))).text == "NOT REACHED"
    assert verdict(tmp_path, measured(("clew", 40), ("envoy", 100))).text == "aim reached"


def test_nobody_is_asked_to_come_under_the_floor(tmp_path):
    v = verdict(tmp_path, measured(("clew", 68), ("envoy", 100), ("floor", 60)))
    assert v.text == "reached" and abs(v.first - 0.69) < 1e-9 and "floor" in v.note
    v = verdict(tmp_path, measured(("clew", 68), ("envoy", 100), ("floor", 40)))
    assert v.text == "NOT REACHED" and v.first == 0.5


def test_a_number_without_a_peer(tmp_path):
    assert verdict(tmp_path, measured(("clew", 99)), "100", "100", peer="").text == "aim reached"


def test_every_scenario_runs():
    environment = {k: v for k, v in os.environ.items() if k != "CLEW_BENCH_NETWORK"}
    done = subprocess.run([HERE / "run", "--smoke"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    ran = {s["scenario"] for s in json.loads((BUILD / "bench-smoke/samples.json").read_text())}
    known = {p.stem.split("_")[0] for p in (HERE / "scenarios").glob("s[0-9]*_*.py")}
    explained = {line.split()[0] for line in done.stdout.splitlines() if " is not part of a smoke run" in line}
    assert ran | explained == known, f"neither measured nor explained: {known - ran - explained}"
