"""What the scenarios of `clew init` work in: small network namespaces, the stock tool, and what is in force afterwards."""

import atexit
import collections
import itertools
import os
import pathlib
import re
import subprocess
import time

from harness import netns, peers

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
Done = collections.namedtuple("Done", "status out err")
_numbers = itertools.count()
_run = None


def _this_run():
    """One run for all boxes of this process; a reaper removes it however the process ends."""
    global _run
    if _run is None:
        _run, _ = netns.new_run()
        reaper = netns.start_reaper(_run)
        atexit.register(lambda: (reaper.stdin.close(), reaper.wait()))
    return _run


class Box:
    """A network namespace with an eth0 of the given family: v4, v6 or dual."""

    def __init__(self, family="v4", resolv_conf=None):
        self.ns = netns.add(_this_run(), f"init{next(_numbers)}")
        self.shim = None
        ip = ["ip", "-n", self.ns]
        netns.sh(*ip, "link", "add", "eth0", "address", "02:00:00:00:00:02", "type", "veth", "peer", "name", "peer0", "address", "02:00:00:00:00:03")
        for link in ("eth0", "peer0"):
            netns.sh(*ip, "link", "set", link, "addrgenmode", "none", "up")
        if family != "v6":
            netns.sh(*ip, "addr", "add", "10.9.0.2/24", "dev", "eth0")
        if family != "v4":
            netns.sh(*ip, "addr", "add", "fd09::2/64", "dev", "eth0", "nodad")
        if resolv_conf is not None:
            directory = netns.HOSTS_DIR / self.ns  # `ip netns exec` lays it over /etc
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "resolv.conf").write_text(resolv_conf)

    def close(self):
        netns.delete(self.ns)

    def run(self, *argv, env=None, wrap=()):
        variables = [f"{k}={v}" for k, v in {"PATH": PATH, **(env or {})}.items()]
        done = subprocess.run(["ip", "netns", "exec", self.ns, *wrap, "/usr/bin/env", "-i", *variables, *map(str, argv)],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)
        return Done(done.returncode, done.stdout, done.stderr)

    def init(self, *flags, env=None, status=0, wrap=()):
        """`clew init` with these flags; fails unless it ends with `status`."""
        env = dict(env or {})
        if self.shim:
            env["PATH"] = f"{self.shim}:{PATH}"
            self.shim = None
        done = self.run(peers.clew(), "init", *flags, env=env, wrap=wrap)
        assert done.status == status, f"clew init {' '.join(map(str, flags))}: {done}"
        return done

    def kill_at(self, delay, *flags):
        """`clew init`, killed after so many seconds if it still runs; returns when what it had started is over."""
        init = subprocess.Popen(["ip", "netns", "exec", self.ns, peers.clew(), "init", *flags], env={"PATH": PATH},
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        init.kill()
        init.wait()
        while netns._pids_in(self.ns):
            time.sleep(0.01)

    def rules(self):
        """Every rule and every chain of users, of all back ends."""
        found = []
        for save in ("iptables-nft-save", "ip6tables-nft-save", "iptables-legacy-save", "ip6tables-legacy-save"):
            for (table, chain), rules in sorted(normal_save(self.run(save).out).items()):
                found += [f"{save} {table} {chain} {rule}" for rule in rules or [""]]
        for (table, chain), rules in normal_nft(self.run("nft", "list", "ruleset").out).items():
            if table.startswith("inet istio"):
                found += [f"nft {table} {chain} {rule}" for rule in rules]
        return found

    def routes(self):
        """Policy rules, routes, and the addresses of lo; not what the kernel adds to links in its own time."""
        found = []
        for what in (["rule"], ["-6", "rule"], ["route", "show", "table", "all"], ["-6", "route", "show", "table", "all"], ["addr", "show", "lo"]):
            lines = self.run("ip", *what).out.replace(" linkdown", "").splitlines()
            found += sorted(line for line in lines if "multicast" not in line)
        return found

    def everything(self):
        return self.rules() + self.routes()

    # harm done to the next `init`

    def _shim(self, script):
        directory = pathlib.Path(netns.tempfile.gettempdir()) / f"{netns.PREFIX}{_this_run()}" / f"shim{next(_numbers)}"
        directory.mkdir(parents=True)
        path = directory / "iptables-nft-restore"
        path.write_text('#!/bin/sh\nreal=/usr/sbin/iptables-nft-restore\nfor word; do [ "$word" = --test ] && exec $real "$@"; done\n' + script)
        path.chmod(0o755)
        self.shim = directory

    def kill_after(self, tables):
        """The next run is killed when the guard rules and so many tables are in force."""
        self._shim(f"awk -v n={tables + 1} '{{print}} /^COMMIT/ && ++c == n {{exit}}' | $real \"$@\"\nkill -9 $PPID\n")

    def refuse_table(self, table):
        """In the next run the kernel lacks this table: what comes before it in one input is in force by then."""
        self._shim(f"input=$(cat)\ncase \"$input\" in *'*{table}'*)\n"
                   f"printf '%s\\n' \"$input\" | awk '/^[*]{table}$/ {{exit}} {{print}}' | $real \"$@\"\n"
                   "echo 'iptables-restore: line 2 failed: No chain/target/match by that name.' >&2\nexit 1;;\nesac\n"
                   "printf '%s\\n' \"$input\" | $real \"$@\"\n")


def stock(box, *flags, env=None):
    """Istio's own tool with the same flags."""
    done = box.run(peers.istio("pilot-agent"), "istio-iptables", *flags, env=env)
    assert done.status == 0, f"the stock tool with {' '.join(flags)}: {done}"
    return done


def normal_save(text):
    """What iptables-save printed, as {(table, chain): [rules in order]}; built-in chains without rules are left out."""
    found, table = {}, None
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":") and line.split()[1] == "-":
            found.setdefault((table, line[1:].split()[0]), [])
        elif line.startswith("-A "):
            _, chain, rule = line.split(" ", 2)
            found.setdefault((table, chain), []).append(rule)
    return found


def normal_nft(text):
    """What nft printed, as {(table, chain): [lines in order]}, counters set to nothing."""
    found, table, chain = {}, None, None
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["table"]:
            table = " ".join(words[1:3])
        elif words[:1] == ["chain"]:
            chain = words[1]
            found[table, chain] = []
        elif words and words != ["}"]:
            found[table, chain].append(re.sub(r"packets \d+ bytes \d+ ", "", line.strip()))
    return found
