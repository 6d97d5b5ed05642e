"""What must be reached and what is aimed at (../targets.csv), held against what was measured."""

import csv
import dataclasses
import statistics

from .bench import OURS

FLOOR_MARGIN = 1.15  # nobody can be asked to come closer to the floor than this


@dataclasses.dataclass
class Verdict:
    scenario: str
    row: str
    what: str  # metric and peer
    value: float | None  # ratio to the peer, or the number itself; None: not measured
    spread: tuple | None  # lowest and highest of the rounds
    first: float
    aim: float
    note: str

    @property
    def text(self):
        if self.value is None:
            return "not measured"
        return "aim reached" if self.value <= self.aim else "reached" if self.value <= self.first else "NOT REACHED"


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def judge(bench, path):
    return [_verdict(bench, target) for target in read(path)]


def _verdict(bench, target):
    scenario, variant, metric, peer = (target[k] for k in ("scenario", "variant", "metric", "peer"))
    first, aim, note = float(target["first"]), float(target["aim"]), ""
    if peer:
        values = bench.ratios(scenario, variant, metric, peer)
        floor = bench.ratios(scenario, variant, metric, peer, ours="floor")
        if floor:
            least = FLOOR_MARGIN * statistics.median(floor)
            note = f"floor ÷ {peer} {least / FLOOR_MARGIN:.2f}"
            if first < least:
                note += f": {first:.2f} lies under {FLOOR_MARGIN} of the floor, {least:.2f} takes its place"
                first = least
    else:
        values = list(bench.values(scenario, variant, OURS, metric).values())
    value = statistics.median(values) if values else None
    return Verdict(scenario, target["row"], f"{metric} ÷ {peer}" if peer else metric, value, (min(values), max(values)) if values else None,
                   first, max(aim, 0), note)
