"""From exec to LIVE: what a pod waits for before anything else can begin."""
import json
import pathlib
import statistics
import time
import urllib.request

import peers
from processes import PROXY_CPU, Process, free_port, scratch


def once(binary):
    with scratch() as cwd:
        admin = free_port()
        config = pathlib.Path(cwd) / "bootstrap.json"
        config.write_text(json.dumps(peers.bootstrap(free_port(), free_port(), admin)))
        with Process([binary, "-c", str(config), "--concurrency", "2", "-l", "warning", "--disable-hot-restart"], PROXY_CPU, cwd) as proxy:
            while time.monotonic() - proxy.started < 20 and proxy.child.poll() is None:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{admin}/ready", timeout=1) as answer:
                        if answer.read().strip() == b"LIVE":
                            return 1000 * (time.monotonic() - proxy.started)
                except OSError:
                    time.sleep(0.001)
        raise RuntimeError("never LIVE")


def run(binary, rounds):
    return statistics.median(once(binary) for _ in range(rounds))
