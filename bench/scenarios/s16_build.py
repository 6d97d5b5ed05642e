"""S16: a clean build of our own code, third-party libraries and messages ready: without compiler cache, and with a warm one.

Only in the whole run. All cores of the machine."""

import os
import pathlib
import shutil
import subprocess
import time

from suite.process import Failed

ROOT = pathlib.Path(__file__).resolve().parents[2]


def build(environment):
    folder = ROOT / "build-bench"  # in the tree and as deep as build/, so that the compiler cache knows its objects
    shutil.rmtree(folder, ignore_errors=True)
    try:
        began = time.monotonic()
        for argv in (["cmake", "--preset", "release", "-B", folder], ["cmake", "--build", folder, "-j", str(os.cpu_count()), "--target", "clew"]):
            done = subprocess.run(argv, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)
            if done.returncode:
                raise Failed(f"{argv[0]}: {done.stdout[-500:]}")
        return {"build_seconds": time.monotonic() - began}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(bench):
    if bench.size != "whole":
        bench.say(f"{bench.scenario} is not part of a {bench.size} run: it takes minutes")
        return
    bench.record("no compiler cache", "clew", 0, build({"CCACHE_DISABLE": "1"}))
    build({})  # whatever the cache lacks
    bench.record("warm compiler cache", "clew", 0, build({}))
