"""Ending in order."""

import signal


def stop_on_signals():
    """SIGTERM and SIGHUP end a program like Ctrl-C does, so that cleaning up has one way."""
    def stop(*_):
        raise KeyboardInterrupt
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # SIGINT too: a shell ignores it for what it starts with &
        signal.signal(number, stop)
