"""What a run measured, shown at its end with Envoy beside clew; and at which scale."""

import os

FULL = os.environ.get("CLEW_SCALE") == "full"  # make soak
_figures = {}


def scaled(full, ci):
    """The size of something: `full` under make soak, `ci` otherwise."""
    return full if FULL else ci


def figure(row, proxy, text):
    _figures.setdefault(row, {})[proxy] = text


def lines():
    """One for each row and proxy."""
    return [f"{row:24} {proxy:14} {text}" for row, of in sorted(_figures.items()) for proxy, text in of.items()]


def summarize(reporter):
    """For pytest_terminal_summary."""
    if _figures:
        reporter.section("figures" + (" at full scale" if FULL else " at CI scale"))
        for line in lines():
            reporter.write_line(line)
