#!/usr/bin/env python3
"""Each thing that every default install of Istio asks of its proxy has a test, or says that it comes later.

surface.csv: part (of the requirement table), item, what it is, proof. A proof is «FILE::TEST», several joined with « + », or
«later: WHY». A row without either, or with a test that is not there, fails.
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


def fault(row):
    """What is wrong with a row, or None."""
    if not row["part"] or not row["item"]:
        return "has no name"
    proof = row["proof"]
    if proof.startswith("later: "):
        return None if proof.removeprefix("later: ").strip() else "comes later without saying why"
    if not proof:
        return "has neither a test nor «later»"
    missing = [p for p in proof.split(" + ") if not test_is_there(p)]
    return f"names a test that is not there: {', '.join(missing)}" if missing else None


def check_the_checker():
    row = {"part": "1", "item": "x", "what": "", "proof": ""}
    assert fault(row)
    assert fault(row | {"proof": "later: "})
    assert fault(row | {"proof": "test/surface_test.py::no_such_test"})
    assert fault(row | {"proof": "test/no_such_file.cc::x"})
    assert fault(row | {"proof": "test/surface_test.py"})
    assert not fault(row | {"proof": "later: soon"})
    assert not fault(row | {"proof": "test/surface_test.py::fault"})


def main():
    check_the_checker()
    with open(ROOT / "test/surface.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    faults = [f"{row['part']} {row['item']}: {why}" for row in rows if (why := fault(row))]
    names = [(row["part"], row["item"]) for row in rows]
    faults += [f"{part} {item}: is there twice" for part, item in set(names) if names.count((part, item)) > 1]
    if len(rows) < 200:
        faults.append(f"only {len(rows)} rows are left")
    for line in sorted(faults):
        print(line)
    later = sum(row["proof"].startswith("later: ") for row in rows)
    print(f"{len(rows)} rows: {len(rows) - later} with a test, {later} later")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
