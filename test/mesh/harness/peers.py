"""Where the programs are that test/peers/build.sh built."""

import functools
import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = ROOT / "test/peers/build.sh"


@functools.cache
def group(name):
    path = pathlib.Path(subprocess.run([BUILD, "--path", name], check=True, capture_output=True, text=True).stdout.strip())
    if not path.is_dir():
        subprocess.run([BUILD, name], check=True)
    return path


def istio(program):
    return group("istio") / program


def kubernetes(program):
    return group("kubernetes") / program


def envoy():
    return group("envoy") / "envoy"


def clew():
    """The binary under test."""
    return pathlib.Path(os.environ.get("CLEW_BINARY") or ROOT / "build/clew").resolve()
