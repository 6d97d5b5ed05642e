"""`clew init` beside the stock tool: the same flags in two fresh network namespaces leave the same rules and routes."""

import concurrent.futures

import pytest

from harness import netns, peers
from init_lab import Box, normal_nft, normal_save, stock

ALL = ["-b", "*", "-i", "*", "-d", "15090,15021,15020"]
DNS = "search x.svc\nnameserver 10.96.0.10\nnameserver 8.8.4.4\nnameserver fd00:96::a\noptions ndots:5\n"

# name: (flags, environment, resolv.conf)
CASES = {
    "nothing": ([], {}, None),
    "injected": (["-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-x", "", *ALL, "--log_output_level=default:info"], {}, None),
    "by-long-flags": (["--envoy-port=15101", "--inbound-capture-port=15106", "--inbound-tunnel-port=15108", "--proxy-uid=2000",
                       "--proxy-gid=2001", "--istio-inbound-ports=*", "--istio-service-cidr=*"], {}, None),
    "by-environment": ([], {"INBOUND_CAPTURE_PORT": "16006", "ISTIO_INBOUND_PORTS": "*", "ISTIO_SERVICE_CIDR": "*",
                            "ISTIO_LOCAL_EXCLUDE_PORTS": "22,23", "PROXY_UID": "4321"}, None),
    "flags-win": (["-z", "16007", "-b", "80"], {"INBOUND_CAPTURE_PORT": "16006", "ISTIO_INBOUND_PORTS": "*"}, None),
    "several-owners": ([*ALL, "-u", "1337,1338", "-g", "1400,1401,1402"], {}, None),
    "inbound-list": (["-b", "80,443,8080"], {}, None),
    "inbound-list-and-excludes": (["-b", "80,443", "-d", "22"], {}, None),
    "inbound-only": (["-b", "*"], {}, None),
    "inbound-range": (["-b", "8000:8100", "-i", "*"], {}, None),
    "outbound-only": (["-i", "*"], {}, None),
    "outbound-excluded-ports": ([*ALL, "-o", "3306,6379"], {}, None),
    "outbound-included-ports": (["-b", "*", "-q", "80,9080"], {}, None),
    "outbound-ports-both": (["-b", "*", "-i", "10.0.0.0/8", "-q", "80", "-o", "3306"], {}, None),
    "cidrs": (["-b", "*", "-i", "10.96.0.0/12,172.16.0.0/16"], {}, None),
    "cidrs-both-families": (["-b", "*", "-i", "fd00:96::/64,10.96.0.0/12,fd01::/16"], {}, None),
    "cidrs-with-host-bits": (["-i", "10.1.2.3/8,192.168.7.9/20"], {}, None),
    "cidr-of-everything": (["-i", "0.0.0.0/0,::/0"], {}, None),
    "excluded-cidrs": ([*ALL, "-x", "169.254.169.254/32,10.0.0.0/8,fd02::/16"], {}, None),
    "loopback-in-cidrs": (["-b", "*", "-i", "127.1.2.3/32,10.0.0.0/8"], {}, None),
    "loopback-v6-in-cidrs": (["-b", "*", "-i", "::1/128"], {}, None),
    "excluded-interfaces": ([*ALL, "-c", "eth5,net1"], {}, None),
    "virtual-interfaces": ([*ALL, "-k", "k6t-a,k6t-b"], {}, None),
    "virtual-interfaces-cidrs": (["-b", "*", "-i", "10.0.0.0/8,11.0.0.0/8,fd00::/8", "-k", "k6t-a,k6t-b", "-c", "eth5"], {}, None),
    "virtual-interfaces-alone": (["-b", "*", "-k", "k6t-a"], {}, None),
    "groups": (ALL, {"ISTIO_OUTBOUND_OWNER_GROUPS": "1000,2000"}, None),
    "groups-excluded": (ALL, {"ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE": "1000,2000"}, None),
    "groups-by-name": (ALL, {"ISTIO_OUTBOUND_OWNER_GROUPS": "daemon,1000"}, None),
    "groups-with-dns": ([*ALL, "--redirect-dns"], {"ISTIO_OUTBOUND_OWNER_GROUPS": "1000"}, DNS),
    "groups-excluded-with-dns": ([*ALL, "--redirect-dns", "--capture-all-dns"], {"ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE": "1000"}, DNS),
    "loopback-block": (ALL, {"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR": "127.0.0.1/8"}, None),
    "drop-invalid": ([*ALL, "--drop-invalid"], {}, None),
    "drop-invalid-by-old-name": (ALL, {"INVALID_DROP": "true"}, None),
    "dns": ([*ALL, "--redirect-dns"], {}, DNS),
    "dns-by-environment": (ALL, {"ISTIO_META_DNS_CAPTURE": "true"}, DNS),
    "dns-v4-server": ([*ALL, "--redirect-dns"], {}, "nameserver 10.96.0.10\n"),
    "dns-no-server": ([*ALL, "--redirect-dns"], {}, "search x\n"),
    "dns-all": ([*ALL, "--redirect-dns", "--capture-all-dns"], {}, DNS),
    "dns-all-without-dns": ([*ALL, "--capture-all-dns"], {}, DNS),
    "dns-several-owners": ([*ALL, "--redirect-dns", "-u", "1,2", "-g", "3,4"], {}, DNS),
    "dns-loopback-cidr": (["-b", "*", "-i", "127.0.0.0/8", "--redirect-dns"], {}, DNS),
    "tproxy": (["-m", "TPROXY", *ALL], {}, None),
    "tproxy-list": (["-m", "TPROXY", "-b", "80,443", "-i", "*"], {}, None),
    "tproxy-no-inbound": (["-m", "TPROXY", "-i", "*"], {}, None),
    "tproxy-mark-and-table": (["-m", "TPROXY", *ALL, "-t", "4711", "-r", "300"], {}, None),
    "tproxy-by-environment": (ALL, {"ISTIO_INBOUND_INTERCEPTION_MODE": "TPROXY", "ISTIO_INBOUND_TPROXY_MARK": "77"}, None),
    "tproxy-everything": (["-m", "TPROXY", *ALL, "--redirect-dns", "--drop-invalid", "-c", "eth5", "-k", "k6t-a", "-x", "10.9.9.0/24",
                           "-o", "22", "-q", "80", "-u", "1,2", "-g", "3"], {"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR": "127.0.0.0/16"}, DNS),
}
FAMILIES = {"v4": [], "dual": ["--dual-stack"], "v6": []}
# Every case with both families at once; those in which a family alone or the other back end could matter, with all.
SOME = ["injected", "cidrs-both-families", "virtual-interfaces-cidrs", "dns", "dns-all", "tproxy-list", "tproxy-everything"]
IPTABLES = [(name, "dual", "nft") for name in CASES] + [
    (name, family, backend) for name in SOME for family, backend in (("v4", "nft"), ("v6", "nft"), ("v4", "legacy"), ("dual", "legacy"))]
NFTABLES = [(name, "dual") for name in CASES] + [(name, family) for name in SOME for family in ("v4", "v6")]


@pytest.fixture
def box():
    boxes = []

    def make(family="v4", resolv_conf=None):
        boxes.append(Box(family, resolv_conf))
        return boxes[-1]
    yield make
    for one in boxes:
        one.close()


@pytest.mark.parametrize("name,family,backend", IPTABLES)
def test_same_rules_as_the_stock_tool(box, name, family, backend):
    flags, env, resolv_conf = CASES[name]
    flags = [*flags, *FAMILIES[family]]
    ours, theirs = box(family, resolv_conf), box(family, resolv_conf)
    forced = [] if backend == "nft" else ["--force-iptables-binary=legacy"]
    stock(theirs, *flags, *forced, env=env)
    ours.init(*flags, *forced, env=env)
    for tool in ("iptables", "ip6tables"):
        save = f"{tool}-{backend}-save"
        assert normal_save(ours.run(save).out) == normal_save(theirs.run(save).out), f"{save} of {flags} {env}"
    assert ours.routes() == theirs.routes()

    before = ours.everything()
    again = ours.init(*flags, *forced, env=env)
    assert "changed nothing" in again.out
    assert ours.everything() == before
    assert ours.init("--check", *flags, *forced, env=env).out.count("are complete") == (1 if family == "v4" else 2)
    ours.init("--cleanup-only", *flags, env=env)
    assert ours.rules() == []


@pytest.mark.parametrize("name,family", NFTABLES)
def test_same_nftables_as_the_stock_tool(box, name, family):
    flags, env, resolv_conf = CASES[name]
    if ":" in dict(zip(flags, flags[1:])).get("-b", ""):
        flags = [f.replace(":", "-") if f == "8000:8100" else f for f in flags]  # what the stock tool hands to nft as it is
    flags = [*flags, *FAMILIES[family], "--native-nftables"]
    own_flags = [f.replace("8000-8100", "8000:8100") for f in flags]
    ours, theirs = box(family, resolv_conf), box(family, resolv_conf)
    stock(theirs, *flags, env=env)
    ours.init(*own_flags, env=env)
    assert normal_nft(ours.run("nft", "list", "ruleset").out) == normal_nft(theirs.run("nft", "list", "ruleset").out), f"{flags} {env}"
    assert ours.routes() == theirs.routes()

    before = ours.everything()
    assert "changed nothing" in ours.init(*own_flags, env=env).out
    assert ours.everything() == before
    assert "are complete" in ours.init("--check", *own_flags, env=env).out
    ours.init("--cleanup-only", "--native-nftables", env=env)
    assert ours.run("nft", "list", "ruleset").out == ""


def test_goes_by_the_stock_tools_name_too(box):
    """The injected init container's arguments begin with it."""
    one, other = box(), box()
    assert one.run(peers.clew(), "istio-iptables", *ALL).status == 0
    other.init(*ALL)
    assert one.everything() == other.everything()


@pytest.mark.parametrize("backend", ["nft", "legacy"])
def test_network_namespace(box, backend):
    """As the CNI plugin does it: on the node, for a pod."""
    flags = [*ALL, "--dual-stack", f"--force-iptables-binary={backend}"]
    node, pod, other = box(), box("dual"), box("dual")
    before = node.everything()
    node.init("--cni-mode", "--network-namespace", netns.NETNS_DIR / pod.ns, *flags)
    other.init(*flags)
    assert pod.everything() == other.everything()
    assert node.everything() == before


def test_finds_the_back_end_in_use(box):
    fresh = box()
    assert "iptables-nft" in fresh.init(*ALL).out
    legacy = box()
    legacy.run("iptables-legacy", "-t", "nat", "-A", "POSTROUTING", "-p", "sctp", "-j", "RETURN")
    assert "iptables-legacy" in legacy.init(*ALL).out
    assert "changed nothing" in legacy.init(*ALL).out
    forced = box()
    assert "iptables-legacy" in forced.init(*ALL, "--force-iptables-binary=legacy").out
    assert "changed nothing" in forced.init(*ALL).out
    # The stock tool leaves an empty legacy table behind; its rules are still the ones to compare with.
    both = box()
    stock(both, *ALL)
    assert "changed nothing" in both.init(*ALL).out


def test_rules_of_others_stay(box):
    one = box()
    for rule in (["PREROUTING", "-p", "tcp", "--dport", "22", "-j", "ACCEPT"], ["OUTPUT", "-d", "192.0.2.0/24", "-j", "ACCEPT"]):
        one.run("iptables-nft", "-t", "nat", "-A", *rule)
    before = one.rules()
    one.init(*ALL, "-k", "k6t-a")
    assert "changed nothing" in one.init(*ALL, "-k", "k6t-a").out
    one.init("--force-apply", *ALL, "-k", "k6t-a")
    one.init("--cleanup-only", "-k", "k6t-a")
    assert one.rules() == before


@pytest.mark.parametrize("flags", [ALL, ["-m", "TPROXY", *ALL, "--redirect-dns", "--capture-all-dns", "--dual-stack"]], ids=["redirect", "tproxy-dns-dual"])
@pytest.mark.parametrize("harm", [
    [["iptables-nft", "-t", "nat", "-F", "OUTPUT"]],
    [["iptables-nft", "-t", "nat", "-F", "ISTIO_OUTPUT"]],
    [["iptables-nft", "-t", "nat", "-D", "ISTIO_OUTPUT", "3"]],
    [["iptables-nft", "-t", "nat", "-A", "ISTIO_OUTPUT", "-j", "RETURN"]],
    [["iptables-nft", "-t", "nat", "-F", "ISTIO_REDIRECT"], ["iptables-nft", "-t", "nat", "-F", "OUTPUT"]],
    [["iptables-nft", "-t", "nat", "-I", "ISTIO_OUTPUT", "1", "-m", "mark", "--mark", "5", "-j", "ACCEPT"]],
], ids=["jump", "emptied", "one-less", "one-more", "half", "foreign-in-our-chain"])
def test_reconcile(box, flags, harm):
    one = box("dual")
    one.init(*flags)
    good = one.everything()
    for command in harm:
        assert one.run(*command).status == 0
    damaged = one.everything()
    assert one.init("--check", *flags, status=1).out
    refused = one.init(*flags, status=12)
    assert "--reconcile" in refused.err and refused.err.count("\n") == 1
    assert one.everything() == damaged
    one.init("--reconcile", *flags)
    assert one.everything() == good
    assert one.init("--check", *flags).status == 0


def test_reconcile_to_other_flags(box):
    one = box("dual")
    one.init("-m", "TPROXY", *ALL, "--redirect-dns", "--capture-all-dns", "--drop-invalid", "--dual-stack")
    fresh = box("dual")
    fresh.init("-b", "80", "--dual-stack")
    one.init("--reconcile", "-b", "80", "--dual-stack")
    assert one.rules() == fresh.rules()


def test_killed_between_tables(box):
    """A tool that dies after the first table: nothing passes until the next run completes the work."""
    flags = ["-m", "TPROXY", *ALL, "--redirect-dns", "--capture-all-dns"]
    fresh = box()
    fresh.init(*flags)
    for tables in (1, 2, 3):
        one = box()
        one.init(*ALL)
        one.kill_after(tables)
        one.init("--reconcile", *flags, status=-9)
        rules = one.rules()
        assert sum("-j DROP" in rule and "INPUT" in rule for rule in rules) == 2, rules
        assert one.init("--check", *flags, status=1).out.count("guard rules") == 1
        one.init(*flags)
        assert one.rules() == fresh.rules()


def test_cleanup_after_a_killed_run(box):
    """Killed when nothing but the guard rules was in force."""
    one = box()
    one.kill_after(0)
    one.init("-m", "TPROXY", *ALL, status=-9)
    assert len(one.rules()) == 6
    one.init("--cleanup-only")
    assert one.rules() == []


def test_killed_at_any_time(box):
    """Whenever a run is killed: traffic meets the old rules, the new ones or a drop in each family, and the next run completes the work."""
    flags = ["-m", "TPROXY", *ALL, "--redirect-dns", "--capture-all-dns", "--dual-stack"]
    fresh, old = box("dual"), box("dual")
    fresh.init(*flags)
    old.init(*ALL, "--dual-stack")
    of_family = lambda rules, tool: [rule for rule in rules if rule.startswith(tool + "-")]
    for delay in range(0, 120, 10):
        one = box("dual")
        one.init(*ALL, "--dual-stack")
        one.kill_at(delay / 1000, "--reconcile", *flags)
        for tool in ("iptables", "ip6tables"):
            there = of_family(one.rules(), tool)
            dropped = sum("-j DROP" in rule for rule in there) == 6
            assert dropped or there in (of_family(old.rules(), tool), of_family(fresh.rules(), tool)), there
        one.init("--reconcile", *flags)
        assert one.rules() == fresh.rules()


def test_nft_killed_at_any_time(box):
    """One transaction for all: the old rules or the new ones."""
    old_flags = [*ALL, "--dual-stack", "--native-nftables"]
    flags = ["-m", "TPROXY", *old_flags, "--redirect-dns", "--capture-all-dns"]
    fresh, old = box("dual"), box("dual")
    fresh.init(*flags)
    old.init(*old_flags)
    for delay in range(0, 60, 10):
        one = box("dual")
        one.init(*old_flags)
        one.kill_at(delay / 1000, *flags)
        assert one.rules() in (old.rules(), fresh.rules())
        one.init(*flags)
        assert one.rules() == fresh.rules()


def test_several_at_once(box):
    """One waits for the other, instead of taking its half-made rules for leftovers."""
    flags = ["-m", "TPROXY", *ALL, "--dual-stack"]
    one, fresh = box("dual"), box("dual")
    fresh.init(*flags)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        outs = [future.result().out for future in [pool.submit(one.init, *flags) for _ in range(4)]]
    assert sum("changed nothing" in out for out in outs) == 3, outs
    assert one.everything() == fresh.everything()


def test_refused_half_way(box):
    """A kernel without one of the tables: nothing is applied, and what was there stays."""
    one = box()
    one.init(*ALL)
    before = one.rules()
    one.refuse_table("raw")
    error = one.init("--reconcile", *ALL, "--redirect-dns", "--capture-all-dns", status=10)
    assert error.err.count("\n") == 1 and "nothing was changed" in error.err
    assert one.rules() == before
    clean = box()
    clean.refuse_table("nat")
    clean.init("-m", "TPROXY", *ALL, status=10)
    assert clean.rules() == []
    assert "fwmark" not in clean.run("ip", "rule").out


BAD = {
    "unknown-flag": (["--bogus"], {}, 2), "word": (["extra"], {}, 2), "no-value": (["-p"], {}, 2), "bad-bool": (["--dry-run=maybe"], {}, 2),
    "port-word": (["-p", "abc"], {}, 3), "port-large": (["-z", "99999"], {}, 3), "port-zero": (["-p", "0"], {}, 3),
    "port-list": (["-b", "80,x"], {}, 3), "port-range": (["-b", "90:80"], {}, 3), "port-negative": (["-o", "-1"], {}, 3),
    "cidr": (["-i", "10.0.0.0/99"], {}, 4), "cidr-no-prefix": (["-i", "10.0.0.0"], {}, 4), "cidr-exclude-all": (["-x", "*"], {}, 4),
    "cidr-word": (["-x", "10.0.0.0/8,here"], {}, 4), "loopback-block": ([], {"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR": "10.0.0.0/8"}, 4),
    "interface-long": (["-c", "a-name-too-long-0"], {}, 5), "interface-signs": (["-k", "eth0 -j ACCEPT"], {}, 5),
    "user": (["-u", "no-such-user"], {}, 6), "group": ([], {"ISTIO_OUTBOUND_OWNER_GROUPS": "no-such-group"}, 6),
    "owner-nobody": (["-u", ","], {}, 6), "groups-many": ([], {"ISTIO_OUTBOUND_OWNER_GROUPS": ",".join(map(str, range(65)))}, 6),
    "mode": (["-m", "NAT"], {}, 7), "mark": (["-t", "x"], {}, 7), "mark-taken": (["-t", "1338"], {}, 7),
    "route-table": (["-r", "x"], {}, 7), "route-table-main": (["-r", "254"], {}, 7), "check-cleanup": (["--check", "--cleanup-only"], {}, 2),
    "several-lines": (["-b", "80\nx"], {}, 3), "long": (["-c", "x" * 100_000], {}, 5), "binary": (["--force-iptables-binary=foo"], {}, 7),
    "bad-environment": ([], {"DRY_RUN": "maybe"}, 7), "timeout": (["--probe-timeout", "5 apples"], {}, 7),
    "namespace": (["--network-namespace", "/nowhere"], {}, 7),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(box, name):
    flags, env, status = BAD[name]
    one = box()
    error = one.init(*ALL, *flags, env=env, status=status)
    assert error.err.count("\n") == 1 and error.out == ""
    assert one.everything() == box().everything()


def test_missing_tool_capability_and_address(box):
    one = box()
    untouched = one.everything()
    one.init(*ALL, env={"PATH": "/nonexistent"}, status=9)
    one.init(*ALL, "--native-nftables", env={"PATH": "/nonexistent"}, status=9)
    one.init(*ALL, status=11, wrap=["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"])
    one.run("ip", "addr", "flush", "dev", "eth0")
    one.init(*ALL, status=8)
    one.run("ip", "addr", "add", "10.9.0.2/24", "dev", "eth0")
    assert one.everything() == untouched


def test_dry_run_touches_nothing(box, tmp_path):
    one = box("dual")
    before = one.everything()
    file = tmp_path / "rules"
    done = one.init("-m", "TPROXY", *ALL, "--dual-stack", "--dry-run", env={"DRY_RUN_FILE_PATH": str(file), "PATH": "/nonexistent"})
    assert file.read_text() == done.out and "-A PREROUTING -p tcp -j ISTIO_INBOUND" in done.out
    assert one.everything() == before
