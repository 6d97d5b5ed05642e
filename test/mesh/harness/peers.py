"""Where the programs are that test/peers/build.sh built."""

import functools
import os
import pathlib
import re
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


def versions():
    """What the lock files pin: {"istio": …, "kubernetes": …}."""
    kubernetes = (BUILD.parent / "kubernetes/go.mod").read_text()
    return {"istio": re.search(r"^version=(.*)$", (BUILD.parent / "istio/build").read_text(), re.M)[1],
            "kubernetes": re.search(r"k8s.io/kubernetes (\S+)", kubernetes)[1]}


def clew():
    """The binary under test."""
    return pathlib.Path(os.environ.get("CLEW_BINARY") or ROOT / "build/clew").resolve()


def proxy(name):
    """The binary of «clew» or «envoy»."""
    return {"clew": clew, "envoy": envoy}[name]()


@functools.cache
def sanitized():
    """The binary under test has the address sanitizer in it."""
    return b"__asan_init" in clew().read_bytes()
