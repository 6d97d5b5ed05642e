"""Table B, what stands in one request: framing, line ends and names. The upstream's tap is the judge."""

import collections
import concurrent.futures
import re

from clients import CHUNKED, GET, POST, chunks, outcome

_envoy = {}  # what each did, for those that come after


def run_table(proxy, h1, table):
    """Each input at its own path: {name: (outcome, the heads and bodies that the upstream saw of it)}."""
    seen = collections.defaultdict(list)
    def script(connection):
        while head := connection.head():
            body = connection.body(head)
            seen[head.split(b" ")[1].split(b"?")[0]].append((head, body))
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    h1.reset(script)
    paths = {name: b"/h1/%d" % i for i, name in enumerate(table)}
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        outcomes = pool.map(lambda name: outcome(proxy.port, table[name].replace(b"/PATH", paths[name])), table)
        results = dict(zip(table, outcomes))
    assert not any(b"smuggled" in path for path in seen)
    return {name: (results[name], seen.get(paths[name], [])) for name in table}


def compare(proxy, h1, table, stricter=()):
    """Refused with 400 or 501 and closed, or exactly what Envoy makes of it. `stricter`: Envoy lets it pass, clew refuses."""
    rows = run_table(proxy, h1, table)
    for name, ((statuses, fate), seen) in rows.items():
        shown = f"{','.join(map(str, statuses)) or '-'} {fate}" + (f", {len(seen)} upstream" if seen else "")
        _envoy[proxy.name, name] = shown
        framings = [len(re.findall(rb"\r\n(?:content-length|transfer-encoding):", head.lower())) for head, _ in seen]
        refused = fate == "closed" and set(statuses) <= {400, 431, 501, 505, 426} and not seen
        same = _envoy.get(("envoy", name), shown) == shown
        holds = refused if name in stricter else same and max(framings, default=0) <= 1
        proxy.expect(f"{name}: " + ("refused" if name in stricter else "as Envoy"), holds, shown)
    return rows


# ---- B1 to B4: framing

def with_length(*values, body=b"hello"):
    return POST % b"/PATH" + b"".join(b"content-length:%s\r\n" % v for v in values) + b"\r\n" + body


def test_b1_lengths(proxy, h1):
    """HAProxy CVE-2021-40346, 2023-40225. All of Http11Probe's lengths: two, lists, signs, hex, spaces, overflow; with chunked."""
    smuggled = b"GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"
    compare(proxy, h1, {
        "one": with_length(b" 5"), "zeros before": with_length(b" 0005"), "none": with_length(body=b""), "zero": with_length(b" 0", body=b""),
        "two equal": with_length(b" 5", b" 5"), "two": with_length(b" 5", b" 6"), "list of equal": with_length(b" 5, 5"), "list": with_length(b" 5, 6"),
        "list beginning with a comma": with_length(b" ,5"), "plus": with_length(b" +5"), "minus": with_length(b" -5"), "minus zero": with_length(b" -0", body=b""),
        "hex": with_length(b" 0x5"), "octal": with_length(b" 0o5"), "binary": with_length(b" 0b101"), "underscore": with_length(b" 1_0"),
        "space inside": with_length(b" 5 5"), "space after": with_length(b" 5 "), "tab": with_length(b"\t5"), "empty": with_length(b""), "spaces": with_length(b"   "),
        "letters": with_length(b" abc"), "letters after": with_length(b" 5abc"), "2^64": with_length(b" 18446744073709551616"),
        "2^64 + 5": with_length(b" 18446744073709551621"), "20 nines": with_length(b" 99999999999999999999"), "decimal point": with_length(b" 5.0"),
        "exponent": with_length(b" 5e0"), "vertical tab": with_length(b" \x0b5"), "nbsp": with_length(b" \xa05"), "nul": with_length(b" 5\x00"),
        "with chunked": POST % b"/PATH" + b"content-length: 5\r\n" + CHUNKED + b"\r\n0\r\n\r\n" + smuggled,
        "chunked first": POST % b"/PATH" + CHUNKED + b"content-length: 5\r\n\r\n0\r\n\r\n" + smuggled,
        "of a GET": GET % b"/PATH" + b"content-length: 5\r\n\r\nhello", "of a CONNECT": b"CONNECT victim:80 HTTP/1.1\r\nhost: victim\r\ncontent-length: 5\r\n\r\nhello",
        "longer than the body": GET % b"/PATH" + b"content-length: %d\r\n\r\n" % len(smuggled) + smuggled,
        "name in pieces": POST % b"/PATH" + b"content-length : 5\r\n\r\nhello", "name folded": POST % b"/PATH" + b"content-length:\r\n 5\r\n\r\nhello",
    }, stricter={"name folded"})


def coded(value, body=b"0\r\n\r\n", version=b"1.1"):
    return b"POST /PATH HTTP/%s\r\nhost: victim\r\ntransfer-encoding:%s\r\n\r\n" % (version, value) + body


def test_b2_transfer_codings(proxy, h1):
    """llhttp CVE-2022-32213 to 32215. Chunked, said in ways that only some understand."""
    rows = compare(proxy, h1, {
        "chunked": coded(b" chunked"), "upper case": coded(b" CHUNKED"), "mixed": coded(b" cHuNkEd"), "tab": coded(b"\tchunked"), "no space": coded(b"chunked"),
        "space after": coded(b" chunked "), "twice": coded(b" chunked\r\ntransfer-encoding: chunked"), "list of two": coded(b" chunked, chunked"),
        "xchunked": coded(b" xchunked"), "chunkedx": coded(b" chunkedx"), "quoted": coded(b' "chunked"'), "comma before": coded(b" ,chunked"),
        "comma after": coded(b" chunked,"), "gzip": coded(b" gzip"), "gzip, chunked": coded(b" gzip, chunked"), "chunked, gzip": coded(b" chunked, gzip"),
        "identity": coded(b" identity"), "chunked, identity": coded(b" chunked, identity"), "identity, chunked": coded(b" identity, chunked"),
        "identity and chunked apart": coded(b" identity\r\ntransfer-encoding: chunked"), "parameter": coded(b" chunked;q=1"), "empty": coded(b""),
        "vertical tab": coded(b" \x0bchunked"), "form feed": coded(b" chunked\x0c"), "nul": coded(b" chunked\x00"), "HTTP/1.0": coded(b" chunked", version=b"1.0"),
        "name and space": POST % b"/PATH" + b"transfer-encoding : chunked\r\n\r\n0\r\n\r\n", "name and tab": POST % b"/PATH" + b"transfer-encoding\t: chunked\r\n\r\n0\r\n\r\n",
        "underscore": POST % b"/PATH" + b"transfer_encoding: chunked\r\n\r\n", "folded": coded(b"\r\n chunked"), "bare LF": coded(b" chunked\nx: y"),
    }, stricter={"folded", "bare LF"})
    said = {coding for _, seen in rows.values() for head, _ in seen for coding in re.findall(rb"\r\ntransfer-encoding: *([^\r\n]*)", head.lower())}
    proxy.expect("no coding but chunked upstream", said <= {b"chunked"}, sorted(said))


def test_b3_line_ends(proxy, h1):
    """CVE-2023-30589, 2024-27982, 2025-23167, 2021-22959, 2019-9900. Whoever ends a line elsewhere sees another request."""
    one = GET % b"/PATH"
    compare(proxy, h1, {
        "CR in a value": one + b"x: a\rb\r\n\r\n", "LF in a value": one + b"x: a\nb: c\r\n\r\n", "NUL in a value": one + b"x: a\x00b\r\n\r\n",
        "CR ends a line": one + b"x: a\ry: b\r\n\r\n", "LF ends a line": b"GET /PATH HTTP/1.1\nhost: victim\n\n", "LF ends one line": one + b"x: a\ny: b\r\n\r\n",
        "LF ends the head": one + b"x: a\r\n\n", "CR ends the head": one + b"\rX", "CR CR LF": one + b"x: a\r\r\n\r\n", "something after CR LF CR": one + b"x: a\r\n\rX: y\r\n\r\n",
        "space before the colon": one + b"x : a\r\n\r\n", "tab before the colon": one + b"x\t: a\r\n\r\n", "space before the first name": b"GET /PATH HTTP/1.1\r\n host: victim\r\n\r\n",
        "folded": one + b"x: a\r\n b\r\n\r\n", "folded by a tab": one + b"x: a\r\n\tb\r\n\r\n", "folded first": b"GET /PATH HTTP/1.1\r\n x: a\r\nhost: victim\r\n\r\n",
        "only spaces in a line": one + b"x: a\r\n  \r\n\r\n", "NUL in a name": one + b"x\x00y: a\r\n\r\n", "high byte in a name": one + b"x\xffy: a\r\n\r\n",
        "space in a name": one + b"x y: a\r\n\r\n", "no colon": one + b"x\r\n\r\n", "no name": one + b": a\r\n\r\n", "NUL in the target": b"GET /PATH\x00 HTTP/1.1\r\nhost: victim\r\n\r\n",
        "CR in the target": b"GET /PATH\rx HTTP/1.1\r\nhost: victim\r\n\r\n", "tab in the request line": b"GET\t/PATH\tHTTP/1.1\r\nhost: victim\r\n\r\n",
        "two spaces in the request line": b"GET  /PATH  HTTP/1.1\r\nhost: victim\r\n\r\n", "space after the version": b"GET /PATH HTTP/1.1 \r\nhost: victim\r\n\r\n",
        "CR after the version": b"GET /PATH HTTP/1.1\r\r\nhost: victim\r\n\r\n", "control in a value": one + b"x: a\x1fb\r\n\r\n", "DEL in a value": one + b"x: a\x7fb\r\n\r\n",
        "tab in a value": one + b"x: a\tb\r\n\r\n", "high byte in a value": one + b"x: a\xe4b\r\n\r\n", "empty lines before": b"\r\n\r\n" + one + b"\r\n",
        "LFs before": b"\n\n" + one + b"\r\n",
    }, stricter={"CR in a value", "LF in a value", "CR ends a line", "LF ends a line", "LF ends one line", "LF ends the head", "CR CR LF", "folded", "folded by a tab",
                 "tab in the request line", "only spaces in a line", "space after the version", "CR after the version"})


def test_b4_chunks(proxy, h1):
    """CVE-2022-22019, TERM.EXT and EXT.TERM. What goes on is framed anew: no extensions, no trailers, sizes of our own."""
    rows = compare(proxy, h1, {
        "plain": chunks(b"5\r\nhello\r\n0\r\n\r\n"), "upper case": chunks(b"A\r\n0123456789\r\n0\r\n\r\n"), "zeros before": chunks(b"0005\r\nhello\r\n000\r\n\r\n"),
        "hex prefix": chunks(b"0x5\r\nhello\r\n0\r\n\r\n"), "plus": chunks(b"+5\r\nhello\r\n0\r\n\r\n"), "minus": chunks(b"-5\r\nhello\r\n0\r\n\r\n"),
        "underscore": chunks(b"0_5\r\nhello\r\n0\r\n\r\n"), "space before": chunks(b" 5\r\nhello\r\n0\r\n\r\n"), "space after": chunks(b"5 \r\nhello\r\n0\r\n\r\n"),
        "no size": chunks(b"\r\nhello\r\n0\r\n\r\n"), "no number": chunks(b"zz\r\nhello\r\n0\r\n\r\n"), "2^64": chunks(b"10000000000000000\r\nhello\r\n0\r\n\r\n"),
        "2^64 + 5": chunks(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), "sixteen f": chunks(b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        "longer than its size": chunks(b"3\r\nhello\r\n0\r\n\r\n"), "end by LF": chunks(b"5\nhello\r\n0\r\n\r\n"), "data's end by LF": chunks(b"5\r\nhello\n0\r\n\r\n"),
        "data's end by CR": chunks(b"5\r\nhello\r0\r\n\r\n"), "no end of data": chunks(b"5\r\nhello0\r\n\r\n"), "end by CR": chunks(b"5\rXhello\r\n0\r\n\r\n"),
        "extension": chunks(b"5;a=b\r\nhello\r\n0\r\n\r\n"), "extension in quotes": chunks(b'5;a="b;c"\r\nhello\r\n0\r\n\r\n'), "extension without a name": chunks(b"5;\r\nhello\r\n0\r\n\r\n"),
        "LF in an extension": chunks(b"5;a\nhello\r\n0\r\n\r\n"), "CR in an extension": chunks(b"5;a\rb\r\nhello\r\n0\r\n\r\n"), "NUL in an extension": chunks(b"5;a\x00\r\nhello\r\n0\r\n\r\n"),
        "CRLF in quotes": chunks(b'5;a="\r\nhello\r\n0\r\n\r\n'), "extension of the last": chunks(b"5\r\nhello\r\n0;a=b\r\n\r\n"),
        "8 KiB of extensions": chunks(b"5;" + b"a" * 8192 + b"\r\nhello\r\n0\r\n\r\n"), "extensions little by little": chunks(b"1;%s\r\nx\r\n" % (b"a" * 100) * 60 + b"0\r\n\r\n"),
        "trailers": chunks(b"5\r\nhello\r\n0\r\nx-trailer: a\r\n\r\n"), "no end of trailers": chunks(b"5\r\nhello\r\n0\r\n"), "trailer folded": chunks(b"0\r\nx: a\r\n b\r\n\r\n"),
    }, stricter={"longer than its size", "end by LF", "data's end by LF", "LF in an extension", "8 KiB of extensions", "extensions little by little", "trailer folded", "space after", "extension without a name",
                 "NUL in an extension", "CRLF in quotes"})
    seen = [(head, body) for _, all_ in rows.values() for head, body in all_]
    proxy.expect("no extension and no trailer upstream", not any(b";" in head or b"x-trailer" in head + body for head, body in seen))


# ---- B12, B13: names

def hosts():
    forms = ["victim", "VICTIM", "victim:80", "victim:", "victim:0", "victim:65535", "victim:65536", "victim:99999999", "victim:-1", "victim:+80", "victim:8 0", "victim:x",
             "victim.", "victim..", ".victim", "victim.:80", "vic_tim", "vic-tim", "user@victim", "user:pass@victim", "@victim", "victim@", "victim/", "victim/x", "victim?x",
             "victim#x", "victim\\x", "vic tim", " victim", "victim ", "victim\tx", "vic%74im", "victim%00", "1.2.3.4", "1.2.3.4:80", "1.2.3.4.5", "[::1]", "[::1]:80", "::1", "[::1",
             "[::1]x", "[v1.x]", "[fe80::1%25eth0]", "victim,other", "victim;x", "victim other", "*", "*.victim", "\x7fvictim", "victim\xe4", "xn--vctim-3ya", "http://victim", "'victim'",
             '"victim"', "<victim>", "{victim}", "vic|tim", "vic^tim", "vic`tim", "", "-"]
    out = {f"host «{f}»": f"GET /PATH HTTP/1.1\r\nhost: {f}\r\n\r\n" for f in forms}
    out |= {f"target at «{f}»": f"GET http://{f}/PATH HTTP/1.1\r\nhost: other\r\n\r\n" for f in
            ("victim", "VICTIM", "victim:80", "user@victim", "", "victim ", "[::1]", "victim\\x", "victim?q", "victim#f", "victim:x")}
    out |= {"no host": "GET /PATH HTTP/1.1\r\n\r\n", "two hosts": "GET /PATH HTTP/1.1\r\nhost: victim\r\nhost: other\r\n\r\n",
            "two equal hosts": "GET /PATH HTTP/1.1\r\nhost: victim\r\nhost: victim\r\n\r\n", "https target": "GET https://victim/PATH HTTP/1.1\r\nhost: other\r\n\r\n",
            "target without path": "GET http://victim HTTP/1.1\r\nhost: other\r\n\r\n", "host in a list": "GET /PATH HTTP/1.1\r\nhost: victim, other\r\n\r\n",
            "HTTP/1.0": "GET /PATH HTTP/1.0\r\nhost: victim\r\n\r\n", "HTTP/1.0 without": "GET /PATH HTTP/1.0\r\n\r\n"}
    return {name: text.encode("latin-1") for name, text in out.items()}


def test_b12_authorities(proxy, h1):
    """Istio CVE-2021-39155, HAProxy 2021-39242. 75 forms of authority: the same one for route and upstream, as Envoy has it."""
    rows = run_table(proxy, h1, hosts())
    table = {name: (result, [re.findall(rb"\r\nhost: ?([^\r\n]*)", head) for head, _ in seen]) for name, (result, seen) in rows.items()}
    if proxy.name == "envoy":
        _envoy["authorities"] = table
    envoy = _envoy.get("authorities", table)
    # A target of «http://victim?q» asks for «/?q» (RFC 9112 3.2.2); Envoy looks for a route for «?q».
    stricter = {"two hosts", "two equal hosts", "target at «victim?q»"}
    different = {name: (row, envoy[name]) for name, row in table.items() if row != envoy[name] and name not in stricter}
    proxy.expect("as Envoy", not different, "; ".join(f"{n}: {a} but {b}" for n, (a, b) in different.items()) or f"all {len(table)}")
    proxy.expect("two Host fields are refused", all(table[name][0] == ([400], "closed") for name in ("two hosts", "two equal hosts")),
                 [table[n][0] for n in ("two hosts", "two equal hosts")])


def test_b13_field_names(proxy, h1):
    """HAProxy CVE-2023-25725. What a client cannot take away by naming it in Connection, and what it cannot hide behind another spelling."""
    one = GET % b"/PATH"
    rows = compare(proxy, h1, {
        "underscore": one + b"x_a: b\r\n\r\n", "empty name": one + b": b\r\n\r\n", "names x-forwarded-for": one + b"connection: x-forwarded-for\r\nx-forwarded-for: 1.2.3.4\r\n\r\n",
        "names x-forwarded-proto": one + b"connection: x-forwarded-proto\r\n\r\n", "names authorization": one + b"connection: authorization\r\nauthorization: a\r\n\r\n",
        "names host": one + b"connection: host\r\n\r\n", "names content-length": POST % b"/PATH" + b"connection: content-length\r\ncontent-length: 5\r\n\r\nhello",
        "names transfer-encoding": chunks(b"5\r\nhello\r\n0\r\n\r\n", b"connection: transfer-encoding\r\n"), "names cookie": one + b"connection: cookie\r\ncookie: a=b\r\n\r\n",
        "names itself": one + b"connection: connection\r\n\r\n", "names :path": one + b"connection: :path\r\n\r\n", "names 200": one + b"connection: " + b",".join(b"x%d" % i for i in range(200)) + b"\r\n\r\n",
        "te: trailers": one + b"te: trailers\r\n\r\n", "te: gzip": one + b"te: gzip\r\n\r\n", "te: trailers, gzip": one + b"te: trailers, gzip\r\n\r\n",
        "keep-alive": one + b"keep-alive: timeout=5\r\n\r\n", "proxy-connection": one + b"proxy-connection: close\r\n\r\n", "proxy-authorization": one + b"proxy-authorization: x\r\n\r\n",
    })
    table = {name: [sorted(n for n in re.findall(rb"\r\n([^:\r\n]+):", head) if not n.startswith((b"x-envoy", b"x-request-id", b"x-forwarded-proto"))) for head, _ in seen]
             for name, (_, seen) in rows.items()}
    if proxy.name == "envoy":
        _envoy["names"] = table
    # A named Content-Length stays for clew and is chunked anew by Envoy: one framing field either way.
    different = {k: (v, _envoy["names"][k]) for k, v in table.items() if "names" in _envoy and v != _envoy["names"][k] and k != "names content-length"}
    proxy.expect("the same fields upstream as from Envoy", not different, different or "yes")
