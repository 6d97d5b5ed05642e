"""What came out: a table on the screen, a page with plots, and every sample as JSON."""

import dataclasses
import datetime
import html
import json
import pathlib
import re
import statistics
import subprocess

from . import machine, svg, targets
from .bench import OURS

# metric → (heading, unit). The first that a variant has is the one that is plotted.
UNITS = {
    "cpu": ("CPU", "µs"), "cpu_update": ("CPU an update", "µs"), "cpu_seconds": ("CPU", "s"), "per_connection": ("RSS a connection", "B"),
    "build_seconds": ("time", "s"), "own_ms": ("exec to LIVE, own work", "ms"),
    "user": ("user", "µs"), "system": ("system", "µs"), "rate": ("done", "/s"),
    "p50": ("p50", "µs"), "p99": ("p99", "µs"), "p999": ("p99.9", "µs"),
    "added_p50": ("added p50", "µs"), "added_p99": ("added p99", "µs"), "added_p999": ("added p99.9", "µs"), "p99_ratio": ("p99 ÷ quiet", ""),
    "ack_ms": ("update to ACK", "ms"), "updates": ("updates", ""), "ready_seconds": ("exec to ready", "s"), "total_ms": ("exec to LIVE", "ms"),
    "wait_ms": ("waits for agent and istiod", "ms"),
    "machine": ("machine busy", "µs"), "load": ("generator", "µs"), "backend": ("backend", "µs"), "connections": ("connections", ""),
    "pss_connection": ("PSS a connection", "B"), "cgroup_connection": ("cgroup a connection", "B"),
    "rss": ("RSS", "KiB"), "pss": ("PSS", "KiB"), "cgroup": ("cgroup", "KiB"),
}
STYLE = """body{font:14px sans-serif;max-width:1100px;margin:2em auto;padding:0 1em}table{border-collapse:collapse;margin:.6em 0}
td,th{padding:.2em .7em;text-align:right;border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}
.bad{color:#b00;font-weight:bold}.good{color:#070}.dim{color:#777}h2{margin-top:2em}"""


def write(bench, folder, target_file, seconds):
    """Prints the targets; the path of the page."""
    verdicts = targets.judge(bench, target_file)
    measured = {s.scenario for s in bench.samples}
    _print(bench, verdicts)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "samples.json").write_text(json.dumps([dataclasses.asdict(s) for s in bench.samples], indent=1))
    scenarios = sorted(measured | {n[0] for n in bench.not_run})
    page = [f"<!doctype html><meta charset=utf-8><title>clew: what it costs</title><style>{STYLE}</style><h1>What clew costs beside its peers</h1>",
            f"<p>{html.escape(_circumstances(bench, seconds))}</p>", "<h2>Targets</h2>", _targets(verdicts)]
    for scenario in scenarios:
        page.append(_scenario(bench, scenario))
    (folder / "report.html").write_text("\n".join(page))
    return folder / "report.html"


def _circumstances(bench, seconds):
    versions = [f"{name} {_version(binary)}" for name, binary in bench.peers.binaries.items() if binary]
    versions += [f"{name} {_version(name)}" for name in ("nginx", "haproxy", "nghttpx", "h2o")]
    return (f"{datetime.datetime.now():%Y-%m-%d %H:%M}, {bench.size} run of {seconds / 60:.0f} minutes; {machine.describe()}. "
            f"Proxies on core {machine.PROXY_CPU}, load and backends on core {machine.LOAD_CPU}, except the mesh's. Medians of "
            f"interleaved rounds; whiskers from the lowest to the highest. {', '.join(versions)}. CPU that the host took away "
            f"meanwhile: {machine.stolen_seconds() - bench.stolen_before:.1f} s.")


def _version(program):
    flag = "-v" if program in ("nginx", "haproxy") else "--version"
    try:
        done = subprocess.run([program, flag], capture_output=True, text=True, timeout=10)
    except OSError:
        return "(not here)"
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return found[0] if found else ""


def _print(bench, verdicts):
    for scenario, variant in dict.fromkeys((s.scenario, s.variant) for s in bench.samples):
        names = dict.fromkeys(s.name for s in bench.samples if (s.scenario, s.variant) == (scenario, variant))
        metrics = _metrics(bench, scenario, variant)
        metrics = metrics[:1] + [m for m in metrics[1:] if m not in ("machine", "load", "backend", "pss", "cgroup")]
        widths = [max(12, len(_heading(m)) + 2) for m in metrics]
        print(f"\n{scenario} {variant}\n  {'':10}" + "".join(f"{_heading(m):>{w}}" for m, w in zip(metrics, widths))
              + f"{'clew ÷':>10}{'rounds':>14}")
        for name in names:
            values = "".join(f"{svg.number(bench.median(scenario, variant, name, m)):>{w}}" for m, w in zip(metrics, widths))
            ratios = bench.ratios(scenario, variant, metrics[0], name) if name != OURS else []
            shown = f"{statistics.median(ratios):10.2f}{min(ratios):8.2f}-{max(ratios):.2f}" if ratios else ""
            print(f"  {name:10}{values}{shown}")
    if bench.size == "smoke":
        return
    print("\nTargets (clew ÷ peer, or the number itself)")
    for v in (v for v in verdicts if v.value is not None):
        print(f"  {v.text:12} {v.row:40} {v.what:24} {v.value:8.2f}  first {v.first:.2f}, aim {v.aim:.2f}  {v.note}")
    missing = [v for v in verdicts if v.value is None and v.scenario in {s.scenario for s in bench.samples}]
    if missing:
        print(f"  not measured: {len(missing)} rows: {', '.join(dict.fromkeys(v.row for v in missing))}")


def _metrics(bench, scenario, variant):
    present = {m for s in bench.samples if (s.scenario, s.variant) == (scenario, variant) for m in s.metrics}
    return [m for m in UNITS if m in present]


def _heading(metric):
    heading, unit = UNITS[metric]
    return f"{heading} {unit}".strip()


def _targets(verdicts):
    rows = ["<table><tr><th>row<th>what<th>measured<th>rounds<th>first<th>aim<th>verdict<th>"]
    for v in verdicts:
        kind = {"NOT REACHED": "bad", "not measured": "dim"}.get(v.text, "good")
        spread = f"{v.spread[0]:.2f} – {v.spread[1]:.2f}" if v.spread else ""
        rows.append(f"<tr><td>{v.row}<td>{v.what}<td>{svg.number(v.value)}<td>{spread}<td>{v.first:.2f}<td>{v.aim:.2f}"
                    f"<td class={kind}>{v.text}<td class=dim>{html.escape(v.note)}")
    return "\n".join(rows + ["</table>"])


def _scenario(bench, scenario):
    import importlib

    name = next(p.stem for p in (pathlib.Path(__file__).parents[1] / "scenarios").glob(f"{scenario}_*.py"))
    title = importlib.import_module(f"scenarios.{name}").__doc__.strip()
    first, _, rest = title.partition("\n")
    out = [f"<h2>{html.escape(first)}</h2>", f"<p>{html.escape(rest.strip())}</p>"]
    out += [_variant(bench, scenario, variant) for variant in bench.variants(scenario)]
    out += [f"<p class=bad>{html.escape(variant)}: {html.escape(who or 'all')} not run: {html.escape(why)}</p>"
            for s, variant, who, why in bench.not_run if s == scenario]
    return "\n".join(out)


def _variant(bench, scenario, variant):
    metrics = _metrics(bench, scenario, variant)
    names = list(dict.fromkeys(s.name for s in bench.samples if (s.scenario, s.variant) == (scenario, variant)))
    shown = metrics[0]
    rows = []
    for name in names:
        values = list(bench.values(scenario, variant, name, shown).values())
        if values:
            parts = [bench.median(scenario, variant, name, m) for m in ("user", "system")] if shown == "cpu" else [None]
            parts = parts if all(p is not None for p in parts) else [bench.median(scenario, variant, name, shown)]
            rows.append((name, parts, (min(values), max(values))))
    legend = " (dark: user, light: system)" if shown == "cpu" else ""
    table = [f"<table><tr><th>{''.join(f'<th>{_heading(m)}' for m in metrics)}<th>clew ÷<th>rounds"]
    for name in names:
        ratios = bench.ratios(scenario, variant, shown, name) if name != OURS else []
        table.append(f"<tr><td>{name}" + "".join(f"<td>{svg.number(bench.median(scenario, variant, name, m))}" for m in metrics)
                     + (f"<td>{statistics.median(ratios):.2f}<td>{min(ratios):.2f} – {max(ratios):.2f}" if ratios else "<td><td>"))
    return f"<h3>{html.escape(variant)}</h3>" + svg.bars(UNITS[shown][0] + legend, UNITS[shown][1], rows, OURS) + "\n".join(table + ["</table>"])
