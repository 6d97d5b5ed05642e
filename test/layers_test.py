#!/usr/bin/env python3
"""The house rules that a compiler does not know: who may include whom, how long a file may be, what may not be written.

Layers, lowest first; an include goes to the same layer or down, folders never include one another in a circle, and:
http does not know upstream; init knows base alone; protobuf stays in config/{bootstrap,xds}, admin and the
filters' *_config and *_wire files; base, stats and snapshot do no I/O.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAYERS = [
    {"proxy/base", "proxy/stats"},
    {"config/snapshot"},
    {"proxy/net"},
    {"proxy/http", "proxy/upstream", "proxy/grpc", "proxy/telemetry"},
    {"config/bootstrap", "config/xds", "filters"},
    {"proxy", "proxy/admin", "proxy/init"},
]
LEVEL = {folder: level for level, folders in enumerate(LAYERS) for folder in folders}
NEVER = {("proxy/http", "proxy/upstream")}
ONLY = {"proxy/init": {"proxy/init", "proxy/base"}}
PROTOBUF = {"config/bootstrap", "config/xds", "proxy/admin"}
NO_IO = {"proxy/base", "proxy/stats", "config/snapshot"}

MAX_LINES = 600
SOURCES = {".h", ".cc", ".c", ".py", ".go", ".sh", ".cmake"}
LOCK_FILES = {"Cargo.lock", "go.sum", "go.mod"}
# Written in two parts, so that this file keeps the rule too.
MACHINE = re.compile("|".join(["/" + "work/", "/" + "root/", "/" + "home/[a-z]", "/" + "tmp/w/"]))
REGISTRY = re.compile("|".join(["pypi" + r"\.org", "crates" + r"\.io", "proxy\\.golang" + r"\.org", "sum\\.golang" + r"\.org",
                                "deb\\.debian" + r"\.org", "repo\\d?\\.maven"]))
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def folder_of(path):
    """The layer folder that a path of ours belongs to, or None: proxy/base/x.h -> proxy/base, proxy/app.h -> proxy."""
    parts = path.split("/")[:-1]
    for depth in range(len(parts), 0, -1):
        folder = "/".join(parts[:depth])
        if folder in LEVEL:
            return folder
    return None


def includes(text):
    return [match.group(2) for match in INCLUDE.finditer(text)]


def may_use_protobuf(path, folder):
    stem = pathlib.PurePath(path).stem
    return folder in PROTOBUF or (folder == "filters" and stem.endswith(("_config", "_wire")))


def include_faults(path, text):
    folder = folder_of(path)
    if folder is None:
        return
    for name in includes(text):
        target = folder_of(name)
        if target is not None:
            if LEVEL[target] > LEVEL[folder]:
                yield f"{path}: {folder} is below {target} and may not include {name}"
            if (folder, target) in NEVER or target not in ONLY.get(folder, {target}):
                yield f"{path}: {folder} may not include {name}"
        elif name.split("/")[0] in ("test", "bench"):
            yield f"{path}: the proxy may not include {name}"
        protobuf = name.endswith(".pb.h") or name.startswith("google/protobuf/")
        if protobuf and not may_use_protobuf(path, folder):
            yield f"{path}: protobuf may not be included here: {name}"
        if folder in NO_IO and name in ("sys/epoll.h", "poll.h"):
            yield f"{path}: {folder} does no I/O and may not include {name}"


def text_faults(path, text):
    name = pathlib.PurePath(path)
    lines = text.count("\n")
    if name.suffix in SOURCES and lines > MAX_LINES:
        yield f"{path}: {lines} lines, {MAX_LINES} are allowed: part it along a seam"
    for number, line in enumerate(text.split("\n"), 1):
        if MACHINE.search(line):
            yield f"{path}:{number}: a path of one machine"
        if name.name not in LOCK_FILES and REGISTRY.search(line):
            yield f"{path}:{number}: a registry's host; name packages, not where they come from"


def circles(edges):
    """Each circle in the graph of folders, once, as a list of folders."""
    found, done = [], set()

    def visit(node, way):
        if node in way:
            found.append(way[way.index(node):] + [node])
        elif node not in done:
            for target in sorted(edges.get(node, ())):
                visit(target, way + [node])
            done.add(node)

    for start in sorted(edges):
        visit(start, [])
    return found


def tree():
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                           capture_output=True).stdout.decode().split("\0")
    for name in sorted(set(filter(None, names))):
        path = ROOT / name
        if not path.is_file() or path.is_symlink() or name.startswith("test/fuzz/corpus/"):
            continue
        try:
            yield name, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            pass  # a binary fixture


def self_test():
    """The rules catch what they are for."""
    def faulty(path, text):
        return bool(list(include_faults(path, text)) + list(text_faults(path, text)))

    bad = [
        ("proxy/base/a.h", '#include "proxy/net/worker.h"'),
        ("config/snapshot/a.h", '#include "proxy/http/stream.h"'),
        ("proxy/http/a.cc", '#include "proxy/upstream/pool.h"'),
        ("proxy/init/a.cc", '#include "proxy/stats/stats.h"'),
        ("filters/http/a.cc", "#include <google/protobuf/message.h>"),
        ("proxy/upstream/a.cc", '#  include "envoy/config/cluster/v3/cluster.pb.h"'),
        ("proxy/app.cc", "#include <envoy/config/cluster/v3/cluster.pb.h>"),
        ("proxy/stats/a.h", "#include <sys/epoll.h>"),
        ("proxy/net/a.cc", '#include "test/support/test_worker.h"'),
        ("proxy/net/a.cc", "\n" * (MAX_LINES + 1)),
        ("README.md", "cd /" + "root/clew"),
        ("third_party/x.sh", "curl https://pypi" + ".org/simple"),
    ]
    good = [
        ("proxy/upstream/a.cc", '#include "proxy/http/stream.h"'),
        ("filters/http/rbac_config.cc", "#include <google/protobuf/message.h>"),
        ("filters/http/ext_authz_wire.cc", '#include "envoy/service/auth/v3/external_auth.pb.h"'),
        ("proxy/admin/a.cc", "#include <google/protobuf/message.h>"),
        ("proxy/init/a.cc", '#include "proxy/base/result.h"'),
        ("test/unit/proxy/base/a_test.cc", '#include "proxy/net/worker.h"'),
    ]
    for path, text in bad:
        assert faulty(path, text), f"not caught: {path}: {text.strip()}"
    for path, text in good:
        assert not faulty(path, text), f"wrongly caught: {path}: {text}"
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) and not circles({"a": {"b", "c"}, "b": {"c"}})


def main():
    self_test()
    faults, edges = [], {}
    for path, text in tree():
        faults += include_faults(path, text)
        faults += text_faults(path, text)
        folder = folder_of(path)
        if folder is not None and path.endswith((".h", ".cc")):
            targets = {folder_of(name) for name in includes(text)} - {None, folder}
            edges.setdefault(folder, set()).update(targets)
    faults += ["folders include one another in a circle: " + " -> ".join(circle) for circle in circles(edges)]
    print("\n".join(faults) if faults else "layers: all rules kept")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
