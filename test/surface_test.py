#!/usr/bin/env python3
"""Each thing that every default install of Istio asks of its proxy has a test, or says that it comes later.

surface.csv: part (of the requirement table), item, what it is, proof. A proof is «FILE::TEST», several joined with « + », or
«later: WHY». A row without either, or with a test that is not there, fails.

The same for limits.csv and the limits that SECURITY.md promises: each has a test, or says why it is «untested: WHY»; for
attacks/rows.csv and the two tables of attacks; and for faults/rows.csv, the faults that the tests name by row.
"""

import csv
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def test_is_there(proof):
    path, separator, name = proof.partition("::")
    if not separator or not name:
        return False
    try:
        text = (ROOT / path).read_text(encoding="utf-8")
    except OSError:
        return False
    return f'TEST_CASE("{name}"' in text or f"def {name}(" in text


def fault_of_proof(proof, excuse):
    """What is wrong with a proof, or None. excuse: how one begins that names no test."""
    if proof.startswith(excuse):
        return None if proof.removeprefix(excuse).strip() else f"«{excuse}» without saying why"
    if not proof:
        return f"has neither a test nor «{excuse}»"
    missing = [p for p in proof.split(" + ") if not test_is_there(p)]
    return f"names a test that is not there: {', '.join(missing)}" if missing else None


def fault(row):
    """What is wrong with a row of surface.csv, or None."""
    if not row["part"] or not row["item"]:
        return "has no name"
    return fault_of_proof(row["proof"], "later: ")


def promised_limits(text):
    """First column of the table under «## Limits»."""
    table = text.split("\n## Limits\n")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [line.split("|")[1].strip() for line in lines[1:]]


def faults_of_limits(rows, promised):
    faults = [f"{row['limit']}: {why}" for row in rows if (why := fault_of_proof(row["proof"], "untested: "))]
    named = {row["limit"] for row in rows}
    faults += [f"{limit}: is in SECURITY.md, not in limits.csv" for limit in promised if limit not in named]
    faults += [f"{limit}: is in limits.csv, not in SECURITY.md" for limit in named if limit not in promised]
    return faults


def check_the_checker():
    row = {"part": "1", "item": "x", "what": "", "proof": ""}
    assert fault(row)
    assert fault(row | {"proof": "later: "})
    assert fault(row | {"proof": "test/surface_test.py::no_such_test"})
    assert fault(row | {"proof": "test/no_such_file.cc::x"})
    assert fault(row | {"proof": "test/surface_test.py"})
    assert not fault(row | {"proof": "later: soon"})
    assert not fault(row | {"proof": "test/surface_test.py::fault"})
    limit = {"limit": "a", "proof": "test/surface_test.py::fault"}
    assert promised_limits("\n## Limits\nx\n| what | bound |\n|---|---|\n| a | 1 |\n| b | 2 |\n\n## End\n| c | 3 |\n") == ["a", "b"]
    assert not faults_of_limits([limit], ["a"])
    assert faults_of_limits([limit], ["a", "b"]) and faults_of_limits([limit], []) and faults_of_limits([limit | {"proof": ""}], ["a"])


def read(name):
    with open(ROOT / "test" / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def main():
    check_the_checker()
    rows = read("surface.csv")
    faults = [f"{row['part']} {row['item']}: {why}" for row in rows if (why := fault(row))]
    names = [(row["part"], row["item"]) for row in rows]
    faults += [f"{part} {item}: is there twice" for part, item in set(names) if names.count((part, item)) > 1]
    if len(rows) < 200:
        faults.append(f"only {len(rows)} rows are left")
    named = read("faults/rows.csv")  # faults, by the rows they are known by
    faults += [f"{row['row']}: {why}" for row in named if (why := fault({"part": "row", "item": row["row"], **row}))]
    faults += [f"{name}: is there twice" for name in {r["row"] for r in named} if [r["row"] for r in named].count(name) > 1]
    limits = read("limits.csv")
    attacks = read("attacks/rows.csv")
    faults += [f"attack {row['row']}: {why}" for row in attacks if (why := fault_of_proof(row["proof"], "open: "))]
    if {row["row"] for row in attacks} != {f"A{i}" for i in range(1, 14)} | {f"B{i}" for i in range(1, 17)}:
        faults.append("attacks/rows.csv has not the rows A1 to A13 and B1 to B16")
    faults += faults_of_limits(limits, promised_limits((ROOT / "SECURITY.md").read_text(encoding="utf-8")))
    for line in sorted(faults):
        print(line)
    later = sum(row["proof"].startswith("later: ") for row in rows)
    untested = sum(row["proof"].startswith("untested: ") for row in limits)
    print(f"{len(rows)} rows: {len(rows) - later} with a test, {later} later; {len(limits)} limits, {untested} untested")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
