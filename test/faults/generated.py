"""Configurations for F6: resources as stock istiod sends them, and ones that set every field clew honours, each changed in one place."""

import copy
import functools
import json
import pathlib
import random
import subprocess
import tempfile

import yaml

from harness.app import certificate
from harness.resources import TYPES

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"
KINDS = {url: kind for kind, url in TYPES.items()}
# Istio's own filters, which Envoy's binary lacks.
ISTIO = ("istio.stats", "istio.metadata_exchange", "istio.alpn", "envoy.filters.network.metadata_exchange")
UNKNOWN = {"@type": "type.googleapis.com/udpa.type.v1.TypedStruct", "typeUrl": "type.googleapis.com/example.UnheardOf", "value": {"a": "b"}}
TEXTS = ["", "x", "a\r\nb", "%", "é", "y" * 300]
NUMBERS = [0, 1, 2, 101, 65535, 65536, 4294967295]
DURATIONS = ["0s", "-1s", "0.0000001s", "0.001s", "315576000000s"]


def seeds():
    """(kind, resource): what both proxies accept as it is."""
    files = [json.loads(line) for path in sorted((DATA / "istiod").glob("*.jsonl")) for line in path.read_text().splitlines()]
    files += [yaml.safe_load(path.read_text()) for path in sorted((DATA / "fields").glob("*.yaml"))]
    for resource in files:
        if (kind := KINDS.get(resource["@type"])) and kind != "secret":
            yield kind, impatient(certified(camel(without_istio(resource))))
    yield from secrets()


def secrets():
    certificates = certified({"tlsCertificate": {"certificateChain": {}, "privateKey": {}}})
    yield "secret", {"@type": TYPES["secret"], "name": "certificate", **certificates}
    yield "secret", {"@type": TYPES["secret"], "name": "trusted", **certified({"validationContext": {"trustedCa": {}}})}


def certified(node):
    """With certificates and a key that are some."""
    if isinstance(node, dict):
        chain, key = certificate()
        real = {"trustedCa": chain, "certificateChain": chain, "privateKey": key, "crl": revocations()}
        return {k: {"inlineString": real[k].read_text()} if k in real else certified(v) for k, v in node.items()}
    return [certified(v) for v in node] if isinstance(node, list) else node


@functools.cache
def revocations():
    """A list that revokes nobody."""
    chain, key = certificate()
    folder = pathlib.Path(tempfile.mkdtemp(dir=chain.parent))
    (folder / "index").touch()
    (folder / "ca.conf").write_text(f"[ca]\ndefault_ca = ca_default\n[ca_default]\ndatabase = {folder}/index\ndefault_md = sha256\n")
    subprocess.run(["openssl", "ca", "-gencrl", "-config", folder / "ca.conf", "-cert", chain, "-keyfile", key, "-crldays", "30",
                    "-out", folder / "crl.pem"], check=True, capture_output=True)
    return folder / "crl.pem"


def without_istio(node):
    if isinstance(node, dict):
        return {k: without_istio(v) for k, v in node.items()}
    if isinstance(node, list):
        return [without_istio(v) for v in node if not (isinstance(v, dict) and v.get("name") in ISTIO)]
    return node


def camel(node):
    """Field names as JSON has them, so that parts of one resource fit another. Keys with dots, or beginning with @, are no fields."""
    def name(key):
        head, *rest = [key] if "." in key or "@" in key else key.split("_")
        return head + "".join(word[:1].upper() + word[1:] for word in rest)
    if isinstance(node, dict):
        return {name(k): camel(v) for k, v in node.items()}
    return [camel(v) for v in node] if isinstance(node, list) else node


def impatient(node):
    """What nobody sends here is not waited for: Envoy says nothing of clusters while one of them is warming."""
    if isinstance(node, dict):
        if ("ads" in node or "apiConfigSource" in node) and node.get("initialFetchTimeout") != "-1s":
            node = {**node, "initialFetchTimeout": "0.001s"}
        return {k: impatient(v) for k, v in node.items()}
    return [impatient(v) for v in node] if isinstance(node, list) else node


def places(node, path=()):
    yield path, node
    for key, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(child, (*path, key))


def changes(path, node, donors):
    """(what, change) at a place; a change is given the container and the key."""
    def put(value):
        def change(container, key):
            container[key] = copy.deepcopy(value)
        return change

    def drop(container, key):
        del container[key]
    if path[-1] == "@type" or path == ("name",):  # Envoy invents names, and nobody could take such a resource back
        return
    yield "without", drop
    if isinstance(node, dict):
        yield "empty", put({})
        for field, value in donors.get(named(path), {}).items():
            if field not in node and not ("@type" in node and field == "@type"):
                yield f"with {field}", put({**node, field: value})
        if "@type" in node and "name" not in node:
            yield "unknown type", put(UNKNOWN)
            for other in donors["typed"]:
                if other["@type"] != node["@type"]:
                    yield f"type {other['@type'].rsplit('.', 1)[1]}", put(other)
    elif isinstance(node, list):
        yield "empty", put([])
        if node:
            yield "twice the first", put([node[0], *node])
            yield "backwards", put(node[::-1])
    elif isinstance(node, bool):
        yield "the other", put(not node)
    elif isinstance(node, (int, float)):
        for number in NUMBERS:
            yield f"{number}", put(number)
    elif isinstance(node, str) and not node.startswith("/dev/"):  # logs: what is named is made
        if node.endswith("s") and node[:-1].replace(".", "").isdigit():
            for text in DURATIONS:
                yield text, put(text)
        elif node.isupper() and "_" in node or node in ("STATIC", "EDS", "INBOUND", "OUTBOUND", "GRPC", "DEFAULT", "V3", "RANDOM", "AUTO"):
            for number in (0, 1, 2, 3, 77):
                yield f"value {number}", put(number)
        else:
            for text in TEXTS:
                yield f"text {text[:8]!r}", put(text)


def named(path):
    """The last name on the way: dicts below one name are taken to be of one message."""
    return next((p for p in reversed(path) if isinstance(p, str)), "")


def configurations(count, seed=1):
    """(kind, what, resource), drawn from all of them."""
    resources = list(seeds())
    donors, typed = {}, {}
    for kind, resource in resources:
        for path, node in places(resource):
            if isinstance(node, dict):
                donors.setdefault(named(path) or kind, {}).update({k: v for k, v in node.items()})
                if "@type" in node and path:
                    typed.setdefault(node["@type"], node)
    donors["typed"] = list(typed.values())
    every = []
    for number, (kind, resource) in enumerate(resources):
        for path, node in places(resource):
            if path:
                every += [(number, path, what, change) for what, change in changes(path, node, donors)]
    draw = random.Random(seed)
    for number, path, what, change in draw.sample(every, min(count, len(every))):
        kind, resource = resources[number]
        mutant = copy.deepcopy(resource)
        container = mutant
        for step in path[:-1]:
            container = container[step]
        change(container, path[-1])
        yield kind, f"{kind} {number}: {'.'.join(map(str, path))}: {what}", impatient(mutant)
