"""From perf's samples to a flame graph as SVG text: wide is expensive, the loop is at the bottom."""

import html
import re
import subprocess

WIDTH, ROW = 1160, 17
KERNEL_FRAMES = 6  # below a system call; the rest of the kernel's stack says nothing about us
ENTRY = re.compile(r"entry_SYSCALL|do_syscall|x64_sys_call|_{3,}sys_")
LEAST = 0.004  # of all samples; narrower frames are left out
KINDS = [  # what a frame is, by its name: (pattern, colour, word)
    (re.compile(r"^\[k\]"), "#9fb8cc", "kernel"), (re.compile(r"^clew::"), "#f4a261", "clew"),
    (re.compile(r"^(malloc|cfree|free|calloc|realloc|_int_|unlink_chunk|tcache|new$)"), "#e07a7a", "allocation"),
    (re.compile(r"^(llhttp|nghttp2|session_|stream_|hd_|lookup_token|bubble_)"), "#a3c585", "llhttp, nghttp2"),
    (re.compile(r"^loop$"), "#e9d8a6", "loop and coroutines"),
    (re.compile(r"^_*(SSL|BIO|CRYPTO|EVP|CB[BS]_|OBJ_|bssl|aes|RSA|EC|ecp?_|L?curve25519|beeu|bn_|BN_|X509|p256|x25519|ecdsa|tls_|ASN1|asn1|sha|OPENSSL|gcm)"),
     "#c3a6d8", "AWS-LC"),
]
OTHER = ("#e0e0e0", "libc and others")


def record(pid, seconds, into, frequency=1999):
    """Starts perf on a process for so long; wait for what is returned."""
    return subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", str(frequency), "--call-graph", "dwarf,8192",
                             "-p", str(pid), "-o", str(into), "--", "sleep", str(seconds)],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def fold(data):
    """perf's file as {stack (outermost first): samples}."""
    text = subprocess.run(["perf", "script", "-i", str(data), "--no-inline", "-F", "ip,sym,dso"], capture_output=True, text=True).stdout
    stacks = {}
    for block in text.split("\n\n"):
        frames, inside = [], 0
        for line in reversed(block.strip().splitlines()):
            found = re.match(r"\s*[0-9a-f]+ (.*) \((.*)\)$", line)
            if found:
                kernel = "[k" in found[2] or "vmlinux" in found[2]
                if kernel and ENTRY.match(found[1]):
                    continue
                inside += kernel
                name = short(found[1], kernel)
                if (not frames or frames[-1] != name) and inside <= KERNEL_FRAMES:
                    frames.append(name)
        if frames:
            frames = tuple(f for f in frames if f not in ("_start", "__libc_start_main", "main"))
            stacks[frames] = stacks.get(frames, 0) + 1
    return stacks


def short(symbol, kernel=False):
    """A name a person reads: no arguments, no template arguments, the loop's machinery as one word."""
    if kernel:
        return "[k] " + symbol
    symbol = re.sub(r"\(anonymous namespace\)::", "", symbol)
    symbol = re.sub(r"\[clone .*?\]|\.(actor|part\.\d+|constprop\.\d+|cold|isra\.\d+)", "", symbol)
    while (bare := re.sub(r"<[^<>]*>|\([^()]*\)", "", symbol)) != symbol:
        symbol = bare
    symbol = symbol.replace(" const", "").strip().split(" ")[-1] or "[unknown]"
    return "loop" if symbol.startswith(("clew::Loop", "clew::detail", "clew::Task", "std::__n4861", "std::coroutine")) else symbol


def svg(title, stacks):
    total = sum(stacks.values()) or 1
    tree = {}
    for frames, count in stacks.items():
        level = tree
        for frame in frames:
            node = level.setdefault(frame, [0, {}])
            node[0] += count
            level = node[1]
    boxes = []

    def place(level, x, depth):
        for name, (count, children) in sorted(level.items()):
            if count / total >= LEAST:
                boxes.append((x, depth, count, name))
                place(children, x, depth + 1)
            x += count

    place(tree, 0, 0)
    deepest = max((depth for _, depth, _, _ in boxes), default=0)
    height = (deepest + 1) * ROW + 50
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="11">',
           f'<rect width="100%" height="100%" fill="white"/><text x="4" y="16" font-size="14" font-weight="bold">{html.escape(title)}</text>']
    x = 4
    for colour, word in [(c, w) for _, c, w in KINDS] + [OTHER]:
        out.append(f'<rect x="{x}" y="24" width="10" height="10" fill="{colour}"/><text x="{x + 14}" y="33">{word}</text>')
        x += 30 + 7 * len(word)
    for x, depth, count, name in boxes:
        left, width, y = x / total * WIDTH, count / total * WIDTH, height - (depth + 1) * ROW - 4
        colour = next((c for pattern, c, _ in KINDS if pattern.search(name)), OTHER[0])
        shown = name if len(name) * 6.2 < width - 4 else name[: max(0, int((width - 10) / 6.2))] + "…" if width > 40 else ""
        out.append(f'<g><title>{html.escape(name)} {100 * count / total:.1f} %</title><rect x="{left:.1f}" y="{y}" width="{max(width - 0.5, 0.3):.1f}" '
                   f'height="{ROW - 1}" fill="{colour}"/>' + (f'<text x="{left + 3:.1f}" y="{y + 12}">{html.escape(shown)}</text>' if shown else "") + "</g>")
    return "\n".join(out + ["</svg>"])


def shares(stacks):
    """Where the samples are: {part: share}. A part is a system call, or whose code it is outside the kernel."""
    total = sum(stacks.values()) or 1
    parts = {}
    for frames, count in stacks.items():
        part = _part(frames)
        parts[part] = parts.get(part, 0) + count / total
    return dict(sorted(parts.items(), key=lambda item: -item[1]))


def _part(frames):
    call = next((f for f in frames if f.startswith("[k] ")), None)
    if call:
        name = re.sub(r"^\[k\] (__x64_sys_|__do_sys_|__se_sys_|__sys_|do_)?", "", call)
        return "kernel: interrupts" if name.startswith(("asm_", "sysvec", "irq")) else f"kernel: {name}"
    return next((word for pattern, _, word in KINDS if frames and pattern.search(frames[-1])), OTHER[1])
