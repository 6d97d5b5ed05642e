"""The run: which scenarios, how long, who takes part, what came out. A scenario gets the Bench and calls compare()."""

import contextlib
import dataclasses
import statistics

from . import machine
from .process import Cpu, Failed

OURS = "clew"


@dataclasses.dataclass
class Sample:
    scenario: str
    variant: str  # what is measured within the scenario; a scenario may have several
    name: str  # who
    round: int
    metrics: dict  # name → number; units are in report.UNITS


class Bench:
    """`size`: smoke (does the harness work; clew alone), short (5 minutes in all), whole (40 minutes)."""

    def __init__(self, size, peers, loads, stack, targeted=(), only=None, root=True, rounds=None, seconds=None):
        self.size = size
        self.peers = peers
        self.loads = loads
        self.stack = stack  # ends what scenarios share, such as the mesh
        self.targeted = targeted  # (scenario, peer) of the targets
        self.only = only
        self.root = root
        self.rounds = rounds or self.pick(1, 2, 4)
        self.seconds = seconds or self.pick(0.5, 1, 3)
        self.stolen_before = machine.stolen_seconds()
        self.samples = []
        self.not_run = []  # (scenario, variant, name, sentence)
        self.scenario = None
        self.shared = {}

    def pick(self, smoke, short, whole):
        return {"smoke": smoke, "short": short, "whole": whole}[self.size]

    def contestants(self, names):
        """Those that this run has, ours first. A smoke run compares nothing; a short one with those that a target names."""
        if self.size == "smoke":
            names = [OURS]
        elif self.size == "short":
            names = [n for n in names if n == OURS or (self.scenario, n) in self.targeted]
        return [n for n in names if self.only is None or n in self.only or n == OURS]

    def say(self, text):
        print(text, flush=True)

    def leave_out(self, variant, name, why):
        why = " ".join(str(why).split())[:400]
        self.not_run.append((self.scenario, variant, name, why))
        self.say(f"  {variant}: {name or 'all'} not run: {why}")

    def record(self, variant, name, round_number, metrics):
        self.samples.append(Sample(self.scenario, variant, name, round_number, metrics))
        shown = "  ".join(f"{k} {v:.4g}" for k, v in list(metrics.items())[:6])
        self.say(f"  {variant:24} {round_number + 1} {name:10} {shown}")

    def compare(self, variant, starts, measure, rounds=None, warm=None):
        """Starts everyone, warms each, then measures them in turns there and back (A B C, C B A, …), so that a machine that
        drifts hits all alike. starts: name → context manager of something running; measure(running) → metrics."""
        with contextlib.ExitStack() as stack:
            up = {}
            for name, start in starts.items():
                with self._guard(variant, name):
                    up[name] = stack.enter_context(start())
                    if warm:
                        warm(up[name])
            for i in range(rounds or self.rounds):
                for name in list(up) if i % 2 == 0 else list(reversed(up)):
                    with self._guard(variant, name):
                        self.record(variant, name, i, measure(up[name]))

    @contextlib.contextmanager
    def _guard(self, variant, name):
        try:
            yield
        except (Failed, AssertionError, OSError) as problem:
            self.leave_out(variant, name, problem)

    # what was measured

    def variants(self, scenario):
        return list(dict.fromkeys(s.variant for s in self.samples if s.scenario == scenario))

    def values(self, scenario, variant, name, metric):
        """round → value."""
        return {s.round: s.metrics[metric] for s in self.samples
                if (s.scenario, s.variant, s.name) == (scenario, variant, name) and metric in s.metrics}

    def median(self, scenario, variant, name, metric):
        values = self.values(scenario, variant, name, metric)
        return statistics.median(values.values()) if values else None

    def ratios(self, scenario, variant, metric, peer, ours=OURS):
        """ours ÷ peer of each round in which both were measured; a difference below zero is noise and has no ratio."""
        mine, theirs = (self.values(scenario, variant, n, metric) for n in (ours, peer))
        return [mine[i] / theirs[i] for i in sorted(mine.keys() & theirs.keys()) if min(mine[i], theirs[i]) > 0]


def per_request(usages, load, backend=None):
    """Runs load() and divides what the proxies, the machine and the generator used by what was completed: µs a request.
    usages: process.Usage of all that counts as the proxy. Memory is looked at right after."""
    def look():
        return (sum((u.cpu() for u in usages), Cpu()), machine.busy_seconds(), backend.cpu().total if backend else 0)
    before = look()
    result = load()
    cpu, busy, behind = (b - a for a, b in zip(before, look()))
    each = 1e6 / result["completed"]
    user, system = cpu.split()
    metrics = {"cpu": cpu.total * each, "user": user * each, "system": system * each, "rate": result["rate"],
               "machine": busy * each, "load": result["load_seconds"] * each}
    if backend:
        metrics["backend"] = behind * each
    metrics.update({k: result[k] for k in ("p50", "p99", "p999") if k in result})
    return {**metrics, **memory(usages)}


def memory(usages):
    """Sums of rss, pss and cgroup, in KiB."""
    each = [u.memory_kib() for u in usages]
    return {kind: sum(e[kind] for e in each) for kind in ("rss", "pss", "cgroup") if all(kind in e for e in each)}
